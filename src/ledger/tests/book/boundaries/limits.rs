//! Floors and ceilings, as postings and tries meet them, as they are set, and as accounts are
//! opened; freezing and closing.

use super::{CLASSES, Figures, SCALES, STEPS, World, expected};

/// How money comes to or leaves an account.
#[derive(Debug, Clone, Copy)]
enum Way {
    Post,
    Try,
    /// Two postings on the account in one transaction.
    Split,
    Reverse,
    /// Within an atomic batch that begins with another command.
    Item,
}

const WAYS: [Way; 5] = [Way::Post, Way::Try, Way::Split, Way::Reverse, Way::Item];

/// The limit under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Floor,
    Ceiling,
}

/// What is pending on the account besides.
const OUTGOING: i128 = 30;
const INCOMING: i128 = 40;
/// How far the account is from its limit: enough for two postings on either side of it.
const ROOM: i128 = 7;

/// One row: an account of a class, so far from its limit, and how the next amount comes.
#[derive(Debug, Clone, Copy)]
struct Row {
    scale: u32,
    class: (&'static str, &'static str, &'static str),
    limit: Limit,
    bound: i128,
    way: Way,
    is_pending: bool,
}

impl Row {
    /// The side that the limit binds.
    fn bound_side(&self) -> &'static str {
        match self.limit {
            Limit::Floor => self.class.2,
            Limit::Ceiling => self.class.1,
        }
    }

    fn figures(&self, world: &World) -> Figures {
        world.figures("a", self.class.1)
    }

    /// A book whose account `a` has [`ROOM`] left.
    fn world(&self) -> World {
        let (class, grows, shrinks) = self.class;
        let mut world = World::new(self.scale);
        world.must(&format!("open a {class} AST floor unlimited"));
        let other = |side| if side == "debit" { "credit" } else { "debit" };
        if matches!(self.way, Way::Reverse) {
            // To be reversed: more than there is room for, on the side that the limit does not
            // bind.
            let (amount, side) = (world.units(ROOM + 1), other(self.bound_side()));
            world.must(&format!("post origin {side} a {amount} {} out {amount}", other(side)));
        }
        if self.is_pending {
            for (id, side, amount) in [("in", grows, INCOMING), ("away", shrinks, OUTGOING)] {
                let amount = world.units(amount);
                world.must(&format!("try {id} {side} a {amount} {} out {amount}", other(side)));
            }
        }
        let (incoming, outgoing) = if self.is_pending { (INCOMING, OUTGOING) } else { (0, 0) };
        let wanted = match self.limit {
            Limit::Floor => self.bound + ROOM + outgoing,
            Limit::Ceiling => self.bound - ROOM - incoming,
        };
        let missing = wanted - self.figures(&world).posted;
        if missing != 0 {
            let side = if missing > 0 { grows } else { shrinks };
            let amount = world.units(missing.abs());
            world.must(&format!("post level {side} a {amount} {} out {amount}", other(side)));
        }
        let bound = world.units(self.bound);
        match self.limit {
            Limit::Floor => world.must(&format!("limits a floor {bound}")),
            Limit::Ceiling => world.must(&format!("limits a ceiling {bound}")),
        }
        assert_eq!(self.figures(&world), Figures { posted: wanted, incoming, outgoing }, "{self:?}");
        world
    }

    /// Moves so much on the side that the limit binds.
    fn ask(&self, world: &mut World, id: &str, amount: i128) -> Result<(), String> {
        let side = self.bound_side();
        let other = if side == "debit" { "credit" } else { "debit" };
        let all = world.units(amount);
        match self.way {
            Way::Post => world.ask(&format!("post {id} {side} a {all} {other} out {all}")),
            Way::Try => world.ask(&format!("try {id} {side} a {all} {other} out {all}")),
            Way::Split if amount > 1 => {
                let (one, rest) = (world.units(1), world.units(amount - 1));
                world.ask(&format!("post {id} {side} a {one} {other} out {all} {side} a {rest}"))
            }
            Way::Split => world.ask(&format!("post {id} {side} a {all} {other} out {all}")),
            Way::Reverse => world.ask(&format!("reverse origin as {id} amounts {all} {all}")),
            Way::Item => {
                let moved = format!("post {id} {side} a {all} {other} out {all}");
                let items = [world.command(&format!("cancel never-{id}")), world.command(&moved)];
                world.ask_items(items.to_vec())
            }
        }
    }

    fn refusal(&self, world: &World, amount: i128) -> String {
        let (figures, bound) = (self.figures(world), world.units(self.bound));
        match self.limit {
            Limit::Floor => format!(
                "INSUFFICIENT_FUNDS a: available {}, needed {}, floor {bound}",
                world.units(figures.available()),
                world.units(amount)
            ),
            Limit::Ceiling => {
                format!("CEILING_EXCEEDED a: ceiling {bound}, reached {}", world.units(figures.expected() + amount))
            }
        }
    }

    /// How far the account is from its limit.
    fn room(&self, world: &World) -> i128 {
        match self.limit {
            Limit::Floor => self.figures(world).available() - self.bound,
            Limit::Ceiling => self.bound - self.figures(world).expected(),
        }
    }

    fn walk(&self) {
        let prepared = self.world();
        for step in STEPS {
            let mut world = prepared.clone();
            let (before, amount) = (self.figures(&world), ROOM + step);
            let wanted = expected(step <= 0, || self.refusal(&world, amount));
            assert_eq!(self.ask(&mut world, "first", amount), wanted, "{self:?}, step {step}");
            if step > 0 {
                assert_eq!(self.figures(&world), before, "{self:?}: a refusal moved money");
                continue;
            }
            assert_eq!(self.room(&world), -step, "{self:?}, step {step}");
            // What is left can be had to the last unit, and not one more.
            let refusal = self.refusal(&world, 1 - step);
            assert_eq!(self.ask(&mut world, "over", 1 - step), Err(refusal), "{self:?}, step {step}");
            if step < 0 {
                assert_eq!(self.ask(&mut world, "last", -step), Ok(()), "{self:?}, step {step}");
                assert_eq!(self.room(&world), 0, "{self:?}, step {step}");
            }
            // The other side of the account is not bound by it.
            let side = self.bound_side();
            let other = if side == "debit" { "credit" } else { "debit" };
            let one = world.units(1);
            world.must(&format!("post back {other} a {one} {side} out {one}"));
        }
    }
}

impl World {
    /// Asks for an atomic batch, and says why its culprit was refused if one was.
    fn ask_items(&mut self, items: Vec<ledger::Command>) -> Result<(), String> {
        let batch = ledger::Command { operation: ledger::Operation::Atomic(items), ..self.command("cancel batch") };
        match self.book.one(self.stamp, batch).outcome {
            ledger::Outcome::BatchRejected { culprit, items } => {
                let refusal = items[culprit as usize].outcome.as_ref().unwrap_err();
                Err(crate::script_text::rejection(refusal))
            }
            ledger::Outcome::Accepted(_) => Ok(()),
            ledger::Outcome::Rejected(refusal) => panic!("a batch was refused whole: {refusal:?}"),
        }
    }
}

fn rows(limit: Limit, bounds: &[i128]) -> usize {
    let mut count = 0;
    for scale in SCALES {
        for class in CLASSES {
            for bound in bounds.iter().copied() {
                // The classes of one side differ in nothing but their name: one of them shows all
                // ways.
                let ways = if matches!(class.0, "asset" | "liability") { &WAYS[..] } else { &WAYS[..1] };
                for way in ways.iter().copied() {
                    for is_pending in [false, true] {
                        Row { scale, class, limit, bound, way, is_pending }.walk();
                        count += 1;
                    }
                }
            }
        }
    }
    count
}

#[test]
fn a_floor_is_kept_to_the_last_unit() {
    assert_eq!(rows(Limit::Floor, &[-500, -1, 0, 1, 500]), 520);
}

#[test]
fn a_ceiling_is_kept_to_the_last_unit() {
    assert_eq!(rows(Limit::Ceiling, &[0, 1, 500]), 312);
}

#[test]
fn without_limits_there_is_no_bound_but_the_range() {
    for scale in SCALES {
        for (class, grows, shrinks) in CLASSES {
            let mut world = World::new(scale);
            world.must(&format!("open a {class} AST floor unlimited"));
            let most = world.units((1 << 94) - 1);
            world.must(&format!("post p1 {shrinks} a {most} {grows} out {most}"));
            world.must(&format!("post p2 {grows} a {most} {shrinks} out {most}"));
            world.must(&format!("try p3 {grows} a {most} {shrinks} out {most}"));
        }
    }
}

/// Limits are set against what the account has: its available balance bounds the floor, what it
/// expects the ceiling.
#[test]
fn limits_are_set_against_todays_balance_to_the_unit() {
    for scale in SCALES {
        for (class, grows, shrinks) in CLASSES {
            for posted in [-500i128, -1, 0, 1, 500] {
                for is_pending in [false, true] {
                    let mut world = World::new(scale);
                    world.must(&format!("open a {class} AST floor unlimited"));
                    if posted != 0 {
                        let (side, other) = if posted > 0 { (grows, shrinks) } else { (shrinks, grows) };
                        let amount = world.units(posted.abs());
                        world.must(&format!("post p1 {side} a {amount} {other} out {amount}"));
                    }
                    if is_pending {
                        let (incoming, outgoing) = (world.units(INCOMING), world.units(OUTGOING));
                        world.must(&format!("try t1 {grows} a {incoming} {shrinks} out {incoming}"));
                        world.must(&format!("try t2 {shrinks} a {outgoing} {grows} out {outgoing}"));
                    }
                    set_limits(&world, grows, "");
                    world.must("freeze a");
                    set_limits(&world, grows, "frozen");
                }
            }
        }
    }
}

fn set_limits(prepared: &World, grows: &str, what: &str) {
    let figures = prepared.figures("a", grows);
    for step in STEPS {
        let mut world = prepared.clone();
        let (available, floor) = (figures.available(), figures.available() + step);
        let wanted = expected(step <= 0, || {
            let [available, needed, floor] = [available, floor.abs(), floor].map(|minor| world.units(minor));
            format!("INSUFFICIENT_FUNDS a: available {available}, needed {needed}, floor {floor}")
        });
        let line = format!("limits a floor {}", world.units(floor));
        assert_eq!(world.ask(&line), wanted, "{line} at {figures:?} {what}");

        // A ceiling is never negative; an account that expects less than nothing is under any.
        let ceiling = figures.expected().max(0) + step;
        if ceiling < 0 {
            continue;
        }
        let mut world = prepared.clone();
        let wanted = expected(figures.expected() <= ceiling, || {
            let [ceiling, reached] = [ceiling, figures.expected()].map(|minor| world.units(minor));
            format!("CEILING_EXCEEDED a: ceiling {ceiling}, reached {reached}")
        });
        let line = format!("limits a ceiling {}", world.units(ceiling));
        assert_eq!(world.ask(&line), wanted, "{line} at {figures:?} {what}");
    }
}

#[test]
fn an_account_is_opened_with_a_floor_that_an_empty_one_keeps() {
    for scale in SCALES {
        for (class, _, _) in CLASSES {
            for step in STEPS {
                let mut world = World::new(scale);
                let floor = world.units(step);
                let wanted = expected(step <= 0, || {
                    format!("INSUFFICIENT_FUNDS a: available {}, needed {floor}, floor {floor}", world.units(0))
                });
                assert_eq!(world.ask(&format!("open a {class} AST floor {floor}")), wanted);
                let ceiling = world.units(step.max(0));
                world.must(&format!("open b {class} AST ceiling {ceiling}"));
            }
        }
    }
}

#[test]
fn an_account_is_closed_at_zero_and_nowhere_else() {
    for scale in SCALES {
        for (class, grows, shrinks) in CLASSES {
            for posted in STEPS {
                for (incoming, outgoing) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let mut world = World::new(scale);
                    world.must(&format!("open a {class} AST floor unlimited"));
                    // There and back, so that an empty account is not one without history.
                    let moved = [("p1", grows, shrinks, 5 + posted), ("p2", shrinks, grows, 5)];
                    for (id, side, other, amount) in moved {
                        let amount = world.units(amount);
                        world.must(&format!("post {id} {side} a {amount} {other} out {amount}"));
                    }
                    for (id, side, other, amount) in
                        [("t1", grows, shrinks, incoming), ("t2", shrinks, grows, outgoing)]
                    {
                        if amount > 0 {
                            let amount = world.units(amount);
                            world.must(&format!("try {id} {side} a {amount} {other} out {amount}"));
                        }
                    }
                    let (debit, credit) = if grows == "debit" { (incoming, outgoing) } else { (outgoing, incoming) };
                    let wanted = expected(posted == 0 && incoming == 0 && outgoing == 0, || {
                        let [posted, debit, credit] = [posted, debit, credit].map(|minor| world.units(minor));
                        format!("ACCOUNT_NOT_EMPTY a: posted {posted}, pending {debit} and {credit}")
                    });
                    assert_eq!(world.ask("close a"), wanted, "{class}, {posted}, {incoming}, {outgoing}");
                }
            }
        }
    }
}

/// A frozen account takes not one unit more, and its reservations still end on either side, down to
/// its floor and up to its ceiling.
#[test]
fn a_frozen_account_ends_what_it_began_and_begins_nothing() {
    for scale in SCALES {
        for (class, grows, shrinks) in CLASSES {
            let mut prepared = World::new(scale);
            let (five, one) = (prepared.units(5), prepared.units(1));
            prepared.must(&format!("open a {class} AST floor unlimited"));
            prepared.must(&format!("post p1 {grows} a {five} {shrinks} out {five}"));
            prepared.must(&format!("try away {shrinks} a {five} {grows} out {five}"));
            prepared.must(&format!("try in {grows} a {five} {shrinks} out {five}"));
            prepared.must(&format!("limits a floor {} ceiling {}", prepared.units(0), prepared.units(10)));
            prepared.must("freeze a");
            for (side, other) in [(grows, shrinks), (shrinks, grows)] {
                for verb in ["post", "try"] {
                    let line = format!("{verb} n1 {side} a {one} {other} out {one}");
                    assert_eq!(prepared.clone().ask(&line), Err("ACCOUNT_FROZEN a".into()), "{line}");
                }
            }
            let line = format!("reverse p1 as n2 amounts {one} {one}");
            assert_eq!(prepared.clone().ask(&line), Err("ACCOUNT_FROZEN a".into()));
            for order in [["confirm away", "confirm in"], ["confirm in", "confirm away"], ["cancel in", "cancel away"]]
            {
                let mut world = prepared.clone();
                order.iter().for_each(|line| world.must(line));
                assert_eq!(world.figures("a", grows), Figures { posted: 5, incoming: 0, outgoing: 0 }, "{order:?}");
            }
        }
    }
}
