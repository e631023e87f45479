//! Errors of decoding.

use std::fmt;

/// Why bytes or a tree are no object of a type. Prints as Go prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What sort of error it is.
    pub kind: DecodeErrorKind,
    message: String,
}

/// The sorts of [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The bytes are no JSON or protobuf at all.
    Syntax,
    /// A value is of another type than the field, or malformed.
    Type,
}

impl DecodeError {
    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self { kind: DecodeErrorKind::Syntax, message: message.into() }
    }

    pub(crate) fn ty(message: impl Into<String>) -> Self {
        Self { kind: DecodeErrorKind::Type, message: message.into() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}
