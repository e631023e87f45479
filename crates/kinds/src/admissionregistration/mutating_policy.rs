//! MutatingAdmissionPolicy.

use super::policy::{self, Checker};
use super::rules;
use crate::expressions::Place;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default: policy::default,
    validate_create: |_, p| validate(p, None),
    validate_update: |_, new, old| validate(new, Some(old)),
    ..Hooks::NONE
};

fn validate(policy: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let mut checker = Checker::new(policy, old, true);
    checker.head(true, &path, &mut errors);
    let mutations = checker.spec.at("mutations").items();
    let mutations_path = path.child("mutations");
    if mutations.is_empty() {
        errors.push(Error::required(&mutations_path, "mutations must contain at least one item"));
    }
    for (i, mutation) in mutations.iter().enumerate() {
        validate_mutation(&checker, mutation, &mutations_path.index(i), &mut errors);
    }
    let reinvocation = checker.spec.at("reinvocationPolicy").str();
    let path = path.child("reinvocationPolicy");
    if reinvocation.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        rules::one_of(&reinvocation.into(), &rules::REINVOCATION_POLICIES, &path, &mut errors);
    }
    errors
}

fn validate_mutation(checker: &Checker<'_>, mutation: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = mutation.at("patchType").str();
    let (wanted, other, place) = match kind {
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Place::JsonPatch),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Place::ApplyConfiguration),
        "" => return errors.push(Error::required(&path.child("patchType"), "")),
        _ => {
            let known = ["ApplyConfiguration", "JSONPatch"];
            return errors.push(Error::not_supported_in_order(&path.child("patchType"), kind, &known));
        }
    };
    let (patch, patch_path) = (mutation.at(wanted), path.child(wanted));
    if patch.is_null() {
        errors.push(Error::required(&patch_path, format!("must be specified when patchType is {kind}")));
    } else {
        let text = patch.at("expression").str();
        let path = patch_path.child("expression");
        if text.trim().is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            // Upstream looks for both kinds of patch among the stored apply configurations.
            let stored = checker.old.is_some_and(|o| {
                let mutations = o.at("mutations").items();
                mutations.iter().any(|m| m.at("applyConfiguration").at("expression").str() == text)
            });
            checker.expression(place, text.trim(), text.trim(), stored, &path, errors);
        }
    }
    if !mutation.at(other).is_null() {
        let text = format!("must not be specified when patchType is {kind}");
        errors.push(Error::invalid(&path.child(other), format!("{{{other}}}"), text));
    }
}
