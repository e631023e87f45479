//! `meta.k8s.io` Tables: what `kubectl get` prints.

use crate::resource::Served;
use value::Value;

/// What a row of a Table carries besides its cells (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// The object's metadata; the default.
    Metadata,
    /// The object.
    Object,
}

impl Include {
    /// Reads the query parameter.
    pub fn parse(text: &str) -> Self {
        match text {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// A Table without rows.
pub fn table(served: &Served, beta: bool, headers: bool) -> Value {
    let mut table = Value::object();
    table.set("kind", "Table");
    table.set("apiVersion", if beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" });
    let columns = if headers { definitions(served) } else { Value::Null };
    table.set("columnDefinitions", columns);
    table
}

/// How long ago a time is, as a cell shows it.
fn age(text: &str, now: meta::time::Time) -> Value {
    match meta::time::Time::parse(text) {
        Err(_) => "<invalid>".into(),
        Ok(time) if time.is_zero() => "<unknown>".into(),
        Ok(time) => meta::time::human_duration(now.since(time)).into(),
    }
}

fn definitions(served: &Served) -> Value {
    let builtin = kinds::columns::definitions(&served.row);
    match served.codec.custom() {
        Some(custom) if !custom.here().is_none_or(|v| v.columns.is_empty()) => {
            custom.column_definitions(builtin.items().first().map_or(&Value::Null, |c| c.at("description")))
        }
        _ => builtin,
    }
}

/// The cells of an object.
pub fn cells(served: &Served, tree: &Value, now: meta::time::Time) -> Value {
    match served.codec.custom() {
        Some(custom) if !custom.here().is_none_or(|v| v.columns.is_empty()) => {
            Value::Array(custom.cells(tree, |text| age(text, now)))
        }
        _ => Value::Array(kinds::columns::cells(&served.row, tree, now)),
    }
}
