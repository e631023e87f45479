//! Reads the tokens of a JSON text one by one.
//!
//! What is not well-formed is told by `None` only: the caller lets `value::json::parse` find Go's words for
//! it. Slices and subtrees that are skipped are checked by that parser as well.

use value::{Str, Value, json};

/// A string as it stands in the text, and whether it holds escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringToken<'a> {
    /// Between the quotes.
    pub(super) raw: &'a str,
    escaped: bool,
}

pub(super) struct Cursor<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, pos: 0 }
    }

    /// The next byte that is no white space; `None` at the end.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.pos += 1,
                other => return other.copied(),
            }
        }
    }

    /// Steps over the byte that was seen.
    pub(super) const fn bump(&mut self) {
        self.pos += 1;
    }

    /// Steps over `byte` if it comes next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    /// Reads a string; the opening quote comes next.
    pub(super) fn string(&mut self) -> Option<StringToken<'a>> {
        let start = self.pos + 1;
        let (end, escaped) = self.string_end(start)?;
        self.pos = end + 1;
        Some(StringToken { raw: self.text.get(start..end)?, escaped })
    }

    fn string_end(&self, start: usize) -> Option<(usize, bool)> {
        let bytes = self.text.as_bytes();
        let mut pos = start;
        let mut escaped = false;
        loop {
            pos = string_run(bytes, pos);
            match bytes.get(pos)? {
                b'"' => return Some((pos, escaped)),
                b'\\' => {
                    escaped = true;
                    pos += 2;
                }
                _ => return None,
            }
        }
    }

    /// Reads a number.
    pub(super) fn number(&mut self) -> Option<&'a str> {
        let start = self.pos;
        let bytes = self.text.as_bytes();
        let digits = |mut pos: usize| {
            let from = pos;
            while bytes.get(pos).is_some_and(u8::is_ascii_digit) {
                pos += 1;
            }
            (pos > from).then_some(pos)
        };
        let mut pos = start + usize::from(bytes.get(start) == Some(&b'-'));
        pos = if bytes.get(pos) == Some(&b'0') { pos + 1 } else { digits(pos)? };
        if bytes.get(pos) == Some(&b'.') {
            pos = digits(pos + 1)?;
        }
        if let Some(b'e' | b'E') = bytes.get(pos) {
            pos += 1;
            pos += usize::from(matches!(bytes.get(pos), Some(b'+' | b'-')));
            pos = digits(pos)?;
        }
        self.pos = pos;
        self.text.get(start..pos)
    }

    /// Steps over a literal.
    pub(super) fn literal(&mut self, word: &str) -> Option<()> {
        let rest = self.text.get(self.pos..)?;
        rest.starts_with(word).then(|| self.pos += word.len())
    }

    /// Steps over any value and returns its text, which may yet be malformed inside.
    pub(super) fn raw(&mut self) -> Option<&'a str> {
        let first = self.peek()?;
        let start = self.pos;
        match first {
            b'"' => {
                self.string()?;
            }
            b'{' | b'[' => self.brackets()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => {
                self.number()?;
            }
        }
        self.text.get(start..self.pos)
    }

    /// Steps over an object or list, counting brackets only.
    fn brackets(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        loop {
            match bytes.get(self.pos)? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => {
                    self.pos = self.string_end(self.pos + 1)?.0;
                }
                _ => {}
            }
            self.pos += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Steps over any value, and makes sure that it is well-formed.
    pub(super) fn skip(&mut self) -> Option<()> {
        let raw = self.raw()?;
        if raw.starts_with(['{', '[', '"']) {
            json::parse(raw.as_bytes()).ok()?;
        }
        Some(())
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }
}

impl StringToken<'_> {
    /// The string it stands for; `None` if an escape is malformed.
    pub(super) fn decode(self) -> Option<Str> {
        if self.escaped { self.unescape() } else { Some(Str::new(self.raw)) }
    }

    /// The string, where most have no escapes and need no copy.
    pub(super) const fn plain(&self) -> Option<&str> {
        if self.escaped { None } else { Some(self.raw) }
    }

    #[cold]
    fn unescape(self) -> Option<Str> {
        let mut quoted = String::with_capacity(self.raw.len() + 2);
        quoted.push('"');
        quoted.push_str(self.raw);
        quoted.push('"');
        match json::parse(quoted.as_bytes()) {
            Ok(Value::String(s)) => Some(s),
            _ => None,
        }
    }
}

/// The index at or after `from` of the first quote, backslash or control character; the length if none.
fn string_run(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut i = from;
    while let Some(chunk) = bytes.get(i..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // The lowest bit set marks the first byte that is zero, respectively below 0x20; higher ones may be
        // wrong by borrows.
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hit = (control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c))) & HIGH;
        if hit != 0 {
            return i + hit.trailing_zeros() as usize / 8;
        }
        i += 8;
    }
    let rest = bytes.get(i..).unwrap_or(&[]);
    i + rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}
