//! Numbers and booleans from strings, with the errors of Go's `strconv`.

use crate::quote::Quoted;
use std::fmt;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Syntax,
    Range,
}

impl Fault {
    fn of(self, function: &'static str, text: &str) -> NumError {
        NumError { function, text: text.to_owned(), out_of_range: self == Self::Range }
    }
}

/// The digits as a number up to `max`. Of two faults the one further in front counts, as in Go.
fn digits(text: &str, max: u64) -> Result<u64, Fault> {
    if text.is_empty() {
        return Err(Fault::Syntax);
    }
    text.bytes().try_fold(0_u64, |n, b| {
        if !b.is_ascii_digit() {
            return Err(Fault::Syntax);
        }
        let next = n.checked_mul(10).and_then(|n| n.checked_add(u64::from(b - b'0')));
        next.filter(|n| *n <= max).ok_or(Fault::Range)
    })
}

/// An integer of `bits` (32 or 64) with a sign: the number, or the fault and what Go returns beside it.
fn signed(text: &str, bits: u32) -> Result<i64, (Fault, i64)> {
    let negative = text.starts_with('-');
    let limit = 1_u64 << (bits - 1);
    let (most, least) = ((limit - 1) as i64, (limit as i64).wrapping_neg());
    let beyond = (Fault::Range, if negative { least } else { most });
    match digits(text.strip_prefix(['+', '-']).unwrap_or(text), u64::MAX >> (64 - bits)) {
        Err(Fault::Syntax) => Err((Fault::Syntax, 0)),
        Err(Fault::Range) => Err(beyond),
        Ok(n) if negative && n <= limit => Ok((n as i64).wrapping_neg()),
        Ok(n) if !negative && n < limit => Ok(n as i64),
        Ok(_) => Err(beyond),
    }
}

/// What Go's `Atoi` returns, errors aside: 0 for what is no integer, and the limit for what is beyond.
pub fn atoi_or_limit(text: &str) -> i64 {
    signed(text, 64).unwrap_or_else(|(_, n)| n)
}

/// `strconv.Atoi`.
///
/// # Errors
/// If the text is no integer or beyond 64 bits.
pub fn atoi(text: &str) -> Result<i64, NumError> {
    signed(text, 64).map_err(|(fault, _)| fault.of("Atoi", text))
}

/// `strconv.ParseInt` to base 10 and 64 bits.
///
/// # Errors
/// If the text is no integer or beyond 64 bits.
pub fn parse_int(text: &str) -> Result<i64, NumError> {
    signed(text, 64).map_err(|(fault, _)| fault.of("ParseInt", text))
}

/// `strconv.ParseInt` to base 10 and 32 bits.
///
/// # Errors
/// If the text is no integer or beyond 32 bits.
pub fn parse_int32(text: &str) -> Result<i32, NumError> {
    signed(text, 32).map(|n| n as i32).map_err(|(fault, _)| fault.of("ParseInt", text))
}

/// `strconv.ParseUint` to base 10 and 64 bits; no sign.
///
/// # Errors
/// If the text is no integer or beyond 64 bits.
pub fn parse_uint(text: &str) -> Result<u64, NumError> {
    digits(text, u64::MAX).map_err(|fault| fault.of("ParseUint", text))
}

/// `strconv.ParseBool`.
///
/// # Errors
/// If the text is none of Go's spellings.
pub fn parse_bool(text: &str) -> Result<bool, NumError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Fault::Syntax.of("ParseBool", text)),
    }
}
