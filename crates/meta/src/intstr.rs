//! Fields that hold an integer or a string, as `k8s.io/apimachinery/pkg/util/intstr`: ports, percentages.

use crate::quote::Quoted;
use crate::strconv;
use std::fmt;
use value::{Str, Value};

/// An integer or a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrString {
    /// An integer.
    Int(i32),
    /// A string; perhaps a percentage.
    String(Str),
}

/// Which way a percentage of something is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the next integer above.
    Up,
    /// To the next integer below.
    Down,
}

/// Why there is no number to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntOrStringError(String);

impl fmt::Display for IntOrStringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IntOrStringError {}

impl IntOrString {
    /// What stands in a tree; `None` if it is neither, or an integer beyond 32 bits.
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(s) => Some(Self::String(s.clone())),
            Value::Number(n) => n.as_i64().and_then(|n| i32::try_from(n).ok()).map(Self::Int),
            _ => None,
        }
    }

    /// An integer if the text is one, or else the text.
    pub fn parse(text: &str) -> Self {
        strconv::parse_int32(text).map_or_else(|_| Self::String(text.into()), Self::Int)
    }

    /// The integer, also of a string that is one (at the limits the most there is); 0 if there is none.
    pub fn int_value(&self) -> i64 {
        match self {
            Self::Int(n) => i64::from(*n),
            Self::String(s) => strconv::atoi_or_limit(s),
        }
    }

    /// The integer, or the percentage of `total`. Source: `GetScaledValueFromIntOrPercent`.
    ///
    /// # Errors
    /// If it is a string that is no percentage.
    pub fn scaled_value(&self, total: i64, rounding: Rounding) -> Result<i64, IntOrStringError> {
        let text = match self {
            Self::Int(n) => return Ok(i64::from(*n)),
            Self::String(s) => s,
        };
        let error = |text: String| IntOrStringError(format!("invalid value for IntOrString: {text}"));
        let Some(digits) = text.strip_suffix('%') else {
            return Err(error("invalid type: string is not a percentage".to_owned()));
        };
        let percent =
            strconv::atoi(digits).map_err(|e| error(format!("invalid value {}: {e}", Quoted(text))))?;
        let exact = percent as f64 * total as f64 / 100.0;
        Ok(match rounding {
            Rounding::Up => exact.ceil(),
            Rounding::Down => exact.floor(),
        } as i64)
    }

    /// Whether it is a string of digits and `%`.
    pub fn is_percent(&self) -> bool {
        matches!(self, Self::String(s) if crate::names::matches_percent(s))
    }
}

/// Upstream's text for a field that is not set.
pub const NIL_ERROR: &str = "nil value for IntOrString";

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::String(s) => f.write_str(s),
        }
    }
}

impl From<IntOrString> for Value {
    fn from(v: IntOrString) -> Self {
        match v {
            IntOrString::Int(n) => Self::from(n),
            IntOrString::String(s) => Self::from(s),
        }
    }
}
