//! Timestamps and durations in CEL's and OpenAPI's forms.
//!
//! Upstream counterparts: cel-go `common/types/timestamp.go`, `duration.go`; Go's `time.ParseDuration`;
//! `strfmt.ParseDuration`, `strfmt.ParseDateTime`.

use std::cmp::Ordering;

use jiff::tz::TimeZone;

const SECOND: i64 = 1_000_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the first and last second of a CEL timestamp.
pub(crate) const SECONDS_MIN: i64 = -62_135_596_800;
pub(crate) const SECONDS_MAX: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// An instant, and the offset it was written with, which only matters when it is printed.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    seconds: i64,
    nanos: u32,
    offset: i32,
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

/// A calendar date and time of day.
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) day_of_year: i64,
    pub(crate) weekday: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

impl Time {
    /// Seconds since 1970 and nanoseconds in UTC; `None` outside the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        ((SECONDS_MIN..=SECONDS_MAX).contains(&seconds) && nanos < 1_000_000_000).then_some(Self {
            seconds,
            nanos,
            offset: 0,
        })
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds into the second.
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.seconds == SECONDS_MIN && self.nanos == 0
    }

    /// Nanoseconds since 1970.
    pub(crate) fn total_nanos(&self) -> i128 {
        i128::from(self.seconds) * i128::from(SECOND) + i128::from(self.nanos)
    }

    /// The instant `nanos` later, with the same offset; `None` out of range.
    pub(crate) fn plus(&self, nanos: i64) -> Option<Self> {
        let total = self.total_nanos() + i128::from(nanos);
        let seconds = i64::try_from(total.div_euclid(i128::from(SECOND))).ok()?;
        let t = Self::new(seconds, total.rem_euclid(i128::from(SECOND)) as u32)?;
        Some(Self { offset: self.offset, ..t })
    }

    /// The date and time of day at an offset (seconds east of UTC).
    pub(crate) fn civil(&self, offset: i64) -> Civil {
        let local = self.seconds + offset;
        let (days, of_day) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        Civil {
            year,
            month,
            day,
            day_of_year: days - days_from_civil(year, 1, 1),
            weekday: (days + 4).rem_euclid(7),
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

/// Go's duration syntax: `1h30m`, `-1.5s`, `0`.
pub(crate) fn parse_go_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    // Magnitude up to 2^63, which only a negative duration may reach.
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let whole = &rest[..whole_len];
        rest = &rest[whole_len..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let n = after.bytes().take_while(u8::is_ascii_digit).count();
            fraction = &after[..n];
            rest = &after[n..];
        }
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_len = rest.bytes().take_while(|b| *b != b'.' && !b.is_ascii_digit()).count();
        let unit: u64 = match rest.get(..unit_len)? {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        rest = &rest[unit_len..];
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut part = whole.checked_mul(unit)?;
        if !fraction.is_empty() {
            let (mut f, mut scale) = (0u64, 1f64);
            for d in fraction.bytes() {
                let Some(next) = f.checked_mul(10).and_then(|f| f.checked_add(u64::from(d - b'0'))) else {
                    break;
                };
                if next > i64::MAX as u64 {
                    break;
                }
                f = next;
                scale *= 10.0;
            }
            part = part.checked_add((f as f64 * (unit as f64 / scale)) as u64)?;
        }
        total = total.checked_add(part).filter(|t| *t <= 1 << 63)?;
    }
    if negative { 0i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() }
}

/// `strfmt.ParseDuration`: Go's syntax, or numbers with units from weeks to nanoseconds.
pub(crate) fn parse_openapi_duration(text: &str) -> Option<i64> {
    if let Some(d) = parse_go_duration(text) {
        return Some(d);
    }
    let text = text.trim();
    let mut total: i64 = 0;
    let mut rest = text;
    let mut matched = false;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let unit = match rest.get(..letters)?.to_lowercase().as_str() {
            "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
            "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => 24 * 3600 * SECOND,
            "w" | "wk" | "wks" | "week" | "weeks" => 7 * 24 * 3600 * SECOND,
            _ => return None,
        };
        rest = rest[letters..].trim_start();
        total = total.checked_add(n.checked_mul(unit)?)?;
        matched = true;
    }
    matched.then_some(total)
}

/// `2006-01-02` or an OpenAPI date-time.
pub(crate) fn parse_openapi_time(text: &str, date: bool) -> Option<Time> {
    if date {
        return if text.len() == 10 { parse_rfc3339(&format!("{text}T00:00:00Z")) } else { None };
    }
    parse_rfc3339(text).or_else(|| {
        // Without an offset: UTC.
        parse_rfc3339(&format!("{text}Z"))
    })
}

/// `strfmt.IsDateTime`: the date is checked, of the time only that its parts are in range.
pub(crate) fn is_openapi_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    let two = |from: usize, max: &str| {
        time.get(from..from + 2).is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()) && d <= max)
    };
    let colon = |at: usize| time.as_bytes().get(at) == Some(&b':');
    if parse_openapi_time(date, true).is_none()
        || !(two(0, "23") && colon(2) && two(3, "59") && colon(5) && two(6, "59"))
    {
        return false;
    }
    let rest = &time[8..];
    // A fraction after any one character.
    let zone = match rest.char_indices().nth(1) {
        Some((digits, _)) if rest[digits..].starts_with(|c: char| c.is_ascii_digit()) && !is_zone(rest) => {
            rest[digits..].trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    is_zone(zone)
}

/// `z` or `±hh:mm`
fn is_zone(text: &str) -> bool {
    let b = text.as_bytes();
    text == "z"
        || b.len() == 6
            && matches!(b[0], b'+' | b'-')
            && b[3] == b':'
            && [1, 2, 4, 5].iter().all(|&i| b[i].is_ascii_digit())
}

/// Strict RFC 3339, as Go's `time.Parse(time.RFC3339, …)`.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Time> {
    let b = text.as_bytes();
    let digits = |from: usize, n: usize| -> Option<i64> {
        let part = text.get(from..from + n)?;
        part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is = |i: usize, c: u8| b.get(i) == Some(&c);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    let mut at = 19;
    let mut nanos = 0i64;
    if is(at, b'.') || is(at, b',') {
        let n = b[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
        if n == 0 {
            return None;
        }
        let mut shown = text[at + 1..at + 1 + n.min(9)].to_owned();
        while shown.len() < 9 {
            shown.push('0');
        }
        nanos = shown.parse().ok()?;
        at += 1 + n;
    }
    let offset = match b.get(at)? {
        b'Z' if b.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if b.len() == at + 6 && is(at + 3, b':') => {
            let (h, m) = (digits(at + 1, 2)?, digits(at + 4, 2)?);
            if h > 24 || m > 60 {
                return None;
            }
            (h * 3600 + m * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 || !(1..=days_of_month).contains(&day) {
        return None;
    }
    let local = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(Time { seconds: local - offset, nanos: nanos as u32, offset: offset as i32 })
}

/// RFC 3339 with as many digits of the second's fraction as needed, at the offset it was written with.
pub(crate) fn timestamp_to_string(t: Time) -> String {
    let c = t.civil(t.offset.into());
    let mut text =
        format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second);
    if t.nanos != 0 {
        text.push_str(format!(".{:09}", t.nanos).trim_end_matches('0'));
    }
    if t.offset == 0 {
        text.push('Z');
    } else {
        let minutes = t.offset.unsigned_abs() / 60;
        let sign = if t.offset < 0 { '-' } else { '+' };
        text.push_str(&format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
    }
    text
}

/// The seconds with an `s`: what `string(duration)` gives.
pub(crate) fn duration_to_string(nanos: i64) -> String {
    // strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
    let seconds = (nanos / SECOND) as f64 + (nanos % SECOND) as f64 / 1e9;
    format!("{seconds}s")
}

/// Go's `Duration.String()`.
pub(crate) fn go_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let abs = nanos.unsigned_abs();
    let fraction = |n: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let f = format!("{:0digits$}", n % unit);
        let f = f.trim_end_matches('0');
        if f.is_empty() { (n / unit).to_string() } else { format!("{}.{f}", n / unit) }
    };
    match abs {
        0..1_000 => return format!("{sign}{abs}ns"),
        1_000..1_000_000 => return format!("{sign}{}µs", fraction(abs, 1_000)),
        1_000_000..1_000_000_000 => return format!("{sign}{}ms", fraction(abs, 1_000_000)),
        _ => {}
    }
    let minutes = abs / 60_000_000_000;
    let seconds = fraction(abs % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, m) => format!("{sign}{m}m{seconds}s"),
        (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
    }
}

/// The offset (seconds east of UTC) at `t` of the zone an accessor names: an IANA name or `±HH:MM`.
///
/// # Errors
/// Upstream's text for a zone that is not known.
pub(crate) fn zone_offset(name: &str, t: Time) -> Result<i64, String> {
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(0);
    }
    let Some(colon) = name.find(':') else {
        let zone = TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))?;
        // jiff's range ends two days short of the year 9999's end; offsets do not change there.
        let range = jiff::Timestamp::MIN.as_second()..=jiff::Timestamp::MAX.as_second();
        let at = jiff::Timestamp::from_second(t.seconds.clamp(*range.start(), *range.end()));
        return Ok(at.map_or(0, |at| zone.to_offset(at).seconds().into()));
    };
    let number = |s: &str| {
        s.parse::<i32>().map(i64::from).map_err(|_| format!("strconv.Atoi: parsing {s:?}: invalid syntax"))
    };
    let hours = number(&name[..colon])?;
    let minutes = number(&name[colon + 1..])?;
    let minutes = if name.starts_with('-') { hours * 60 - minutes } else { hours * 60 + minutes };
    // Far enough for every meaning, near enough for the arithmetic.
    Ok((minutes * 60).clamp(-1_000_000_000_000, 1_000_000_000_000))
}
