//! Schedules in the grammar of `robfig/cron`, which upstream uses: five fields, names, `@daily` and the like,
//! `@every 1h30m`, and a time zone in front (`TZ=Europe/Berlin`).

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use std::ops::RangeInclusive;

/// How far ahead a time is looked for: a 29th of February that is a certain day of the week comes within 5 years
/// or (at the turn of a century) not.
const YEARS_AHEAD_MAX: i16 = 5;

/// When something is to happen.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// At times of the calendar.
    Calendar(Box<Calendar>),
    /// After each such time.
    Every(SignedDuration),
}

/// Times of a calendar.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
    zone: TimeZone,
}

/// The values that a field allows, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// Whether it says nothing: `*`.
    any: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits & (1 << value) != 0)
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads a schedule; `zone` is where it holds, unless it says so itself.
    ///
    /// # Errors
    /// What is wrong, as a text for the user.
    pub(super) fn parse(text: &str, zone: &TimeZone) -> Result<Self, String> {
        let mut zone = zone.clone();
        let mut text = text.trim();
        if let Some(rest) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            let (name, rest) = rest.split_once(' ').ok_or_else(|| format!("no schedule after {text:?}"))?;
            zone = TimeZone::get(name).map_err(|error| format!("provided bad location {name}: {error}"))?;
            text = rest.trim();
        }
        if let Some(text) = text.strip_prefix("@every ") {
            let wait = duration(text).ok_or_else(|| format!("failed to parse duration {text:?}"))?;
            return Ok(Self::Every(SignedDuration::from_secs(wait.as_secs().max(1))));
        }
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => return Err(format!("unrecognized descriptor: {other}")),
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("expected exactly 5 fields, found {}: {fields:?}", fields.len()));
        };
        Ok(Self::Calendar(Box::new(Calendar {
            minutes: field(minutes, 0..=59, &[])?,
            hours: field(hours, 0..=23, &[])?,
            days: field(days, 1..=31, &[])?,
            months: field(months, 1..=12, &MONTHS)?,
            weekdays: field(weekdays, 0..=6, &WEEKDAYS)?,
            zone,
        })))
    }

    /// The first time after `after`; nothing if there is none in years.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(wait) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*wait).ok()
            }
            Self::Calendar(calendar) => calendar.next(after),
        }
    }
}

impl Calendar {
    /// Walks forward, field by field: by the calendar down to days, by elapsed time below, so that an hour that
    /// the clocks skip is skipped, and one that they repeat comes twice.
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let start = Timestamp::from_second(after.as_second() + 1).ok()?;
        let mut at = start.to_zoned(self.zone.clone());
        let last = at.year().checked_add(YEARS_AHEAD_MAX)?;
        while at.year() <= last {
            if !self.months.has(at.month()) {
                at = self.civil(
                    at.date().first_of_month().checked_add(1.month()).ok()?.to_datetime(Time::midnight()),
                )?;
            } else if !self.is_day(&at) {
                at = self.civil(at.date().tomorrow().ok()?.to_datetime(Time::midnight()))?;
            } else if !self.hours.has(at.hour()) {
                let rest = 3_600 - 60 * i64::from(at.minute()) - i64::from(at.second());
                at = at.checked_add(SignedDuration::from_secs(rest)).ok()?;
            } else if !self.minutes.has(at.minute()) || at.second() != 0 {
                at = at.checked_add(SignedDuration::from_secs(60 - i64::from(at.second()))).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }

    /// A time of the clocks; one that they skip is moved on.
    fn civil(&self, at: DateTime) -> Option<Zoned> {
        self.zone.to_ambiguous_zoned(at).compatible().ok()
    }

    /// Of day of the month and day of the week both must fit, if one of them is `*`, else one is enough.
    fn is_day(&self, at: &Zoned) -> bool {
        let day = self.days.has(at.day());
        let weekday = self.weekdays.has(at.weekday().to_sunday_zero_offset());
        if self.days.any || self.weekdays.any { day && weekday } else { day || weekday }
    }
}

fn field(text: &str, bounds: RangeInclusive<u8>, names: &[&str]) -> Result<Field, String> {
    let mut all = Field { bits: 0, any: false };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let one = range(part, &bounds, names)?;
        all = Field { bits: all.bits | one.bits, any: all.any || one.any };
    }
    if all.bits == 0 {
        return Err(format!("empty field: {text:?}"));
    }
    Ok(all)
}

fn range(text: &str, bounds: &RangeInclusive<u8>, names: &[&str]) -> Result<Field, String> {
    let (values, step) = match text.split_once('/') {
        Some((values, step)) => (values, Some(number(step, bounds, &[])?)),
        None => (text, None),
    };
    let any = matches!(values, "*" | "?");
    let (first, last) = match values.split_once('-') {
        _ if any => (*bounds.start(), *bounds.end()),
        Some((first, last)) => (number(first, bounds, names)?, number(last, bounds, names)?),
        None => {
            let first = number(values, bounds, names)?;
            // "5/15" is from 5 on.
            (first, if step.is_some() { *bounds.end() } else { first })
        }
    };
    if first < *bounds.start() || last > *bounds.end() || first > last {
        return Err(format!("{text:?} is not within {}-{}", bounds.start(), bounds.end()));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text:?}"));
    }
    let bits = (first..=last).step_by(step.into()).fold(0, |bits, value| bits | 1 << value);
    Ok(Field { bits, any: any && step == 1 })
}

fn number(text: &str, bounds: &RangeInclusive<u8>, names: &[&str]) -> Result<u8, String> {
    let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
    let named = named.and_then(|place| u8::try_from(place).ok()).map(|place| place + bounds.start());
    let digits = || text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    named.or_else(digits).ok_or_else(|| format!("failed to parse number: {text:?}"))
}

/// Go's durations: `1h30m`, `1.5h`. Whole seconds count.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.');
        let unit = unit_end.map_or(&rest[digits..], |end| &rest[digits..digits + end]);
        seconds += amount
            * match unit {
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                "us" | "µs" => 0.000_001,
                "ns" => 0.000_000_001,
                _ => return None,
            };
        rest = &rest[digits + unit.len()..];
    }
    SignedDuration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone: &str, after: &str) -> String {
        let zone = TimeZone::get(zone).expect("a zone");
        let after: Timestamp = after.parse().expect("a time");
        let schedule = Schedule::parse(schedule, &zone).expect("a schedule");
        schedule.next(after).map_or("never".to_owned(), |time| time.to_string())
    }

    #[test]
    fn times() {
        for (schedule, after, expected) in [
            ("* * * * *", "2026-07-09T14:45:00Z", "2026-07-09T14:46:00Z"),
            ("* * * * *", "2026-07-09T14:59:59.5Z", "2026-07-09T15:00:00Z"),
            ("*/15 * * * *", "2026-07-09T14:45:01Z", "2026-07-09T15:00:00Z"),
            ("20-35/15 * * * *", "2026-07-09T15:45:00Z", "2026-07-09T16:20:00Z"),
            ("5/20 * * * *", "2026-07-09T15:06:00Z", "2026-07-09T15:25:00Z"),
            ("0 0 * * *", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 29 feb ?", "2026-07-09T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 31 * *", "2026-02-01T00:00:00Z", "2026-03-31T00:00:00Z"),
            ("0 9 * * MON-FRI", "2026-07-10T10:00:00Z", "2026-07-13T09:00:00Z"),
            ("0 0 13 * 5", "2026-07-09T00:00:00Z", "2026-07-10T00:00:00Z"),
            ("0 0 */2 * 5", "2026-07-10T00:00:00Z", "2026-07-11T00:00:00Z"),
            ("30 8,20 1 1,7 *", "2026-07-01T09:00:00Z", "2026-07-01T20:30:00Z"),
            ("0 0 31 2 *", "2026-07-01T09:00:00Z", "never"),
            ("@hourly", "2026-07-09T14:45:00Z", "2026-07-09T15:00:00Z"),
            ("@weekly", "2026-07-09T14:45:00Z", "2026-07-12T00:00:00Z"),
            ("@yearly", "2026-07-09T14:45:00Z", "2027-01-01T00:00:00Z"),
            ("@every 1h30m", "2026-07-09T14:45:00.7Z", "2026-07-09T16:15:00Z"),
            ("TZ=Asia/Kolkata 0 12 * * *", "2026-07-09T00:00:00Z", "2026-07-09T06:30:00Z"),
        ] {
            assert_eq!(next(schedule, "UTC", after), expected, "{schedule} after {after}");
        }
    }

    #[test]
    fn clocks_that_change() {
        let new_york = "America/New_York";
        for (schedule, after, expected) in [
            // 2026-03-08: 02:00 is 03:00.
            ("30 2 * * *", "2026-03-08T05:00:00Z", "2026-03-09T06:30:00Z"),
            ("0 3 * * *", "2026-03-08T05:00:00Z", "2026-03-08T07:00:00Z"),
            ("0 * * * *", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"),
            // 2026-11-01: 02:00 is 01:00 again.
            ("30 1 * * *", "2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z"),
            ("30 1 * * *", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"),
            ("30 1 * * *", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"),
        ] {
            assert_eq!(next(schedule, new_york, after), expected, "{schedule} after {after}");
        }
        // A day without midnight.
        assert_eq!(next("0 0 * * *", "America/Asuncion", "2023-09-30T12:00:00Z"), "2023-10-02T03:00:00Z");
    }

    #[test]
    fn what_is_no_schedule() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "x * * * *",
            "1,,x * * * *",
            ", * * * *",
            "@never",
            "@every x",
            "@every ",
            "TZ=No/Where * * * * *",
            "TZ=UTC",
            "+1 * * * *",
        ] {
            assert!(Schedule::parse(text, &TimeZone::UTC).is_err(), "{text:?}");
        }
    }
}
