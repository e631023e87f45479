//! PodDisruptionBudget. Upstream: `pkg/apis/policy/validation`, `pkg/registry/policy`.

use crate::apps::{not_more_than_100_percent, positive_int_or_percent};
use crate::check;
use crate::hooks::{Hooks, NameRule};
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "poddisruptionbudgets" { HOOKS } else { Hooks::NONE }
}

const HOOKS: Hooks = Hooks {
    // Upstream checks no metadata here; what all names must be, it checks everywhere.
    name: NameRule::PathSegment,
    metadata_last: true,
    default: strip_v1beta1_label,
    prepare_create: |_, budget| prepare::reset_status(budget),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, budget| validate(budget, false),
    validate_update: |_, new, old| {
        let mut old_errors = ErrorList::new();
        check::label_selector(old.at("spec").at("selector"), &Path::new(""), &mut old_errors);
        validate(new, !old_errors.is_empty())
    },
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, _| {
        let mut errors = ErrorList::new();
        let (status, path) = (new.at("status"), Path::new("status"));
        check::conditions(status.at("conditions"), &path.child("conditions"), &mut errors);
        for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
            check::non_negative(status.at(name), &path.child(name), &mut errors);
        }
        errors
    },
    ..Hooks::NONE
};

const V1BETA1_LABEL: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

/// Drops the requirement by which `v1beta1` told an empty selector from none, unless it stands alone and says
/// that nothing is selected (`policy/v1/conversion.go`).
fn strip_v1beta1_label(budget: &mut Value) {
    let Some(selector) = budget.get_mut("spec").and_then(|s| s.get_mut("selector")) else { return };
    let marks = |e: &Value| e.at("key").str() == V1BETA1_LABEL;
    if let [only] = selector.at("matchExpressions").items() {
        let exists = only.at("operator").str() == "Exists" && only.at("values").is_empty();
        if marks(only) && exists && selector.at("matchLabels").is_empty() {
            return;
        }
    }
    let expressions = selector.get_mut("matchExpressions").and_then(Value::as_array_mut);
    if let Some(expressions) = expressions.filter(|all| all.iter().any(marks)) {
        expressions.retain(|e| !marks(e));
        if expressions.is_empty() {
            selector.remove("matchExpressions");
        }
    }
}

fn validate(budget: &Value, lenient: bool) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (budget.at("spec"), Path::new("spec"));
    let (min, max) = (spec.at("minAvailable"), spec.at("maxUnavailable"));
    if !min.is_null() && !max.is_null() {
        let text = "minAvailable and maxUnavailable cannot be both set";
        errors.push(internal::invalid(&path, "policy.PodDisruptionBudgetSpec", spec, text));
    }
    for (name, v) in [("minAvailable", min), ("maxUnavailable", max)] {
        if !v.is_null() {
            positive_int_or_percent(v, &path.child(name), &mut errors);
            not_more_than_100_percent(v, &path.child(name), &mut errors);
        }
    }
    check::label_selector_with(spec.at("selector"), lenient, &path.child("selector"), &mut errors);
    let policy = spec.at("unhealthyPodEvictionPolicy");
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    if !policy.is_null() && !policies.contains(&policy.str()) {
        let path = path.child("unhealthyPodEvictionPolicy");
        errors.push(Error::not_supported_in_order(&path, policy.clone(), &policies));
    }
    errors
}
