//! Short ways to write trees.

use value::{Map, Str, Value};

/// An object of these entries.
pub(crate) fn object<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    let entries = entries.into_iter().map(|(k, v)| (Str::from(k), v)).collect();
    Value::Object(Map::from_entries(entries, |_| {}))
}

/// An array.
pub(crate) fn array(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

/// An array of strings.
pub(crate) fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    array(items.into_iter().map(Value::from))
}

/// `{"type": …}`.
pub(crate) fn of_type(name: &str) -> Value {
    object([("type", name.into())])
}

/// A reference to a definition.
pub(crate) fn reference(definition: &str) -> Value {
    object([("$ref", format!("#/components/schemas/{definition}").into())])
}

/// A group, version and kind.
pub(crate) fn gvk(group: &str, version: &str, kind: &str) -> Value {
    object([("group", group.into()), ("version", version.into()), ("kind", kind.into())])
}

/// Sets a text unless it is empty.
pub(crate) fn set_text(object: &mut Value, key: &str, text: String) {
    if !text.is_empty() {
        object.set(key, text);
    }
}
