//! ValidatingAdmissionPolicy.

use super::policy::{self, Checker};
use super::rules;
use crate::check;
use crate::expressions::Place;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default: policy::default,
    prepare_create: |_, p| prepare::reset_status(p),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, p| validate(p, None),
    validate_update: |_, new, old| validate(new, Some(old)),
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::reset_meta_for_status(new, old);
    },
    validate_subresource: |_, new, _| validate_status(new),
    ..Hooks::NONE
};

/// Upstream's bounds.
const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_MAX_BYTES: usize = 5 * 1024;

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

fn validate(policy: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let mut checker = Checker::new(policy, old, false);
    checker.head(false, &path, &mut errors);
    let (validations, annotations) = (checker.spec.at("validations"), checker.spec.at("auditAnnotations"));
    if validations.items().is_empty() && annotations.items().is_empty() {
        for name in ["validations", "auditAnnotations"] {
            let text = "validations or auditAnnotations must contain at least one item";
            errors.push(Error::required(&path.child(name), text));
        }
        return errors;
    }
    let validations_path = path.child("validations");
    for (i, validation) in validations.items().iter().enumerate() {
        validate_one(&checker, validation, &validations_path.index(i), &mut errors);
    }
    let name = policy.at("metadata").at("name").str();
    validate_annotations(&checker, name, annotations, &path.child("auditAnnotations"), &mut errors);
    errors
}

fn validate_one(checker: &Checker<'_>, validation: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let text = validation.at("expression").str();
    let expression_path = path.child("expression");
    if text.trim().is_empty() {
        errors.push(Error::required(&expression_path, "expression is not specified"));
    } else {
        let stored = checker.stored_in("validations", "expression", text);
        checker.expression(Place::Condition, text, text, stored, &expression_path, errors);
    }
    let text = validation.at("messageExpression").str();
    let expression_path = path.child("messageExpression");
    if text.trim().is_empty() {
        if !text.is_empty() {
            errors.push(Error::invalid(&expression_path, text, "must be non-empty if specified"));
        }
    } else {
        let stored = checker.stored_in("validations", "messageExpression", text);
        checker.expression(Place::Message, text, text, stored, &expression_path, errors);
    }
    let message = validation.at("message").str();
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(Error::invalid(&path.child("message"), message, "must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(Error::invalid(&path.child("message"), message, "must not contain line breaks"));
    }
    rules::one_of(validation.at("reason"), &REASONS, &path.child("reason"), errors);
}

fn validate_annotations(
    checker: &Checker<'_>,
    name: &str,
    annotations: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let items = annotations.items();
    if items.len() > AUDIT_ANNOTATIONS_MAX {
        let text = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        let shown = crate::internal::text("[]admissionregistration.AuditAnnotation", annotations);
        errors.push(Error::invalid(path, annotations.clone(), text).shown_as(shown));
    }
    let mut seen = HashSet::new();
    for (i, annotation) in items.iter().enumerate() {
        let path = path.index(i);
        let key = annotation.at("key").str();
        if name.is_empty() {
            errors.push(Error::invalid(&path.child("key"), key, "requires metadata.name be non-empty"));
        } else {
            check::qualified_name(&format!("{name}/{key}"), &path.child("key"), errors);
        }
        let (text, expression_path) = (annotation.at("valueExpression").str(), path.child("valueExpression"));
        if text.trim().is_empty() {
            errors.push(Error::required(&expression_path, "valueExpression is not specified"));
        } else if text.trim().len() > AUDIT_EXPRESSION_MAX_BYTES {
            let text = format!("must not exceed {AUDIT_EXPRESSION_MAX_BYTES} bytes in length");
            errors.push(Error::required(&expression_path, text));
        } else {
            let stored = checker.stored_in("auditAnnotations", "valueExpression", text);
            checker.expression(Place::AuditAnnotation, text.trim(), text, stored, &expression_path, errors);
        }
        if !seen.insert(key) {
            errors.push(Error::duplicate(&path.child("key"), key));
        }
    }
}

fn validate_status(policy: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (status, path) = (policy.at("status"), Path::new("status"));
    let warnings_path = path.child("typeChecking");
    let warnings_path = warnings_path.child("expressionWarnings");
    for (i, warning) in status.at("typeChecking").at("expressionWarnings").items().iter().enumerate() {
        let path = warnings_path.index(i);
        if warning.at("warning").str().is_empty() {
            errors.push(Error::required(&path.child("warning"), ""));
        }
        if warning.at("fieldRef").str().trim().is_empty() {
            errors.push(Error::required(&path.child("fieldRef"), ""));
        }
    }
    check::conditions(status.at("conditions"), &path.child("conditions"), &mut errors);
    errors
}
