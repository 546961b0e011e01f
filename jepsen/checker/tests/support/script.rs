//! Readable scripts through one `check`: a line is `request: operation … => answer`, and every answer is compared whole.
//!
//! Every script starts with the asset USD (scale 2), the accounts `bank` (asset, unlimited), `alice` and `bob` (liabilities, floor 0), and
//! 100.00 posted from bank to alice: five journal records. `alice>bob 10.00` debits alice and credits bob.

use std::collections::BTreeMap;

use folio_checker::history::*;
use folio_checker::model::Model;

const PRELUDE: &str = "
    p1: asset USD 2
    p2: open bank asset USD floor=unlimited
    p3: open alice liability USD
    p4: open bob liability USD
    p5: post p5 bank>alice 100.00
";

/// The id of a name in a script.
pub fn id(name: &str) -> Id {
    Id(name.bytes().fold(1, |sum: u128, byte| sum.wrapping_mul(257).wrapping_add(u128::from(byte))))
}

fn side(account: &str, side: Side, amount: &str) -> Posting {
    Posting { account: account.to_owned(), side, amount: amount.to_owned(), asset: None }
}

/// `alice>bob 10.00, carol>bob 1.00`
fn postings(text: &str) -> Vec<Posting> {
    let mut postings = Vec::new();
    for movement in text.split(',').map(str::trim) {
        let (accounts, amount) = movement.split_once(' ').expect("accounts and amount");
        // A bare account with a sign is a single posting: `+alice` debits, `-alice` credits.
        match accounts.split_once('>') {
            Some((from, to)) => {
                postings.push(side(from, Side::Debit, amount));
                postings.push(side(to, Side::Credit, amount));
            }
            None => {
                let direction = if accounts.starts_with('+') { Side::Debit } else { Side::Credit };
                postings.push(side(&accounts[1..], direction, amount));
            }
        }
    }
    postings
}

/// Words that stand as `key=value`, and the rest.
fn split_options(text: &str) -> (Vec<&str>, BTreeMap<&str, &str>) {
    let (options, words): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(|word| word.contains('='));
    (words, options.into_iter().filter_map(|option| option.split_once('=')).collect())
}

fn floor(text: &str) -> FloorText {
    if text == "unlimited" { FloorText::Unlimited } else { FloorText::AtLeast(text.to_owned()) }
}

fn amounts(options: &BTreeMap<&str, &str>) -> Option<Vec<String>> {
    options.get("amounts").map(|list| list.split('/').map(str::to_owned).collect())
}

/// A command of a script's words.
pub fn command(text: &str) -> Command {
    let (words, options) = split_options(text);
    let account = || words[1].to_owned();
    let rest = || words[2..].join(" ");
    let details = Details {
        reference: options.get("ref").map_or(String::new(), |text| (*text).to_owned()),
        ..Details::default()
    };
    match words[0] {
        "asset" => Command::RegisterAsset { code: account(), scale: words[2].parse().expect("a scale") },
        "open" => Command::OpenAccount {
            name: account(),
            class: if words[2] == "asset" { AccountClass::Asset } else { AccountClass::Liability },
            asset: words[3].to_owned(),
            floor: options.get("floor").map(|text| floor(text)),
            ceiling: options.get("ceiling").map(|text| (*text).to_owned()),
            metadata: BTreeMap::new(),
        },
        "limits" => Command::SetLimits {
            account: account(),
            floor: options.get("floor").map(|text| floor(text)),
            ceiling: match options.get("ceiling") {
                None => CeilingChange::Keep,
                Some(&"none") => CeilingChange::Remove,
                Some(text) => CeilingChange::Set((*text).to_owned()),
            },
        },
        "freeze" => Command::Freeze { account: account() },
        "unfreeze" => Command::Unfreeze { account: account() },
        "close" => Command::Close { account: account() },
        "post" => Command::Post { transaction: Some(id(words[1])), postings: postings(&rest()), details },
        "try" => Command::Try {
            transaction: Some(id(words[1])),
            postings: postings(&rest()),
            details,
            timeout_ns: options.get("timeout").map(|text| text.parse().expect("a timeout")),
        },
        "confirm" => Command::Confirm { transaction: id(words[1]), amounts: amounts(&options) },
        "cancel" => Command::Cancel { transaction: id(words[1]) },
        "reverse" => Command::Reverse {
            transaction: Some(id(words[1])),
            original: id(words[2]),
            amounts: amounts(&options),
            details,
        },
        other => panic!("no operation {other}"),
    }
}

fn state_text(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Tried => "tried",
        TransactionState::Confirmed => "confirmed",
        TransactionState::Cancelled => "cancelled",
        TransactionState::Expired => "expired",
    }
}

fn render_told(
    result: &Result<Done, Refusal>,
    replayed: bool,
    state: Option<TransactionState>,
    sequence: Option<u64>,
) -> String {
    let mut words = vec![match result {
        Ok(_) => "ok".to_owned(),
        Err(refusal) => refusal.reason.text().to_owned(),
    }];
    if result.as_ref().is_ok_and(|done| done.empty) {
        words.push("empty".to_owned());
    }
    if replayed {
        words.push("replayed".to_owned());
    }
    words.extend(state.map(|state| state_text(state).to_owned()));
    words.extend(sequence.map(|sequence| format!("#{sequence}")));
    words.join(" ")
}

fn render_atomic(answer: &AtomicAnswer) -> String {
    let (word, items) = match &answer.outcome {
        AtomicOutcome::Applied(items) => ("applied", items.as_slice()),
        AtomicOutcome::NotApplied(items) => ("not-applied", items.as_slice()),
        AtomicOutcome::Refused(refusal) => (refusal.reason.text(), &[][..]),
    };
    let replayed = if answer.replay_of.is_some() { " replayed" } else { "" };
    let mut text = format!("{word}{replayed}");
    for item in items {
        text +=
            &format!(" | {}", render_told(&item.result, item.replay_of.is_some(), item.state, item.journal_sequence));
    }
    text
}

fn render_account(view: Option<&AccountView>) -> String {
    let Some(view) = view else {
        return "NOT_FOUND".to_owned();
    };
    let totals = view.totals;
    format!(
        "debits {}+{} credits {}+{} available {}",
        totals.debits_posted, totals.debits_pending, totals.credits_posted, totals.credits_pending, view.available
    )
}

fn read_text(model: &mut Model<'_>, words: &[&str]) -> String {
    let value = match words[0] {
        "balance" => model.read(&Query::Account(words[1].to_owned())),
        "show" => model.read(&Query::Transaction(id(words[1]))),
        _ => model.read(&Query::RequestOutcome(id(words[1]))),
    };
    match value {
        ReadValue::Account(view) => render_account(view.as_ref()),
        ReadValue::Transaction(None) | ReadValue::RequestOutcome(None) => "NOT_FOUND".to_owned(),
        ReadValue::Transaction(Some(view)) => state_text(view.state).to_owned(),
        ReadValue::RequestOutcome(Some(Found::Single(answer))) => {
            render_told(&answer.result, false, None, answer.journal_sequence)
        }
        ReadValue::RequestOutcome(Some(Found::Atomic(answer))) => render_atomic(&answer),
        ReadValue::TrialBalance(lines) => format!("{lines:?}"),
    }
}

enum Line {
    Read(String),
    Call(Call, Option<u64>),
}

fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split_whitespace().collect();
    if ["balance", "show", "outcome"].contains(&words[0]) {
        return Line::Read(line.to_owned());
    }
    let (request, body) = line.split_once(':').expect("request: operation");
    let time = split_options(body).1.get("at").map(|text| text.parse().expect("a time"));
    let body = body.trim();
    let call = match body.strip_prefix("atomic ") {
        None => Call::Write(Write { request_id: id(request), command: command(body) }),
        Some(items) => Call::Atomic(AtomicBatch {
            request_id: id(request),
            items: items
                .split(';')
                .map(|item| {
                    let (request, body) = item.split_once(':').expect("request: operation");
                    Write { request_id: id(request.trim()), command: command(body.trim()) }
                })
                .collect(),
        }),
    };
    Line::Call(call, time)
}

/// Runs a script through the model and compares every answer.
pub fn check(script: &str) {
    let text: Vec<(&str, Option<&str>)> = PRELUDE
        .lines()
        .chain(script.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .map(|line| line.split_once("=>").map_or((line, None), |(line, answer)| (line.trim(), Some(answer.trim()))))
        .collect();
    let lines: Vec<Line> = text.iter().map(|(line, _)| parse(line)).collect();
    let mut model = Model::new();
    let mut last_ns = 0;
    for (number, (line, (asked, expected))) in lines.iter().zip(&text).enumerate() {
        let answered = match line {
            Line::Read(query) => read_text(&mut model, &query.split_whitespace().collect::<Vec<_>>()),
            Line::Call(call, time) => {
                let time_ns = time.unwrap_or(last_ns + 1);
                assert!(time_ns > last_ns, "{asked}: log time must increase");
                let place = Place { index: number as u64 + 1, position: 0 };
                let at = LogPoint { place, time_ns };
                last_ns = time_ns;
                match call {
                    Call::Write(write) => {
                        let answer = model.write(at, write);
                        render_told(&answer.result, answer.replay_of.is_some(), answer.state, answer.journal_sequence)
                    }
                    Call::Atomic(batch) => {
                        last_ns += batch.items.len() as u64;
                        render_atomic(&model.atomic(at, batch))
                    }
                    Call::Batch(_) | Call::Read(_) => unreachable!("scripts have neither"),
                }
            }
        };
        match expected {
            Some(expected) => assert_eq!(answered, *expected, "\nin: {asked}"),
            None => assert!(answered.starts_with("ok"), "\nin: {asked}\nanswered {answered}"),
        }
    }
}
