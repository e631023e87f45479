//! RFC 3339 times, read and printed as Go's `time` package does.
//!
//! A time is held as seconds since 1970 and nanoseconds. Go's zero time (year 1) is `null` in JSON.

use std::borrow::Cow;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// Seconds from Go's zero time (0001-01-01T00:00:00Z) to 1970.
const ZERO_SECONDS: i64 = -62_135_596_800;

/// How the two time types are laid out, as Go writes layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `metav1.Time`
    Seconds,
    /// `metav1.MicroTime`
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

impl Time {
    /// Whether it is Go's zero time.
    pub(crate) const fn is_zero(self) -> bool {
        self.seconds == ZERO_SECONDS && self.nanos == 0
    }

    /// Prints it in UTC: `2006-01-02T15:04:05Z`, with six digits after the point if asked to.
    pub(crate) fn print(self, layout: Layout) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
        match layout {
            Layout::Seconds => format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z"),
            Layout::Micros => {
                let micros = self.nanos / 1_000;
                format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{micros:06}Z")
            }
        }
    }
}

/// The text as it is printed after reading; `None` for Go's zero time.
pub(crate) fn canonical(text: &str, layout: Layout) -> Result<Option<Cow<'_, str>>, String> {
    let time = parse(text, layout)?;
    if time.is_zero() {
        return Ok(None);
    }
    // Most times come as they go.
    let usual = match layout {
        Layout::Seconds => text.len() == 20 && text.ends_with('Z') && time.nanos == 0,
        Layout::Micros => text.len() == 27 && text.ends_with('Z'),
    };
    Ok(Some(if usual { Cow::Borrowed(text) } else { Cow::Owned(time.print(layout)) }))
}

/// Reads a time; the error is Go's text.
pub(crate) fn parse(text: &str, layout: Layout) -> Result<Time, String> {
    Parser { text, layout, rest: text }.parse()
}

struct Parser<'a> {
    text: &'a str,
    layout: Layout,
    rest: &'a str,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Time, String> {
        let year = self.digits(4, "2006")?;
        self.literal('-', "-")?;
        let month = self.digits(2, "01")?;
        if !(1..=12).contains(&month) {
            return Err(self.range("month"));
        }
        self.literal('-', "-")?;
        let day = self.digits(2, "02")?;
        self.literal('T', "T")?;
        let hour = self.hour()?;
        if hour > 23 {
            return Err(self.range("hour"));
        }
        self.literal(':', ":")?;
        let minute = self.digits(2, "04")?;
        if minute > 59 {
            return Err(self.range("minute"));
        }
        self.literal(':', ":")?;
        let second = self.digits(2, "05")?;
        if second > 59 {
            return Err(self.range("second"));
        }
        let nanos = self.fraction()?;
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            return Err(format!("parsing time {}: extra text: {}", quote(self.text), quote(self.rest)));
        }
        if day < 1 || day > days_in(year, month) {
            return Err(self.range("day"));
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
        Ok(Time { seconds, nanos })
    }

    /// A number of exactly `n` digits.
    fn digits(&mut self, n: usize, element: &str) -> Result<i64, String> {
        match self.rest.get(..n).filter(|s| s.bytes().all(|b| b.is_ascii_digit())) {
            Some(s) => {
                let value = s.bytes().fold(0, |v, b| v * 10 + i64::from(b - b'0'));
                self.rest = self.rest.get(n..).unwrap_or("");
                Ok(value)
            }
            None => Err(self.mismatch(self.rest, element)),
        }
    }

    /// Go takes an hour of one digit, too.
    fn hour(&mut self) -> Result<i64, String> {
        let n = if self.rest.bytes().nth(1).is_some_and(|b| b.is_ascii_digit()) { 2 } else { 1 };
        self.digits(n, "15")
    }

    fn literal(&mut self, c: char, element: &str) -> Result<(), String> {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.mismatch(self.rest, element)),
        }
    }

    /// A fraction of a second; Go takes one after any layout's seconds, but wants six digits in the micro
    /// layout.
    fn fraction(&mut self) -> Result<u32, String> {
        let after = self.rest.strip_prefix(['.', ',']);
        let digits = after.map_or(0, |s| s.bytes().take_while(u8::is_ascii_digit).count());
        if self.layout == Layout::Micros {
            let exact = self.rest.get(..7).filter(|s| s.starts_with(['.', ',']));
            let Some(text) = exact.and_then(|s| s.get(1..)).filter(|s| s.bytes().all(|b| b.is_ascii_digit()))
            else {
                return Err(self.mismatch(self.rest, ".000000"));
            };
            let micros = text.bytes().fold(0, |n, b| n * 10 + u32::from(b - b'0'));
            self.rest = self.rest.get(7..).unwrap_or("");
            return Ok(micros * 1_000);
        }
        let Some(after) = after.filter(|_| digits > 0) else { return Ok(0) };
        // Digits beyond the ninth are cut off.
        let nanos = after.bytes().take(digits).chain(std::iter::repeat(b'0')).take(9);
        let nanos = nanos.fold(0, |n, b| n * 10 + u32::from(b - b'0'));
        self.rest = after.get(digits..).unwrap_or("");
        Ok(nanos)
    }

    /// `Z` or `+07:00`, in seconds.
    fn zone(&mut self) -> Result<i64, String> {
        const ELEMENT: &str = "Z07:00";
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let value = self.rest;
        let Some(zone) = value.get(..6).filter(|z| z.as_bytes()[3] == b':') else {
            return Err(self.mismatch(value, ELEMENT));
        };
        let number = |s: &str| s.parse::<i64>().ok().filter(|_| s.bytes().all(|b| b.is_ascii_digit()));
        let (hours, minutes) = (zone.get(1..3).and_then(number), zone.get(4..6).and_then(number));
        let (Some(hours), Some(minutes)) = (hours, minutes) else {
            return Err(self.mismatch(value, ELEMENT));
        };
        if hours > 24 {
            return Err(self.range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.range("time zone offset minute"));
        }
        let offset = (hours * 60 + minutes) * 60;
        self.rest = value.get(6..).unwrap_or("");
        match zone.as_bytes().first() {
            Some(b'+') => Ok(offset),
            Some(b'-') => Ok(-offset),
            _ => Err(self.mismatch(value, ELEMENT)),
        }
    }

    fn mismatch(&self, value: &str, element: &str) -> String {
        format!(
            "parsing time {} as {}: cannot parse {} as {}",
            quote(self.text),
            quote(self.layout.text()),
            quote(value),
            quote(element)
        )
    }

    fn range(&self, what: &str) -> String {
        format!("parsing time {}: {what} out of range", quote(self.text))
    }
}

/// The quoting of Go's `time` package: what is not plain ASCII goes as `\x` bytes.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => {
                let mut buf = [0; 4];
                out.extend(c.encode_utf8(&mut buf).bytes().map(|b| format!("\\x{b:02x}")));
            }
        }
    }
    out.push('"');
    out
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Year, month and day of a number of days from 1970-01-01.
const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + (month <= 2) as i64, month, doy - (153 * mp + 2) / 5 + 1)
}
