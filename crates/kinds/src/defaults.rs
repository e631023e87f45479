//! Filling in one field.

use value::Value;

/// Sets a pointer field that is nil.
pub(crate) fn default(object: &mut Value, name: &str, value: impl Into<Value>) {
    if object.at(name).is_null() {
        object.set(name, value);
    }
}

/// Sets a string field that is empty.
pub(crate) fn default_text(object: &mut Value, name: &str, text: &str) {
    if object.at(name).str().is_empty() {
        object.set(name, text);
    }
}
