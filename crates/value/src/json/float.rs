//! Floats as Go prints them.

use std::fmt;

/// Writes a float as Go's `encoding/json` does: the shortest text that reads back the same, with an exponent
/// below 1e-6 and from 1e21. What is not finite, which JSON cannot hold, becomes `null`.
pub(crate) fn write_float(f: &mut impl fmt::Write, x: f64) -> fmt::Result {
    let abs = x.abs();
    if !x.is_finite() {
        return f.write_str("null");
    }
    let scientific = shortest(x);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        // Go writes e+21 and e-07, and json trims e-07 to e-7.
        let plus = if exponent.starts_with('-') { "" } else { "+" };
        return write!(f, "{mantissa}e{plus}{exponent}");
    }
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits = mantissa.replace('.', "");
    f.write_str(sign)?;
    write_plain(f, &digits, exponent)
}

/// Writes digits, the first of which has the value `10^exponent`, without an exponent.
fn write_plain(f: &mut impl fmt::Write, digits: &str, exponent: i32) -> fmt::Result {
    let zeros = |f: &mut dyn fmt::Write, n: usize| (0..n).try_for_each(|_| f.write_char('0'));
    let Ok(whole) = usize::try_from(exponent.saturating_add(1)) else {
        f.write_str("0.")?;
        zeros(f, usize::try_from(-1 - exponent).unwrap_or(0))?;
        return f.write_str(digits);
    };
    match digits.split_at_checked(whole) {
        Some(("", fraction)) => write!(f, "0.{fraction}"),
        Some((whole, "")) => f.write_str(whole),
        Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
        None => {
            f.write_str(digits)?;
            zeros(f, whole - digits.len())
        }
    }
}

/// The shortest text that reads back as `x`, of the form `-1.25e-7`. Where two are equally short and
/// equally near, the one with an even last digit, as Go has it.
fn shortest(x: f64) -> String {
    let text = format!("{x:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    // With fewer digits than this there is only one such text.
    if digits < 15 || mantissa.ends_with(['0', '2', '4', '6', '8']) {
        return text;
    }
    // Exactly between two texts of that length: one more digit, a 5, is all there is.
    let exact = format!("{x:.*e}", digits + 30);
    let Some((exact_mantissa, exact_exponent)) = exact.split_once('e') else { return text };
    let cut = exact_mantissa.len() - 31;
    let (head, tail) = exact_mantissa.split_at(cut);
    if exact_exponent != exponent || !tail.starts_with('5') || tail[1..].contains(|c| c != '0') {
        return text;
    }
    // One of the two is the exact text cut off; if that is odd, ours above it is even already or must be
    // the other one.
    if head.ends_with(['0', '2', '4', '6', '8']) { format!("{head}e{exponent}") } else { text }
}

/// Up from here Go's `%g` writes an exponent.
const G_EXPONENT_MAX: i32 = 6;

/// Go's `strconv.FormatFloat(x, 'g', -1, 64)`, with YAML's names for what is not finite.
pub(crate) fn format_g(x: f64) -> String {
    layout_g(x, &shortest(x))
}

/// The same with the precision of a float32.
pub(crate) fn format_g32(x: f64) -> String {
    let short = x as f32;
    layout_g(short.into(), &format!("{short:e}"))
}

fn layout_g(x: f64, scientific: &str) -> String {
    if x.is_nan() {
        return ".nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    if !(-4..G_EXPONENT_MAX).contains(&exponent) {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.unsigned_abs());
    }
    let mut out = sign.to_owned();
    // Writing to a String does not fail.
    _ = write_plain(&mut out, &mantissa.replace('.', ""), exponent);
    out
}
