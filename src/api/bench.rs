//! What `benches/wire.rs` measures of this layer; for nobody else.

use std::sync::RwLock;

use ledger::journal::JournalSequence;
use ledger::{AccountName, AccountNumber, Answer, Asset, AssetCode, AssetNumber, Command, EntryWriter, Scale};
use prost::Message as _;

use super::{answers, batch, convert, written};
use crate::book::directory::Directory;
use crate::proto::v1;

/// A directory of accounts of one asset, with two fraction digits.
pub fn directory(names: impl Iterator<Item = String>) -> Option<Directory> {
    let mut directory = Directory::default();
    let (number, code, scale) = (AssetNumber(0), AssetCode::new("USD").ok()?, Scale::new(2)?);
    directory.add_asset(Asset { number, code, scale, registered: JournalSequence(1) });
    for (position, name) in (0..).zip(names) {
        directory.add_account(AccountName::new(&name).ok()?, AccountNumber(position), number);
    }
    Some(directory)
}

/// A batch read as it is served.
pub fn read(names: &RwLock<Directory>, bytes: &[u8]) -> Option<EntryWriter> {
    batch::read_plain(names, bytes)
}

/// The commands of a batch by the generated types, for comparison.
pub fn commands(names: &Directory, message: v1::ExecuteBatchRequest) -> Option<Vec<Command>> {
    let command = |message: v1::Command| convert::command(names, message.operation?).ok();
    let commands: Vec<Command> = message.commands.into_iter().map(command).collect::<Option<_>>()?;
    convert::check_scales(names, &commands).ok()?;
    Some(commands)
}

/// Answers as they are served.
pub fn response(answers: &[Answer]) -> bytes::Bytes {
    written::response(answers)
}

/// Answers by the generated types, for comparison.
pub fn response_of_messages(answers: &[Answer]) -> Vec<u8> {
    let results = answers.iter().map(answers::command_result).collect();
    v1::ExecuteBatchResponse { results, decision: None, applied: false }.encode_to_vec()
}
