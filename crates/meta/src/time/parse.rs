//! RFC 3339 as Go's `time.Parse` reads it, with its errors.

use super::{SECONDS_PER_DAY, Time, days_since_epoch};
use std::fmt;

/// Which of Go's layouts is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Seconds,
    Micros,
}

impl Layout {
    const fn text(self) -> &'static str {
        match self {
            Self::Seconds => "2006-01-02T15:04:05Z07:00",
            Self::Micros => "2006-01-02T15:04:05.000000Z07:00",
        }
    }
}

/// Why a string is no time, as Go says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeError(String);

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TimeError {}

/// The quotes of package `time`: bytes that are not printable ASCII as `\xNN`.
pub(super) fn quote(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for &b in text {
        match b {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(b));
            }
            b' '..=0x7f => out.push(char::from(b)),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out.push('"');
    out
}

struct Reader<'a> {
    layout: Layout,
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn cannot_parse(&self, element: &str, at: &[u8]) -> TimeError {
        TimeError(format!(
            "parsing time {} as \"{}\": cannot parse {} as \"{element}\"",
            quote(self.whole),
            self.layout.text(),
            quote(at)
        ))
    }

    fn fault(&self, text: &str) -> TimeError {
        TimeError(format!("parsing time {}: {text}", quote(self.whole)))
    }

    fn out_of_range(&self, what: &str) -> TimeError {
        self.fault(&format!("{what} out of range"))
    }

    fn skip(&mut self, literal: u8) -> Result<(), TimeError> {
        match self.rest.split_first() {
            Some((first, rest)) if *first == literal => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.cannot_parse(&char::from(literal).to_string(), self.rest)),
        }
    }

    fn year(&mut self) -> Result<i64, TimeError> {
        match number(self.rest, 4) {
            Some(year) => {
                self.rest = &self.rest[4..];
                Ok(year)
            }
            None => Err(self.cannot_parse("2006", self.rest)),
        }
    }

    fn two_digits(&mut self, element: &str) -> Result<i64, TimeError> {
        let n = number(self.rest, 2).ok_or_else(|| self.cannot_parse(element, self.rest))?;
        self.rest = &self.rest[2..];
        Ok(n)
    }

    /// Hours may have one digit.
    fn hour(&mut self) -> Result<i64, TimeError> {
        let width = if number(self.rest, 2).is_some() { 2 } else { 1 };
        let n = number(self.rest, width).ok_or_else(|| self.cannot_parse("15", self.rest))?;
        self.rest = &self.rest[width..];
        Ok(n)
    }

    /// A fraction that the layout does not have: any number of digits, cut to nanoseconds.
    fn optional_fraction(&mut self) -> u32 {
        let [b'.' | b',', digits @ ..] = self.rest else { return 0 };
        let width = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if width == 0 {
            return 0;
        }
        self.rest = &digits[width..];
        let of_nanos = digits[..width].iter().map(|b| u32::from(b - b'0')).chain(std::iter::repeat(0));
        of_nanos.take(9).fold(0, |n, d| n * 10 + d)
    }

    fn micros(&mut self) -> Result<u32, TimeError> {
        let bad = self.cannot_parse(".000000", self.rest);
        let [b'.' | b',', digits @ ..] = self.rest else { return Err(bad) };
        if digits.len() < 6 {
            return Err(bad);
        }
        let (text, rest) = digits.split_at(6);
        // Go reads these with a sign, too.
        let (negative, unsigned) = match text {
            [b'-', unsigned @ ..] => (true, unsigned),
            [b'+', unsigned @ ..] => (false, unsigned),
            _ => (false, text),
        };
        let micros = number(unsigned, unsigned.len()).ok_or(bad)?;
        if negative && micros != 0 {
            return Err(self.out_of_range("fractional second"));
        }
        self.rest = rest;
        Ok(u32::try_from(micros * 1_000).unwrap_or(0))
    }

    /// The seconds that the zone is ahead.
    fn zone(&mut self) -> Result<i64, TimeError> {
        if let [b'Z', rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(0);
        }
        let bad = self.cannot_parse("Z07:00", self.rest);
        let &[sign, h1, h2, b':', m1, m2, ref rest @ ..] = self.rest else { return Err(bad) };
        let hours = number(&[h1, h2], 2);
        // Go looks at the minutes only if the hours are fine, and at the ranges before the faults.
        let minutes = hours.and_then(|_| number(&[m1, m2], 2));
        if minutes.is_some_and(|m| m > 60) {
            return Err(self.out_of_range("time zone offset minute"));
        }
        if hours.is_some_and(|h| h > 24) {
            return Err(self.out_of_range("time zone offset hour"));
        }
        let (Some(hours), Some(minutes)) = (hours, minutes) else { return Err(bad) };
        let ahead = (hours * 60 + minutes) * 60;
        self.rest = rest;
        match sign {
            b'+' => Ok(ahead),
            b'-' => Ok(-ahead),
            _ => Err(bad),
        }
    }
}

/// The number of which the first `width` bytes are the digits.
fn number(text: &[u8], width: usize) -> Option<i64> {
    let digits = text.get(..width).filter(|d| !d.is_empty())?;
    digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

pub(super) fn time(text: &str, layout: Layout) -> Result<Time, TimeError> {
    let mut r = Reader { layout, whole: text.as_bytes(), rest: text.as_bytes() };
    let year = r.year()?;
    r.skip(b'-')?;
    let month = r.two_digits("01")?;
    if !(1..=12).contains(&month) {
        return Err(r.out_of_range("month"));
    }
    r.skip(b'-')?;
    let day = r.two_digits("02")?;
    r.skip(b'T')?;
    let hour = r.hour()?;
    if hour > 23 {
        return Err(r.out_of_range("hour"));
    }
    r.skip(b':')?;
    let minute = r.two_digits("04")?;
    if minute > 59 {
        return Err(r.out_of_range("minute"));
    }
    r.skip(b':')?;
    let second = r.two_digits("05")?;
    if second > 59 {
        return Err(r.out_of_range("second"));
    }
    let nanos = match layout {
        Layout::Seconds => r.optional_fraction(),
        Layout::Micros => r.micros()?,
    };
    let ahead = r.zone()?;
    if !r.rest.is_empty() {
        return Err(r.fault(&format!("extra text: {}", quote(r.rest))));
    }
    if day < 1 || day > days_in(year, month) {
        return Err(r.out_of_range("day"));
    }
    let seconds = (hour * 60 + minute) * 60 + second - ahead;
    Ok(Time { seconds: days_since_epoch(year, month, day) * SECONDS_PER_DAY + seconds, nanos })
}
