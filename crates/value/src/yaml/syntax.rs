//! Values as Go's `%#v` shows them, which upstream does in some of its errors.

use super::resolve::Scalar;
use crate::{Number, Value, json};

/// A decoded value; `nested` nulls are shown with their type.
pub(super) fn show(value: &Value, nested: bool) -> String {
    match value {
        Value::Null if nested => "interface {}(nil)".to_owned(),
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(Number::Float(x)) => json::format_g(*x),
        Value::Number(n) => n.to_string(),
        Value::String(s) => json::quote(s),
        Value::Array(a) => {
            let elements: Vec<String> = a.iter().map(|v| show(v, true)).collect();
            format!("[]interface {{}}{{{}}}", elements.join(", "))
        }
        Value::Object(m) => {
            let entries: Vec<String> =
                m.iter().map(|(k, v)| format!("{}:{}", json::quote(k), show(v, true))).collect();
            format!("map[interface {{}}]interface {{}}{{{}}}", entries.join(", "))
        }
    }
}

/// A scalar key.
pub(super) fn show_key(key: &Scalar, text: &str) -> String {
    match key {
        Scalar::Null => "<nil>".to_owned(),
        Scalar::Bool(b) => b.to_string(),
        Scalar::Int(n) => n.to_string(),
        Scalar::Uint(n) => format!("{n:#x}"),
        Scalar::Float(x) if x.is_nan() => "NaN".to_owned(),
        Scalar::Float(x) if x.is_infinite() => if *x > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        Scalar::Float(x) => json::format_g(*x),
        Scalar::Text | Scalar::SpecialText(_) => json::quote(text),
        Scalar::Decoded(bytes) => json::quote(&String::from_utf8_lossy(bytes)),
    }
}
