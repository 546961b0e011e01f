//! The fields of a line, read more strictly than JSON is by itself: a field that stands twice is
//! refused, because nobody can tell which one was meant, and so is one that no command has. Every
//! refusal names the field as it stands in the file.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::reader::BYTE_ORDER_MARK;

/// A JSON value in which no object has a field twice.
struct Strict(Value);

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(Value::Number(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Strict, E> {
        // Kept only so that the refusal can say which field it is: no field takes a fraction,
        // amounts are strings.
        Number::from_f64(value)
            .map(|number| Strict(Value::Number(number)))
            .ok_or_else(|| E::custom("a number too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(Value::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Strict(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("the field {name:?} stands twice")));
            }
            fields.insert(name, value);
        }
        Ok(Strict(Value::Object(fields)))
    }
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

/// A value, or what is wrong with it for the person who wrote the line.
pub(super) type Parsed<T> = Result<T, String>;

/// The fields of an object of which a command is made. Whoever has taken all that it knows calls
/// [`Fields::end`].
pub(super) struct Fields {
    values: Map<String, Value>,
    /// What stands before the names of fields: empty, or such as `postings[0].`.
    within: String,
}

impl Fields {
    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.within)
    }

    /// Takes a field; one that is null is left out.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text that may be left out.
    pub(super) fn optional(&mut self, name: &str) -> Parsed<Option<String>> {
        let path = self.path(name);
        self.take(name).map(|value| text(&path, value)).transpose()
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &str) -> Parsed<String> {
        self.optional(name)?.ok_or_else(|| format!("{} is missing", self.path(name)))
    }

    /// Takes a whole number.
    pub(super) fn number(&mut self, name: &str) -> Parsed<u32> {
        let value = self.take(name).ok_or_else(|| format!("{} is missing", self.path(name)))?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| format!("{} is {value}; write it as a number, such as 2", self.path(name)))
    }

    /// Takes one of some words.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Parsed<T> {
        let given = self.text(name)?;
        let known = words.iter().find(|(word, _)| *word == given);
        known.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("{} is {given:?}; choose one of {}", self.path(name), words.join(", "))
        })
    }

    /// Takes pairs of texts; there are none if they are left out.
    pub(super) fn pairs(&mut self, name: &str) -> Parsed<HashMap<String, String>> {
        let path = self.path(name);
        match self.take(name) {
            None => Ok(HashMap::new()),
            Some(Value::Object(pairs)) => pairs
                .into_iter()
                .map(|(key, value)| {
                    let value = text(&format!("{path}.{key}"), value)?;
                    Ok((key, value))
                })
                .collect(),
            Some(other) => Err(format!("{path} is {other}; write it as an object of texts")),
        }
    }

    fn list(&mut self, name: &str) -> Parsed<Vec<(String, Value)>> {
        let path = self.path(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => {
                let place = |(position, value)| (format!("{path}[{position}]"), value);
                Ok(values.into_iter().enumerate().map(place).collect())
            }
            Some(other) => Err(format!("{path} is {other}; write it as a list")),
        }
    }

    /// Takes a list of texts; it is empty if it is left out.
    pub(super) fn texts(&mut self, name: &str) -> Parsed<Vec<String>> {
        self.list(name)?.into_iter().map(|(path, value)| text(&path, value)).collect()
    }

    /// Takes a list of objects; it is empty if it is left out.
    pub(super) fn objects(&mut self, name: &str) -> Parsed<Vec<Fields>> {
        let object = |(path, value)| match value {
            Value::Object(values) => Ok(Fields { values, within: format!("{path}.") }),
            other => Err(format!("{path} is {other}; write it as an object")),
        };
        self.list(name)?.into_iter().map(object).collect()
    }

    /// Refuses what was not taken.
    pub(super) fn end(self) -> Parsed<()> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("unknown field {}", self.path(name))),
        }
    }
}

/// A text. A number in its place is refused: whoever wrote or read it may have held it as binary
/// fractions.
fn text(path: &str, value: Value) -> Parsed<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Err(format!("{path} is {number}; write it as a string: \"{number}\"")),
        other => Err(format!("{path} is {other}; write it as a string")),
    }
}

/// The fields of one line.
///
/// # Errors
/// Says what is not well formed and in which column.
pub(super) fn read(line: &[u8]) -> Parsed<Fields> {
    if line.starts_with(BYTE_ORDER_MARK) {
        return Err("a byte order mark (U+FEFF) stands before the line; it may stand only at the beginning of a file"
            .to_owned());
    }
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Err("the file is UTF-16; write it as UTF-8".to_owned());
    }
    let Strict(value) = serde_json::from_slice(line).map_err(|error| {
        // The line's number within itself is always 1, so only the column is told.
        let text = error.to_string();
        match text.rsplit_once(" at line ") {
            Some((problem, _)) => format!("{problem} (column {})", error.column()),
            None => text,
        }
    })?;
    match value {
        Value::Object(values) => Ok(Fields { values, within: String::new() }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err("the line is not a JSON object".to_owned())
        }
    }
}
