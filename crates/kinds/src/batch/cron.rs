//! Cron schedules as `github.com/robfig/cron/v3`'s standard parser takes them, with its error texts.
//!
//! Only whether a schedule is valid matters here; nobody asks when it fires.

use meta::strconv::atoi;

/// The range of a field, and the names that stand for its numbers.
struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: MONTHS },
    Bounds { min: 0, max: 6, names: WEEKDAYS },
];

/// Whether `schedule` can be read.
///
/// # Errors
/// Upstream's text.
pub(super) fn parse(schedule: &str) -> Result<(), String> {
    if schedule.is_empty() {
        return Err("empty spec string".into());
    }
    let rest = without_time_zone(schedule)?;
    if rest.starts_with('@') {
        return descriptor(rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields.iter().zip(&FIELDS).try_for_each(|(text, bounds)| {
        text.split(',').filter(|part| !part.is_empty()).try_for_each(|part| range(part, bounds))
    })
}

/// The schedule behind a leading `TZ=` or `CRON_TZ=`.
fn without_time_zone(schedule: &str) -> Result<&str, String> {
    let Some(rest) = schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) else {
        return Ok(schedule);
    };
    let Some((zone, rest)) = rest.split_once(' ') else {
        // Upstream's parser panics here, and its caller tells so.
        return Err("invalid schedule format: runtime error: slice bounds out of range [:-1]".into());
    };
    load_location(zone).map_err(|e| format!("provided bad location {zone}: {e}"))?;
    Ok(rest.trim())
}

fn descriptor(text: &str) -> Result<(), String> {
    if let Some(duration) = text.strip_prefix("@every ") {
        return match meta::time::Duration::parse(duration) {
            Ok(_) => Ok(()),
            Err(e) => Err(format!("failed to parse duration {text}: {e}")),
        };
    }
    match text {
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => Ok(()),
        _ => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// One part of a field: `*`, `3`, `1-5`, each with an optional `/step`.
fn range(text: &str, bounds: &Bounds) -> Result<(), String> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let (start, mut end) = if matches!(ends[0], "*" | "?") {
        (bounds.min, bounds.max)
    } else {
        let start = number_or_name(ends[0], bounds)?;
        match ends.len() {
            1 => (start, start),
            2 => (start, number_or_name(ends[1], bounds)?),
            _ => return Err(format!("too many hyphens: {text}")),
        }
    };
    let step = match parts.len() {
        1 => 1,
        2 => {
            let step = number(parts[1])?;
            if ends.len() == 1 {
                end = bounds.max;
            }
            step
        }
        _ => return Err(format!("too many slashes: {text}")),
    };
    let (min, max) = (bounds.min, bounds.max);
    if start < min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {text}"));
    }
    if end > max {
        return Err(format!("end of range ({end}) above maximum ({max}): {text}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {text}"));
    }
    Ok(())
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let name = bounds.names.iter().position(|n| n.eq_ignore_ascii_case(text));
    match name {
        Some(i) => Ok(bounds.min + u64::try_from(i).unwrap_or(0)),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    match atoi(text) {
        Ok(n) => u64::try_from(n).map_err(|_| format!("negative number ({n}) not allowed: {text}")),
        Err(e) => Err(format!("failed to parse int from {text}: {e}")),
    }
}

/// Whether Go's `time.LoadLocation` knows a time zone.
///
/// # Errors
/// Go's text.
pub(super) fn load_location(name: &str) -> Result<(), String> {
    static NAMES: &str = include_str!("time_zones.txt");
    if matches!(name, "" | "UTC" | "Local") {
        return Ok(());
    }
    if name.contains("..") || name.starts_with(['/', '\\']) {
        return Err("time: invalid location name".into());
    }
    if NAMES.lines().any(|n| n == name) { Ok(()) } else { Err(format!("unknown time zone {name}")) }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn schedules() {
        let check =
            |text: &str, want: &str| assert_eq!(parse(text).err().unwrap_or_default(), want, "{text:?}");
        for good in [
            "* * * * *",
            "*/5 0-3,7 ? JAN-mar sun",
            "@hourly",
            "@every 1h30m",
            "TZ=UTC 0 0 1 1 0",
            "CRON_TZ=Europe/Berlin 5/10 * * * *",
            "0 0 1 1 ,",
        ] {
            check(good, "");
        }
        check("", "empty spec string");
        check("x", "expected exactly 5 fields, found 1: [x]");
        check("61 * * * *", "end of range (61) above maximum (59): 61");
        check("* * 0 * *", "beginning of range (0) below minimum (1): 0");
        check("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1");
        check("*/0 * * * *", "step of range should be a positive number: */0");
        check("1-2-3 * * * *", "too many hyphens: 1-2-3");
        check("1/2/3 * * * *", "too many slashes: 1/2/3");
        check("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax");
        check("@sometimes", "unrecognized descriptor: @sometimes");
        check("@every x", "failed to parse duration @every x: time: invalid duration \"x\"");
        check("TZ=UTC", "invalid schedule format: runtime error: slice bounds out of range [:-1]");
        check("TZ=Mars/X * * * * *", "provided bad location Mars/X: unknown time zone Mars/X");
    }
}
