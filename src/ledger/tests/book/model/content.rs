//! Contents as lists of texts, and written amounts by their digits.

use super::*;

/// A command's content: its kind, then each field with its value as text. A field that ends in `#` counts a list: where two counts
/// differ, the list's own fields are not compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) fields: Vec<(String, String)>,
}

/// A written value without the zeros that do not count.
pub(super) fn trimmed(written: &str) -> String {
    let trimmed = match written.contains('.') {
        true => written.trim_end_matches('0').trim_end_matches('.'),
        false => written,
    };
    let unsigned = trimmed.trim_start_matches('-').trim_start_matches('0');
    if unsigned.is_empty() { "0".into() } else { trimmed.into() }
}

/// Minor units at `scale` of a written value, from its text.
pub(super) fn minor(written: &str, scale: u32) -> Result<u128, AmountError> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    if fraction.len() > scale as usize {
        return Err(AmountError::ScaleExceeded);
    }
    let digits = format!("{whole}{fraction}{}", "0".repeat(scale as usize - fraction.len()));
    match digits.trim_start_matches('0') {
        "" => Ok(0),
        digits if digits.len() > 29 => Err(AmountError::OutOfRange),
        digits => digits.parse::<u128>().ok().filter(|minor| *minor <= MAX).ok_or(AmountError::OutOfRange),
    }
}

pub(super) fn floor_text(floor: Floor) -> String {
    match floor {
        Floor::Unlimited => "unlimited".into(),
        Floor::AtLeast(least) => trimmed(&least.to_string()),
    }
}

pub(super) fn amounts_text(amounts: Option<&Vec<Amount>>) -> String {
    match amounts {
        None => "all".into(),
        Some(amounts) => format!("{:?}", amounts.iter().map(|one| trimmed(&one.to_string())).collect::<Vec<_>>()),
    }
}

impl Model {
    pub(super) fn content(&self, operation: &Operation) -> Content {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| fields.push((name.to_string(), value));
        match operation {
            Operation::RegisterAsset(register) => {
                add("code", register.code.to_string());
                add("scale", register.scale.digits().to_string());
            }
            Operation::OpenAccount(open) => {
                add("name", open.name.to_string());
                add("asset", open.asset.to_string());
                add("class", format!("{:?}", open.class));
                add("floor", floor_text(open.floor));
                add("ceiling", open.ceiling.map_or("none".into(), |ceiling| trimmed(&ceiling.to_string())));
                add("metadata", format!("{:?}", open.metadata));
            }
            Operation::SetLimits(limits) => {
                add("account", self.ref_text(&limits.account));
                add("floor", limits.floor.map_or("keep".into(), floor_text));
                add(
                    "ceiling",
                    match limits.ceiling {
                        CeilingChange::Keep => "keep".into(),
                        CeilingChange::Remove => "remove".into(),
                        CeilingChange::Set(ceiling) => trimmed(&ceiling.to_string()),
                    },
                );
            }
            Operation::Freeze(account) | Operation::Unfreeze(account) | Operation::Close(account) => {
                add("account", self.ref_text(account));
            }
            Operation::Post(post) => {
                add("transaction_id", post.transaction.to_string());
                fields.extend(self.posting_fields(&post.postings));
                fields.extend(detail_fields(&post.details));
            }
            Operation::Try(attempt) => {
                add("transaction_id", attempt.transaction.to_string());
                fields.extend(self.posting_fields(&attempt.postings));
                fields.extend(detail_fields(&attempt.details));
                fields.push(("timeout".into(), format!("{:?}", attempt.timeout)));
            }
            Operation::Confirm(confirm) => {
                add("transaction_id", confirm.transaction.to_string());
                add("amounts", amounts_text(confirm.amounts.as_ref()));
            }
            Operation::Cancel(transaction) => add("transaction_id", transaction.to_string()),
            Operation::Reverse(reverse) => {
                add("transaction_id", reverse.transaction.to_string());
                add("original_id", reverse.original.to_string());
                add("amounts", amounts_text(reverse.amounts.as_ref()));
                fields.extend(detail_fields(&reverse.details));
            }
            Operation::Atomic(items) => {
                add("commands#", items.len().to_string());
                for (position, item) in items.iter().enumerate() {
                    let content = self.content(&item.operation);
                    fields.push((format!("commands[{position}].request_id"), item.request.to_string()));
                    fields.push((format!("commands[{position}].operation"), content.kind.into()));
                    for (name, value) in content.fields {
                        fields.push((format!("commands[{position}].{name}"), value));
                    }
                }
            }
        }
        Content { kind: operation.name(), fields }
    }

    pub(super) fn posting_fields(&self, postings: &[Posting]) -> Vec<(String, String)> {
        let mut fields = vec![("postings#".to_string(), postings.len().to_string())];
        for (position, posting) in postings.iter().enumerate() {
            let mut add = |name: &str, value| fields.push((format!("postings[{position}].{name}"), value));
            add("account", self.ref_text(&posting.account));
            add("side", format!("{:?}", posting.side));
            add("amount", trimmed(&posting.amount.to_string()));
            add("asset", posting.asset.map_or(String::new(), |code| code.to_string()));
        }
        fields
    }
}

pub(super) fn detail_fields(details: &Details) -> Vec<(String, String)> {
    vec![
        ("reference".into(), details.reference.clone()),
        ("metadata".into(), format!("{:?}", details.metadata)),
        ("effective_at".into(), format!("{:?}", details.effective_at)),
    ]
}

/// The names of the fields that differ, in the order of the first content.
pub(super) fn differences(first: &Content, second: &Content) -> Vec<String> {
    if first.kind != second.kind {
        return vec!["operation".into()];
    }
    let value = |content: &Content, name: &str| {
        content.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    };
    let mut names: Vec<String> = Vec::new();
    let mut dropped: Vec<String> = Vec::new();
    for (name, left) in &first.fields {
        if dropped.iter().any(|prefix| name.starts_with(prefix.as_str())) || value(second, name).as_ref() == Some(left)
        {
            continue;
        }
        if let Some(list) = name.strip_suffix('#') {
            dropped.push(format!("{list}["));
            names.push(list.to_string());
        } else {
            if let Some(item) = name.strip_suffix("operation") {
                dropped.push(item.to_string());
            }
            names.push(name.clone());
        }
    }
    names
}
