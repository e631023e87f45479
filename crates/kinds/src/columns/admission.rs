//! Admission policies and their bindings.

use super::format::{age, name, number};
use meta::time::Time;
use value::Value;

pub(super) fn policy(o: &Value, rules: &Value, now: Time) -> Vec<Value> {
    let kind = o.at("spec").at("paramKind");
    let shown = if kind.is_null() {
        "<unset>".to_owned()
    } else {
        format!("{}/{}", kind.at("apiVersion").str(), kind.at("kind").str())
    };
    vec![name(o), number(rules.items().len()), shown.into(), age(o, now)]
}

pub(super) fn binding(o: &Value, now: Time) -> Vec<Value> {
    let reference = o.at("spec").at("paramRef");
    let (namespace, param) = (reference.at("namespace").str(), reference.at("name").str());
    let shown = match (param, namespace) {
        ("", _) => "<unset>".to_owned(),
        (param, "") => format!("*/{param}"),
        (param, namespace) => format!("{namespace}/{param}"),
    };
    vec![name(o), o.at("spec").at("policyName").str().into(), shown.into(), age(o, now)]
}
