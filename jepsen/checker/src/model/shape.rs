//! Whether a request is well formed at all: what is refused before the log and never kept.

use std::collections::BTreeMap;

use super::amount;
use crate::history::{AtomicBatch, CeilingChange, Command, Details, FloorText, Id, Posting, Reason, Write};

/// A year of 365 days.
const YEAR_NS: u64 = 31_536_000_000_000_000;

fn when(right: bool) -> Result<(), Reason> {
    if right { Ok(()) } else { Err(Reason::InvalidArgument) }
}

fn id(id: Id) -> Result<(), Reason> {
    when(id.0 != 0)
}

fn word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn account(name: &str) -> Result<(), Reason> {
    when((1..=128).contains(&name.len()) && name.split(':').all(word))
}

fn asset(code: &str) -> Result<(), Reason> {
    when(code.len() <= 16 && word(code))
}

fn pairs(metadata: &BTreeMap<String, String>) -> Result<(), Reason> {
    when(metadata.len() <= 16)?;
    metadata.iter().try_for_each(|(key, value)| when((1..=64).contains(&key.len()) && value.len() <= 256))
}

fn details(details: &Details) -> Result<(), Reason> {
    when(details.reference.len() <= 128)?;
    pairs(&details.metadata)
}

fn read(text: &str) -> Result<amount::Written, Reason> {
    amount::parse(text).ok_or(Reason::AmountMalformed)
}

fn floor(floor: &FloorText) -> Result<(), Reason> {
    match floor {
        FloorText::Unlimited => Ok(()),
        FloorText::AtLeast(text) => amount::parse_signed(text).map(|_| ()).ok_or(Reason::AmountMalformed),
    }
}

fn postings(postings: &[Posting]) -> Result<(), Reason> {
    when((2..=256).contains(&postings.len()))?;
    for (position, posting) in postings.iter().enumerate() {
        account(&posting.account)?;
        posting.asset.as_deref().map_or(Ok(()), asset)?;
        when(!read(&posting.amount)?.is_zero())?;
        let before = &postings[..position];
        when(!before.iter().any(|other| other.account == posting.account && other.side != posting.side))?;
    }
    Ok(())
}

fn amounts(amounts: &Option<Vec<String>>) -> Result<(), Reason> {
    let Some(amounts) = amounts else {
        return Ok(());
    };
    when((1..=256).contains(&amounts.len()))?;
    let mut any = false;
    for text in amounts {
        any |= !read(text)?.is_zero();
    }
    when(any)
}

fn timeout(timeout_ns: Option<u64>) -> Result<(), Reason> {
    when(timeout_ns.is_none_or(|timeout| (1..=10 * YEAR_NS).contains(&timeout)))
}

/// Checks one command.
///
/// # Errors
/// A reason of the shape family.
pub fn check(write: &Write) -> Result<(), Reason> {
    id(write.request_id)?;
    write.transaction().map_or(Ok(()), id)?;
    match &write.command {
        Command::RegisterAsset { code, scale } => {
            asset(code)?;
            when(*scale <= 18)
        }
        Command::OpenAccount { name, asset: code, class: _, floor: asked, ceiling, metadata } => {
            account(name)?;
            asset(code)?;
            asked.as_ref().map_or(Ok(()), floor)?;
            ceiling.as_deref().map_or(Ok(()), |text| read(text).map(|_| ()))?;
            pairs(metadata)
        }
        Command::SetLimits { account: name, floor: asked, ceiling } => {
            account(name)?;
            when(asked.is_some() || *ceiling != CeilingChange::Keep)?;
            asked.as_ref().map_or(Ok(()), floor)?;
            match ceiling {
                CeilingChange::Set(text) => read(text).map(|_| ()),
                CeilingChange::Keep | CeilingChange::Remove => Ok(()),
            }
        }
        Command::Freeze { account: name } | Command::Unfreeze { account: name } | Command::Close { account: name } => {
            account(name)
        }
        Command::Post { transaction: _, postings: lines, details: told } => {
            postings(lines)?;
            details(told)
        }
        Command::Try { transaction: _, postings: lines, details: told, timeout_ns } => {
            postings(lines)?;
            details(told)?;
            timeout(*timeout_ns)
        }
        Command::Confirm { transaction: _, amounts: parts } => amounts(parts),
        Command::Cancel { transaction: _ } => Ok(()),
        Command::Reverse { transaction: _, original, amounts: parts, details: told } => {
            id(*original)?;
            // Nothing reverses itself.
            when(write.transaction() != Some(*original))?;
            amounts(parts)?;
            details(told)
        }
    }
}

/// Checks an atomic batch with all its commands.
///
/// # Errors
/// A reason of the shape family.
pub fn check_atomic(batch: &AtomicBatch) -> Result<(), Reason> {
    id(batch.request_id)?;
    when((1..=8192).contains(&batch.items.len()))?;
    batch.items.iter().try_for_each(check)
}
