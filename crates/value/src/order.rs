//! A total order of values.
//!
//! Numbers are compared by value (`1` equals `1.0`), which the tree's own equality does not do. It is the order of
//! structured-merge-diff (`value/value.go`, `value/fields.go`).

use crate::{Map, Number, Value};
use std::cmp::Ordering;

/// A total order of values: numbers, strings, booleans, lists, maps, null.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => compare_lists(a, b),
        (Value::Object(a), Value::Object(b)) => compare_maps(a, b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn rank(v: &Value) -> u8 {
    match v {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// Numbers by value: `1` equals `1.0`.
pub fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a.cmp(b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

fn compare_lists(a: &[Value], b: &[Value]) -> Ordering {
    let different = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|o| o.is_ne());
    different.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_maps(a: &Map, b: &Map) -> Ordering {
    let pairs = a.iter().zip(b.iter());
    let different = pairs.map(|((k, a), (l, b))| k.cmp(l).then_with(|| compare(a, b))).find(|o| o.is_ne());
    different.unwrap_or_else(|| a.len().cmp(&b.len()))
}
