//! The parser: one pass, one explicit stack.

use super::{Duplicates, Error, error::Stop, scan};
use crate::{Map, Number, Str, Value};
use std::borrow::Cow;

/// How deep a document may nest, as in Go's scanner.
pub const DEPTH_MAX: usize = 10_000;

/// Parses a document. Of equal keys in one object the last wins.
///
/// # Errors
/// With Go's text and offset if the bytes are not one JSON document or nest deeper than [`DEPTH_MAX`].
pub fn parse(data: &[u8]) -> Result<Value, Error> {
    parse_document(data).map(|(value, _)| value)
}

/// Parses a document and notes the keys that came more than once in an object.
///
/// # Errors
/// As [`parse`]; duplicates alone are no error.
pub fn parse_with(data: &[u8], duplicates: &mut Duplicates) -> Result<Value, Error> {
    let (value, has_duplicates) = parse_document(data)?;
    if has_duplicates {
        // Rare, so it may cost a second pass that is made for reporting.
        duplicates.collect(&repair(data));
    }
    Ok(value)
}

fn parse_document(data: &[u8]) -> Result<(Value, bool), Error> {
    let text = repair(data);
    let repaired = matches!(text, Cow::Owned(_));
    let mut parser = Parser::new(&text);
    match parser.document() {
        Ok(value) => Ok((value, parser.has_duplicates)),
        Err(mut stop) => {
            if repaired {
                stop.pos = original_position(data, stop.pos);
            }
            Err(stop.into_error(data))
        }
    }
}

/// The text with every byte that is no part of a valid UTF-8 sequence replaced, as Go does inside strings.
/// Outside of strings such a byte is an error either way.
pub(crate) fn repair(data: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(data) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(data.len() + 64);
    for chunk in data.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// Translates a position in repaired text to the one in the bytes it was made of.
fn original_position(data: &[u8], repaired: usize) -> usize {
    let (mut from, mut to) = (0, 0);
    for chunk in data.utf8_chunks() {
        let valid = chunk.valid().len();
        if repaired < to + valid {
            return from + (repaired - to);
        }
        (from, to) = (from + valid, to + valid);
        for _ in chunk.invalid() {
            if repaired < to + char::REPLACEMENT_CHARACTER.len_utf8() {
                return from;
            }
            (from, to) = (from + 1, to + char::REPLACEMENT_CHARACTER.len_utf8());
        }
    }
    from
}

/// An object or list that is not yet closed, and where its members begin on the stack of its sort.
#[derive(Clone, Copy)]
enum Open {
    Object(usize),
    Array(usize),
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    open: Vec<Open>,
    /// Members of all open objects. The last one of an object waits for its value while that is read.
    members: Vec<(Str, Value)>,
    /// Elements of all open lists.
    elements: Vec<Value>,
    /// Unescaped string content.
    scratch: String,
    has_duplicates: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos: 0,
            open: Vec::with_capacity(16),
            members: Vec::with_capacity(32),
            elements: Vec::with_capacity(16),
            scratch: String::new(),
            has_duplicates: false,
        }
    }

    fn document(&mut self) -> Result<Value, Stop> {
        let value = self.value()?;
        match self.skip_space() {
            None => Ok(value),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    fn value(&mut self) -> Result<Value, Stop> {
        'value: loop {
            let mut value = match self.skip_space() {
                Some(b'"') => {
                    self.pos += 1;
                    Value::String(self.string()?)
                }
                Some(b'{') => {
                    self.push(Open::Object(self.members.len()))?;
                    if self.skip_space() == Some(b'}') {
                        self.pos += 1;
                        self.open.pop();
                        Value::object()
                    } else {
                        self.key()?;
                        continue 'value;
                    }
                }
                Some(b'[') => {
                    self.push(Open::Array(self.elements.len()))?;
                    if self.skip_space() == Some(b']') {
                        self.pos += 1;
                        self.open.pop();
                        Value::Array(Vec::new())
                    } else {
                        continue 'value;
                    }
                }
                Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
                Some(b't') => self.literal("true", Value::Bool(true))?,
                Some(b'f') => self.literal("false", Value::Bool(false))?,
                Some(b'n') => self.literal("null", Value::Null)?,
                _ => return Err(self.unexpected("looking for beginning of value")),
            };
            // The value is whole: it goes where it belongs, which may complete what it is in.
            loop {
                match self.open.last() {
                    None => return Ok(value),
                    Some(&Open::Object(start)) => {
                        if let Some(member) = self.members.last_mut() {
                            member.1 = value;
                        }
                        match self.skip_space() {
                            Some(b',') => {
                                self.pos += 1;
                                self.skip_space();
                                self.key()?;
                                continue 'value;
                            }
                            Some(b'}') => value = self.close_object(start),
                            _ => return Err(self.unexpected("after object key:value pair")),
                        }
                    }
                    Some(&Open::Array(start)) => {
                        self.elements.push(value);
                        match self.skip_space() {
                            Some(b',') => {
                                self.pos += 1;
                                continue 'value;
                            }
                            Some(b']') => {
                                self.pos += 1;
                                self.open.pop();
                                value = Value::Array(self.elements.split_off(start));
                            }
                            _ => return Err(self.unexpected("after array element")),
                        }
                    }
                }
            }
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.unexpected("exceeded max depth"));
        }
        self.open.push(open);
        self.pos += 1;
        Ok(())
    }

    fn close_object(&mut self, start: usize) -> Value {
        self.pos += 1;
        self.open.pop();
        let members = self.members.split_off(start);
        Value::Object(Map::from_entries(members, |_| self.has_duplicates = true))
    }

    /// Reads a key and its colon; the member then waits for its value.
    fn key(&mut self) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        self.pos += 1;
        let key = self.string()?;
        if self.skip_space() != Some(b':') {
            return Err(self.unexpected("after object key"));
        }
        self.pos += 1;
        self.members.push((key, Value::Null));
        Ok(())
    }

    /// Reads a string from behind its opening quote.
    #[inline(always)]
    fn string(&mut self) -> Result<Str, Stop> {
        let start = self.pos;
        self.pos = scan::string_run(self.bytes, start);
        if self.peek() != Some(b'"') {
            return self.string_with_escapes(start);
        }
        let s = Str::new(self.slice(start, self.pos));
        self.pos += 1;
        Ok(s)
    }

    fn string_with_escapes(&mut self, mut start: usize) -> Result<Str, Stop> {
        self.scratch.clear();
        loop {
            let text = self.text;
            self.scratch.push_str(text.get(start..self.pos).unwrap_or(""));
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(Str::new(&self.scratch));
                }
                Some(b'\\') => {
                    self.pos += 1;
                    let c = self.escape()?;
                    self.scratch.push(c);
                }
                Some(_) => return Err(self.unexpected_in_token("in string literal")),
                None => return Err(self.unexpected("in string literal")),
            }
            start = self.pos;
            self.pos = scan::string_run(self.bytes, start);
        }
    }

    /// Reads an escape from behind its backslash.
    fn escape(&mut self) -> Result<char, Stop> {
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\x08',
            Some(b'f') => '\x0c',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.pos += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected_in_token("in string escape code")),
        };
        self.pos += 1;
        Ok(c)
    }

    /// Reads the digits of a `\u` escape, and of a second one if the two are a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char, Stop> {
        let first = self.hex4()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let rest = self.bytes.get(self.pos..).unwrap_or(&[]);
        if first < 0xdc00 && rest.starts_with(b"\\u") {
            let back = self.pos;
            self.pos += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let c = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                return Ok(c.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // No pair; the second escape stands for itself.
            self.pos = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let mut n = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) else {
                return Err(self.unexpected_in_token("in \\u hexadecimal character escape"));
            };
            n = n * 16 + digit;
            self.pos += 1;
        }
        Ok(n)
    }

    fn number(&mut self) -> Result<Number, Stop> {
        let start = self.pos;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected_in_token("in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(Number::from_json(self.slice(start, self.pos)))
    }

    fn some_digits(&mut self, context: &'static str) -> Result<(), Stop> {
        let Some(b'0'..=b'9') = self.peek() else {
            return Err(self.unexpected_in_token(context));
        };
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
    }

    /// Reads a literal of which the first byte has been seen.
    fn literal(&mut self, word: &'static str, value: Value) -> Result<Value, Stop> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(self.unexpected_in_token(literal_context(word, expected)));
            }
            self.pos += 1;
        }
        Ok(value)
    }

    fn slice(&self, start: usize, end: usize) -> &'a str {
        // Both ends are beside ASCII bytes, so they are character boundaries.
        self.text.get(start..end).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    /// Goes on to the next byte that is no white space, and tells which that is.
    fn skip_space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.pos += 1,
                other => return other,
            }
        }
    }

    /// The error that the byte here, or the end of the input, does not fit between tokens.
    const fn unexpected(&self, context: &'static str) -> Stop {
        Stop { pos: self.pos, context, in_token: false }
    }

    /// The error that the byte here, or the end of the input, does not fit inside a token.
    const fn unexpected_in_token(&self, context: &'static str) -> Stop {
        Stop { pos: self.pos, context, in_token: true }
    }
}

fn literal_context(word: &str, expected: u8) -> &'static str {
    match (word, expected) {
        ("true", b'r') => "in literal true (expecting 'r')",
        ("true", b'u') => "in literal true (expecting 'u')",
        ("true", _) => "in literal true (expecting 'e')",
        ("false", b'a') => "in literal false (expecting 'a')",
        ("false", b'l') => "in literal false (expecting 'l')",
        ("false", b's') => "in literal false (expecting 's')",
        ("false", _) => "in literal false (expecting 'e')",
        (_, b'u') => "in literal null (expecting 'u')",
        _ => "in literal null (expecting 'l')",
    }
}
