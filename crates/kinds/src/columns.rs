//! What `kubectl get` prints: the columns of a kind and the cells of an object.
//!
//! Upstream: `pkg/printers/internalversion/printers.go`; kinds without printer have the columns of
//! `k8s.io/apiserver/pkg/registry/rest/table.go`.

use crate::Row;
use meta::time::Time;
use value::Value;

/// `columnDefinitions` of a kind.
pub fn definitions(_row: &Row) -> Value {
    let column = |name: &str, format: &str| {
        let mut c = Value::object();
        c.set("name", name);
        c.set("type", if format == "name" { "string" } else { "date" });
        c.set("format", format);
        c.set("description", "");
        c.set("priority", 0);
        c
    };
    Value::Array(vec![column("Name", "name"), column("Created At", "")])
}

/// The cells of an object, one for each column.
pub fn cells(_row: &Row, object: &Value, _now: Time) -> Vec<Value> {
    let metadata = object.at("metadata");
    vec![metadata.at("name").clone(), metadata.at("creationTimestamp").clone()]
}
