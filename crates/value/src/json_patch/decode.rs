//! Decoding a patch document.

use super::{Field, JsonPatch, Operation};
use crate::{Str, Value, json};
use std::fmt;

/// Why a document is no patch, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    message: String,
}

impl DecodeError {
    fn mismatch(value: &Value, into: &str) -> Self {
        Self { message: format!("json: cannot unmarshal {} into Go {into}", go_kind(value)) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl From<json::Error> for DecodeError {
    fn from(error: json::Error) -> Self {
        Self { message: error.to_string() }
    }
}

/// A patch and what strict decoding finds fault with.
#[derive(Clone, Debug, PartialEq)]
pub struct StrictPatch {
    /// The patch.
    pub patch: JsonPatch,
    /// Texts such as `unknown field "[0].foo"`, in document order, at most 100.
    pub faults: Vec<String>,
}

impl JsonPatch {
    /// Decodes a patch; members that RFC 6902 does not know are ignored.
    ///
    /// # Errors
    /// If it is no JSON, no list, or an element is no object.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        Self::from_value(json::parse(data)?)
    }

    /// Decodes a patch and looks for unknown and duplicate members, as the API server does with field
    /// validation `Warn` and `Strict`.
    ///
    /// # Errors
    /// As [`JsonPatch::parse`], and if `op`, `path` or `from` is no string.
    pub fn parse_strict(data: &[u8]) -> Result<StrictPatch, DecodeError> {
        let mut duplicates = json::Duplicates::new();
        let value = json::parse_with(data, &mut duplicates)?;
        let unknown = check_types(&value)?;
        let offsets = json::field_offsets(data, &unknown);
        let mut faults: Vec<(usize, String)> = unknown
            .iter()
            .zip(offsets)
            .map(|(path, offset)| (offset.unwrap_or(0), format!("unknown field {}", json::quote(path))))
            // Nothing is reported from within unknown members, nor that they come twice.
            .chain(
                duplicates.iter().filter(|d| !within(&d.path, &unknown)).map(|d| (d.offset, d.to_string())),
            )
            .collect();
        faults.sort();
        faults.truncate(json::DUPLICATES_MAX);
        let faults = faults.into_iter().map(|(_, text)| text).collect();
        Ok(StrictPatch { patch: Self::from_value(value)?, faults })
    }

    /// Takes a parsed document for a patch.
    ///
    /// # Errors
    /// If it is no list (or null), or an element is no object (or null).
    pub fn from_value(value: Value) -> Result<Self, DecodeError> {
        let elements = match value {
            Value::Null => Vec::new(),
            Value::Array(elements) => elements,
            other => return Err(DecodeError::mismatch(&other, "value of type jsonpatch.Patch")),
        };
        let operations = elements.into_iter().map(Operation::from_value).collect::<Result<_, _>>()?;
        Ok(Self { operations })
    }
}

impl Operation {
    fn from_value(mut value: Value) -> Result<Self, DecodeError> {
        if !matches!(value, Value::Object(_) | Value::Null) {
            return Err(DecodeError::mismatch(&value, "value of type jsonpatch.Operation"));
        }
        let kind = match value.at("op") {
            Value::String(s) => s.clone(),
            _ => Str::new_static("unknown"),
        };
        let field = |name: &str| match value.at(name) {
            Value::Null => Field::Missing,
            Value::String(s) => Field::Text(s.clone()),
            other => Field::Not(go_kind(other)),
        };
        let (path, from) = (field("path"), field("from"));
        Ok(Self { kind, path, from, value: value.remove("value") })
    }
}

/// Checks the members' types and returns the paths of those that are unknown.
fn check_types(value: &Value) -> Result<Vec<String>, DecodeError> {
    if !matches!(value, Value::Array(_) | Value::Null) {
        return Err(DecodeError::mismatch(value, "value of type []handlers.jsonPatchOp"));
    }
    let mut unknown = Vec::new();
    for (i, operation) in value.items().iter().enumerate() {
        if !matches!(operation, Value::Object(_) | Value::Null) {
            return Err(DecodeError::mismatch(operation, "value of type handlers.jsonPatchOp"));
        }
        for (key, member) in operation.entries() {
            match key.as_str() {
                "value" => {}
                "op" | "path" | "from" if matches!(member, Value::String(_) | Value::Null) => {}
                "op" | "path" | "from" => {
                    let into = format!("struct field jsonPatchOp.{key} of type string");
                    return Err(DecodeError::mismatch(member, &into));
                }
                _ if unknown.len() < json::DUPLICATES_MAX => unknown.push(format!("[{i}].{key}")),
                _ => {}
            }
        }
    }
    Ok(unknown)
}

/// Whether a path is one of `roots` or goes on from one.
fn within(path: &str, roots: &[String]) -> bool {
    roots.iter().any(|root| {
        path.strip_prefix(root.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// What Go's decoder calls a value.
pub(super) const fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
