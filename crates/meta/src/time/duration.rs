//! Durations: Go's text form, and the short forms that tables show.

use super::parse::quote;
use std::fmt;

/// Nanoseconds, as Go's `time.Duration`; up to 292 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

/// Why a string is no duration, as Go says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError(String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time: {}", self.0)
    }
}

impl std::error::Error for DurationError {}

/// One more than the most nanoseconds; a negative duration can have it.
const LIMIT: u64 = 1 << 63;

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

impl Duration {
    /// So many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// So many seconds; at the limits the most it holds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// The nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The whole seconds, cut towards zero.
    pub const fn seconds(self) -> i64 {
        self.0 / 1_000_000_000
    }

    /// Reads Go's form: `1h30m`, `-1.5s`, `100ms`.
    ///
    /// # Errors
    /// With Go's text.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError(format!("invalid duration {}", quote(text.as_bytes())));
        let negative = text.starts_with('-');
        let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0_u64;
        while !rest.is_empty() {
            let (whole, after) = split_digits(rest);
            let (fraction, after) = after.strip_prefix('.').map_or(("", after), split_digits);
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let whole = if whole.is_empty() { Some(0) } else { whole.parse().ok() };
            let whole = whole.filter(|n: &u64| *n <= LIMIT).ok_or_else(invalid)?;
            let end = after.bytes().position(|b| b == b'.' || b.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            rest = after;
            if unit.is_empty() {
                return Err(DurationError(format!("missing unit in duration {}", quote(text.as_bytes()))));
            }
            let nanos = unit_nanos(unit).ok_or_else(|| {
                let (unit, text) = (quote(unit.as_bytes()), quote(text.as_bytes()));
                DurationError(format!("unknown unit {unit} in duration {text}"))
            })?;
            let value = whole
                .checked_mul(nanos)
                .filter(|v| *v <= LIMIT)
                .and_then(|v| v.checked_add(fraction_nanos(fraction, nanos)))
                .filter(|v| *v <= LIMIT)
                .ok_or_else(invalid)?;
            // As in Go twice the limit comes to nothing.
            total = total.wrapping_add(value);
            if total > LIMIT {
                return Err(invalid());
            }
        }
        match (negative, i64::try_from(total)) {
            (false, Ok(nanos)) => Ok(Self(nanos)),
            (false, Err(_)) => Err(invalid()),
            (true, Ok(nanos)) => Ok(Self(-nanos)),
            (true, Err(_)) => Ok(Self(i64::MIN)),
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// The part after the point, by floats as in Go; digits beyond 63 bits are dropped.
fn fraction_nanos(digits: &str, unit: u64) -> u64 {
    let (mut fraction, mut scale) = (0_u64, 1_f64);
    for b in digits.bytes() {
        if fraction > (LIMIT - 1) / 10 {
            break;
        }
        let next = fraction * 10 + u64::from(b - b'0');
        if next > LIMIT {
            break;
        }
        fraction = next;
        scale *= 10.0;
    }
    (fraction as f64 * (unit as f64 / scale)) as u64
}

/// Go's form: `1h30m0s`, `1.5s`, `100ms`, `0s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}\u{b5}s", with_fraction(nanos, 3)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", with_fraction(nanos, 6)),
            _ => {
                let seconds = nanos / 1_000_000_000;
                let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if seconds >= 60 {
                    write!(f, "{minutes}m")?;
                }
                write!(f, "{}s", with_fraction(nanos % 60_000_000_000, 9))
            }
        }
    }
}

/// `n / 10^digits` without zeros at the end.
fn with_fraction(n: u64, digits: usize) -> String {
    let divisor = 10_u64.pow(digits as u32);
    let text = format!("{}.{:0digits$}", n / divisor, n % divisor);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// An age as tables show it, with two or three figures: `5m30s`, `2d4h`. A little below zero (clocks differ)
/// is `0s`, more is `<invalid>`. Source: `apimachinery/pkg/util/duration.HumanDuration`.
pub fn human_duration(age: Duration) -> String {
    let seconds = age.seconds();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let years = days / 365;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ if years < 8 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

fn two(large: i64, large_unit: char, small: i64, small_unit: char) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// An age with one figure: `5m`, `2d`. Source: `apimachinery/pkg/util/duration.ShortHumanDuration`.
pub fn short_human_duration(age: Duration) -> String {
    let seconds = age.seconds();
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}
