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

fn go_selector(selector: &Value) -> String {
    let mut labels: Vec<(&str, &str)> =
        selector.at("matchLabels").entries().map(|(name, value)| (name.as_str(), value.str())).collect();
    labels.sort_unstable();
    let expressions = selector.at("matchExpressions").items().iter().map(|one| {
        let values = one.at("values").items().iter().map(Value::str).collect();
        (one.at("key").str(), one.at("operator").str(), values)
    });
    meta::labels::go_selector(labels.into_iter(), expressions)
}

pub(super) fn binding(o: &Value, now: Time) -> Vec<Value> {
    let reference = o.at("spec").at("paramRef");
    let (namespace, param) = (reference.at("namespace").str(), reference.at("name").str());
    let selector = reference.at("selector");
    let shown = match (param, namespace) {
        ("", _) if selector.is_null() => "<unset>".to_owned(),
        ("", _) => go_selector(selector),
        (param, "") => format!("*/{param}"),
        (param, namespace) => format!("{namespace}/{param}"),
    };
    vec![name(o), o.at("spec").at("policyName").str().into(), shown.into(), age(o, now)]
}
