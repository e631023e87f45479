//! Syntax errors with Go's texts.

use super::quote::escape_char;
use std::fmt;

/// Why some bytes are not a JSON document, in the words of Go's `encoding/json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
    offset: usize,
}

impl Error {
    /// How many bytes had been read when the error showed: the offending byte included, as in Go's
    /// `SyntaxError.Offset`.
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Where and in what state the parser stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Index of the byte that does not fit; the length of the input at its end.
    pub(super) pos: usize,
    /// What the parser was doing, as Go words it.
    pub(super) context: &'static str,
    /// Whether it was inside a token. Go ends its input with a space, which is what it then complains about.
    pub(super) in_token: bool,
}

impl Stop {
    pub(super) fn into_error(self, data: &[u8]) -> Error {
        let byte = match data.get(self.pos) {
            Some(byte) => *byte,
            None if self.in_token => b' ',
            None => {
                return Error { message: "unexpected end of JSON input".to_owned(), offset: data.len() };
            }
        };
        let mut message = String::from("invalid character '");
        match byte {
            b'\'' => message.push_str("\\'"),
            b'"' => message.push('"'),
            // Go takes the byte for a code point.
            _ => escape_char(char::from(byte), &mut message),
        }
        message.push_str("' ");
        message.push_str(self.context);
        Error { message, offset: data.len().min(self.pos + 1) }
    }
}
