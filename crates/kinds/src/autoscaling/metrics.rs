//! The metrics that an autoscaler looks at.

use super::{VersionRule, validate_reference, version_error};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use value::Value;

const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// Sources in the order in which upstream looks at them, with their types.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];

pub(super) fn validate(spec: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    let strict = VersionRule { any: false, core: true };
    let stands = old.is_some_and(|o| {
        o.at("metrics").items().iter().any(|m| {
            let object = m.at("object");
            m.at("type").str() == "Object"
                && !object.is_null()
                && version_error(object.at("describedObject"), strict).is_some()
        })
    });
    let rule = VersionRule { any: stands, ..strict };
    let metrics = spec.at("metrics").items();
    for (i, metric) in metrics.iter().enumerate() {
        validate_metric(metric, rule, &path.index(i), errors);
    }
    let counts_work = metrics.iter().any(|m| matches!(m.at("type").str(), "Object" | "External"));
    if spec.at("minReplicas").as_i64() == Some(0) && !counts_work {
        let text = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(Error::forbidden(path, text));
    }
}

fn validate_metric(metric: &Value, rule: VersionRule, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = metric.at("type").str();
    let type_path = path.child("type");
    let unknown = !TYPES.contains(&kind);
    if kind.is_empty() {
        errors.push(Error::required(&type_path, "must specify a metric source type"));
    }
    if unknown {
        errors.push(Error::not_supported_in_order(&type_path, kind, &TYPES));
    }
    let present: Vec<&str> = SOURCES.iter().map(|(s, _)| *s).filter(|s| !metric.at(s).is_null()).collect();
    if let Some(first) = present.first() {
        validate_source(first, metric.at(first), rule, &path.child(first), errors);
    }
    let expected = SOURCES.iter().find(|(_, k)| *k == kind).map_or("", |(s, _)| *s);
    if unknown {
        errors.push(Error::not_supported_in_order(&type_path, kind, &TYPES));
    } else if metric.at(expected).is_null() {
        let text = "must populate information for the given metric source";
        errors.push(Error::required(&path.child(expected), text));
    }
    if present.len() != 1 {
        for other in present.iter().filter(|s| **s != expected) {
            errors.push(Error::forbidden(&path.child(other), "must populate the given metric source only"));
        }
    }
}

fn validate_source(source: &str, v: &Value, rule: VersionRule, path: &Path<'_>, errors: &mut ErrorList) {
    match source {
        "object" => validate_reference(v.at("describedObject"), rule, &path.child("describedObject"), errors),
        "resource" | "containerResource" => validate_names(source, v, path, errors),
        _ => {}
    }
    if matches!(source, "object" | "external" | "pods") {
        let (name, path) = (v.at("metric").at("name").str(), path.child("metric"));
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), "must specify a metric name"));
        } else {
            check::path_segment(name, &path.child("name"), errors);
        }
    }
    let (target, path) = (v.at("target"), path.child("target"));
    validate_target(target, &path, errors);
    let has = |name: &str| !target.at(name).is_null();
    let (value, average, utilization) = (has("value"), has("averageValue"), has("averageUtilization"));
    match source {
        "object" if !value && !average => {
            errors.push(Error::required(
                &path.child("averageValue"),
                "must set either a target value or averageValue",
            ));
        }
        "external" if !value && !average => {
            let text = "must set either a target value for metric or a per-pod target";
            errors.push(Error::required(&path.child("averageValue"), text));
        }
        "external" if value && average => {
            let text = "may not set both a target value for metric and a per-pod target";
            errors.push(Error::forbidden(&path.child("value"), text));
        }
        "pods" if !average => {
            errors.push(Error::required(
                &path.child("averageValue"),
                "must specify a positive target averageValue",
            ));
        }
        "resource" | "containerResource" if !utilization && !average => {
            let text = "must set either a target raw value or a target utilization";
            errors.push(Error::required(&path.child("averageUtilization"), text));
        }
        "resource" | "containerResource" if utilization && average => {
            let text = "may not set both a target raw value and a target utilization";
            errors.push(Error::forbidden(&path.child("averageValue"), text));
        }
        _ => {}
    }
}

fn validate_names(source: &str, v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let name = v.at("name").str();
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), "must specify a resource name"));
    }
    if source == "resource" {
        return;
    }
    if !name.is_empty() {
        crate::core::validate_container_resource_name(name, &path.child("name"), errors);
    }
    let container = v.at("container").str();
    if container.is_empty() {
        errors.push(Error::required(&path.child("container"), "must specify a container"));
    } else {
        check::dns1123_label(container, &path.child("container"), errors);
    }
}

fn validate_target(target: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = target.at("type").str();
    if kind.is_empty() {
        errors.push(Error::required(&path.child("type"), "must specify a metric target type"));
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind) {
        let text = "must be either Utilization, Value, or AverageValue";
        errors.push(Error::invalid(&path.child("type"), kind, text));
    }
    for name in ["value", "averageValue"] {
        let quantity = target.at(name);
        if !quantity.is_null() && check::quantity_sign(quantity) != 1 {
            errors.push(Error::invalid(&path.child(name), quantity.clone(), "must be positive"));
        }
    }
    let utilization = target.at("averageUtilization");
    if !utilization.is_null() && utilization.int() < 1 {
        let path = path.child("averageUtilization");
        errors.push(Error::invalid(&path, utilization.clone(), "must be greater than 0"));
    }
}
