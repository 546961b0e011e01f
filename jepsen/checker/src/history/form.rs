//! The EDN form of every type of a history: structs are maps, plain choices are keywords, choices with content are `[:word content]`.
//!
//! One trait and three small macros, so that a type's written and read form cannot drift apart.

use std::collections::BTreeMap;

use super::edn::{EdnError, Value};
use super::*;

/// A type with an EDN form.
pub(super) trait Form: Sized {
    /// Its form.
    fn write(&self) -> Value;
    /// From its form.
    fn read(value: &Value) -> Result<Self, EdnError>;
}

fn wrong(expected: &str, value: &Value) -> EdnError {
    EdnError::new(value, format!("expected {expected}"))
}

/// The field of a map; an absent one is nil.
pub(super) fn field<T: Form>(value: &Value, key: &str) -> Result<T, EdnError> {
    let Value::Map(pairs) = value else {
        return Err(wrong("a map", value));
    };
    let found = pairs.iter().find(|(name, _)| matches!(name, Value::Keyword(word) if word == key));
    T::read(found.map_or(&Value::Nil, |(_, content)| content))
        .map_err(|error| EdnError::new(format_args!("{key}: {}", error.at), error.problem))
}

pub(super) fn keyword(word: &str) -> Value {
    Value::Keyword(word.to_owned())
}

macro_rules! unsigned {
    ($($type:ty),*) => {$(
        impl Form for $type {
            fn write(&self) -> Value {
                Value::Integer { negative: false, magnitude: u128::from(*self) }
            }

            fn read(value: &Value) -> Result<Self, EdnError> {
                match value {
                    Value::Integer { negative: false, magnitude } => {
                        <$type>::try_from(*magnitude).map_err(|_| wrong("a smaller number", value))
                    }
                    _ => Err(wrong("a number of zero or more", value)),
                }
            }
        }
    )*};
}
unsigned!(u32, u64, u128);

impl Form for i128 {
    fn write(&self) -> Value {
        Value::Integer { negative: *self < 0, magnitude: self.unsigned_abs() }
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        let Value::Integer { negative, magnitude } = value else {
            return Err(wrong("an integer", value));
        };
        let size = i128::try_from(*magnitude).map_err(|_| wrong("an integer of 127 bits", value))?;
        Ok(if *negative { -size } else { size })
    }
}

impl Form for bool {
    fn write(&self) -> Value {
        Value::Boolean(*self)
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        match value {
            Value::Boolean(value) => Ok(*value),
            _ => Err(wrong("true or false", value)),
        }
    }
}

impl Form for String {
    fn write(&self) -> Value {
        Value::Text(self.clone())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(wrong("a string", value)),
        }
    }
}

impl Form for Id {
    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        String::read(value)?.parse().map_err(|_| wrong("a UUID", value))
    }
}

impl<T: Form> Form for Option<T> {
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Nil, T::write)
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        match value {
            Value::Nil => Ok(None),
            _ => T::read(value).map(Some),
        }
    }
}

impl<T: Form> Form for Vec<T> {
    fn write(&self) -> Value {
        Value::Vector(self.iter().map(T::write).collect())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        match value {
            Value::Vector(items) => items.iter().map(T::read).collect(),
            _ => Err(wrong("a vector", value)),
        }
    }
}

impl<T: Form> Form for BTreeMap<String, T> {
    fn write(&self) -> Value {
        Value::Map(self.iter().map(|(key, value)| (Value::Text(key.clone()), value.write())).collect())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        match value {
            Value::Map(pairs) => {
                pairs.iter().map(|(key, content)| Ok((String::read(key)?, T::read(content)?))).collect()
            }
            _ => Err(wrong("a map", value)),
        }
    }
}

impl<T: Form, E: Form> Form for Result<T, E> {
    fn write(&self) -> Value {
        match self {
            Ok(value) => Value::Vector(vec![keyword("done"), value.write()]),
            Err(error) => Value::Vector(vec![keyword("refused"), error.write()]),
        }
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        let (word, content) = choice(value)?;
        match word {
            "done" => T::read(content).map(Ok),
            "refused" => E::read(content).map(Err),
            _ => Err(wrong(":done or :refused", value)),
        }
    }
}

/// The word and content of a choice.
fn choice(value: &Value) -> Result<(&str, &Value), EdnError> {
    match value {
        Value::Keyword(word) => Ok((word, &Value::Nil)),
        Value::Vector(parts) => match parts.as_slice() {
            [Value::Keyword(word), content] => Ok((word, content)),
            _ => Err(wrong("[:word content]", value)),
        },
        _ => Err(wrong("a keyword or [:word content]", value)),
    }
}

macro_rules! map_form {
    ($($type:ident { $($field:ident $key:literal),* })*) => {$(
        impl Form for $type {
            fn write(&self) -> Value {
                Value::Map(vec![$((keyword($key), self.$field.write()),)*])
            }

            fn read(value: &Value) -> Result<Self, EdnError> {
                Ok($type { $($field: field(value, $key)?,)* })
            }
        }
    )*};
}

macro_rules! word_form {
    ($($type:ident { $($variant:ident $word:literal),* })*) => {$(
        impl Form for $type {
            fn write(&self) -> Value {
                match self { $($type::$variant => keyword($word),)* }
            }

            fn read(value: &Value) -> Result<Self, EdnError> {
                match value {
                    $(Value::Keyword(word) if word == $word => Ok($type::$variant),)*
                    _ => Err(wrong(concat!("one of", $(" :", $word),*), value)),
                }
            }
        }
    )*};
}

/// Choices with content: `Unit`, `One(content)` or `Struct { field "key" }`.
macro_rules! choice_form {
    ($($type:ident {
        $(unit $unit:ident $unit_word:literal;)*
        $(one $one:ident $one_word:literal;)*
        $(map $map:ident $map_word:literal { $($field:ident $key:literal),* };)*
    })*) => {$(
        impl Form for $type {
            fn write(&self) -> Value {
                match self {
                    $($type::$unit => keyword($unit_word),)*
                    $($type::$one(content) => Value::Vector(vec![keyword($one_word), content.write()]),)*
                    $($type::$map { $($field),* } => Value::Vector(vec![
                        keyword($map_word),
                        Value::Map(vec![$((keyword($key), $field.write()),)*]),
                    ]),)*
                }
            }

            fn read(value: &Value) -> Result<Self, EdnError> {
                let (word, content) = choice(value)?;
                match word {
                    $($unit_word => Ok($type::$unit),)*
                    $($one_word => Ok($type::$one(Form::read(content)?)),)*
                    $($map_word => Ok($type::$map { $($field: field(content, $key)?,)* }),)*
                    _ => Err(EdnError::new(format_args!("{value} ({content})"), "an unknown choice")),
                }
            }
        }
    )*};
}

word_form! {
    Side { Debit "debit", Credit "credit" }
    AccountClass { Asset "asset", Expense "expense", Liability "liability", Equity "equity", Income "income" }
    AccountStatus { Open "open", Frozen "frozen", Closed "closed" }
    TransactionState { Tried "tried", Confirmed "confirmed", Cancelled "cancelled", Expired "expired" }
}

map_form! {
    Posting { account "account", side "side", amount "amount", asset "asset" }
    Details { reference "reference", metadata "metadata", effective_at_ns "effective-at" }
    Write { request_id "request-id", command "command" }
    AtomicBatch { request_id "request-id", items "items" }
    Read { consistency "consistency", query "query" }
    Place { index "index", position "position" }
    LogPoint { place "place", time_ns "time" }
    Done { deadline_ns "deadline", empty "empty" }
    Refusal { reason "reason", metadata "metadata" }
    Answer { at "at", replay_of "replay-of", journal_sequence "sequence", state "state", result "result" }
    ItemAnswer { time_ns "time", replay_of "replay-of", journal_sequence "sequence", state "state", result "result" }
    AtomicAnswer { at "at", replay_of "replay-of", outcome "outcome" }
    Totals {
        debits_pending "debits-pending", debits_posted "debits-posted",
        credits_pending "credits-pending", credits_posted "credits-posted"
    }
    AccountView { asset "asset", status "status", totals "totals", posted "posted", available "available" }
    PostingView {
        account "account", side "side", amount "amount", confirmed "confirmed", reversed "reversed"
    }
    TransactionView { state "state", postings "postings", deadline_ns "deadline" }
    TrialLine { asset "asset", totals "totals", accounts "accounts" }
    ReadAnswer { index "index", time_ns "time", value "value" }
    ReplicaDump {
        replica "replica", index "index", time_ns "log-time", state_hash "state-hash",
        journal_sequence "sequence", accounts "accounts", journal "journal"
    }
    JournalRecord {
        sequence "sequence", at "at", event "event", transaction "transaction", subject "subject", postings "postings"
    }
    JournalPosting { account "account", side "side", amount "amount", totals "totals" }
}

choice_form! {
    FloorText { unit Unlimited "unlimited"; one AtLeast "at-least"; }
    CeilingChange { unit Keep "keep"; unit Remove "remove"; one Set "set"; }
    Consistency { unit Linearizable "linearizable"; unit Stale "stale"; one AtLeast "at-least"; }
    Query { unit TrialBalance "trial-balance"; one Account "account"; one Transaction "transaction"; one RequestOutcome "request-outcome"; }
    Command {
        map RegisterAsset "register-asset" { code "code", scale "scale" };
        map OpenAccount "open-account" {
            name "name", asset "asset", class "class", floor "floor", ceiling "ceiling", metadata "metadata"
        };
        map SetLimits "set-limits" { account "account", floor "floor", ceiling "ceiling" };
        map Freeze "freeze" { account "account" };
        map Unfreeze "unfreeze" { account "account" };
        map Close "close" { account "account" };
        map Post "post" { transaction "transaction", postings "postings", details "details" };
        map Try "try" { transaction "transaction", postings "postings", details "details", timeout_ns "timeout" };
        map Confirm "confirm" { transaction "transaction", amounts "amounts" };
        map Cancel "cancel" { transaction "transaction" };
        map Reverse "reverse" { transaction "transaction", original "original", amounts "amounts", details "details" };
    }
    Call { one Write "write"; one Batch "batch"; one Atomic "atomic"; one Read "read"; }
    AtomicOutcome { one Applied "applied"; one NotApplied "not-applied"; one Refused "refused"; }
    Found { one Single "single"; one Atomic "atomic"; }
    ReadValue {
        one Account "account"; one Transaction "transaction"; one RequestOutcome "request-outcome"; one TrialBalance "trial-balance";
    }
}

impl Form for Reason {
    fn write(&self) -> Value {
        Value::Text(self.text().to_owned())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        Reason::parse(&String::read(value)?).ok_or_else(|| wrong("a reason of the book", value))
    }
}

impl Form for JournalEvent {
    fn write(&self) -> Value {
        Value::Text(self.text().to_owned())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        JournalEvent::parse(&String::read(value)?).ok_or_else(|| wrong("an event of the journal", value))
    }
}
