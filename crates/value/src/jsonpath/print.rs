//! Results as text.

use crate::{Number, Value, json};
use std::borrow::Cow;

/// Appends values with blanks between them: scalars plainly, the rest as JSON.
pub fn print(values: &[Cow<'_, Value>], out: &mut String) {
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        print_value(value, out);
    }
}

/// Appends one value: a scalar plainly, the rest as JSON.
pub fn print_value(value: &Value, out: &mut String) {
    match value {
        Value::Array(_) | Value::Object(_) => out.push_str(&json::to_string(value)),
        Value::Null => out.push_str("null"),
        scalar => out.push_str(&plain(scalar)),
    }
}

/// How deep a value is shown; what is deeper is left out.
const SHOWN_DEPTH_MAX: usize = 50;

/// Go's `%v`.
pub(super) fn plain(value: &Value) -> String {
    plain_at(value, 0)
}

fn plain_at(value: &Value, depth: usize) -> String {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= SHOWN_DEPTH_MAX => "...".to_owned(),
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::String(s) => s.to_string(),
        Value::Number(n) => number(n),
        Value::Array(a) => {
            let parts: Vec<String> = a.iter().map(|v| plain_at(v, depth + 1)).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::Object(m) => {
            let parts: Vec<String> =
                m.iter().map(|(k, v)| format!("{k}:{}", plain_at(v, depth + 1))).collect();
            format!("map[{}]", parts.join(" "))
        }
    }
}

/// A number as what it is decoded to.
fn number(n: &Number) -> String {
    match n.as_i64() {
        Some(n) => n.to_string(),
        None => json::format_g(n.as_f64()),
    }
}
