//! The 96 bits that all four totals of an account share, and the edges of what an amount, a floor
//! and a ceiling may be.

use ledger::{Amount, AmountError, Balance};

use super::{CLASSES, SCALES, STEPS, World, expected};
use crate::model::text;

/// 2^96 - 1, the greatest number of minor units.
const MAX: i128 = (1 << 96) - 1;

/// An account whose totals sum to `MAX - room`, spread over `filled` of the four.
fn filled(scale: u32, class: &str, filled: &[(&str, &str)], room: i128) -> World {
    let mut world = World::new(scale);
    world.must(&format!("open a {class} AST floor unlimited"));
    let count = i128::try_from(filled.len()).unwrap();
    for (number, (verb, side)) in (0i128..).zip(filled) {
        let other = if *side == "debit" { "credit" } else { "debit" };
        // The last takes what the division leaves.
        let part = (MAX - room) / count;
        let amount = world.units(if number + 1 == count { MAX - room - part * (count - 1) } else { part });
        // Each has a partner of its own, so that only the account under test fills up.
        world.must(&format!("open p{number} asset AST floor unlimited"));
        world.must(&format!("{verb} f{number} {side} a {amount} {other} p{number} {amount}"));
    }
    world.must("open last asset AST floor unlimited");
    world
}

#[test]
fn all_totals_of_an_account_fit_96_bits_to_the_unit() {
    let spreads: [&[(&str, &str)]; 6] = [
        &[("post", "debit")],
        &[("post", "credit")],
        &[("try", "debit")],
        &[("try", "credit")],
        &[("post", "debit"), ("post", "credit")],
        &[("post", "debit"), ("post", "credit"), ("try", "debit"), ("try", "credit")],
    ];
    for scale in SCALES {
        for (class, _, _) in CLASSES {
            for spread in spreads {
                // The classes of one side differ in nothing but their name: one of them shows all
                // spreads.
                if !matches!(class, "asset" | "liability") && spread.len() < 4 {
                    continue;
                }
                let prepared = filled(scale, class, spread, 9);
                for verb in ["post", "try"] {
                    for (side, other) in [("debit", "credit"), ("credit", "debit")] {
                        for step in STEPS {
                            let mut world = prepared.clone();
                            let amount = world.units(9 + step);
                            let line = format!("{verb} over {side} a {amount} {other} last {amount}");
                            let wanted = expected(step <= 0, || "BALANCE_OVERFLOW a".into());
                            assert_eq!(world.ask(&line), wanted, "{class}, {spread:?}: {line}");
                            if step == 0 {
                                ends_in_range(world, spread, verb);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// With no unit left, all that is reserved is still booked.
fn ends_in_range(mut world: World, spread: &[(&str, &str)], verb: &str) {
    for (number, (filled, _)) in spread.iter().enumerate() {
        if *filled == "try" {
            world.must(&format!("confirm f{number}"));
        }
    }
    if verb == "try" {
        world.must("confirm over");
    }
}

#[test]
fn a_reversal_is_turnover_as_well() {
    for scale in SCALES {
        for step in STEPS {
            let mut world = World::new(scale);
            world.must("open a liability AST floor unlimited");
            world.must("open p asset AST floor unlimited");
            // The original and its reversal together are the account's turnover.
            let (half, rest) = (MAX / 2, MAX - MAX / 2 + step);
            let more = rest - half;
            let (half, more) = (world.units(half), world.units(more.max(0)));
            world.must(&format!("post origin credit a {half} debit out {half}"));
            if rest > MAX / 2 {
                world.must(&format!("post more credit a {more} debit p {more}"));
            }
            // What the account has now: MAX / 2 + more. The reversal adds MAX / 2.
            let all = world.figures("a", "credit").posted + MAX / 2;
            let wanted = expected(all <= MAX, || "BALANCE_OVERFLOW a".into());
            assert_eq!(world.ask("reverse origin as back"), wanted, "scale {scale}, step {step}");
        }
    }
}

#[test]
fn amounts_floors_and_ceilings_have_96_bits_at_their_assets_scale() {
    for scale in SCALES {
        for step in STEPS {
            let written = text(MAX + step, scale);
            let wanted = if step <= 0 { Ok(written.clone()) } else { Err(AmountError::OutOfRange) };
            assert_eq!(Amount::parse(&written).map(|amount| amount.to_string()), wanted);
            let negative = format!("-{written}");
            let wanted = if step <= 0 { Ok(negative.clone()) } else { Err(AmountError::OutOfRange) };
            assert_eq!(Balance::parse(&negative).map(|balance| balance.to_string()), wanted);
            // What does not parse is never asked of the book; what does is a floor and a ceiling.
            if step <= 0 {
                let mut world = World::new(scale);
                world.must(&format!("open a liability AST floor {negative} ceiling {written}"));
                world.must(&format!("open b liability AST floor {negative} ceiling {written}"));
                world.must(&format!("post all debit a {written} credit b {written}"));
            }
        }
    }
}

/// Written with fewer digits, an amount gets the others, if it still fits: the last that fits, and
/// the first that does not.
#[test]
fn an_amount_is_brought_to_its_assets_scale_up_to_the_last_unit() {
    for scale in SCALES.into_iter().filter(|scale| *scale > 0) {
        for written_scale in [0, scale - 1] {
            let last = MAX / 10i128.pow(scale - written_scale);
            for step in STEPS {
                let mut world = World::new(scale);
                let written = text(last + step, written_scale);
                let wanted = expected(step <= 0, || format!("AMOUNT OutOfRange: {written} for AST of scale {scale}"));
                world.must("open a asset AST floor unlimited");
                let line = format!("post p1 debit a {written} credit out {written}");
                assert_eq!(world.ask(&line), wanted);
                assert_eq!(world.ask(&format!("open b asset AST ceiling {written}")), wanted);
            }
        }
        // One digit more than the asset has is refused, even if it is zero.
        let (exact, finer) = (text(10, scale), text(100, scale + 1));
        let mut world = World::new(scale);
        world.must("open a asset AST floor unlimited");
        world.must(&format!("post p1 debit a {exact} credit out {exact}"));
        assert_eq!(
            world.ask(&format!("post p2 debit a {finer} credit out {finer}")),
            Err(format!("AMOUNT ScaleExceeded: {finer} for AST of scale {scale}"))
        );
    }
}
