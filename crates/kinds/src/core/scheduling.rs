//! Where a pod may run: node selectors, affinity, tolerations and taints, spreading.
//!
//! Upstream: `validateAffinity`, `ValidateNodeSelector`, `ValidateTolerations`,
//! `validateTopologySpreadConstraints` in `pkg/apis/core/validation/validation.go`.

use super::options::Allow;
use super::util::{optional_one_of, positive, unsupported};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::{names, strconv};
use std::collections::{HashMap, HashSet};
use value::Value;

const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// The effect of a taint.
pub(super) fn taint_effect(effect: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if !TAINT_EFFECTS.contains(&effect) {
        errors.push(unsupported(path, effect, &TAINT_EFFECTS));
    }
}

/// Tolerations; `comparisons` lets `Lt` and `Gt` stand.
pub(super) fn tolerations(list: &Value, comparisons: bool, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, toleration) in list.items().iter().enumerate() {
        let path = path.index(i);
        let (key, value) = (toleration.at("key").str(), toleration.at("value").str());
        let (operator, effect) = (toleration.at("operator").str(), toleration.at("effect").str());
        if !key.is_empty() {
            check::qualified_name(key, &path.child("key"), errors);
        }
        let operator_path = path.child("operator");
        if key.is_empty() && operator != "Exists" {
            let text =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(super::util::invalid_named(&operator_path, operator, text));
        }
        if !toleration.at("tolerationSeconds").is_null() && effect != "NoExecute" {
            let text = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(super::util::invalid_named(&path.child("effect"), effect, text));
        }
        match operator {
            "Equal" | "" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    errors.push(Error::invalid(&operator_path, value, messages.join(";")));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let text = "value must be empty when `operator` is 'Exists'";
                    errors.push(Error::invalid(&operator_path, value, text));
                }
            }
            "Lt" | "Gt" if comparisons => {
                let path = path.child("value");
                check::invalid_each(value, names::content::decimal_integer(value), &path, errors);
                if let Err(e) = strconv::parse_int(value) {
                    errors.push(Error::invalid(&path, value, e.to_string()));
                }
            }
            "Lt" | "Gt" => {
                errors.push(unsupported(&operator_path, operator, &["Equal", "Exists", "Lt", "Gt"]))
            }
            _ => errors.push(unsupported(&operator_path, operator, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            taint_effect(effect, &path.child("effect"), errors);
        }
    }
}

/// A node selector with its terms.
pub(super) fn node_selector(v: &Value, lenient: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("nodeSelectorTerms");
    let terms = v.at("nodeSelectorTerms").items();
    if terms.is_empty() {
        errors.push(Error::required(&path, "must have at least one node selector term"));
    }
    for (i, term) in terms.iter().enumerate() {
        node_selector_term(term, lenient, &path.index(i), errors);
    }
}

fn node_selector_term(term: &Value, lenient: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let list_path = path.child("matchExpressions");
    for (i, requirement) in term.at("matchExpressions").items().iter().enumerate() {
        node_requirement(requirement, lenient, &list_path.index(i), errors);
    }
    let list_path = path.child("matchFields");
    for (i, requirement) in term.at("matchFields").items().iter().enumerate() {
        node_field_requirement(requirement, &list_path.index(i), errors);
    }
}

fn node_requirement(v: &Value, lenient: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let (values, values_path) = (v.at("values").items(), path.child("values"));
    match v.at("operator").str() {
        "Gt" | "Lt" => {
            if values.len() != 1 {
                let text = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(Error::required(&values_path, text));
            }
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => check::requirement_operator(v, true, path, errors),
        other => {
            let text = "not a valid selector operator";
            errors.push(super::util::invalid_named(&path.child("operator"), other, text));
        }
    }
    check::qualified_name(v.at("key").str(), &path.child("key"), errors);
    if !lenient {
        for (i, value) in values.iter().enumerate() {
            check::invalid_each(value.str(), names::label_value(value.str()), &values_path.index(i), errors);
        }
    }
}

fn node_field_requirement(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (values, values_path) = (v.at("values").items(), path.child("values"));
    match v.at("operator").str() {
        "In" | "NotIn" => {
            if values.len() != 1 {
                let text =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(Error::required(&values_path, text));
            }
        }
        other => {
            let text = "not a valid selector operator";
            errors.push(super::util::invalid_named(&path.child("operator"), other, text));
        }
    }
    let key = v.at("key").str();
    if key != "metadata.name" {
        errors.push(Error::invalid(&path.child("key"), key, "not a valid field selector key"));
        return;
    }
    for (i, value) in values.iter().enumerate() {
        check::dns1123_subdomain(value.str(), &values_path.index(i), errors);
    }
}

/// Whether a term has a value that is no label value; old objects may have such.
pub(super) fn has_invalid_value(selector: &Value) -> bool {
    let terms = selector.at("nodeSelectorTerms").items().iter();
    let expressions = terms.flat_map(|t| t.at("matchExpressions").items());
    expressions.flat_map(|e| e.at("values").items()).any(|v| !names::label_value(v.str()).is_empty())
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

fn weight(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let n = v.at("weight").int();
    if !(1..=100).contains(&n) {
        errors.push(Error::invalid(&path.child("weight"), n, "must be in the range 1-100"));
    }
}

/// `affinity`.
pub(super) fn affinity(v: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    let (node, node_path) = (v.at("nodeAffinity"), path.child("nodeAffinity"));
    if !node.at(REQUIRED).is_null() {
        node_selector(node.at(REQUIRED), allow.invalid_node_values, &node_path.child(REQUIRED), errors);
    }
    let preferred_path = node_path.child(PREFERRED);
    for (i, term) in node.at(PREFERRED).items().iter().enumerate() {
        let path = preferred_path.index(i);
        weight(term, &path, errors);
        node_selector_term(term.at("preference"), true, &path.child("preference"), errors);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let (pod, path) = (v.at(name), path.child(name));
        let list_path = path.child(REQUIRED);
        for (i, term) in pod.at(REQUIRED).items().iter().enumerate() {
            pod_term(term, allow.invalid_selector_values, &list_path.index(i), errors);
        }
        let list_path = path.child(PREFERRED);
        for (i, term) in pod.at(PREFERRED).items().iter().enumerate() {
            let path = list_path.index(i);
            weight(term, &path, errors);
            let lenient = allow.invalid_selector_values;
            pod_term(term.at("podAffinityTerm"), lenient, &path.child("podAffinityTerm"), errors);
        }
    }
}

/// All terms of a pod's affinity and anti-affinity to other pods.
pub(super) fn pod_terms(spec: &Value) -> impl Iterator<Item = &Value> {
    let affinity = spec.at("affinity");
    ["podAffinity", "podAntiAffinity"].into_iter().flat_map(move |name| {
        let v = affinity.at(name);
        let preferred = v.at(PREFERRED).items().iter().map(|t| t.at("podAffinityTerm"));
        v.at(REQUIRED).items().iter().chain(preferred)
    })
}

/// The selectors of a term (`ValidatePodAffinityTermSelector`).
pub(super) fn pod_term_selectors(v: &Value, lenient: bool, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["labelSelector", "namespaceSelector"] {
        check::label_selector_with(v.at(name), lenient, &path.child(name), errors);
    }
}

fn pod_term(v: &Value, lenient: bool, path: &Path<'_>, errors: &mut ErrorList) {
    pod_term_selectors(v, lenient, path, errors);
    for name in v.at("namespaces").items() {
        check::dns1123_label(name.str(), &path.child("namespace"), errors);
    }
    label_keys(v, path, errors);
    let (key, path) = (v.at("topologyKey").str(), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(Error::required(&path, "can not be empty"));
    }
    check::qualified_name(key, &path, errors);
}

/// `matchLabelKeys` and `mismatchLabelKeys` of a term or constraint.
pub(super) fn label_keys(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let selector = v.at("labelSelector");
    let (keys, mismatch) = (v.at("matchLabelKeys").items(), v.at("mismatchLabelKeys").items());
    for (name, keys) in [("matchLabelKeys", keys), ("mismatchLabelKeys", mismatch)] {
        let path = path.child(name);
        if !keys.is_empty() && selector.is_null() {
            errors.push(Error::forbidden(&path, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, key) in keys.iter().enumerate() {
            check::qualified_name(key.str(), &path.index(i), errors);
        }
    }
    if !selector.is_null() {
        let places: HashMap<&str, usize> = keys.iter().enumerate().map(|(i, k)| (k.str(), i)).collect();
        let mut seen: HashSet<&str> = selector.at("matchLabels").entries().map(|(k, _)| k.as_str()).collect();
        for expression in selector.at("matchExpressions").items() {
            let key = expression.at("key").str();
            if let Some(i) = places.get(key).filter(|_| seen.contains(key)) {
                let text = "exists in both matchLabelKeys and labelSelector";
                errors.push(Error::invalid(&path.index(*i), key, text));
            }
            seen.insert(key);
        }
    }
    let mismatch: HashSet<&str> = mismatch.iter().map(Value::str).collect();
    let path = path.child("matchLabelKeys");
    for (i, key) in keys.iter().enumerate() {
        if mismatch.contains(key.str()) {
            let text = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(Error::invalid(&path.index(i), key.str(), text));
        }
    }
}

/// The older rule for `matchLabelKeys`, for objects that break the newer one.
fn label_keys_before(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (keys, selector) = (v.at("matchLabelKeys").items(), v.at("labelSelector"));
    if keys.is_empty() {
        return;
    }
    if selector.is_null() {
        errors.push(Error::forbidden(path, "must not be specified when labelSelector is not set"));
    }
    let labels = selector.at("matchLabels").entries().map(|(k, _)| k.as_str());
    let expressions = selector.at("matchExpressions").items().iter().map(|e| e.at("key").str());
    let known: HashSet<&str> = labels.chain(expressions).collect();
    for (i, key) in keys.iter().enumerate() {
        check::qualified_name(key.str(), &path.index(i), errors);
        if known.contains(key.str()) {
            let text = "exists in both matchLabelKeys and labelSelector";
            errors.push(Error::invalid(&path.index(i), key.str(), text));
        }
    }
}

/// `topologySpreadConstraints`.
pub(super) fn spread(list: &Value, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    let pair = |v: &Value| {
        let text = |name: &str| v.at(name).str().to_owned();
        (text("topologyKey"), text("whenUnsatisfiable"))
    };
    // A constraint is told of if a later one is like it.
    let mut later: HashMap<(String, String), usize> = HashMap::new();
    for constraint in list.items() {
        *later.entry(pair(constraint)).or_default() += 1;
    }
    for (i, v) in list.items().iter().enumerate() {
        let path = path.index(i);
        positive(v.at("maxSkew").int(), &path.child("maxSkew"), errors);
        if v.at("topologyKey").str().is_empty() {
            errors.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        let action = v.at("whenUnsatisfiable").str();
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        if !known.contains(&action) {
            errors.push(unsupported(&path.child("whenUnsatisfiable"), action, &known));
        }
        let own = pair(v);
        if let Some(count) = later.get_mut(&own) {
            *count -= 1;
            if *count > 0 {
                let shown = format!("{{{}, {}}}", own.0, own.1);
                errors.push(Error::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), shown));
            }
        }
        if let Some(n) = v.at("minDomains").as_i64() {
            let path = path.child("minDomains");
            positive(n, &path, errors);
            if action != "DoNotSchedule" {
                let text =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(Error::invalid(&path, n, text));
            }
        }
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            optional_one_of(v.at(name), &["Honor", "Ignore"], &path.child(name), errors);
        }
        if allow.old_match_label_keys {
            label_keys_before(v, &path.child("matchLabelKeys"), errors);
        } else {
            label_keys(v, &path, errors);
        }
        if !allow.invalid_spread_selector {
            check::label_selector(v.at("labelSelector"), &path.child("labelSelector"), errors);
        }
    }
}
