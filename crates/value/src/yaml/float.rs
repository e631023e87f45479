//! Go's `strconv.FormatFloat` with format `g` and the shortest precision.

use crate::json::{shortest, write_plain};

/// Up from here numbers are written with an exponent.
const EXPONENT_MAX: i32 = 6;

/// A finite or infinite float64.
pub(super) fn format(x: f64) -> String {
    if !x.is_finite() {
        return special(x);
    }
    layout(&shortest(x))
}

/// A float64 of which only the precision of a float32 is wanted, as `sigs.k8s.io/yaml` does with keys.
pub(super) fn format_short(x: f64) -> String {
    let short = x as f32;
    if !short.is_finite() {
        return special(short.into());
    }
    layout(&format!("{short:e}"))
}

fn special(x: f64) -> String {
    if x.is_nan() {
        ".nan".to_owned()
    } else if x > 0.0 {
        ".inf".to_owned()
    } else {
        "-.inf".to_owned()
    }
}

/// Lays out a text such as `-1.25e-7`: with an exponent below -4 and from [`EXPONENT_MAX`] on.
fn layout(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits = mantissa.replace('.', "");
    if !(-4..EXPONENT_MAX).contains(&exponent) {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.unsigned_abs());
    }
    let mut out = sign.to_owned();
    // Writing to a String does not fail.
    _ = write_plain(&mut out, &digits, exponent);
    out
}
