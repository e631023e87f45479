//! Why a patch cannot be applied.
//!
//! Upstream: `mergepatch/errors.go`, classified as `interpretStrategicMergePatchError` in
//! `apiserver/pkg/endpoints/handlers/patch.go` does.

use crate::order::{go_type, plain};
use meta::gvk::GroupResource;
use meta::status::Status;
use std::fmt;
use value::{Map, Value};

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// 400.
    BadRequest(String),
    /// 422.
    Unprocessable(String),
    /// What upstream answers with 500 and the bare text.
    Other(String),
}

impl Error {
    /// A strategic merge patch of a custom resource.
    pub fn unsupported() -> Self {
        Self::BadRequest("strategic merge patch format is not supported".into())
    }

    /// A patch document that is no object, as Go's decoder words it.
    pub(super) fn no_object(v: &Value) -> Self {
        let form = match v {
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            _ => "bool",
        };
        let text = format!("json: cannot unmarshal {form} into Go value of type map[string]interface {{}}");
        Self::BadRequest(text)
    }

    pub(super) fn bad_arg_type(expected: &str, actual: &Value) -> Self {
        let actual = if actual.is_null() { "%!s(<nil>)" } else { go_type(actual) };
        Self::Other(format!("expected a {expected}, but received a {actual}"))
    }

    pub(super) fn no_merge_key(map: &Map, key: &str) -> Self {
        let map = plain(&Value::Object(map.clone()));
        Self::Other(format!("map: {map} does not contain declared merge key: {key}"))
    }

    pub(super) fn bad_patch_type(directive: &Value, map: Map) -> Self {
        let directive = match directive {
            Value::String(s) => s.to_string(),
            Value::Null => "%!s(<nil>)".into(),
            other => format!("%!s({}={})", go_type(other), plain(other)),
        };
        Self::Other(format!("unknown patch type: {directive} in map: {}", plain(&Value::Object(map))))
    }

    /// The Status for the client.
    pub fn to_status(&self) -> Status {
        match self {
            Self::BadRequest(text) => Status::bad_request(text.clone()),
            Self::Unprocessable(text) => {
                Status::generic_server_response(422, "", &GroupResource::default(), "", text, 0)
            }
            Self::Other(text) => Status::plain_error(text),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::BadRequest(text) | Self::Unprocessable(text) | Self::Other(text)) = self;
        f.write_str(text)
    }
}
