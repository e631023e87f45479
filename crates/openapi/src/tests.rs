use crate::names::definition as go_definition;
use crate::{Kind, paths, v3};
use expect_test::{Expect, expect};
use kinds::Table;
use value::{Value, json};

fn kinds() -> Vec<Kind<'static>> {
    Table::builtin().rows().iter().map(|row| Kind { row, schema: None, preserves_unknown: false }).collect()
}

/// Without sentences, which are not ours.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Value::object();
            for (key, value) in
                map.iter().filter(|(k, v)| k.as_str() != "description" || v.as_str().is_none())
            {
                out.set(key, bare(value));
            }
            out
        }
        Value::Array(items) => Value::Array(items.iter().map(bare).collect()),
        other => other.clone(),
    }
}

fn check(document: &str, path: &[&str], expect: Expect) {
    let document = v3(&kinds(), document).expect("is served");
    expect.assert_eq(&json::to_string(&bare(document.path(path))));
}

#[test]
fn names_of_definitions() {
    assert_eq!(go_definition("k8s.io/api/core/v1.Pod"), "io.k8s.api.core.v1.Pod");
    assert_eq!(
        go_definition("k8s.io/kube-aggregator/pkg/apis/apiregistration/v1.APIService"),
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService"
    );
}

#[test]
fn every_document_is_there_and_whole() {
    let kinds = kinds();
    for path in paths(&kinds) {
        let document = v3(&kinds, &path).expect("every name has a document");
        let schemas = document.path(&["components", "schemas"]);
        let text = json::to_string(&document);
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(schemas.get(name).is_some(), "{path}: {name} is missing");
        }
    }
    assert!(v3(&kinds, "apis/nope/v1").is_none());
    assert!(v3(&kinds, "api/v2").is_none());
    assert!(v3(&kinds, "apis/").is_none());
}

#[test]
fn definitions() {
    let schema = |name| ["components", "schemas", name];
    check(
        "apps/v1".replace("apps", "apis/apps").as_str(),
        &schema("io.k8s.api.apps.v1.Deployment"),
        expect![[""]],
    );
}
