//! Times and durations as objects hold them: `metav1.Time`, `metav1.MicroTime`, `metav1.Duration`.
//!
//! Reading is as lenient as Go's `time.Parse` (hours of one digit, a comma before the fraction, any zone) and
//! fails with its texts; writing is canonical. No clock here: who needs one passes a [`Time`].

use std::fmt;

mod duration;
mod parse;
#[cfg(test)]
mod tests;

pub use duration::{Duration, DurationError, human_duration, short_human_duration};
pub use parse::TimeError;

const SECONDS_PER_DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z, which Go takes for no time at all.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    seconds: i64,
    nanos: u32,
}

/// Go's zero time, which is written as null.
impl Default for Time {
    fn default() -> Self {
        Self { seconds: ZERO_SECONDS, nanos: 0 }
    }
}

impl Time {
    /// Seconds since 1970 and nanoseconds (below a thousand million; more counts as the most).
    pub const fn from_unix(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: if nanos > 999_999_999 { 999_999_999 } else { nanos } }
    }

    /// Reads a `metav1.Time`: RFC 3339, with or without a fraction.
    ///
    /// # Errors
    /// With Go's text.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        parse::time(text, parse::Layout::Seconds)
    }

    /// Reads a `metav1.MicroTime`: RFC 3339 with exactly six digits of fraction.
    ///
    /// # Errors
    /// With Go's text.
    pub fn parse_micro(text: &str) -> Result<Self, TimeError> {
        parse::time(text, parse::Layout::Micros)
    }

    /// Seconds since 1970; what protobuf holds of a `metav1.Time`.
    pub const fn unix_seconds(self) -> i64 {
        self.seconds
    }

    /// The nanoseconds within the second. Protobuf holds 0 of a `metav1.Time`, and [`Self::micros_nanos`] of
    /// a `metav1.MicroTime`.
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// The nanoseconds within the second, cut to microseconds.
    pub const fn micros_nanos(self) -> u32 {
        self.nanos - self.nanos % 1_000
    }

    /// Without the fraction of a second: what a `metav1.Time` keeps when it is stored.
    #[must_use]
    pub const fn truncated(self) -> Self {
        Self { seconds: self.seconds, nanos: 0 }
    }

    /// Whether it is Go's zero time.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// From `earlier` to this; at the limits of a [`Duration`] the most it holds, as Go's `Sub`.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = (i128::from(self.seconds) - i128::from(earlier.seconds)) * 1_000_000_000
            + i128::from(self.nanos)
            - i128::from(earlier.nanos);
        let limit = if nanos < 0 { i64::MIN } else { i64::MAX };
        Duration::from_nanos(i64::try_from(nanos).unwrap_or(limit))
    }

    /// This plus `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = i64::from(self.nanos) + duration.nanos() % 1_000_000_000;
        let seconds = (duration.nanos() / 1_000_000_000).saturating_add(nanos.div_euclid(1_000_000_000));
        Self { seconds: self.seconds.saturating_add(seconds), nanos: nanos.rem_euclid(1_000_000_000) as u32 }
    }

    /// The canonical text of a `metav1.MicroTime`: `2006-01-02T15:04:05.000000Z`.
    pub fn to_micro_string(self) -> String {
        format!("{}.{:06}Z", self.without_zone(), self.nanos / 1_000)
    }

    /// `2006-01-02T15:04:05`, written by hand: every object that is read has some of these.
    fn without_zone(self) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let mut out = String::with_capacity("2006-01-02T15:04:05.000000Z".len());
        match u16::try_from(year) {
            Ok(year @ 0..=9999) => {
                push_two(&mut out, i64::from(year / 100));
                push_two(&mut out, i64::from(year % 100));
            }
            _ => {
                let sign = if year < 0 { "-" } else { "" };
                out.push_str(&format!("{sign}{:04}", year.unsigned_abs()));
            }
        }
        for (separator, n) in
            [('-', month), ('-', day), ('T', second / 3_600), (':', second / 60 % 60), (':', second % 60)]
        {
            out.push(separator);
            push_two(&mut out, n);
        }
        out
    }
}

/// A number below 100 as two digits.
fn push_two(out: &mut String, n: i64) {
    for digit in [n / 10, n % 10] {
        out.push(char::from(b'0' + digit as u8));
    }
}

/// The canonical text of a `metav1.Time`: `2006-01-02T15:04:05Z`. (Go's zero time is null in JSON; see
/// [`Time::is_zero`].)
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_zone())?;
        f.write_str("Z")
    }
}

impl From<jiff::Timestamp> for Time {
    fn from(timestamp: jiff::Timestamp) -> Self {
        let nanos = timestamp.as_nanosecond();
        // A timestamp's years have four digits.
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        Self { seconds, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
    }
}

const DAYS_PER_ERA: i64 = 146_097;
const YEARS_PER_ERA: i64 = 400;
/// From 0000-03-01, where an era starts, to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

/// Days since 1970 of a date of the Gregorian calendar.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years that start in March have their leap day at the end.
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(YEARS_PER_ERA);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    year.div_euclid(YEARS_PER_ERA) * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH
}

/// Year, month and day of a number of days since 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH; // |days| is below 2^47: it comes of seconds
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = days.div_euclid(DAYS_PER_ERA) * YEARS_PER_ERA + of_era + i64::from(month <= 2);
    (year, month, day)
}
