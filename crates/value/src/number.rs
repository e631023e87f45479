//! Numbers that print as they were written.

use std::fmt;

/// A JSON number.
///
/// Integers and floats whose canonical text is what was written are held unboxed; any other spelling
/// (`1.0`, `1e3`, an integer beyond 64 bits) keeps its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// An integer within 64 bits.
    Int(i64),
    /// An unsigned integer above `i64::MAX`.
    Uint(u64),
    /// A float; finite. Prints as Go's `encoding/json` prints a float64.
    Float(f64),
    /// A valid JSON number in a spelling of its own.
    Text(Box<str>),
}

impl Number {
    /// The number as an `i64`, if it is written as an integer (no fraction, no exponent) within range.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Uint(_) | Self::Float(_) => None,
            Self::Text(t) => t.parse().ok(),
        }
    }

    /// The number as an `f64`; infinite if it is beyond the range.
    pub fn as_f64(&self) -> f64 {
        match self {
            Self::Int(n) => *n as f64,
            Self::Uint(n) => *n as f64,
            Self::Float(f) => *f,
            Self::Text(t) => t.parse().unwrap_or(f64::NAN),
        }
    }

    /// Whether it is written as an integer: no fraction, no exponent.
    pub fn is_integer(&self) -> bool {
        match self {
            Self::Int(_) | Self::Uint(_) => true,
            Self::Float(_) => false,
            Self::Text(t) => !t.contains(['.', 'e', 'E']),
        }
    }
}

impl From<i64> for Number {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<f64> for Number {
    fn from(f: f64) -> Self {
        Self::Float(f)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::Uint(n) => n.fmt(f),
            Self::Float(x) => write_go_float(f, *x),
            Self::Text(t) => f.write_str(t),
        }
    }
}

/// Writes a float as Go's `encoding/json` does: shortest form, exponent below 1e-6 and from 1e21.
fn write_go_float(f: &mut fmt::Formatter<'_>, x: f64) -> fmt::Result {
    let abs = x.abs();
    if abs == 0.0 || (1e-6..1e21).contains(&abs) {
        return write!(f, "{x}");
    }
    let s = format!("{x:e}");
    match s.split_once('e') {
        // Go writes e+21 and e-07, and json trims e-07 to e-7.
        Some((mantissa, exp)) if !exp.starts_with('-') => write!(f, "{mantissa}e+{exp}"),
        _ => f.write_str(&s),
    }
}
