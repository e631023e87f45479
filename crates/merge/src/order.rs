//! Equality and text of values as field sets need them.
//!
//! Numbers are compared by value (`1` equals `1.0`), which the tree's own equality does not do.
//! Upstream: structured-merge-diff `value/value.go`, `value/fields.go`.

use crate::DEPTH_MAX;
use meta::quote::{go_float, quote};
use std::fmt::Write;
use value::Value;
use value::order::compare_numbers;

/// Whether two values are the same document, numbers by value (below [`DEPTH_MAX`] levels as written).
pub fn equal(a: &Value, b: &Value) -> bool {
    equal_within(a, b, DEPTH_MAX)
}

fn equal_within(a: &Value, b: &Value, depth: usize) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b).is_eq(),
        _ if depth == 0 => a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal_within(a, b, depth - 1))
        }
        (Value::Object(a), Value::Object(b)) => {
            let mut pairs = a.iter().zip(b.iter());
            a.len() == b.len() && pairs.all(|((k, a), (l, b))| k == l && equal_within(a, b, depth - 1))
        }
        _ => false,
    }
}

/// Appends the text that stands for a value in a path, e.g. `"x"` in `.spec.finalizers[="x"]`.
pub fn write_text(out: &mut String, v: &Value) {
    match v {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => {
            let _ = write!(out, "{b}");
        }
        Value::Number(n) if n.is_integer() => {
            let _ = write!(out, "{n}");
        }
        Value::Number(n) => out.push_str(&go_float(n.as_f64())),
        Value::String(s) => out.push_str(&quote(s)),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(out, item);
            }
            out.push(']');
        }
        Value::Object(m) => {
            for (k, v) in m.iter() {
                let _ = write!(out, "{k}=");
                write_text(out, v);
            }
        }
    }
}

/// A value's Go type, as `%T` prints it.
pub fn go_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_integer() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as `%v` prints it; what is deeper than [`DEPTH_MAX`] is left out.
pub fn plain(v: &Value) -> String {
    let mut out = String::new();
    write_plain(&mut out, v, DEPTH_MAX);
    out
}

fn write_plain(out: &mut String, v: &Value, depth: usize) {
    match v {
        Value::Null => out.push_str("<nil>"),
        Value::String(s) => out.push_str(s),
        Value::Bool(_) | Value::Number(_) => write_text(out, v),
        _ if depth == 0 => out.push_str("..."),
        Value::Array(items) => {
            out.push('[');
            for (i, v) in items.iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                write_plain(out, v, depth - 1);
            }
            out.push(']');
        }
        Value::Object(m) => {
            out.push_str("map[");
            for (i, (k, v)) in m.iter().enumerate() {
                let _ = write!(out, "{}{k}:", if i > 0 { " " } else { "" });
                write_plain(out, v, depth - 1);
            }
            out.push(']');
        }
    }
}
