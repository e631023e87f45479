//! What fuzzers feed to the reader of a conversion webhook's answer.

use super::convert;
use std::sync::LazyLock;
use value::{Value, json};

static ORIGINAL: LazyLock<Value> = LazyLock::new(|| {
    let text = br#"{"apiVersion":"a.example/v1","kind":"A","metadata":{"name":"n","namespace":"s","uid":"u",
        "labels":{"a":"b"},"resourceVersion":"7"},"spec":{"x":1}}"#;
    json::parse(text).expect("an object")
});

/// An answer: who converts changes neither name nor anything else that is not his.
pub(crate) fn answer(data: &[u8]) {
    for review in ["v1", "v1beta1"] {
        let Ok(object) = convert::converted(data, review, "u", "A") else { continue };
        let Ok(object) = convert::restored(&ORIGINAL, object, "a.example/v2", "A") else { continue };
        assert_eq!(object.at("apiVersion").str(), "a.example/v2");
        for key in ["name", "namespace", "uid", "resourceVersion"] {
            assert_eq!(object.at("metadata").at(key), ORIGINAL.at("metadata").at(key), "{key}");
        }
    }
}
