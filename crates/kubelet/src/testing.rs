//! What several tests use.

use api::core::v1::Pod;
use serde_json::{Value, json};

/// A pod of that specification, as a test needs it.
pub(crate) fn pod(spec: Value) -> Pod {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}
