//! The part of EDN that a Jepsen history needs: nil, booleans, integers, strings, keywords, vectors and maps.
//!
//! Reading is strict and bounded in depth: a history comes from a file, and a file can be anything.

use std::fmt;

/// Deeper nesting than any history has.
const DEPTH_LIMIT: u32 = 64;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `nil`
    Nil,
    /// `true`, `false`
    Boolean(bool),
    /// An integer; the sign has an own place, so that every 128-bit amount fits.
    Integer {
        /// Whether it is below zero.
        negative: bool,
        /// Its size.
        magnitude: u128,
    },
    /// A string.
    Text(String),
    /// A keyword, without its colon.
    Keyword(String),
    /// A vector.
    Vector(Vec<Value>),
    /// A map; its keys are keywords or strings. Order is kept.
    Map(Vec<(Value, Value)>),
}

/// A text that is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the history cannot be read at {at}: {problem}")]
pub struct EdnError {
    /// Where: a byte offset, a line or the name of a field.
    pub at: String,
    /// What is wrong with it.
    pub problem: String,
}

impl EdnError {
    pub(crate) fn new(at: impl fmt::Display, problem: impl Into<String>) -> EdnError {
        EdnError { at: at.to_string(), problem: problem.into() }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => formatter.write_str("nil"),
            Value::Boolean(value) => write!(formatter, "{value}"),
            Value::Integer { negative, magnitude } => {
                write!(formatter, "{}{magnitude}", if *negative { "-" } else { "" })
            }
            Value::Text(text) => write_text(formatter, text),
            Value::Keyword(word) => write!(formatter, ":{word}"),
            Value::Vector(items) => {
                formatter.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    let blank = if position == 0 { "" } else { " " };
                    write!(formatter, "{blank}{item}")?;
                }
                formatter.write_str("]")
            }
            Value::Map(pairs) => {
                formatter.write_str("{")?;
                for (position, (key, value)) in pairs.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    write!(formatter, "{comma}{key} {value}")?;
                }
                formatter.write_str("}")
            }
        }
    }
}

fn write_text(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    formatter.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => formatter.write_str("\\\"")?,
            '\\' => formatter.write_str("\\\\")?,
            '\n' => formatter.write_str("\\n")?,
            '\r' => formatter.write_str("\\r")?,
            '\t' => formatter.write_str("\\t")?,
            other => write!(formatter, "{other}")?,
        }
    }
    formatter.write_str("\"")
}

/// Reads one value that takes up the whole text.
pub fn parse(text: &str) -> Result<Value, EdnError> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_blanks();
    if reader.at < reader.bytes.len() {
        return Err(reader.error("something follows the value"));
    }
    Ok(value)
}

struct Reader<'text> {
    bytes: &'text [u8],
    text: &'text str,
    at: usize,
}

impl Reader<'_> {
    fn error(&self, problem: &str) -> EdnError {
        EdnError::new(format_args!("byte {}", self.at), problem)
    }

    fn skip_blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b',') {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value, EdnError> {
        if depth > DEPTH_LIMIT {
            return Err(self.error("nested too deeply"));
        }
        self.skip_blanks();
        match self.bytes.get(self.at) {
            None => Err(self.error("the text ends where a value should be")),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'[') => Ok(Value::Vector(self.until(b']', depth)?)),
            Some(b'{') => {
                let items = self.until(b'}', depth)?;
                if items.len() % 2 != 0 {
                    return Err(self.error("a map has a key without a value"));
                }
                let mut pairs = Vec::with_capacity(items.len() / 2);
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.push((key, value));
                }
                Ok(Value::Map(pairs))
            }
            Some(_) => self.word(),
        }
    }

    fn until(&mut self, end: u8, depth: u32) -> Result<Vec<Value>, EdnError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blanks();
            match self.bytes.get(self.at) {
                None => return Err(self.error("the text ends within a vector or map")),
                Some(byte) if *byte == end => {
                    self.at += 1;
                    return Ok(items);
                }
                Some(_) => items.push(self.value(depth + 1)?),
            }
        }
    }

    fn string(&mut self) -> Result<String, EdnError> {
        self.at += 1;
        let mut out = String::new();
        let mut characters = self.text[self.at..].char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(out);
                }
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => out.push('\n'),
                    Some('r') => out.push('\r'),
                    Some('t') => out.push('\t'),
                    Some(escaped @ ('"' | '\\')) => out.push(escaped),
                    Some(_) | None => return Err(self.error("an escape in this string is not known")),
                },
                other => out.push(other),
            }
        }
        Err(self.error("the text ends within a string"))
    }

    fn word(&mut self) -> Result<Value, EdnError> {
        let start = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b']' | b'}' | b'"' | b'[' | b'{'))
        {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        match word {
            "nil" => Ok(Value::Nil),
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => match word.strip_prefix(':') {
                Some(keyword) if !keyword.is_empty() => Ok(Value::Keyword(keyword.to_owned())),
                Some(_) => Err(self.error("a keyword without a name")),
                None => {
                    let (negative, digits) = word.strip_prefix('-').map_or((false, word), |digits| (true, digits));
                    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                    match digits.parse() {
                        Ok(magnitude) if plain => Ok(Value::Integer { negative, magnitude }),
                        Ok(_) | Err(_) => Err(self.error("neither a keyword nor an integer")),
                    }
                }
            },
        }
    }
}
