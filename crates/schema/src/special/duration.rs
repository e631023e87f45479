//! `time.Duration` texts: Go's `ParseDuration` and `String`.

use meta::quote::quote;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, micro sign
    ("μs", 1_000), // U+03BC, Greek mu
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration into nanoseconds; the error is Go's text.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let limit = 1_u64 << 63;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (int, after_int) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (fraction, after) = match after_int.strip_prefix('.') {
            Some(f) => f.split_at(f.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after_int),
        };
        if int.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let value = int.bytes().try_fold(0_u64, |n, b| {
            n.checked_mul(10)?.checked_add(u64::from(b - b'0')).filter(|n| *n <= limit)
        });
        let mut value = value.ok_or_else(invalid)?;
        let unit_len = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, remaining) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let Some((_, scale)) = UNITS.iter().find(|(u, _)| *u == unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        value = value.checked_mul(*scale).filter(|n| *n <= limit).ok_or_else(invalid)?;
        let mut fraction_value = 0_u64;
        let mut fraction_scale = 1.0_f64;
        for b in fraction.bytes() {
            match fraction_value.checked_mul(10).and_then(|n| n.checked_add(u64::from(b - b'0'))) {
                Some(n) if n <= limit => fraction_value = n,
                _ => break,
            }
            fraction_scale *= 10.0;
        }
        if fraction_value > 0 {
            value += (fraction_value as f64 * (*scale as f64 / fraction_scale)) as u64;
            if value > limit {
                return Err(invalid());
            }
        }
        total = total.checked_add(value).filter(|n| *n <= limit).ok_or_else(invalid)?;
        rest = remaining;
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// Prints nanoseconds as `1h2m3.5s`, `1.5ms` or `0s`.
pub(crate) fn print(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    if n < 1_000_000_000 {
        let (unit, scale) = match n {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", with_fraction(n, scale));
    }
    let seconds = n / 1_000_000_000;
    let tail = with_fraction(n % 60_000_000_000, 1_000_000_000);
    match (seconds / 3_600, seconds / 60 % 60) {
        (0, 0) => format!("{sign}{tail}s"),
        (0, m) => format!("{sign}{m}m{tail}s"),
        (h, m) => format!("{sign}{h}h{m}m{tail}s"),
    }
}

fn with_fraction(n: u64, scale: u64) -> String {
    let whole = n / scale;
    let rest = n % scale;
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}
