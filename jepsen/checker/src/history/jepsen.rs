//! A history as Jepsen writes it: one EDN map a line, an operation as its `:invoke` and its `:ok`, `:fail` or `:info`, in order of time.
//!
//! `:ok` is everything that was decided, refusals of the book included, because they are checked like any answer; `:fail` was surely
//! never proposed; `:info` is unknown. The nemesis and the replicas' dumps are `:info` lines of the processes `:nemesis` and `:replica`; the
//! plan of a run and its end are the first and the last line, of the process `:run` (see [`super::plan`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::edn::{EdnError, Value, parse};
use super::form::{Form, field, keyword};
use super::plan::{Digest, End, Plan, Records};
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
    let mut written = Written::default();
    if let Some(plan) = &history.plan {
        written.line(&run_line(0, "plan", plan.write()));
    }
    lines.iter().for_each(|line| written.line(line));
    if history.plan.is_some() {
        let (records, digest) = (written.records, written.digest.text());
        let end = End { records, digest, ..End::counted(history) };
        written.line(&run_line(lines.last().map_or(0, |line| line.time_ns), "end", end.write()));
    }
    written.text
}

/// Writes the beginning of a history: its plan, so that a run that is broken off leaves word of what it was to do.
pub fn write_plan(plan: &Plan) -> String {
    let mut written = Written::default();
    written.line(&run_line(0, "plan", plan.write()));
    written.text
}

fn run_line(time_ns: u64, function: &'static str, value: Value) -> Line {
    Line { time_ns, rank: 0, operation: 0, process: keyword("run"), kind: "info", function, value }
}

/// Lines as they are written, each with its number.
struct Written {
    text: String,
    records: u64,
    digest: Digest,
}

impl Default for Written {
    fn default() -> Written {
        Written { text: String::new(), records: 0, digest: Digest::new() }
    }
}

impl Written {
    fn line(&mut self, line: &Line) {
        let start = self.text.len();
        // Writing to a string cannot fail.
        let _ = write!(
            self.text,
            "{{:index {}, :time {}, :process {}, :type :{}, :f :{}, :op {}, :value {}}}",
            self.records, line.time_ns, line.process, line.kind, line.function, line.operation, line.value
        );
        self.digest.add(self.text.get(start..).unwrap_or_default());
        self.text.push('\n');
        self.records += 1;
    }
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

/// Reads a history. An invocation that no line completes is unknown, as in Jepsen. Of a history with a plan or an end record it notes what is
/// missing, doubled or moved ([`History::defects`]).
///
/// # Errors
/// Names the line, and what is wrong with it.
pub fn read_edn(text: &str) -> Result<History, EdnError> {
    let mut reader = Reader::new();
    let is_cut = !text.ends_with('\n');
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    while let Some((number, line)) = lines.next() {
        reader.line(line).map_err(|error| {
            let is_last = lines.peek().is_none();
            let cut = if is_last && is_cut { "; the history ends within this line: it was cut off" } else { "" };
            EdnError::new(format_args!("line {}: {}", number + 1, error.at), format!("{}{cut}", error.problem))
        })?;
    }
    Ok(reader.end())
}

/// A history that is being read.
struct Reader {
    history: History,
    /// By the operation's number: its invocation, until its completion comes.
    operations: BTreeMap<u64, (Operation, bool)>,
    last_ns: u64,
    records: Records,
    has_end: bool,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            history: History::default(),
            operations: BTreeMap::new(),
            last_ns: 0,
            records: Records::new(),
            has_end: false,
        }
    }

    fn line(&mut self, line: &str) -> Result<(), EdnError> {
        let map = parse(line)?;
        let head = Head::read(&map)?;
        self.last_ns = self.last_ns.max(head.time_ns);
        // Histories from elsewhere need not number their lines; those of a run do.
        let index: Option<u64> = field(&map, "index")?;
        let index = index.unwrap_or(u64::MAX);
        match head.process {
            Value::Keyword(ref word) if word == "run" => self.run_line(&head, &map, index)?,
            Value::Keyword(ref word) if word == "nemesis" => self.history.nemesis.push(read_nemesis(&head)?),
            Value::Keyword(ref word) if word == "replica" => self.history.dumps.push(ReplicaDump::read(&head.value)?),
            _ => self.operation(&head, &map)?,
        }
        self.records.take(line, index, head.time_ns);
        Ok(())
    }

    fn run_line(&mut self, head: &Head, map: &Value, index: u64) -> Result<(), EdnError> {
        let Raw(function) = field(map, "f")?;
        match function {
            Value::Keyword(ref word) if word == "plan" => {
                if self.history.plan.is_some() {
                    return Err(EdnError::new("f", "there is a second plan"));
                }
                self.history.plan = Some(Plan::read(&head.value)?);
                self.records.take_plan(index);
            }
            Value::Keyword(ref word) if word == "end" => {
                if self.has_end {
                    return Err(EdnError::new("f", "there is a second end record"));
                }
                self.has_end = true;
                self.records.take_end(End::read(&head.value)?, index);
            }
            other => return Err(EdnError::new(other, "a line of the process :run is :plan or :end")),
        }
        Ok(())
    }

    fn operation(&mut self, head: &Head, map: &Value) -> Result<(), EdnError> {
        let process = u32::read(&head.process)?;
        let number: u64 = field(map, "op")?;
        let of = |problem: &str| EdnError::new(format_args!("operation {number}"), problem);
        if head.kind == "invoke" {
            let invoked = Operation {
                process,
                invoked_ns: head.time_ns,
                completed_ns: head.time_ns,
                call: Call::read(&head.value)?,
                completion: Completion::Unknown("no completion was recorded".to_owned()),
            };
            if self.operations.insert(number, (invoked, false)).is_some() {
                return Err(of("was invoked twice"));
            }
            return Ok(());
        }
        let known = self.operations.get_mut(&number).filter(|(known, _)| known.process == process);
        let Some((known, is_complete)) = known else {
            return Err(of("is completed here, and its invocation by this process is missing"));
        };
        if std::mem::replace(is_complete, true) {
            return Err(of("was completed twice"));
        }
        known.completed_ns = head.time_ns;
        known.completion = read_completion(&head.kind, &head.value)?;
        Ok(())
    }

    fn end(mut self) -> History {
        let mut open = Vec::new();
        for (number, (operation, is_complete)) in &mut self.operations {
            if !*is_complete {
                operation.completed_ns = self.last_ns;
                open.push((*number, operation.call.class().text()));
            }
        }
        self.history.operations = self.operations.into_values().map(|(operation, _)| operation).collect();
        if self.history.plan.is_some() || self.has_end {
            self.history.defects = self.records.defects(&self.history, &open);
        }
        self.history
    }
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
