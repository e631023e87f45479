//! YAML to a [`Value`] and back, as `sigs.k8s.io/yaml` does it.
//!
//! `libyaml-safer` turns bytes into events: a port of the library that Go's `yaml.v2` is a port of, too, so
//! both accept the same documents and say the same about others. On top of it are our own resolution of
//! scalars (YAML 1.1 as `yaml.v2` has it: `yes` is true, `0777` is octal, times stay strings), anchors, merge
//! keys and limits.
//!
//! Departure from upstream: documents nest at most [`DEPTH_MAX`] levels, not 10,000, as the scanner's work
//! for every token grows with the nesting.

mod build;
mod compact;
mod compose;
mod resolve;
mod syntax;
mod write;

#[cfg(test)]
mod tests;

pub use compose::is_reading;
pub use write::write;

use crate::Value;
use std::fmt;

/// How deep a document may nest, anchors taken in.
pub const DEPTH_MAX: usize = 250;

/// How many bytes of strings aliases may add to a document.
pub const ALIASED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why some bytes are no YAML document, in the words of `yaml.v2` and `sigs.k8s.io/yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Parses the first document. Of equal keys in a mapping the last wins; nothing at all is a null.
///
/// # Errors
/// With upstream's text (`yaml: line 3: did not find expected key`) if the document is malformed, too deep,
/// has more aliases than sense, or holds what JSON cannot (an infinity, a null key).
pub fn parse(data: &[u8]) -> Result<Value, Error> {
    match compact::read(data) {
        Some(value) => Ok(value),
        None => build::build(&compose::compose(data)?, build::Duplicates::LastWins),
    }
}

/// The same, and what [`parse_strict`] says of the document.
///
/// # Errors
/// As [`parse`].
pub fn parse_noting(data: &[u8]) -> Result<(Value, Option<Error>), Error> {
    if let Some(value) = compact::read(data) {
        return Ok((value, None));
    }
    let document = compose::compose(data)?;
    let value = build::build(&document, build::Duplicates::LastWins)?;
    Ok((value, build::build(&document, build::Duplicates::Errors).err()))
}

/// Parses the first document, and takes a key that comes twice in a mapping for an error.
///
/// # Errors
/// As [`parse`], and `key "a" already set in map`.
pub fn parse_strict(data: &[u8]) -> Result<Value, Error> {
    match compact::read(data) {
        Some(value) => Ok(value),
        None => build::build(&compose::compose(data)?, build::Duplicates::Errors),
    }
}
