//! The texts of `metav1.Time` and `metav1.MicroTime`.

use meta::time::Time;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// How the two time types are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `metav1.Time`
    Seconds,
    /// `metav1.MicroTime`
    Micros,
}

/// The first and the last second whose year has four digits, in UTC.
const SECONDS: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// The nearest time that can be read again once it is printed. Go prints the year 10000 (the last hours of
/// 9999 in the west are in it), which no client reads.
pub(crate) fn readable(time: Time) -> Time {
    let seconds = time.unix_seconds();
    if SECONDS.contains(&seconds) {
        return time;
    }
    Time::from_unix(seconds.clamp(*SECONDS.start(), *SECONDS.end()), 0)
}

/// Reads a time; the error is Go's text.
pub(crate) fn parse(text: &str, layout: Layout) -> Result<Time, String> {
    let time = match layout {
        Layout::Seconds => Time::parse(text),
        Layout::Micros => Time::parse_micro(text),
    };
    time.map(readable).map_err(|e| e.to_string())
}

/// Prints a time in UTC.
pub(crate) fn print(time: Time, layout: Layout) -> String {
    match layout {
        Layout::Seconds => time.to_string(),
        Layout::Micros => time.to_micro_string(),
    }
}

/// The text as it is printed after reading; `None` for Go's zero time, which is null in JSON.
pub(crate) fn canonical(text: &str, layout: Layout) -> Result<Option<Cow<'_, str>>, String> {
    let time = parse(text, layout)?;
    if time.is_zero() {
        return Ok(None);
    }
    // Most times come as they go.
    let usual = match layout {
        Layout::Seconds => text.len() == 20 && text.ends_with('Z') && time.nanos() == 0,
        Layout::Micros => text.len() == 27 && text.ends_with('Z') && !text.contains(','),
    };
    Ok(Some(if usual { Cow::Borrowed(text) } else { Cow::Owned(print(time, layout)) }))
}
