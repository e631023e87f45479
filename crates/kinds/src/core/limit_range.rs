//! LimitRanges.
//!
//! Upstream: `ValidateLimitRange` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/limitrange/strategy.go`.

use super::pod_defaults::{fill, round_up};
use super::resources::{container_resource_name, may_overcommit, resource_name};
use super::util::{each, finalizer_names, invalid_named, quantity, whole_metadata};
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::Scope;
use meta::quantity::{Format, Quantity};
use std::collections::{BTreeSet, HashSet};
use value::Value;

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
/// Above this, thousandths do not fit into 64 bits.
const MILLI_VALUE_MAX: i64 = i64::MAX / 1000;

pub(super) const HOOKS: Hooks = Hooks {
    default: |range| {
        if let Some(spec) = range.get_mut("spec") {
            each(spec, "limits", default_item);
        }
    },
    prepare_create: |_, range| {
        // One without a name gets one of the form of a uid.
        if let Some(metadata) = range.object_at("metadata")
            && metadata.at("name").str().is_empty()
        {
            let uid = metadata.at("uid").clone();
            metadata.set("name", uid);
        }
    },
    validate_create: |_, range| {
        let mut errors = ErrorList::new();
        finalizer_names(range, &mut errors);
        validate(range, &mut errors);
        errors
    },
    validate_update: |_, new, _| {
        let mut errors = ErrorList::new();
        whole_metadata(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
        validate(new, &mut errors);
        errors
    },
    ..Hooks::NONE
};

fn default_item(item: &mut Value) {
    if item.at("type").str() == "Container" {
        fill(item, "default", "max");
        fill(item, "defaultRequest", "default");
        fill(item, "defaultRequest", "min");
    }
    for list in LISTS {
        round_up(item, list);
    }
}

fn validate(range: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("limits");
    let mut seen = HashSet::new();
    for (i, item) in range.at("spec").at("limits").items().iter().enumerate() {
        let path = path.index(i);
        let kind = item.at("type").str();
        let type_path = path.child("type");
        type_name(kind, &type_path, errors);
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&type_path, kind).shown_as_json());
        }
        names_of(item, kind, &path, errors);
        amounts(item, kind, &path, errors);
    }
}

fn type_name(kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let messages = names::qualified_name(kind);
    if !messages.is_empty() {
        errors.extend(messages.into_iter().map(|m| invalid_named(path, kind, m)));
    } else if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.push(invalid_named(path, kind, "must be a standard limit type or fully qualified"));
    }
}

/// Names of resources in all lists.
fn names_of(item: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    for list in LISTS {
        let list_path = path.child(list);
        if kind == "Pod" && list.starts_with("default") {
            if !item.at(list).is_empty() {
                errors.push(Error::forbidden(&list_path, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        if list == "maxLimitRequestRatio" && kind == "PersistentVolumeClaim" {
            let has = |list: &str| item.at(list).get("storage").is_some();
            if !has("min") && !has("max") {
                let text = "either minimum or maximum storage value is required, but neither was provided";
                errors.push(Error::required(&path.child("limits"), text));
            }
        }
        for (name, _) in item.at(list).entries() {
            let path = list_path.key(name);
            if matches!(kind, "Pod" | "Container") {
                container_resource_name(name, &path, errors);
            } else {
                resource_name(name, &path, errors);
            }
        }
    }
}

/// That amounts of a resource agree with each other.
fn amounts(item: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let of = |list: &str, name: &str| -> Option<Quantity> {
        if kind == "Pod" && list.starts_with("default") {
            return None;
        }
        item.at(list).get(name).map(quantity)
    };
    let lists: &[&str] = if kind == "Pod" { &["max", "min", "maxLimitRequestRatio"] } else { &LISTS };
    let names: BTreeSet<&str> =
        lists.iter().flat_map(|l| item.at(l).entries()).map(|(k, _)| k.as_str()).collect();
    for name in names {
        let [max, min, default, request, ratio] = LISTS.map(|list| of(list, name));
        let mut refuse = |list: &str, shown: &Quantity, text: String| {
            let path = path.child(list);
            errors.push(Error::invalid(&path.key(name), shown.to_string(), text));
        };
        if let (Some(min), Some(max)) = (&min, &max)
            && min > max
        {
            refuse("min", min, format!("min value {min} is greater than max value {max}"));
        }
        if let Some(request) = &request {
            if let Some(min) = min.as_ref().filter(|min| *min > request) {
                let text = format!("min value {min} is greater than default request value {request}");
                refuse("defaultRequest", request, text);
            }
            if let Some(max) = max.as_ref().filter(|max| request > *max) {
                let text = format!("default request value {request} is greater than max value {max}");
                refuse("defaultRequest", request, text);
            }
            if let Some(default) = default.as_ref().filter(|default| request > *default) {
                let text =
                    format!("default request value {request} is greater than default limit value {default}");
                refuse("defaultRequest", request, text);
            }
        }
        if let Some(default) = &default {
            if let Some(min) = min.as_ref().filter(|min| *min > default) {
                refuse("default", min, format!("min value {min} is greater than default value {default}"));
            }
            if let Some(max) = max.as_ref().filter(|max| default > *max) {
                refuse("default", max, format!("default value {default} is greater than max value {max}"));
            }
        }
        if let Some(ratio) = &ratio {
            if *ratio < Quantity::new(1, Format::DecimalSi) {
                refuse("maxLimitRequestRatio", ratio, format!("ratio {ratio} is less than 1"));
            }
            if let (Some(min), Some(max)) = (&min, &max) {
                let (own, most) = ratios(ratio, min, max);
                if own > most {
                    let text = format!("ratio {ratio} is greater than max/min = {}", go_fixed(most));
                    refuse("maxLimitRequestRatio", ratio, text);
                }
            }
        }
        if let (Some(default), Some(request)) = (&default, &request)
            && !may_overcommit(name)
            && default != request
        {
            let text =
                format!("default value {default} must equal to defaultRequest value {request} in {name}");
            refuse("defaultRequest", request, text);
        }
    }
}

/// The ratio, and the most that minimum and maximum allow.
fn ratios(ratio: &Quantity, min: &Quantity, max: &Quantity) -> (f64, f64) {
    let all = [ratio.value(), min.value(), max.value()];
    if all.iter().all(|n| *n < MILLI_VALUE_MAX) {
        let most = max.milli_value() as f64 / min.milli_value() as f64;
        return (ratio.milli_value() as f64 / 1000.0, most);
    }
    (ratio.value() as f64, max.value() as f64 / min.value() as f64)
}

/// A float as Go's `%f`.
fn go_fixed(x: f64) -> String {
    if x.is_nan() {
        "NaN".into()
    } else if x.is_infinite() {
        if x > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        format!("{x:.6}")
    }
}
