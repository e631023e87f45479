//! The rules for labels and label selectors in objects, as
//! `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.

use super::{Labels, Operator};
use crate::field::{Error, ErrorList, Path};
use crate::names;
use value::Value;

/// What a label selector in an object may hold beyond the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelSelectorOptions {
    /// Values that no label can have: for updates of objects that hold some already.
    pub allow_invalid_values: bool,
    /// Operators that are unknown here: for access reviews.
    pub allow_unknown_operators: bool,
}

/// A label's key.
pub fn validate_label_name(name: &str, path: &Path<'_>) -> ErrorList {
    names::invalid(path, name, names::qualified_name(name))
}

/// A map of labels.
pub fn validate_labels(labels: &Value, path: &Path<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in labels.entries() {
        errors.extend(validate_label_name(key, path));
        errors.extend(names::invalid(path, value.str(), names::label_value(value.str())));
    }
    errors
}

/// A `LabelSelector`; null is fine.
pub fn validate_label_selector(
    selector: &Value,
    options: LabelSelectorOptions,
    path: &Path<'_>,
) -> ErrorList {
    let mut errors = validate_labels(selector.at("matchLabels"), &path.child("matchLabels"));
    let expressions_path = path.child("matchExpressions");
    for (i, expression) in selector.at("matchExpressions").items().iter().enumerate() {
        errors.extend(validate_requirement(expression, options, &expressions_path.index(i)));
    }
    errors
}

fn validate_requirement(requirement: &Value, options: LabelSelectorOptions, path: &Path<'_>) -> ErrorList {
    let values_path = path.child("values");
    let mut errors = validate_operator(requirement, options.allow_unknown_operators, path);
    errors.extend(validate_label_name(requirement.at("key").str(), &path.child("key")));
    if !options.allow_invalid_values {
        for (i, value) in requirement.at("values").items().iter().enumerate() {
            let faults = names::label_value(value.str());
            errors.extend(names::invalid(&values_path.index(i), value.str(), faults));
        }
    }
    errors
}

fn validate_operator(requirement: &Value, allow_unknown: bool, path: &Path<'_>) -> ErrorList {
    let values_path = path.child("values");
    let has_values = !requirement.at("values").items().is_empty();
    let word = requirement.at("operator").str();
    match Operator::of_api(word) {
        Some(Operator::In | Operator::NotIn) if !has_values => {
            vec![Error::required(&values_path, "must be specified when `operator` is 'In' or 'NotIn'")]
        }
        Some(Operator::Exists | Operator::DoesNotExist) if has_values => {
            let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            vec![Error::forbidden(&values_path, text)]
        }
        None if !allow_unknown => {
            let error = Error::invalid(&path.child("operator"), word, "not a valid selector operator");
            vec![error.shown_as_json()]
        }
        _ => ErrorList::new(),
    }
}

/// A `FieldSelectorRequirement` of an access review.
pub fn validate_field_selector_requirement(
    requirement: &Value,
    options: LabelSelectorOptions,
    path: &Path<'_>,
) -> ErrorList {
    let mut errors = ErrorList::new();
    if requirement.at("key").str().is_empty() {
        errors.push(Error::required(&path.child("key"), "must be specified"));
    }
    errors.extend(validate_operator(requirement, options.allow_unknown_operators, path));
    errors
}

/// Whether a selector holds values that no label can have.
pub fn label_selector_has_invalid_value(selector: &Value) -> bool {
    let expressions = selector.at("matchExpressions").items().iter();
    expressions.flat_map(|e| e.at("values").items()).any(|v| !names::label_value(v.str()).is_empty())
}

/// Whether two sets of labels disagree on a key (`labels.Conflicts`).
pub fn conflict(a: &Value, b: &Value) -> bool {
    a.entries().any(|(key, value)| Labels::get(b, key).is_some_and(|other| other != value.str()))
}
