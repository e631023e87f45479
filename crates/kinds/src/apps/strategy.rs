//! Numbers and percentages of update strategies.

use crate::check;
use meta::field::{Error, ErrorList, Path};
use value::Value;

/// A number that is not negative, or a percentage.
pub(crate) fn positive_int_or_percent(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    match v {
        Value::String(s) => {
            if let Some(message) = check::percent_error(s) {
                errors.push(Error::invalid(path, v.clone(), message));
            }
        }
        _ => check::non_negative(v, path, errors),
    }
}

/// No percentage above 100.
pub(crate) fn not_more_than_100_percent(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if percent(v).is_some_and(|p| p > 100) {
        errors.push(Error::invalid(path, v.clone(), "must not be greater than 100%"));
    }
}

/// The number, or the number before the `%`; 0 for anything else.
pub(super) fn int_or_percent(v: &Value) -> i64 {
    percent(v).unwrap_or_else(|| match v {
        Value::String(s) => s.parse().unwrap_or(0),
        _ => v.int(),
    })
}

fn percent(v: &Value) -> Option<i64> {
    let s = v.as_str()?;
    check::percent_error(s).is_none().then(|| s[..s.len() - 1].parse().unwrap_or(i64::MAX))
}

/// An absent number or percentage as Go has it: zero.
pub(super) fn or_zero(v: &Value) -> Value {
    if v.is_null() { Value::from(0) } else { v.clone() }
}
