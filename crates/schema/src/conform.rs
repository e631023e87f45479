//! Turning a patched tree into a type without a document between them.
//!
//! Follows `runtime.DefaultUnstructuredConverter` of `k8s.io/apimachinery`, which strategic merge patches go
//! through: it walks the Go struct in the order of its fields, stops at the first value that does not fit,
//! takes whole floats for integers and lets integers wrap around.

use crate::types::{Shape, TypeId, Types};
use crate::{DEPTH_MAX, Unknown, decode_value};
use value::{Number, Value};

/// How many unknown fields are reported.
const UNKNOWN_MAX: usize = 100;

/// Makes a tree one that [`decode_value`] accepts as this type. Returns `unknown field "…"` for each field
/// that it does not have, sorted; their paths do not tell the keys of maps.
///
/// # Errors
/// The first value that cannot be converted, in upstream's words.
pub fn conform(types: &Types, ty: TypeId, value: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    walk(types, ty, value, &mut Place { path: String::new(), unknown: &mut unknown }, DEPTH_MAX)?;
    unknown.sort_unstable();
    unknown.dedup();
    unknown.truncate(UNKNOWN_MAX);
    Ok(unknown)
}

/// Where the walk is.
struct Place<'a> {
    path: String,
    unknown: &'a mut Vec<String>,
}

impl Place<'_> {
    fn at<T>(&mut self, step: impl FnOnce(&mut String), walk: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        step(&mut self.path);
        let result = walk(self);
        self.path.truncate(length);
        result
    }
}

fn push_field(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn walk(
    types: &Types,
    ty: TypeId,
    value: &mut Value,
    place: &mut Place<'_>,
    depth: usize,
) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    // The decoder says that it is too deep.
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    match (types.shape(ty), &mut *value) {
        (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) | (Shape::Any, _) => Ok(()),
        (Shape::Float64, Value::Number(_)) => Ok(()),
        (Shape::Int32 | Shape::Int64, Value::Number(n)) => {
            let wide = integer(n).ok_or_else(|| format!("cannot convert float64 to {}", types.name(ty)))?;
            let kept = if matches!(types.shape(ty), Shape::Int32) { i64::from(wide as i32) } else { wide };
            *value = Value::from(kept);
            Ok(())
        }
        // Go can convert an integer to a string (of one character), so it is refused in other words.
        (Shape::String, Value::Number(n)) if n.as_i64().is_some() => {
            Err(format!("cannot convert int64 to {}", types.name(ty)))
        }
        (Shape::String, _) => Err("unrecognized type: string".into()),
        (Shape::Bool, _) => Err("unrecognized type: bool".into()),
        (Shape::Int32, _) => Err("unrecognized type: int32".into()),
        (Shape::Int64, _) => Err("unrecognized type: int64".into()),
        (Shape::Float64, _) => Err("unrecognized type: float64".into()),
        (Shape::Struct(s), Value::Object(map)) => {
            for field in &s.fields {
                if let Some(value) = map.get_mut(field.json) {
                    let step = |path: &mut String| push_field(path, field.json);
                    place.at(step, |place| walk(types, field.ty, value, place, depth))?;
                }
            }
            let unknown = map.keys().filter(|key| s.field(key).is_none());
            // One more would be cut off; maps of strangers are not worth more.
            for key in unknown.take((UNKNOWN_MAX + 1).saturating_sub(place.unknown.len())) {
                let mut path = place.path.clone();
                push_field(&mut path, key);
                place.unknown.push(format!("unknown field \"{path}\""));
            }
            Ok(())
        }
        (Shape::Struct(_), other) => Err(format!("cannot restore struct from: {}", kind(other))),
        (Shape::Map { value: element, .. }, Value::Object(map)) => {
            map.iter_mut().try_for_each(|(_, value)| walk(types, *element, value, place, depth))
        }
        (Shape::Map { .. }, other) => Err(format!("cannot restore map from {}", kind(other))),
        (Shape::List(element) | Shape::MessageList(element), Value::Array(items)) => {
            items.iter_mut().enumerate().try_for_each(|(i, value)| {
                let step = |path: &mut String| path.push_str(&format!("[{i}]"));
                place.at(step, |place| walk(types, *element, value, place, depth))
            })
        }
        (Shape::Bytes, Value::String(_)) => decode_value(types, ty, value, Unknown::Ignore)
            .map(drop)
            .map_err(|e| format!("error decoding from json: {e}")),
        (Shape::Bytes, Value::Array(items)) => match items.iter().find(|v| !matches!(v, Value::Number(_))) {
            Some(_) => Err("unrecognized type: uint8".into()),
            None => Ok(()),
        },
        (Shape::List(_) | Shape::MessageList(_) | Shape::Bytes, other) => {
            Err(format!("cannot restore slice from {}", kind(other)))
        }
        // Types that decode themselves do so from the value's document.
        (_, other) => decode_value(types, ty, other, Unknown::Ignore).map(drop).map_err(|e| e.to_string()),
    }
}

/// The integer that Go makes of a number, unless that would lose its fraction.
fn integer(n: &Number) -> Option<i64> {
    n.as_i64().or_else(|| Some(n.as_f64()).filter(|x| x.trunc() == *x).map(|x| x as i64))
}

/// What Go's `reflect` calls a value of a tree.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.as_i64().is_some() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use value::json;

    #[test]
    fn values_convert_or_are_refused_in_go_words() {
        let cases = [
            ("core/v1.ConfigMap", r#"{"data":{"a":1}}"#, Err("cannot convert int64 to string")),
            ("core/v1.ConfigMap", r#"{"data":{"a":1.5}}"#, Err("unrecognized type: string")),
            ("core/v1.ConfigMap", r#"{"data":[]}"#, Err("cannot restore map from slice")),
            ("core/v1.ConfigMap", r#"{"metadata":"x"}"#, Err("cannot restore struct from: string")),
            (
                "core/v1.ConfigMap",
                r#"{"data":{"a":null},"metadata":null}"#,
                Ok(r#"{"data":{"a":null},"metadata":null}"#),
            ),
            ("core/v1.PodSpec", r#"{"containers":{"name":"c"}}"#, Err("cannot restore slice from map")),
            ("core/v1.PodSpec", r#"{"restartPolicy":1}"#, Err("cannot convert int64 to v1.RestartPolicy")),
            ("core/v1.PodSpec", r#"{"hostNetwork":"x"}"#, Err("unrecognized type: bool")),
            ("core/v1.PodSpec", r#"{"priority":"x"}"#, Err("unrecognized type: int32")),
            ("core/v1.PodSpec", r#"{"priority":1.5}"#, Err("cannot convert float64 to int32")),
            ("core/v1.PodSpec", r#"{"priority":3.0}"#, Ok(r#"{"priority":3}"#)),
            ("core/v1.PodSpec", r#"{"priority":2147483648}"#, Ok(r#"{"priority":-2147483648}"#)),
            // The first field of the Go struct wins, not the first of the document.
            ("core/v1.PodSpec", r#"{"priority":"x","volumes":1}"#, Err("cannot restore slice from int64")),
        ];
        let types = Types::builtin();
        for (name, text, want) in cases {
            let ty = types.by_go_name(name).unwrap();
            let mut tree = json::parse(text.as_bytes()).unwrap();
            let got = conform(types, ty, &mut tree).map(|_| json::to_string(&tree));
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{name} {text}");
        }
    }

    #[test]
    fn unknown_fields_are_sorted_and_maps_have_no_path() {
        let types = Types::builtin();
        let text = r#"{"z":1,"containers":[{"name":"a"},{"nope":1}],"nodeSelector":{"a":"b"}}"#;
        let mut tree = json::parse(text.as_bytes()).unwrap();
        let unknown = conform(types, types.by_go_name("core/v1.PodSpec").unwrap(), &mut tree).unwrap();
        assert_eq!(unknown, [r#"unknown field "containers[1].nope""#, r#"unknown field "z""#]);
        let text = r#"{"attributes":{"m":{"nope":1}}}"#;
        let mut tree = json::parse(text.as_bytes()).unwrap();
        let unknown = conform(types, types.by_go_name("resource/v1.Device").unwrap(), &mut tree).unwrap();
        assert_eq!(unknown, [r#"unknown field "attributes.nope""#]);
    }
}
