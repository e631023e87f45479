//! A device of a ResourceSlice.

use super::claim::TAINT_EFFECTS;
use super::{capacity, each, each_unique, names};
use crate::check;
use crate::equal::semantic_equal;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names as rules;
use std::collections::HashSet;
use value::Value;

/// Upstream's bounds.
const ATTRIBUTES_AND_CAPACITIES_MAX: usize = 32;
const ATTRIBUTE_VALUES_MAX: usize = 48;
const ATTRIBUTE_VALUE_MAX_BYTES: usize = 64;
const TAINTS_MAX: usize = 16;
const CONSUMPTIONS_MAX: usize = 2;
const COUNTERS_MAX: usize = 32;
const BINDING_CONDITIONS_MAX: usize = 4;

pub(super) fn validate_device(
    device: &Value,
    old: Option<&Value>,
    per_device_nodes: bool,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    check::dns1123_label(device.at("name").str(), &path.child("name"), errors);
    let (attributes, capacities) = (device.at("attributes"), device.at("capacity"));
    let too_many = |what: &str, n: usize, max: usize| {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        Error::invalid(path, n, format!("the total number of {what} must not exceed {max}"))
    };
    let entries = attributes.entries().count() + capacities.entries().count();
    if entries > ATTRIBUTES_AND_CAPACITIES_MAX {
        errors.push(too_many("attributes and capacities", entries, ATTRIBUTES_AND_CAPACITIES_MAX));
    }
    let values: usize = attributes.entries().map(|(_, a)| value_count(a)).sum();
    if values > ATTRIBUTE_VALUES_MAX {
        errors.push(too_many("attribute values", values, ATTRIBUTE_VALUES_MAX));
    }
    let attributes_path = path.child("attributes");
    for (key, attribute) in attributes.entries() {
        names::qualified(key, &attributes_path, errors);
        let key = names::shortened(key, names::KEY_MAX_BYTES);
        validate_attribute(attribute, &attributes_path.key(&key), errors);
    }
    let shared = device.at("allowMultipleAllocations").bool();
    let capacity_path = path.child("capacity");
    for (key, c) in capacities.entries() {
        names::qualified(key, &capacity_path, errors);
        let key = names::shortened(key, names::KEY_MAX_BYTES);
        capacity::validate(c, shared, &capacity_path.key(&key), errors);
    }
    let taints = device.at("taints");
    if !old.is_some_and(|o| semantic_equal(o.at("taints"), taints)) {
        each(taints, TAINTS_MAX, &path.child("taints"), errors, validate_taint);
    }
    let set = |v: &Value| v.at("counterSet").str().to_owned();
    let consumes_path = path.child("consumesCounters");
    each_unique(
        device.at("consumesCounters"),
        CONSUMPTIONS_MAX,
        set,
        &consumes_path,
        errors,
        |consumption, path, errors| {
            let name = consumption.at("counterSet").str();
            if name.is_empty() {
                errors.push(Error::required(&path.child("counterSet"), ""));
            } else {
                check::dns1123_label(name, &path.child("counterSet"), errors);
            }
            validate_counters(consumption.at("counters"), &path.child("counters"), errors);
        },
    );
    validate_nodes(device, per_device_nodes, path, errors);
    validate_binding_conditions(device, path, errors);
}

/// Counters by name.
pub(super) fn validate_counters(counters: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let n = counters.entries().count();
    if n == 0 {
        errors.push(Error::required(path, ""));
    } else if n > COUNTERS_MAX {
        errors.push(Error::too_many(path, n, COUNTERS_MAX));
    } else {
        for (key, _) in counters.entries() {
            check::dns1123_label(key, path, errors);
        }
    }
}

const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];

fn value_count(attribute: &Value) -> usize {
    let n: usize = LISTS.iter().map(|l| attribute.at(l).items().len()).sum();
    n.max(1)
}

fn validate_attribute(attribute: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let singles = ["bool", "int", "string", "version"];
    let set = singles.iter().chain(&LISTS).filter(|n| !attribute.at(n).is_null()).count();
    if let Some(text) = attribute.at("string").as_str() {
        validate_length(text, &path.child("string"), errors);
    }
    if let Some(text) = attribute.at("version").as_str() {
        validate_version(text, &path.child("version"), errors);
    }
    for name in LISTS {
        let (list, path) = (attribute.at(name), path.child(name));
        if !list.is_null() && list.items().is_empty() {
            errors.push(Error::invalid(&path, list.clone(), "must not be empty if specified"));
        }
        for (i, item) in list.items().iter().enumerate() {
            match name {
                "strings" => validate_length(item.str(), &path.index(i), errors),
                "versions" => validate_version(item.str(), &path.index(i), errors),
                _ => {}
            }
        }
    }
    match set {
        0 => errors.push(Error::invalid(path, "", "exactly one value must be specified")),
        1 => {}
        _ => {
            let kind = "resource.DeviceAttribute";
            errors.push(internal::invalid(path, kind, attribute, "exactly one value must be specified"));
        }
    }
}

fn validate_length(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.len() > ATTRIBUTE_VALUE_MAX_BYTES {
        errors.push(Error::too_long(path, ATTRIBUTE_VALUE_MAX_BYTES));
    }
}

fn validate_version(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if !is_semver(text) {
        errors.push(Error::invalid(path, text, "must be a string compatible with semver.org spec 2.0.0"));
    }
    validate_length(text, path, errors);
}

fn is_semver(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(r, b)| (r, Some(b)));
    let (core, pre) = rest.split_once('-').map_or((rest, None), |(c, p)| (c, Some(p)));
    let word = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let number = |s: &str| digits(s) && (s == "0" || !s.starts_with('0'));
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|n| number(n))
        && pre.is_none_or(|p| p.split('.').all(|i| word(i) && (!digits(i) || number(i))))
        && build.is_none_or(|b| b.split('.').all(word))
}

fn validate_taint(taint: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::qualified_name(taint.at("key").str(), &path.child("key"), errors);
    let value = taint.at("value").str();
    if !value.is_empty() {
        check::invalid_each(value, rules::label_value(value), &path.child("value"), errors);
    }
    let (effect, path) = (taint.at("effect").str(), path.child("effect"));
    if effect.is_empty() {
        errors.push(Error::required(&path, ""));
    } else if !TAINT_EFFECTS.contains(&effect) {
        errors.push(Error::not_supported_in_order(&path, effect, &TAINT_EFFECTS));
    }
}

fn validate_nodes(device: &Value, per_device: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let (name, selector, all) = (device.at("nodeName"), device.at("nodeSelector"), device.at("allNodes"));
    if !per_device {
        if !name.is_null() || !selector.is_null() || !all.is_null() {
            let text = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set \
                        to true in the ResourceSlice spec";
            errors.push(Error::invalid(path, Value::Null, text));
        }
        return;
    }
    let mut set = Vec::new();
    match name.as_str() {
        None => {}
        Some("") => errors.push(Error::invalid(&path.child("nodeName"), "", "must not be empty")),
        Some(text) => {
            set.push("`nodeName`");
            check::dns1123_subdomain(text, &path.child("nodeName"), errors);
        }
    }
    if !selector.is_null() {
        set.push("`nodeSelector`");
        crate::core::validate_node_selector(selector, &path.child("nodeSelector"), errors);
    }
    match all.as_bool() {
        None => {}
        Some(true) => set.push("`allNodes`"),
        Some(false) => {
            let text = "must be either unset or set to true";
            errors.push(Error::invalid(&path.child("allNodes"), false, text));
        }
    }
    let text = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is \
                set to true in the ResourceSlice spec";
    match set.len() {
        0 => errors.push(Error::required(path, text)),
        1 => {}
        _ => errors.push(Error::invalid(path, format!("{{{}}}", set.join(", ")), text)),
    }
}

/// Conditions that binding waits for, and those that make it fail.
pub(super) fn validate_binding_conditions(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    const NAMES: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    for name in NAMES {
        each(v.at(name), BINDING_CONDITIONS_MAX, &path.child(name), errors, |condition, path, errors| {
            check::qualified_name(condition.str(), path, errors);
        });
    }
    let [conditions, failures] = NAMES.map(|n| v.at(n));
    let conditions_set: HashSet<&str> = conditions.items().iter().map(Value::str).collect();
    let failure_path = path.child(NAMES[1]);
    for (list, path, failing) in
        [(conditions, path.child(NAMES[0]), false), (failures, path.child(NAMES[1]), true)]
    {
        let mut seen = HashSet::new();
        for (i, condition) in list.items().iter().enumerate() {
            if !seen.insert(condition.str()) {
                errors.push(Error::duplicate(&path.index(i), condition.clone()));
            }
            if failing && conditions_set.contains(condition.str()) {
                let text = "bindingFailureConditions must not overlap with bindingConditions";
                errors.push(Error::invalid(&failure_path.index(i), condition.clone(), text));
            }
        }
    }
    let (none, no_failures) = (conditions.items().is_empty(), failures.items().is_empty());
    if none && !no_failures {
        let text = "bindingConditions are required to use bindingFailureConditions";
        errors.push(Error::invalid(&path.child(NAMES[0]), conditions.clone(), text));
    }
    if no_failures && !none {
        let text = "bindingFailureConditions are required to use bindingConditions";
        errors.push(Error::invalid(&failure_path, failures.clone(), text));
    }
}
