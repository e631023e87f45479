//! Numbers that print as they were written.

use crate::json::write_float;
use std::fmt;

/// No float's shortest text is longer: `-0.` with 5 zeros and 17 digits.
const FLOAT_TEXT_MAX: usize = 25;

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
    /// The number that a valid JSON number literal spells.
    pub(crate) fn from_json(text: &str) -> Self {
        let own_spelling = || Self::Text(text.into());
        if !text.contains(['.', 'e', 'E']) {
            return match (text.parse(), text.parse()) {
                _ if text == "-0" => own_spelling(),
                (Ok(n), _) => Self::Int(n),
                (_, Ok(n)) => Self::Uint(n),
                _ => own_spelling(),
            };
        }
        match text.parse() {
            Ok(x) if text.len() <= FLOAT_TEXT_MAX && Self::Float(x).to_string() == text => Self::Float(x),
            _ => own_spelling(),
        }
    }

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

    /// The number that Go's untyped decoding makes of this one: an `int64` if it is written as one without a
    /// point, else a `float64`; `None` if it is beyond the range of that, which is an error in Go.
    ///
    /// A custom resource's numbers are stored so: `1.0` becomes `1`, `1e3` becomes `1000`.
    pub fn normalized(&self) -> Option<Self> {
        match self {
            Self::Int(_) | Self::Float(_) => Some(self.clone()),
            Self::Uint(n) => Some(Self::Float(*n as f64)),
            Self::Text(t) => match t.parse() {
                Ok(n) => Some(Self::Int(n)),
                Err(_) => t.parse().ok().filter(|x: &f64| x.is_finite()).map(Self::Float),
            },
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
            Self::Float(x) => write_float(f, *x),
            Self::Text(t) => f.write_str(t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, normalized: Option<&str>) {
        let number = Number::from_json(text);
        assert_eq!(number.to_string(), text, "keeps its spelling");
        assert_eq!(number.normalized().map(|n| n.to_string()).as_deref(), normalized);
    }

    #[test]
    fn normal_forms() {
        check("0", Some("0"));
        check("-0", Some("0"));
        check("-9223372036854775808", Some("-9223372036854775808"));
        check("9223372036854775808", Some("9223372036854776000"));
        check("18446744073709551615", Some("18446744073709552000"));
        check("100000000000000000000", Some("100000000000000000000"));
        check("1.0", Some("1"));
        check("1.50", Some("1.5"));
        check("1e3", Some("1000"));
        check("1E+21", Some("1e+21"));
        check("1e-7", Some("1e-7"));
        check("0.000001", Some("0.000001"));
        check("-0.0", Some("-0"));
        check("832666526406946.25", Some("832666526406946.2"));
        check("5e-324", Some("5e-324"));
        check("1e999", None);
    }
}
