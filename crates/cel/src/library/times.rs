//! Parts of timestamps and durations.
//!
//! Upstream counterpart: cel-go `common/stdlib/standard.go`, with UTC as the default zone.

use crate::decls::Library;
use crate::eval::Call;
use crate::time::{Civil, zone_offset};
use crate::val::{Eval, EvalError, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 0,
    signatures: "
        getFullYear timestamp_to_year timestamp.() -> int
        getFullYear timestamp_to_year_with_tz timestamp.(string) -> int
        getMonth timestamp_to_month timestamp.() -> int
        getMonth timestamp_to_month_with_tz timestamp.(string) -> int
        getDayOfYear timestamp_to_day_of_year timestamp.() -> int
        getDayOfYear timestamp_to_day_of_year_with_tz timestamp.(string) -> int
        getDayOfMonth timestamp_to_day_of_month timestamp.() -> int
        getDayOfMonth timestamp_to_day_of_month_with_tz timestamp.(string) -> int
        getDate timestamp_to_day_of_month_1_based timestamp.() -> int
        getDate timestamp_to_day_of_month_1_based_with_tz timestamp.(string) -> int
        getDayOfWeek timestamp_to_day_of_week timestamp.() -> int
        getDayOfWeek timestamp_to_day_of_week_with_tz timestamp.(string) -> int
        getHours timestamp_to_hours timestamp.() -> int
        getHours timestamp_to_hours_with_tz timestamp.(string) -> int
        getHours duration_to_hours duration.() -> int
        getMinutes timestamp_to_minutes timestamp.() -> int
        getMinutes timestamp_to_minutes_with_tz timestamp.(string) -> int
        getMinutes duration_to_minutes duration.() -> int
        getSeconds timestamp_to_seconds timestamp.() -> int
        getSeconds timestamp_to_seconds_tz timestamp.(string) -> int
        getSeconds duration_to_seconds duration.() -> int
        getMilliseconds timestamp_to_milliseconds timestamp.() -> int
        getMilliseconds timestamp_to_milliseconds_with_tz timestamp.(string) -> int
        getMilliseconds duration_to_milliseconds duration.() -> int
    ",
    runs: &[
        ("getFullYear", get),
        ("getMonth", get),
        ("getDayOfYear", get),
        ("getDayOfMonth", get),
        ("getDate", get),
        ("getDayOfWeek", get),
        ("getHours", get),
        ("getMinutes", get),
        ("getSeconds", get),
        ("getMilliseconds", get),
    ],
};

fn get<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (t, offset) = match args {
        [Val::Timestamp(t)] => (t, 0),
        [Val::Timestamp(t), Val::String(zone)] => (t, zone_offset(zone, *t).map_err(EvalError::new)?),
        [Val::Duration(d)] => return of_duration(call, *d, args),
        _ => return call.no_overload(args),
    };
    let c: Civil = t.civil(offset);
    Ok(Val::Int(match call.function {
        "getFullYear" => c.year,
        "getMonth" => c.month - 1,
        "getDayOfYear" => c.day_of_year,
        "getDayOfMonth" => c.day - 1,
        "getDate" => c.day,
        "getDayOfWeek" => c.weekday,
        "getHours" => c.hour,
        "getMinutes" => c.minute,
        "getSeconds" => c.second,
        _ => i64::from(t.nanos() / 1_000_000),
    }))
}

/// Of a duration: all of it in that unit.
fn of_duration<'a>(call: &Call, nanos: i64, args: &[Val<'a>]) -> Eval<Val<'a>> {
    Ok(Val::Int(match call.function {
        "getHours" => nanos / 3_600_000_000_000,
        "getMinutes" => nanos / 60_000_000_000,
        "getSeconds" => nanos / 1_000_000_000,
        "getMilliseconds" => nanos / 1_000_000,
        _ => return call.no_overload(args),
    }))
}
