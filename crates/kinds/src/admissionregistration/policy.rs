//! What validating and mutating policies share: parameters, variables, and the state of their expressions.

use super::match_conditions::{self, Stored};
use super::rules;
use crate::equal::semantic_equal;
use crate::expressions::{self, Place, Scope, Variables};
use cel::Type;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::Value;

/// Defaults of a policy.
pub(super) fn default(policy: &mut Value) {
    let Some(spec) = policy.object_at("spec") else { return };
    crate::check::default(spec, "failurePolicy", "Fail");
    if let Some(constraints) = spec.get_mut("matchConstraints").filter(|c| !c.is_null()) {
        rules::default_match_resources(constraints);
    }
}

/// A policy while its expressions are checked, in order.
pub(super) struct Checker<'a> {
    pub(super) spec: &'a Value,
    pub(super) old: Option<&'a Value>,
    /// Its variables so far, if expressions may name any.
    variables: Option<Variables>,
}

impl<'a> Checker<'a> {
    /// `composes`: expressions may name `variables` even if the policy has none.
    pub(super) fn new(policy: &'a Value, old: Option<&'a Value>, composes: bool) -> Self {
        let spec = policy.at("spec");
        let composes = composes || !spec.at("variables").items().is_empty();
        Self { spec, old: old.map(|o| o.at("spec")), variables: composes.then(Variables::default) }
    }

    pub(super) fn has_params(&self) -> bool {
        !self.spec.at("paramKind").is_null()
    }

    /// Checks an expression of the policy; `shown` is what an error shows.
    pub(super) fn expression(
        &self,
        place: Place,
        text: &str,
        shown: &str,
        stored: bool,
        path: &Path<'_>,
        errors: &mut ErrorList,
    ) {
        let _ = self.compile(place, text, shown, stored, path, errors);
    }

    /// Checks an expression; the type it has.
    fn compile(
        &self,
        place: Place,
        text: &str,
        shown: &str,
        stored: bool,
        path: &Path<'_>,
        errors: &mut ErrorList,
    ) -> Option<Type> {
        let scope = Scope { params: self.has_params(), variables: self.variables.as_ref(), stored };
        match expressions::compile(text, place, scope) {
            Ok(program) => Some(program.output_type().clone()),
            Err(failure) => {
                failure.report(shown, path, errors);
                None
            }
        }
    }

    /// Failure policy, parameters, constraints, match conditions and variables.
    pub(super) fn head(&mut self, mutating: bool, path: &Path<'_>, errors: &mut ErrorList) {
        let spec = self.spec;
        let failure = spec.at("failurePolicy");
        rules::required_one_of(failure, &rules::FAILURE_POLICIES, &path.child("failurePolicy"), errors);
        if self.has_params() {
            validate_param_kind(spec.at("paramKind"), &path.child("paramKind"), errors);
        }
        let (constraints, constraints_path) = (spec.at("matchConstraints"), path.child("matchConstraints"));
        if constraints.is_null() {
            errors.push(Error::required(&constraints_path, ""));
        } else {
            rules::validate_match_resources(constraints, &constraints_path, errors);
            if constraints.at("resourceRules").items().is_empty() {
                errors.push(Error::required(&constraints_path.child("resourceRules"), ""));
            }
            if mutating {
                rules::validate_mutating_operations(constraints, &constraints_path, errors);
            }
        }
        let unchanged = self.old.is_some_and(|old| {
            ["paramKind", "matchConditions"].iter().all(|n| semantic_equal(spec.at(n), old.at(n)))
        });
        if !unchanged {
            let stored: Stored<'_> = self
                .old
                .into_iter()
                .flat_map(|o| match_conditions::expressions(o.at("matchConditions")))
                .collect();
            let path = path.child("matchConditions");
            match_conditions::validate(spec.at("matchConditions"), self.has_params(), &stored, &path, errors);
        }
        self.variables(&path.child("variables"), errors);
    }

    fn variables(&mut self, path: &Path<'_>, errors: &mut ErrorList) {
        for (i, variable) in self.spec.at("variables").items().iter().enumerate() {
            let path = path.index(i);
            let (name, text) = (variable.at("name").str(), variable.at("expression").str());
            if name.trim().is_empty() {
                errors.push(Error::required(&path.child("name"), "name is not specified"));
            } else if !is_identifier(name) {
                errors.push(Error::invalid(&path.child("name"), name, "must be a valid CEL identifier"));
            }
            if text.trim().is_empty() {
                errors.push(Error::required(&path.child("expression"), "expression is not specified"));
                continue;
            }
            let stored = self.stored_in("validations", "expression", text);
            let path = path.child("expression");
            let ty = self.compile(Place::Variable, text, text, stored, &path, errors);
            if let Some(variables) = &mut self.variables {
                variables.insert(name, ty);
            }
        }
    }

    /// Whether the old policy has this expression in one of a list's items.
    pub(super) fn stored_in(&self, list: &str, field: &str, text: &str) -> bool {
        self.old.is_some_and(|o| o.at(list).items().iter().any(|v| v.at(field).str() == text))
    }
}

fn is_identifier(name: &str) -> bool {
    let b = name.as_bytes();
    b.first().is_some_and(|c| *c == b'_' || c.is_ascii_alphabetic())
        && b.iter().all(|c| *c == b'_' || c.is_ascii_alphanumeric())
        && !cel::is_reserved(name)
}

fn validate_param_kind(kind: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    validate_api_version(kind.at("apiVersion").str(), &path.child("apiVersion"), errors);
    let name = kind.at("kind").str();
    let path = path.child("kind");
    if name.is_empty() {
        errors.push(Error::required(&path, ""));
        return;
    }
    let messages = names::dns1035_label(&name.to_lowercase());
    if !messages.is_empty() {
        let text = format!("may have mixed case, but should otherwise match: {}", messages.join(","));
        errors.push(Error::invalid(&path, name, text));
    }
}

fn validate_api_version(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let (group, version) = match text.matches('/').count() {
        _ if text == "/" => ("", ""),
        0 => ("", text),
        1 => text.split_once('/').unwrap_or(("", text)),
        _ => {
            let detail = format!("unexpected GroupVersion string: {text}");
            errors.push(Error::invalid(path, text, detail));
            return;
        }
    };
    if !group.is_empty() {
        let messages = names::dns1123_subdomain(group);
        if !messages.is_empty() {
            errors.push(Error::invalid(path, group, messages.join(",")));
        }
    }
    if version.is_empty() {
        errors.push(Error::invalid(path, text, "version must be specified"));
        return;
    }
    let messages = names::dns1035_label(version);
    if !messages.is_empty() {
        errors.push(Error::invalid(path, version, messages.join(",")));
    }
}
