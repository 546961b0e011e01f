//! The history of a run is believed only whole: whatever is taken out of it, doubled, moved or cut
//! off is found, and named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;

use folio_checker::history::*;
use folio_checker::{Demands, Verdict, check, check_run};
use support::generate::{history, seed};

fn event(fault: &str, number: u64) -> NemesisEvent {
    NemesisEvent {
        fault: fault.to_owned(),
        target: format!("replica {}", number % 3 + 1),
        started_ns: 1_000 + number * 100,
        ended_ns: 1_050 + number * 100,
        effect: Some("the process was gone".to_owned()),
    }
}

/// A run that did what it was to do.
fn whole() -> History {
    let drawn = history(seed(11), 60, 5, 12);
    let nemesis = vec![event("kill", 0), event("pause", 1), event("kill", 2)];
    let plan = Plan {
        replicas: 3,
        clients: 4,
        seconds: 5,
        seed: 11,
        faults: BTreeMap::from([("kill".to_owned(), 1), ("pause".to_owned(), 1)]),
        events: 2,
        classes: vec![OperationClass::Post],
        commands: 30,
        reads: 3,
        dumps: true,
        journals: false,
    };
    History { nemesis, plan: Some(plan), ..drawn }
}

/// What the checker says to a text, and whether it calls it valid.
fn judged(text: &str) -> (bool, String) {
    match read_edn(text) {
        Err(error) => (false, error.to_string()),
        Ok(history) => {
            let verdict = check_run(&history);
            (verdict.is_valid(), verdict.text(&history))
        }
    }
}

fn refused(what: &str, text: &str, wanted: &str) {
    let (is_valid, said) = judged(text);
    assert!(!is_valid, "{what}: it is called valid");
    assert!(said.contains(wanted), "{what}: {wanted:?} is not in what it says:\n{said}");
}

fn joined<'l>(lines: impl IntoIterator<Item = &'l str>) -> String {
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// All lines but some.
fn without(lines: &[&str], left_out: &[usize]) -> String {
    joined(lines.iter().enumerate().filter(|(place, _)| !left_out.contains(place)).map(|(_, line)| *line))
}

fn places<'l>(lines: &'l [&'l str], parts: &'l [&'l str]) -> Vec<usize> {
    let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
    lines.iter().enumerate().filter(|(_, line)| has_all(line)).map(|(place, _)| place).collect()
}

fn operation(line: &str) -> &str {
    line.split(":op ").nth(1).unwrap().split(',').next().unwrap()
}

#[test]
fn a_whole_run_is_valid_and_reads_back_the_same() {
    let whole = whole();
    let text = write_edn(&whole);
    assert_eq!(read_edn(&text).unwrap(), whole);
    let (is_valid, said) = judged(&text);
    assert!(is_valid, "{said}");
    assert!(said.starts_with("valid: ") && !said.contains("plan"), "{said}");
    // A last line without its newline is whole all the same.
    assert!(judged(text.trim_end()).0);
}

#[test]
fn no_record_can_be_taken_out() {
    let text = write_edn(&whole());
    let lines: Vec<&str> = text.lines().collect();
    for place in 0..lines.len() {
        let (is_valid, said) = judged(&without(&lines, &[place]));
        assert!(!is_valid, "without {}", lines[place]);
        let number = operation(lines[place]);
        let wanted = match lines[place] {
            line if line.contains(":f :plan") => "the plan is missing".to_owned(),
            line if line.contains(":f :end") => "the end record is missing".to_owned(),
            line if line.contains(":type :invoke") => {
                format!("operation {number}: is completed here, and its invocation")
            }
            line if line.contains(":f :dump") || line.contains(":f :nemesis") => format!("record {place} is missing"),
            _ => format!("operation {number} ("),
        };
        assert!(said.contains(&wanted), "{wanted:?} is not in:\n{said}\nwithout {}", lines[place]);
    }
}

#[test]
fn dumps_and_events_of_the_nemesis_are_counted_and_demanded() {
    let text = write_edn(&whole());
    let lines: Vec<&str> = text.lines().collect();
    let dumps = places(&lines, &[":process :replica"]);
    let events = places(&lines, &[":process :nemesis"]);
    assert_eq!((dumps.len(), events.len()), (3, 3));
    for (number, dump) in dumps.iter().enumerate() {
        let gutted = without(&lines, &[*dump]);
        refused("without a dump", &gutted, &format!("the dump of replica {} is missing", number + 1));
        refused("without a dump", &gutted, "the end record counts 3 dumps, 2 are there");
    }
    refused("without any dump", &without(&lines, &dumps), "the dump of replica 2 is missing");
    for event in &events {
        refused(
            "without an event",
            &without(&lines, &[*event]),
            "the end record counts 3 events of the nemesis, 2 are there",
        );
    }
    let gutted = without(&lines, &events);
    refused("without any event", &gutted, "at least 1 events of the fault kill, 0 are there");
    refused("without any event", &gutted, "at least 2 events of the nemesis, 0 are there");
}

#[test]
fn a_read_that_is_dropped_or_left_open_is_missed() {
    let text = write_edn(&whole());
    let lines: Vec<&str> = text.lines().collect();
    let completions = places(&lines, &[":type :ok", ":f :read-"]);
    assert!(completions.len() >= 3, "there are reads");
    for completion in completions {
        let number = operation(lines[completion]);
        let own = places(&lines, &[":f :read-"]).into_iter().filter(|place| operation(lines[*place]) == number);
        let own: Vec<usize> = own.collect();
        refused("left open", &without(&lines, &[completion]), &format!("operation {number} (read-"));
        refused("dropped", &without(&lines, &own), "answered reads, ");
        // As if nobody had heard the answer.
        let unknown = lines[completion].split(":type :ok").next().unwrap().to_owned();
        let function = lines[completion].split(":f ").nth(1).unwrap().split(',').next().unwrap();
        let unknown = format!("{unknown}:type :info, :f {function}, :op {number}, :value [:unknown \"lost\"]}}");
        let mut changed = lines.clone();
        changed[completion] = &unknown;
        refused("made unknown", &joined(changed), "calls with an unknown outcome");
    }
}

#[test]
fn lines_that_are_moved_doubled_or_changed_are_found() {
    let text = write_edn(&whole());
    let lines: Vec<&str> = text.lines().collect();
    for place in 0..lines.len() - 1 {
        let mut swapped = lines.clone();
        swapped.swap(place, place + 1);
        let (is_valid, said) = judged(&joined(swapped));
        assert!(!is_valid, "{place} and the next swapped: {said}");
        let mut doubled = lines.clone();
        doubled.insert(place, lines[place]);
        let (is_valid, said) = judged(&joined(doubled));
        assert!(!is_valid, "{place} doubled: {said}");
    }
    let one = places(&lines, &[":process :nemesis"])[0];
    let mut swapped = lines.clone();
    swapped.swap(one, one + 1);
    refused("swapped", &joined(swapped), &format!("record {one} stands after record {}", one + 1));
    let changed = text.replace("the process was gone", "the process was here");
    refused("changed", &changed, "their digest is another");
    let lowered = text.replacen(":commands 30", ":commands 1", 1);
    refused("a plan that demands less", &lowered, "their digest is another");
}

#[test]
fn a_history_that_is_cut_off_is_found_wherever_it_is_cut() {
    let text = write_edn(&whole());
    let last_line = text.trim_end().rfind('\n').unwrap();
    for cut in [last_line + 1, last_line + 2, last_line + 40, text.len() - 2] {
        let (is_valid, said) = judged(&text[..cut]);
        assert!(!is_valid, "cut to {cut} bytes");
        let wanted = if cut == last_line + 1 { "the end record is missing" } else { "it was cut off" };
        assert!(said.contains(wanted), "cut to {cut} bytes: {said}");
    }
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    for end in &ends[..ends.len() - 1] {
        refused("cut at the end of a line", &text[..*end], "the end record is missing");
    }
    refused("nothing", "", "it has no plan");
    let plan = write_plan(whole().plan.as_ref().unwrap());
    refused("a run that was broken off", &plan, "the end record is missing");
    refused("a run that was broken off", &plan, "at least 30 decided commands, 0 are there");
}

/// A run that ended well and did too little is written whole, and still falls short.
#[test]
fn a_run_that_falls_short_of_its_plan_is_incomplete() {
    let short = |change: fn(&mut History), wanted: &str| {
        let mut history = whole();
        change(&mut history);
        refused("short", &write_edn(&history), wanted);
        assert!(matches!(check_run(&history), Verdict::Incomplete { .. }), "{wanted}");
    };
    short(|run| run.plan.as_mut().unwrap().commands = 1_000, "at least 1000 decided commands");
    short(|run| run.plan.as_mut().unwrap().reads = 1_000, "at least 1000 answered linearizable reads");
    short(|run| run.plan.as_mut().unwrap().events = 4, "at least 4 events of the nemesis, 3 are there");
    short(|run| run.plan.as_mut().unwrap().replicas = 4, "the dump of replica 4 is missing");
    short(|run| run.plan.as_mut().unwrap().replicas = 2, "replica 3 is dumped, and the plan knows replicas 1 to 2");
    short(|run| run.plan.as_mut().unwrap().journals = true, "the dump of replica 1 has 0 of ");
    short(|run| run.dumps[1].replica = 1, "a replica is dumped twice");
    short(|run| run.dumps[1].index += 1, "the replicas are dumped at different indexes");
    short(
        |run| run.nemesis.retain(|event| event.fault != "pause"),
        "at least 1 events of the fault pause, 0 are there",
    );
    let mut unseen = whole();
    unseen.nemesis.iter_mut().for_each(|event| event.effect = None);
    refused("no effect", &write_edn(&unseen), "the fault kill never had an effect");
}

/// A history that was recorded elsewhere has no plan. It is refused as a run's; judged without a
/// plan, the verdict says what that is worth.
#[test]
fn a_history_without_a_plan_is_judged_only_where_that_is_asked() {
    let elsewhere = History { plan: None, ..whole() };
    let text = write_edn(&elsewhere);
    assert!(!text.contains(":process :run"));
    refused("without a plan", &text, "it has no plan");
    let read = read_edn(&text).unwrap();
    let verdict = check(&read, &Demands { classes: Vec::new(), ..Demands::default() });
    assert!(verdict.is_valid(), "{}", verdict.text(&read));
    assert!(verdict.text(&read).contains("nobody can tell what was left out"), "{}", verdict.text(&read));
}
