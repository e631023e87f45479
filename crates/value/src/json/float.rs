//! Floats as Go's `encoding/json` prints them.

use std::fmt;

/// Writes the shortest text that reads back as `x`, with an exponent below 1e-6 and from 1e21.
/// What is not finite, which JSON cannot hold, becomes `null`.
pub(crate) fn write_float(f: &mut impl fmt::Write, x: f64) -> fmt::Result {
    let abs = x.abs();
    if !x.is_finite() {
        return f.write_str("null");
    }
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
