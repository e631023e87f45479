//! Metrics of `v1` annotations as `v2` has them.

use value::{Map, Value};

/// An object of the members that are not null.
fn object(members: Vec<(&str, Value)>) -> Value {
    Value::Object(
        members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.into(), v)).collect::<Map>(),
    )
}

/// The metric that `targetCPUUtilizationPercentage` stands for.
pub(super) fn cpu_utilization(percent: Value) -> Value {
    let target = object(vec![("type", "Utilization".into()), ("averageUtilization", percent)]);
    let resource = object(vec![("name", "cpu".into()), ("target", target)]);
    object(vec![("type", "Resource".into()), ("resource", resource)])
}

/// The status that `currentCPUUtilizationPercentage` stands for.
pub(super) fn cpu_status(percent: Value) -> Value {
    let current = object(vec![("averageUtilization", percent)]);
    let resource = object(vec![("name", "cpu".into()), ("current", current)]);
    object(vec![("type", "Resource".into()), ("resource", resource)])
}

/// Whether a metric is of the CPU.
pub(super) fn is_cpu(metric: &Value) -> bool {
    metric.at("type").str() == "Resource" && metric.at("resource").at("name").str() == "cpu"
}

/// Whether `targetCPUUtilizationPercentage` can stand for a metric.
pub(super) fn is_cpu_utilization(metric: &Value) -> bool {
    is_cpu(metric) && !metric.path(&["resource", "target", "averageUtilization"]).is_null()
}

const SOURCES: [&str; 5] = ["object", "pods", "resource", "containerResource", "external"];

/// A metric of an annotation.
pub(super) fn spec_to_hub(metric: &Value) -> Value {
    convert(metric, |source, m| {
        let take = |name: &str| m.at(name).clone();
        let typed = |kind: &str, rest: Vec<(&str, Value)>| {
            let mut all = vec![("type", kind.into())];
            all.extend(rest);
            object(all)
        };
        match source {
            "object" => {
                let average = take("averageValue");
                let value = take("targetValue");
                let target = if average.is_null() {
                    typed("Value", vec![("value", or_zero(value))])
                } else {
                    let value = if value.str() == "0" { Value::Null } else { value };
                    typed("AverageValue", vec![("value", value), ("averageValue", average)])
                };
                vec![
                    ("target", target),
                    ("describedObject", take("target")),
                    ("metric", identifier(m, "metricName", "selector")),
                ]
            }
            "pods" => vec![
                (
                    "target",
                    typed("AverageValue", vec![("averageValue", or_zero(take("targetAverageValue")))]),
                ),
                ("metric", identifier(m, "metricName", "selector")),
            ],
            "external" => {
                let value = take("targetValue");
                let kind = if value.is_null() { "AverageValue" } else { "Value" };
                let rest = vec![("value", value), ("averageValue", take("targetAverageValue"))];
                vec![("target", typed(kind, rest)), ("metric", identifier(m, "metricName", "metricSelector"))]
            }
            _ => {
                let utilization = take("targetAverageUtilization");
                let kind = if utilization.is_null() { "AverageValue" } else { "Utilization" };
                let rest =
                    vec![("averageValue", take("targetAverageValue")), ("averageUtilization", utilization)];
                vec![("name", take("name")), ("container", take("container")), ("target", typed(kind, rest))]
            }
        }
    })
}

/// A status of an annotation.
pub(super) fn status_to_hub(metric: &Value) -> Value {
    convert(metric, |source, m| {
        let take = |name: &str| m.at(name).clone();
        match source {
            "object" => vec![
                (
                    "current",
                    object(vec![
                        ("value", or_zero(take("currentValue"))),
                        ("averageValue", take("averageValue")),
                    ]),
                ),
                ("describedObject", take("target")),
                ("metric", identifier(m, "metricName", "selector")),
            ],
            "pods" => vec![
                ("current", object(vec![("averageValue", or_zero(take("currentAverageValue")))])),
                ("metric", identifier(m, "metricName", "selector")),
            ],
            "external" => vec![
                (
                    "current",
                    object(vec![
                        ("value", or_zero(take("currentValue"))),
                        ("averageValue", take("currentAverageValue")),
                    ]),
                ),
                ("metric", identifier(m, "metricName", "metricSelector")),
            ],
            _ => vec![
                ("name", take("name")),
                ("container", take("container")),
                (
                    "current",
                    object(vec![
                        ("averageValue", or_zero(take("currentAverageValue"))),
                        ("averageUtilization", take("currentAverageUtilization")),
                    ]),
                ),
            ],
        }
    })
}

fn convert<'a>(metric: &'a Value, source: impl Fn(&str, &'a Value) -> Vec<(&'static str, Value)>) -> Value {
    let mut members = vec![("type", metric.at("type").clone())];
    for name in SOURCES {
        let v = metric.at(name);
        if !v.is_null() {
            members.push((name, object(source(name, v))));
        }
    }
    object(members)
}

fn identifier(metric: &Value, name: &str, selector: &str) -> Value {
    let name = metric.at(name).str();
    object(vec![("name", name.into()), ("selector", metric.at(selector).clone())])
}

fn or_zero(quantity: Value) -> Value {
    if quantity.is_null() { "0".into() } else { quantity }
}
