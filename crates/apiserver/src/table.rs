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
    let columns = if headers { kinds::columns::definitions(&served.row) } else { Value::Null };
    table.set("columnDefinitions", columns);
    table
}

/// The cells of an object.
pub fn cells(served: &Served, tree: &Value, now: meta::time::Time) -> Value {
    Value::Array(kinds::columns::cells(&served.row, tree, now))
}
