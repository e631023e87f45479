//! The suffixes.

use super::Format;

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

const BINARY: [(&str, i32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];

/// What a suffix multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    PowerOf10(i32),
    PowerOf2(u32),
}

/// The meaning of a suffix; `None` if it has none.
pub(super) fn interpret(suffix: &str) -> Option<(Factor, Format)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Factor::PowerOf10(*exponent), Format::DecimalSi));
    }
    if let Some((_, times)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some((Factor::PowerOf2(times.unsigned_abs() * 10), Format::BinarySi));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    // Upstream cuts the exponent to 32 bits.
    Some((Factor::PowerOf10(exponent as i32), Format::DecimalExponent))
}

/// The suffix of `10^exponent`.
pub(super) fn decimal(exponent: i64) -> Option<&'static str> {
    DECIMAL.iter().find(|(_, e)| i64::from(*e) == exponent).map(|(s, _)| *s)
}

/// The suffix of `1024^times`.
pub(super) fn binary(times: i64) -> Option<&'static str> {
    BINARY.iter().find(|(_, t)| i64::from(*t) == times).map(|(s, _)| *s)
}
