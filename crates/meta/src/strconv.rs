//! Numbers and booleans from strings, with the errors of Go's `strconv`.

use crate::quote::Quoted;
use std::fmt;
use std::num::IntErrorKind;

/// Why a string is no number: `strconv.ParseUint: parsing "abc": invalid syntax`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumError {
    function: &'static str,
    text: String,
    out_of_range: bool,
}

impl fmt::Display for NumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = if self.out_of_range { "value out of range" } else { "invalid syntax" };
        write!(f, "strconv.{}: parsing {}: {fault}", self.function, Quoted(&self.text))
    }
}

impl std::error::Error for NumError {}

fn convert<T: std::str::FromStr<Err = std::num::ParseIntError>>(
    function: &'static str,
    text: &str,
) -> Result<T, NumError> {
    text.parse().map_err(|e: std::num::ParseIntError| NumError {
        function,
        text: text.to_owned(),
        out_of_range: matches!(e.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow),
    })
}

/// `strconv.Atoi`.
///
/// # Errors
/// If the text is no integer or beyond 64 bits.
pub fn atoi(text: &str) -> Result<i64, NumError> {
    convert("Atoi", text)
}

/// `strconv.ParseInt` to base 10 and 64 bits.
///
/// # Errors
/// If the text is no integer or beyond 64 bits.
pub fn parse_int(text: &str) -> Result<i64, NumError> {
    convert("ParseInt", text)
}

/// `strconv.ParseInt` to base 10 and 32 bits.
///
/// # Errors
/// If the text is no integer or beyond 32 bits.
pub fn parse_int32(text: &str) -> Result<i32, NumError> {
    convert("ParseInt", text)
}

/// `strconv.ParseUint` to base 10 and 64 bits; no sign.
///
/// # Errors
/// If the text is no integer or beyond 64 bits.
pub fn parse_uint(text: &str) -> Result<u64, NumError> {
    if text.starts_with(['+', '-']) {
        return Err(NumError { function: "ParseUint", text: text.to_owned(), out_of_range: false });
    }
    convert("ParseUint", text)
}

/// `strconv.ParseBool`.
///
/// # Errors
/// If the text is none of Go's spellings.
pub fn parse_bool(text: &str) -> Result<bool, NumError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(NumError { function: "ParseBool", text: text.to_owned(), out_of_range: false }),
    }
}
