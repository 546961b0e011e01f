//! Shares of what was there before: partial confirms against what was reserved, reversals against
//! what was confirmed, debits against credits.

use super::{SCALES, STEPS, World, expected};

const RESERVED: i128 = 20;
const OTHER: i128 = 5;

/// Two payments in one try: 20 units from `a`, 5 from `b`, in both orders of their sides.
fn reserved(scale: u32, debit_first: bool) -> World {
    let mut world = World::new(scale);
    world.must("open a liability AST floor unlimited");
    world.must("open b liability AST floor unlimited");
    let (first, second) = if debit_first { ("debit", "credit") } else { ("credit", "debit") };
    let (large, small) = (world.units(RESERVED), world.units(OTHER));
    world.must(&format!("try t {first} a {large} {second} out {large} {first} b {small} {second} out {small}"));
    world
}

fn amounts(world: &World, large: [i128; 2], small: [i128; 2]) -> String {
    let all = [large[0], large[1], small[0], small[1]];
    all.map(|minor| world.units(minor)).join(" ")
}

#[test]
fn a_confirm_books_up_to_what_was_reserved_and_not_a_unit_more() {
    for scale in SCALES {
        for debit_first in [true, false] {
            let prepared = reserved(scale, debit_first);
            // Zero, one, and around what was reserved, of either payment.
            for share in [0, 1, RESERVED - 1, RESERVED, RESERVED + 1] {
                for other in [0, 1, OTHER - 1, OTHER, OTHER + 1] {
                    let mut world = prepared.clone();
                    let line = format!("confirm t amounts {}", amounts(&world, [share; 2], [other; 2]));
                    let exceeds = |posting, reserved, asked| {
                        let [reserved, asked] = [reserved, asked].map(|minor| prepared.units(minor));
                        Err(format!("EXCEEDS_RESERVED posting {posting}: reserved {reserved}, asked {asked}"))
                    };
                    let wanted = if share == 0 && other == 0 {
                        Err("INVALID_ARGUMENT amounts: all are zero; to book nothing, cancel instead".to_owned())
                    } else if share > RESERVED {
                        exceeds(0, RESERVED, share)
                    } else if other > OTHER {
                        exceeds(2, OTHER, other)
                    } else {
                        Ok(())
                    };
                    assert_eq!(world.ask(&line), wanted, "{line}");
                    if wanted.is_ok() {
                        confirmed(world, debit_first, share, other);
                    }
                }
            }
        }
    }
}

/// Once confirmed so, it is confirmed so for good, and just that much was booked.
fn confirmed(mut world: World, debit_first: bool, share: i128, other: i128) {
    let side = if debit_first { "debit" } else { "credit" };
    for (account, booked) in [("a", share), ("b", other)] {
        let figures = world.figures(account, side);
        assert_eq!((figures.posted, figures.incoming, figures.outgoing), (booked, 0, 0), "{account}");
    }
    let same = format!("confirm t amounts {}", amounts(&world, [share; 2], [other; 2]));
    world.must(&same);
    for (share, other) in [(share + 1, other), (share - 1, other), (share, other + 1), (share, other - 1)] {
        if share < 0 || other < 0 || share + other == 0 {
            continue;
        }
        let line = format!("confirm t amounts {}", amounts(&world, [share; 2], [other; 2]));
        assert_eq!(world.ask(&line), Err("CONFIRM_DIFFERS t".into()), "{line}");
    }
    let wanted = expected(share == RESERVED && other == OTHER, || "CONFIRM_DIFFERS t".into());
    assert_eq!(world.ask("confirm t"), wanted);
}

#[test]
fn one_posting_alone_may_not_exceed_what_was_reserved() {
    for scale in SCALES {
        for position in 0..4 {
            let mut world = reserved(scale, true);
            let mut all = [RESERVED, RESERVED, OTHER, OTHER];
            let reserved = world.units(all[position]);
            all[position] += 1;
            let asked = world.units(all[position]);
            let line = format!("confirm t amounts {}", all.map(|minor| world.units(minor)).join(" "));
            let wanted = format!("EXCEEDS_RESERVED posting {position}: reserved {reserved}, asked {asked}");
            assert_eq!(world.ask(&line), Err(wanted));
        }
    }
}

/// What the original was booked by: its post, a confirm of all, or a confirm of a part.
const BOOKED_BY: [(&str, i128); 3] = [("post", 20), ("confirm", 20), ("confirm in part", 13)];

fn original(scale: u32, booked_by: &str, booked: i128) -> World {
    let mut world = World::new(scale);
    world.must("open a liability AST floor unlimited");
    let (all, part) = (world.units(RESERVED), world.units(booked));
    let postings = format!("debit a {all} credit out {all}");
    match booked_by {
        "post" => world.must(&format!("post t {postings}")),
        _ => world.must(&format!("try t {postings}")),
    }
    match booked_by {
        "confirm" => world.must("confirm t"),
        "confirm in part" => world.must(&format!("confirm t amounts {part} {part}")),
        _ => {}
    }
    world
}

#[test]
fn reversals_sum_up_to_the_original_and_not_a_unit_more() {
    for scale in SCALES {
        for (booked_by, booked) in BOOKED_BY {
            for earlier in [0, 1, 6, booked - 1] {
                let mut prepared = original(scale, booked_by, booked);
                if earlier > 0 {
                    let amount = prepared.units(earlier);
                    prepared.must(&format!("reverse t as r0 amounts {amount} {amount}"));
                }
                let remaining = booked - earlier;
                for step in STEPS {
                    let asked = remaining + step;
                    if asked == 0 {
                        continue;
                    }
                    let mut world = prepared.clone();
                    let refused = |remaining, asked| {
                        let [remaining, asked] = [remaining, asked].map(|minor| prepared.units(minor));
                        format!("ALREADY_REVERSED posting 0: remaining {remaining}, asked {asked}")
                    };
                    let amount = world.units(asked);
                    let wanted = expected(step <= 0, || refused(remaining, asked));
                    let found = world.ask(&format!("reverse t as r1 amounts {amount} {amount}"));
                    assert_eq!(found, wanted, "{booked_by}, {earlier} before, {asked} asked");
                    let left = if step <= 0 { -step } else { remaining };
                    let over = world.units(left + 1);
                    let found = world.ask(&format!("reverse t as r2 amounts {over} {over}"));
                    assert_eq!(found, Err(refused(left, left + 1)), "{booked_by}, {earlier} before");
                    let posted = world.figures("a", "debit").posted;
                    assert_eq!(posted, if step <= 0 { left } else { remaining });
                }
                // All that was confirmed, once more: only where nothing went before.
                let wanted = expected(earlier == 0, || {
                    let [remaining, asked] = [remaining, booked].map(|minor| prepared.units(minor));
                    format!("ALREADY_REVERSED posting 0: remaining {remaining}, asked {asked}")
                });
                assert_eq!(prepared.ask("reverse t as whole"), wanted, "{booked_by}, {earlier} before");
            }
        }
    }
}

#[test]
fn debits_and_credits_are_equal_to_the_unit() {
    for scale in SCALES {
        for verb in ["post", "try"] {
            for step in STEPS {
                let mut world = World::new(scale);
                world.must("open a liability AST floor unlimited");
                world.must("open b liability AST floor unlimited");
                let [all, skewed, part] = [20, 20 + step, 12 + step].map(|minor| world.units(minor));
                let rest = world.units(8);
                let unbalanced =
                    |world: &World| format!("UNBALANCED AST: debits {}, credits {}", world.units(20), skewed);
                let wanted = expected(step == 0, || unbalanced(&world));
                let line = format!("{verb} t2 debit a {all} credit out {skewed}");
                assert_eq!(world.ask(&line), wanted, "{line}");
                let line = format!("{verb} t3 debit a {all} credit out {part} credit b {rest}");
                assert_eq!(world.ask(&line), wanted, "{line}");
            }
        }
        for step in STEPS {
            let mut world = original(scale, "post", RESERVED);
            let [exact, skewed] = [10, 10 + step].map(|minor| world.units(minor));
            // A reversal stands on the other sides.
            let wanted = expected(step == 0, || format!("UNBALANCED AST: debits {skewed}, credits {exact}"));
            assert_eq!(world.ask(&format!("reverse t as r amounts {exact} {skewed}")), wanted);
            let mut world = reserved(scale, true);
            let line = format!("confirm t amounts {}", amounts(&world, [10, 10 + step], [0, 0]));
            let wanted = expected(step == 0, || format!("UNBALANCED AST: debits {exact}, credits {skewed}"));
            assert_eq!(world.ask(&line), wanted, "{line}");
        }
    }
}
