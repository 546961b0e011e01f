//! Histories drawn from the model are valid, whatever overlaps, repeats and gets lost; one answer changed anywhere is caught.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod support;

use std::time::Instant;

use folio_checker::history::*;
use folio_checker::{Demands, Verdict, check};
use support::generate::{Random, history, seed};

fn no_demands() -> Demands {
    Demands { classes: Vec::new(), ..Demands::default() }
}

#[test]
fn drawn_histories_are_valid() {
    let first = seed(1);
    for seed in first..first + 60 {
        let drawn = history(seed, 400, 6, 30);
        let verdict = check(&drawn, &no_demands());
        assert!(verdict.is_valid(), "seed {seed}: {}", verdict.text(&drawn));
    }
}

#[test]
fn a_drawn_history_shows_every_class_of_operation() {
    let drawn = history(seed(7), 4_000, 6, 400);
    let demands = Demands { dumps: 3, ..Demands::default() };
    let verdict = check(&drawn, &demands);
    assert!(verdict.is_valid(), "{}", verdict.text(&drawn));
}

#[test]
fn the_edn_form_of_a_history_reads_back_the_same() {
    let drawn = history(seed(3), 500, 6, 40);
    let text = write_edn(&drawn);
    assert_eq!(read_edn(&text).unwrap(), drawn);
    assert_eq!(write_edn(&read_edn(&text).unwrap()), text);
}

/// Changes one thing in an answer to a command; false if there was nothing to change.
fn corrupt_told(random: &mut Random, result: &mut Result<Done, Refusal>, sequence: &mut Option<u64>) -> bool {
    match random.below(4) {
        0 => {
            *result = match result {
                Ok(_) => {
                    Err(Refusal { reason: Reason::InsufficientFunds, metadata: std::collections::BTreeMap::new() })
                }
                Err(_) => Ok(Done::default()),
            };
            true
        }
        1 => match result {
            Err(refusal) => {
                refusal.reason =
                    if refusal.reason == Reason::Unbalanced { Reason::AccountFrozen } else { Reason::Unbalanced };
                true
            }
            Ok(done) => {
                done.empty = !done.empty;
                true
            }
        },
        2 => match sequence {
            Some(sequence) => {
                *sequence += 1;
                true
            }
            None => {
                *sequence = Some(1);
                true
            }
        },
        _ => match result {
            Ok(Done { deadline_ns: Some(deadline_ns), .. }) => {
                *deadline_ns += 1;
                true
            }
            _ => false,
        },
    }
}

fn corrupt_answer(random: &mut Random, answer: &mut Answer) -> bool {
    match random.below(3) {
        0 => {
            answer.replay_of = match answer.replay_of {
                Some(_) => None,
                None => Some(LogPoint { place: Place { index: 1, position: 1_000 }, time_ns: 1 }),
            };
            true
        }
        1 => match answer.state {
            Some(state) => {
                answer.state = Some(if state == TransactionState::Tried {
                    TransactionState::Expired
                } else {
                    TransactionState::Tried
                });
                true
            }
            None => false,
        },
        _ => corrupt_told(random, &mut answer.result, &mut answer.journal_sequence),
    }
}

fn corrupt_read(answer: &mut ReadAnswer) -> bool {
    match &mut answer.value {
        ReadValue::Account(Some(view)) => {
            view.totals.debits_posted += 1;
            true
        }
        ReadValue::Transaction(Some(view)) => {
            view.state =
                if view.state == TransactionState::Tried { TransactionState::Expired } else { TransactionState::Tried };
            true
        }
        ReadValue::TrialBalance(lines) if !lines.is_empty() => {
            lines[0].accounts += 1;
            true
        }
        ReadValue::RequestOutcome(value @ Some(_)) => {
            *value = None;
            true
        }
        ReadValue::Account(None)
        | ReadValue::Transaction(None)
        | ReadValue::RequestOutcome(None)
        | ReadValue::TrialBalance(_) => false,
    }
}

/// Changes one answer somewhere; its operation's number.
fn corrupt(random: &mut Random, history: &mut History) -> usize {
    loop {
        let number = random.below(history.operations.len() as u64) as usize;
        let changed = match &mut history.operations[number].completion {
            Completion::Answered(answer) => corrupt_answer(random, answer),
            Completion::Batch(answers) => corrupt_answer(random, &mut answers[0]),
            Completion::Atomic(answer) => match &mut answer.outcome {
                AtomicOutcome::Applied(items) => {
                    let item = &mut items[0];
                    corrupt_told(random, &mut item.result, &mut item.journal_sequence)
                }
                AtomicOutcome::NotApplied(items) => {
                    let items = std::mem::take(items);
                    answer.outcome = AtomicOutcome::Applied(items);
                    true
                }
                AtomicOutcome::Refused(_) => false,
            },
            Completion::Read(answer) => corrupt_read(answer),
            Completion::Unknown(_) | Completion::NotProposed { .. } => false,
        };
        if changed {
            return number;
        }
    }
}

#[test]
fn one_changed_answer_anywhere_is_caught() {
    let first = seed(1_000);
    for seed in first..first + 400 {
        let mut drawn = history(seed, 150, 5, 12);
        let mut random = Random(seed);
        let number = corrupt(&mut random, &mut drawn);
        let verdict = check(&drawn, &no_demands());
        assert!(
            matches!(verdict, Verdict::Invalid { .. }),
            "seed {seed}: operation {number} was changed, the verdict is {}\n{:?}",
            verdict.machine(),
            drawn.operations[number]
        );
    }
}

#[test]
fn two_swapped_answers_are_caught() {
    let first = seed(5_000);
    for seed in first..first + 100 {
        let mut drawn = history(seed, 150, 5, 12);
        let booked: Vec<usize> = drawn
            .operations
            .iter()
            .enumerate()
            .filter(|(_, operation)| {
                matches!(&operation.completion, Completion::Answered(answer) if answer.journal_sequence.is_some() && answer.replay_of.is_none())
            })
            .map(|(number, _)| number)
            .collect();
        let (one, two) = (booked[0], booked[booked.len() - 1]);
        let completion = drawn.operations[one].completion.clone();
        drawn.operations[one].completion = std::mem::replace(&mut drawn.operations[two].completion, completion);
        let verdict = check(&drawn, &no_demands());
        assert!(verdict.broken_checks().contains(&"real-time-order"), "seed {seed}: {}", verdict.machine());
    }
}

#[test]
fn a_million_operations_are_checked_in_seconds() {
    let drawn = history(seed(9), 1_000_000, 1_000, 200_000);
    let start = Instant::now();
    let verdict = check(&drawn, &no_demands());
    println!("1 000 000 operations checked in {:?}", start.elapsed());
    assert!(verdict.is_valid(), "{}", verdict.text(&drawn));
}
