//! A history as Jepsen writes it: one EDN map a line, an operation as its `:invoke` and its `:ok`, `:fail` or `:info`, in order of time.
//!
//! `:ok` is everything that was decided, refusals of the book included, because they are checked like any answer; `:fail` was surely
//! never proposed; `:info` is unknown. The nemesis and the replicas' dumps are `:info` lines of the processes `:nemesis` and `:replica`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::edn::{EdnError, Value, parse};
use super::form::{Form, field, keyword};
use super::{Answer, AtomicAnswer, Call, Completion, History, NemesisEvent, Operation, ReadAnswer, ReplicaDump};

struct Line {
    time_ns: u64,
    /// 0 completion, 1 nemesis, 2 invocation, 3 dump: at one time, completions come first, or a process would have two operations open.
    rank: u8,
    operation: usize,
    process: Value,
    kind: &'static str,
    function: &'static str,
    value: Value,
}

/// Writes a history, one line a map.
pub fn write_edn(history: &History) -> String {
    let mut lines = Vec::with_capacity(history.operations.len() * 2 + history.nemesis.len() + history.dumps.len());
    for (operation, recorded) in history.operations.iter().enumerate() {
        let function = recorded.call.class().text();
        let (kind, value) = completion_form(&recorded.completion);
        let process = recorded.process.write();
        let call = recorded.call.write();
        // An operation that took no time at all would sort its end before its beginning.
        let completion_rank = if recorded.completed_ns == recorded.invoked_ns { 3 } else { 0 };
        lines.push(Line {
            time_ns: recorded.invoked_ns,
            rank: 2,
            operation,
            process: process.clone(),
            kind: "invoke",
            function,
            value: call,
        });
        lines.push(Line {
            time_ns: recorded.completed_ns,
            rank: completion_rank,
            operation,
            process,
            kind,
            function,
            value,
        });
    }
    for (position, event) in history.nemesis.iter().enumerate() {
        let value = Value::Map(vec![
            (keyword("fault"), event.fault.write()),
            (keyword("target"), event.target.write()),
            (keyword("started"), event.started_ns.write()),
            (keyword("effect"), event.effect.write()),
        ]);
        lines.push(Line {
            time_ns: event.ended_ns,
            rank: 1,
            operation: position,
            process: keyword("nemesis"),
            kind: "info",
            function: "nemesis",
            value,
        });
    }
    lines.sort_by_key(|line| (line.time_ns, line.rank, line.operation));
    for (position, dump) in history.dumps.iter().enumerate() {
        let time_ns = lines.last().map_or(0, |line| line.time_ns);
        lines.push(Line {
            time_ns,
            rank: 4,
            operation: position,
            process: keyword("replica"),
            kind: "info",
            function: "dump",
            value: dump.write(),
        });
    }
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{{:index {index}, :time {}, :process {}, :type :{}, :f :{}, :op {}, :value {}}}",
            line.time_ns, line.process, line.kind, line.function, line.operation, line.value
        );
    }
    text
}

fn completion_form(completion: &Completion) -> (&'static str, Value) {
    let tagged = |word: &str, value: Value| Value::Vector(vec![keyword(word), value]);
    match completion {
        Completion::Answered(answer) => ("ok", tagged("answer", answer.write())),
        Completion::Batch(answers) => ("ok", tagged("batch", answers.write())),
        Completion::Atomic(answer) => ("ok", tagged("atomic", answer.write())),
        Completion::Read(answer) => ("ok", tagged("read", answer.write())),
        Completion::Unknown(info) => ("info", tagged("unknown", info.write())),
        Completion::NotProposed { reason } => ("fail", tagged("not-proposed", reason.write())),
    }
}

fn read_completion(kind: &str, value: &Value) -> Result<Completion, EdnError> {
    let Value::Vector(parts) = value else {
        return Err(EdnError::new(value, "a completion's value is [:word content]"));
    };
    let [Value::Keyword(word), content] = parts.as_slice() else {
        return Err(EdnError::new(value, "a completion's value is [:word content]"));
    };
    match (kind, word.as_str()) {
        ("ok", "answer") => Answer::read(content).map(Completion::Answered),
        ("ok", "batch") => Vec::<Answer>::read(content).map(Completion::Batch),
        ("ok", "atomic") => AtomicAnswer::read(content).map(Completion::Atomic),
        ("ok", "read") => ReadAnswer::read(content).map(Completion::Read),
        ("info", "unknown") => String::read(content).map(Completion::Unknown),
        ("fail", "not-proposed") => String::read(content).map(|reason| Completion::NotProposed { reason }),
        _ => Err(EdnError::new(format_args!(":{kind} :{word}"), "no completion has this type and value")),
    }
}

/// Reads a history. An invocation that no line completes is unknown, as in Jepsen.
///
/// # Errors
/// Names the line, and what is wrong with it.
pub fn read_edn(text: &str) -> Result<History, EdnError> {
    let mut history = History::default();
    // By the operation's number: its invocation, until its completion comes.
    let mut operations: BTreeMap<u64, Operation> = BTreeMap::new();
    let mut complete: BTreeMap<u64, bool> = BTreeMap::new();
    let mut last_ns = 0;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at_line = |error: EdnError| EdnError::new(format_args!("line {}: {}", number + 1, error.at), error.problem);
        let map = parse(line).map_err(at_line)?;
        let head = Head::read(&map).map_err(at_line)?;
        last_ns = last_ns.max(head.time_ns);
        match head.process {
            Value::Keyword(ref word) if word == "nemesis" => {
                history.nemesis.push(read_nemesis(&head).map_err(at_line)?);
            }
            Value::Keyword(ref word) if word == "replica" => {
                history.dumps.push(ReplicaDump::read(&head.value).map_err(at_line)?);
            }
            _ => {
                let process = u32::read(&head.process).map_err(at_line)?;
                let operation: u64 = field(&map, "op").map_err(at_line)?;
                if head.kind == "invoke" {
                    let invoked = Operation {
                        process,
                        invoked_ns: head.time_ns,
                        completed_ns: head.time_ns,
                        call: Call::read(&head.value).map_err(at_line)?,
                        completion: Completion::Unknown("no completion was recorded".to_owned()),
                    };
                    if operations.insert(operation, invoked).is_some() {
                        return Err(at_line(EdnError::new(operation, "this operation was invoked twice")));
                    }
                } else {
                    let known = operations.get_mut(&operation).filter(|known| known.process == process);
                    let Some(known) = known else {
                        return Err(at_line(EdnError::new(
                            operation,
                            "this operation was never invoked by this process",
                        )));
                    };
                    if complete.insert(operation, true).is_some() {
                        return Err(at_line(EdnError::new(operation, "this operation was completed twice")));
                    }
                    known.completed_ns = head.time_ns;
                    known.completion = read_completion(&head.kind, &head.value).map_err(at_line)?;
                }
            }
        }
    }
    for (number, operation) in &mut operations {
        if !complete.contains_key(number) {
            operation.completed_ns = last_ns;
        }
    }
    history.operations = operations.into_values().collect();
    Ok(history)
}

struct Head {
    time_ns: u64,
    process: Value,
    kind: String,
    value: Value,
}

/// A value as it stands.
struct Raw(Value);

impl Form for Raw {
    fn write(&self) -> Value {
        self.0.clone()
    }

    fn read(value: &Value) -> Result<Self, EdnError> {
        Ok(Raw(value.clone()))
    }
}

impl Head {
    fn read(map: &Value) -> Result<Head, EdnError> {
        let Raw(kind) = field(map, "type")?;
        let Value::Keyword(kind) = kind else {
            return Err(EdnError::new("type", "expected a keyword"));
        };
        let Raw(process) = field(map, "process")?;
        let Raw(value) = field(map, "value")?;
        Ok(Head { time_ns: field(map, "time")?, process, kind, value })
    }
}

fn read_nemesis(head: &Head) -> Result<NemesisEvent, EdnError> {
    Ok(NemesisEvent {
        fault: field(&head.value, "fault")?,
        target: field(&head.value, "target")?,
        started_ns: field(&head.value, "started")?,
        ended_ns: head.time_ns,
        effect: field(&head.value, "effect")?,
    })
}
