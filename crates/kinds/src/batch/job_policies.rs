//! When pods' failures fail a job, and when successes suffice.

use super::indexes;
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::quote::quote_all;
use std::collections::HashSet;
use value::Value;

/// Upstream's bounds.
const FAILURE_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const POD_CONDITIONS_MAX: usize = 20;
const SUCCESS_RULES_MAX: usize = 20;
const SUCCEEDED_INDEXES_MAX_BYTES: usize = 64 * 1024;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];

pub(super) fn validate(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let failure = spec.at("podFailurePolicy");
    if !failure.is_null() {
        validate_failure(spec, failure, &path.child("podFailurePolicy"), errors);
    }
    let success = spec.at("successPolicy");
    if !success.is_null() {
        let path = path.child("successPolicy");
        if spec.at("completionMode").str() == "Indexed" {
            validate_success(spec, success, &path, errors);
        } else {
            let shown = crate::internal::text("batch.SuccessPolicy", success);
            let error = Error::invalid(&path, success.clone(), "requires indexed completion mode");
            errors.push(error.shown_as(shown));
        }
    }
    let replacement = spec.at("podReplacementPolicy");
    if !replacement.is_null() {
        let known: &[&str] = if failure.is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
        if !known.contains(&replacement.str()) {
            let path = path.child("podReplacementPolicy");
            errors.push(Error::not_supported_in_order(&path, replacement.clone(), known));
        }
    }
}

fn validate_failure(spec: &Value, policy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("rules");
    let rules = policy.at("rules").items();
    if rules.len() > FAILURE_RULES_MAX {
        errors.push(Error::too_many(&path, rules.len(), FAILURE_RULES_MAX));
    }
    let pod = spec.at("template").at("spec");
    let containers: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod.at(list).items())
        .map(|c| c.at("name").str())
        .collect();
    let per_index = !spec.at("backoffLimitPerIndex").is_null();
    for (i, rule) in rules.iter().enumerate() {
        validate_failure_rule(rule, per_index, &containers, &path.index(i), errors);
    }
}

fn valid_values(values: &[&str]) -> String {
    format!("valid values: [{}]", quote_all(values, " "))
}

/// A value out of a set: required, and known.
fn one_of(v: &Value, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    match v.str() {
        "" => errors.push(Error::required(path, valid_values(known))),
        s if !known.contains(&s) => errors.push(Error::not_supported_in_order(path, s, known)),
        _ => {}
    }
}

fn validate_failure_rule(
    rule: &Value,
    per_index: bool,
    containers: &HashSet<&str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let action = rule.at("action");
    if action.str() == "FailIndex" {
        if !per_index {
            let text = "requires the backoffLimitPerIndex to be set";
            errors.push(Error::invalid(&path.child("action"), action.clone(), text));
        }
    } else {
        one_of(action, &ACTIONS, &path.child("action"), errors);
    }
    let (codes, conditions) = (rule.at("onExitCodes"), rule.at("onPodConditions"));
    if !codes.is_null() {
        validate_exit_codes(codes, containers, &path.child("onExitCodes"), errors);
    }
    if !conditions.is_empty() {
        validate_pod_conditions(conditions.items(), &path.child("onPodConditions"), errors);
    }
    let text = match (codes.is_null(), conditions.is_empty()) {
        (false, false) => "specifying both OnExitCodes and OnPodConditions is not supported",
        (true, true) => "specifying one of OnExitCodes and OnPodConditions is required",
        _ => return,
    };
    errors.push(Error::invalid(path, Value::Null, text).without_value());
}

fn validate_pod_conditions(patterns: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    if patterns.len() > POD_CONDITIONS_MAX {
        errors.push(Error::too_many(path, patterns.len(), POD_CONDITIONS_MAX));
    }
    for (i, pattern) in patterns.iter().enumerate() {
        let path = path.index(i);
        check::qualified_name(pattern.at("type").str(), &path.child("type"), errors);
        one_of(pattern.at("status"), &STATUSES, &path.child("status"), errors);
    }
}

fn validate_exit_codes(codes: &Value, containers: &HashSet<&str>, path: &Path<'_>, errors: &mut ErrorList) {
    let operator = codes.at("operator");
    one_of(operator, &OPERATORS, &path.child("operator"), errors);
    let container = codes.at("containerName");
    if !container.is_null() && !containers.contains(container.str()) {
        let text = "must be one of the container or initContainer names in the pod template";
        errors.push(Error::invalid(&path.child("containerName"), container.clone(), text));
    }
    let path = path.child("values");
    let values = codes.at("values");
    let items = values.items();
    if items.is_empty() {
        errors.push(Error::invalid(&path, values.clone(), "at least one value is required"));
    } else if items.len() > EXIT_CODES_MAX {
        errors.push(Error::too_many(&path, items.len(), EXIT_CODES_MAX));
    }
    let mut seen = HashSet::new();
    for (i, code) in items.iter().enumerate() {
        let path = path.index(i);
        if operator.str() == "In" && code.int() == 0 {
            errors.push(Error::invalid(&path, code.clone(), "must not be 0 for the In operator"));
        }
        if !seen.insert(code.int()) {
            errors.push(Error::duplicate(&path, code.clone()));
        }
    }
    if !items.is_sorted_by_key(Value::int) {
        errors.push(Error::invalid(&path, values.clone(), "must be ordered"));
    }
}

fn validate_success(spec: &Value, policy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("rules");
    let rules = policy.at("rules").items();
    if rules.is_empty() {
        let text = "at least one rules must be specified when the successPolicy is specified";
        errors.push(Error::required(&path, text));
    }
    if rules.len() > SUCCESS_RULES_MAX {
        errors.push(Error::too_many(&path, rules.len(), SUCCESS_RULES_MAX));
    }
    for (i, rule) in rules.iter().enumerate() {
        validate_success_rule(rule, spec.at("completions").int(), &path.index(i), errors);
    }
}

fn validate_success_rule(rule: &Value, completions: i64, path: &Path<'_>, errors: &mut ErrorList) {
    let (count, listed) = (rule.at("succeededCount"), rule.at("succeededIndexes"));
    if count.is_null() && listed.is_null() {
        let text = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(Error::required(path, text));
    }
    let mut total = 0;
    if let Some(text) = listed.as_str() {
        let path = path.child("succeededIndexes");
        if text.len() > SUCCEEDED_INDEXES_MAX_BYTES {
            errors.push(Error::too_long(&path, SUCCEEDED_INDEXES_MAX_BYTES));
        }
        match indexes::count(text, completions) {
            Ok(n) => total = n,
            Err(e) => {
                let detail = format!("error parsing succeededIndexes: {e}");
                errors.push(Error::invalid(&path, listed.clone(), detail));
            }
        }
    }
    if count.is_null() {
        return;
    }
    let path = path.child("succeededCount");
    check::non_negative(count, &path, errors);
    let too_high = |n: i64, of: &str| {
        Error::invalid(
            &path,
            count.clone(),
            format!("must be less than or equal to {n} (the number of {of})"),
        )
    };
    if count.int() > completions {
        errors.push(too_high(completions, "specified completions"));
    }
    if !listed.is_null() && count.int() > total {
        errors.push(too_high(total, "indexes in the specified succeededIndexes field"));
    }
}
