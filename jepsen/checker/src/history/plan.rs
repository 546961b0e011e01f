//! What a run was to do, and what it left: the first and the last record of its history.
//!
//! A history is evidence only if nothing was left out of it. The plan stands at the beginning,
//! written before the first call, and says what the run demands of itself. The end record counts
//! what stands before it. Whoever reads a history compares both with what is there: a run that was
//! broken off, a file that was cut, a line that was dropped, doubled or moved is found, and named.
//!
//! This tells accidents and sloppy tools from a whole run. It is no signature: who forges a history
//! can forge its end record too.

use std::collections::BTreeMap;

use super::edn::{EdnError, Value};
use super::form::{Form, field, keyword};
use super::{Completion, History, OperationClass};

/// The version of the plan's form.
pub const PLAN_FORMAT: u32 = 1;

/// What a run demands of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many replicas there are.
    pub replicas: u32,
    /// How many clients work at once.
    pub clients: u32,
    /// How long they work, in seconds.
    pub seconds: u64,
    /// What chose the workload and the faults.
    pub seed: u64,
    /// Every fault that was asked for, and how many events of it there must be at least.
    pub faults: BTreeMap<String, u64>,
    /// How many events of the nemesis there must be at least, of all faults together.
    pub events: u64,
    /// The classes of operations of which at least one each must have succeeded.
    pub classes: Vec<OperationClass>,
    /// How many commands and batches must have been decided at least.
    pub commands: u64,
    /// How many linearizable reads must have been answered at least.
    pub reads: u64,
    /// Whether every replica is dumped at the end.
    pub dumps: bool,
    /// Whether a dump has the whole journal.
    pub journals: bool,
}

/// What stands before the end record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Records, the plan's included.
    pub records: u64,
    /// Calls that were made.
    pub invocations: u64,
    /// Commands and batches that were decided.
    pub decided: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Calls that surely were never proposed.
    pub refused: u64,
    /// Calls of which nobody knows what became.
    pub unknown: u64,
    /// Events of the nemesis.
    pub events: u64,
    /// Dumps.
    pub dumps: u64,
    /// [`digest`] of all records before it.
    pub digest: String,
}

impl End {
    /// Counts what a history holds; records and digest are the writer's to add.
    pub(super) fn counted(history: &History) -> End {
        let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let mut end = End {
            invocations: length(history.operations.len()),
            events: length(history.nemesis.len()),
            dumps: length(history.dumps.len()),
            ..End::default()
        };
        for operation in &history.operations {
            match operation.completion {
                Completion::Answered(_) | Completion::Batch(_) | Completion::Atomic(_) => end.decided += 1,
                Completion::Read(_) => end.reads += 1,
                Completion::NotProposed { .. } => end.refused += 1,
                Completion::Unknown(_) => end.unknown += 1,
            }
        }
        end
    }

    /// What it counts and what is there, where they differ.
    pub(super) fn differences(&self, found: &End) -> Vec<String> {
        let pairs = [
            ("calls", self.invocations, found.invocations),
            ("decided commands", self.decided, found.decided),
            ("answered reads", self.reads, found.reads),
            ("calls that were never proposed", self.refused, found.refused),
            ("calls with an unknown outcome", self.unknown, found.unknown),
            ("events of the nemesis", self.events, found.events),
            ("dumps", self.dumps, found.dumps),
            ("records before it", self.records, found.records),
        ];
        let differ = pairs.iter().filter(|(_, counted, there)| counted != there);
        differ
            .map(|(what, counted, there)| format!("the end record counts {counted} {what}, {there} are there"))
            .collect()
    }
}

/// A running digest of lines (FNV-1a, 64 bits), the same in every language and release.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest(u64);

impl Digest {
    pub(super) fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a line and its end.
    pub(super) fn add(&mut self, line: &str) {
        for byte in line.bytes().chain([b'\n']) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(super) fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// What the reader of a file sees of its records, one after another, and what it finds wrong with
/// them.
pub(super) struct Records {
    next_index: u64,
    last_ns: u64,
    digest: Digest,
    plan_at: Option<u64>,
    end: Option<(End, Digest, u64)>,
    has_ended: bool,
    defects: Vec<String>,
}

impl Records {
    pub(super) fn new() -> Records {
        Records {
            next_index: 0,
            last_ns: 0,
            digest: Digest::new(),
            plan_at: None,
            end: None,
            has_ended: false,
            defects: Vec::new(),
        }
    }

    /// Takes a record: its place and its time must follow from those before it.
    pub(super) fn take(&mut self, line: &str, index: u64, time_ns: u64) {
        let expected = self.next_index;
        if index > expected {
            let (first, last) = (expected, index - 1);
            self.defects.push(if first == last {
                format!("record {first} is missing: record {index} follows")
            } else {
                format!("records {first} to {last} are missing: record {index} follows")
            });
        } else if index < expected {
            self.defects.push(format!("record {index} stands after record {}: it was moved or doubled", expected - 1));
        }
        if time_ns < self.last_ns {
            self.defects.push(format!("record {index} is earlier than the record before it"));
        }
        self.next_index = self.next_index.max(index.saturating_add(1));
        self.last_ns = self.last_ns.max(time_ns);
        if self.has_ended {
            self.defects.push(format!("record {index} stands after the end record"));
        }
        // The end record itself was told of before.
        self.has_ended = self.end.is_some();
        self.digest.add(line);
    }

    /// Takes the plan, as the record that comes next.
    pub(super) fn take_plan(&mut self, index: u64) {
        self.plan_at = Some(index);
    }

    /// Takes the end record, as the record that comes next.
    pub(super) fn take_end(&mut self, end: End, index: u64) {
        self.end = Some((end, self.digest, index));
    }

    /// What is wrong with the records of a run, now that all were read. `open` are the operations
    /// that no record completes.
    pub(super) fn defects(mut self, history: &History, open: &[(u64, &'static str)]) -> Vec<String> {
        match self.plan_at {
            None => self.defects.push("the plan is missing: a run's first record says what it demands".to_owned()),
            Some(0) => {}
            Some(at) => self.defects.push(format!("the plan is record {at}, not the first")),
        }
        let missing = open.iter().map(|(number, class)| {
            format!("operation {number} ({class}) has no completion: the run's clients record one for every call")
        });
        self.defects.extend(missing);
        match self.end {
            None => self.defects.push(format!(
                "the end record is missing: the history was cut off after record {}",
                self.next_index.saturating_sub(1)
            )),
            Some((end, digest, index)) => {
                let found = End { records: index, digest: digest.text(), ..End::counted(history) };
                self.defects.extend(end.differences(&found));
                // Whatever was changed changes the digest; it is told where nothing says more.
                if self.defects.is_empty() && end.digest != found.digest {
                    self.defects
                        .push("the records are not those that were written: their digest is another".to_owned());
                }
            }
        }
        self.defects
    }
}

impl Form for Plan {
    fn write(&self) -> Value {
        let classes: Vec<Value> = self.classes.iter().map(|class| keyword(class.text())).collect();
        Value::Map(vec![
            (keyword("format"), PLAN_FORMAT.write()),
            (keyword("replicas"), self.replicas.write()),
            (keyword("clients"), self.clients.write()),
            (keyword("seconds"), self.seconds.write()),
            (keyword("seed"), self.seed.write()),
            (keyword("faults"), self.faults.write()),
            (keyword("events"), self.events.write()),
            (keyword("classes"), Value::Vector(classes)),
            (keyword("commands"), self.commands.write()),
            (keyword("reads"), self.reads.write()),
            (keyword("dumps"), self.dumps.write()),
            (keyword("journals"), self.journals.write()),
        ])
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        let format: u32 = field(value, "format")?;
        if format != PLAN_FORMAT {
            return Err(EdnError::new(
                format_args!("format: {format}"),
                format!("this checker knows plans of format {PLAN_FORMAT}"),
            ));
        }
        let Classes(classes) = field(value, "classes")?;
        Ok(Plan {
            replicas: field(value, "replicas")?,
            clients: field(value, "clients")?,
            seconds: field(value, "seconds")?,
            seed: field(value, "seed")?,
            faults: field(value, "faults")?,
            events: field(value, "events")?,
            classes,
            commands: field(value, "commands")?,
            reads: field(value, "reads")?,
            dumps: field(value, "dumps")?,
            journals: field(value, "journals")?,
        })
    }
}

struct Classes(Vec<OperationClass>);

impl Form for Classes {
    fn write(&self) -> Value {
        Value::Vector(self.0.iter().map(|class| keyword(class.text())).collect())
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        let Value::Vector(words) = value else {
            return Err(EdnError::new(value, "expected a vector of classes"));
        };
        let class = |word: &Value| {
            let known = OperationClass::ALL.iter().find(|(_, text)| *word == keyword(text));
            known.map(|(class, _)| *class).ok_or_else(|| EdnError::new(word, "no class of operations has this name"))
        };
        words.iter().map(class).collect::<Result<_, _>>().map(Classes)
    }
}

impl Form for End {
    fn write(&self) -> Value {
        Value::Map(vec![
            (keyword("records"), self.records.write()),
            (keyword("invocations"), self.invocations.write()),
            (keyword("decided"), self.decided.write()),
            (keyword("reads"), self.reads.write()),
            (keyword("refused"), self.refused.write()),
            (keyword("unknown"), self.unknown.write()),
            (keyword("events"), self.events.write()),
            (keyword("dumps"), self.dumps.write()),
            (keyword("digest"), self.digest.write()),
        ])
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        Ok(End {
            records: field(value, "records")?,
            invocations: field(value, "invocations")?,
            decided: field(value, "decided")?,
            reads: field(value, "reads")?,
            refused: field(value, "refused")?,
            unknown: field(value, "unknown")?,
            events: field(value, "events")?,
            dumps: field(value, "dumps")?,
            digest: field(value, "digest")?,
        })
    }
}
