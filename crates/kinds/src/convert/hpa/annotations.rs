//! What `v1` keeps in annotations, in Go's field order.

use crate::check::{json, selector_text};
use meta::quote::json_string;
use value::{Map, Value};

/// A list of items as JSON.
pub(super) fn list<'a>(items: impl IntoIterator<Item = &'a Value>, item: fn(&Value) -> String) -> String {
    let items: Vec<String> = items.into_iter().map(item).collect();
    format!("[{}]", items.join(","))
}

/// An object of the members that are there.
fn object(members: Vec<(&str, Option<String>)>) -> String {
    let parts: Vec<String> =
        members.into_iter().filter_map(|(k, v)| Some(format!("\"{k}\":{}", v?))).collect();
    format!("{{{}}}", parts.join(","))
}

fn text(v: &Value) -> Option<String> {
    Some(json_string(v.str()))
}

fn non_empty(v: &Value) -> Option<String> {
    (!v.str().is_empty()).then(|| json_string(v.str()))
}

fn non_null(v: &Value) -> Option<String> {
    (!v.is_null()).then(|| json(v))
}

fn selector(v: &Value) -> Option<String> {
    (!v.is_null()).then(|| selector_text(v))
}

fn quantity(v: &Value) -> Option<String> {
    Some(if v.is_null() { "\"0\"".into() } else { json(v) })
}

fn reference(v: &Value) -> Option<String> {
    Some(object(vec![
        ("kind", text(v.at("kind"))),
        ("name", text(v.at("name"))),
        ("apiVersion", non_empty(v.at("apiVersion"))),
    ]))
}

fn metric(m: &Value, source: fn(&str, &Value) -> String) -> String {
    let mut members = vec![("type", text(m.at("type")))];
    for name in ["object", "pods", "resource", "containerResource", "external"] {
        let v = m.at(name);
        members.push((name, (!v.is_null()).then(|| source(name, v))));
    }
    object(members)
}

/// A `v1` MetricSpec.
pub(super) fn metric_spec(m: &Value) -> String {
    metric(m, |source, m| {
        let (target, id) = (m.at("target"), m.at("metric"));
        object(match source {
            "object" => vec![
                ("target", reference(m.at("describedObject"))),
                ("metricName", text(id.at("name"))),
                ("targetValue", quantity(target.at("value"))),
                ("selector", selector(id.at("selector"))),
                ("averageValue", non_null(target.at("averageValue"))),
            ],
            "pods" => vec![
                ("metricName", text(id.at("name"))),
                ("targetAverageValue", quantity(target.at("averageValue"))),
                ("selector", selector(id.at("selector"))),
            ],
            "external" => vec![
                ("metricName", text(id.at("name"))),
                ("metricSelector", selector(id.at("selector"))),
                ("targetValue", non_null(target.at("value"))),
                ("targetAverageValue", non_null(target.at("averageValue"))),
            ],
            _ => vec![
                ("name", text(m.at("name"))),
                ("targetAverageUtilization", non_null(target.at("averageUtilization"))),
                ("targetAverageValue", non_null(target.at("averageValue"))),
                ("container", if source == "resource" { None } else { text(m.at("container")) }),
            ],
        })
    })
}

/// A `v1` MetricStatus.
pub(super) fn metric_status(m: &Value) -> String {
    metric(m, |source, m| {
        let (current, id) = (m.at("current"), m.at("metric"));
        object(match source {
            "object" => vec![
                ("target", reference(m.at("describedObject"))),
                ("metricName", text(id.at("name"))),
                ("currentValue", quantity(current.at("value"))),
                ("selector", selector(id.at("selector"))),
                ("averageValue", non_null(current.at("averageValue"))),
            ],
            "pods" => vec![
                ("metricName", text(id.at("name"))),
                ("currentAverageValue", quantity(current.at("averageValue"))),
                ("selector", selector(id.at("selector"))),
            ],
            "external" => vec![
                ("metricName", text(id.at("name"))),
                ("metricSelector", selector(id.at("selector"))),
                ("currentValue", quantity(current.at("value"))),
                ("currentAverageValue", non_null(current.at("averageValue"))),
            ],
            _ => vec![
                ("name", text(m.at("name"))),
                ("currentAverageUtilization", non_null(current.at("averageUtilization"))),
                ("currentAverageValue", quantity(current.at("averageValue"))),
                ("container", if source == "resource" { None } else { text(m.at("container")) }),
            ],
        })
    })
}

/// A `v1` condition.
pub(super) fn condition(c: &Value) -> String {
    object(vec![
        ("type", text(c.at("type"))),
        ("status", text(c.at("status"))),
        ("lastTransitionTime", Some(json(c.at("lastTransitionTime")))),
        ("reason", non_empty(c.at("reason"))),
        ("message", non_empty(c.at("message"))),
    ])
}

/// The internal behaviour, in Go's names, as `v2` has it.
pub(super) fn behavior_to_hub(behavior: &Value) -> Value {
    rename(behavior)
}

fn rename(v: &Value) -> Value {
    match v {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| {
                    let mut name = String::from(k.as_str());
                    if let Some(first) = name.get_mut(..1) {
                        first.make_ascii_lowercase();
                    }
                    (name.into(), rename(v))
                })
                .collect::<Map>(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(rename).collect()),
        other => other.clone(),
    }
}
