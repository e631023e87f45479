//! ResourceQuotas.
//!
//! Upstream: `ValidateResourceQuota*` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/resourcequota/strategy.go`.

use super::pod_defaults::round_up;
use super::resources::{is_standard_for_quota, quota_resource_name, resource_quantity};
use super::util::{finalizer_names, invalid_named, quantity, repeats, shown_bytes};
use crate::hooks::Hooks;
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use std::collections::{HashMap, HashSet};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default: |quota| {
        if let Some(spec) = quota.get_mut("spec") {
            round_up(spec, "hard");
        }
        if let Some(status) = quota.get_mut("status") {
            round_up(status, "hard");
            round_up(status, "used");
        }
    },
    prepare_create: |_, quota| prepare::reset_status(quota),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, quota| {
        let mut errors = ErrorList::new();
        finalizer_names(quota, &mut errors);
        validate_spec(quota.at("spec"), &mut errors);
        amounts(quota.at("status"), "status", &["hard", "used"], &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        validate_spec(new.at("spec"), &mut errors);
        let scopes = |v: &Value| -> HashSet<String> {
            v.at("spec").at("scopes").items().iter().map(|s| s.str().to_owned()).collect()
        };
        if scopes(new) != scopes(old) {
            let path = Path::new("spec");
            let list = new.at("spec").at("scopes").clone();
            errors.push(Error::invalid(&path.child("scopes"), list, "field is immutable"));
        }
        errors
    },
    warn_create: |_, quota| warnings(quota.at("spec").at("hard")),
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, _| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        if new.at("metadata").at("resourceVersion").str().is_empty() {
            errors.push(Error::required(&Path::new("resourceVersion"), ""));
        }
        amounts(new.at("status"), "status", &["hard", "used"], &mut errors);
        errors
    },
    ..Hooks::NONE
};

fn amounts(v: &Value, root: &str, lists: &[&str], errors: &mut ErrorList) {
    let path = Path::new(root);
    for list in lists {
        let path = path.child(list);
        for (name, amount) in v.at(list).entries() {
            let path = path.key(name);
            quota_resource_name(name, &path, errors);
            resource_quantity(name, amount, &path, errors);
        }
    }
}

fn is_scope(scope: &str) -> bool {
    matches!(
        scope,
        "Terminating"
            | "NotTerminating"
            | "BestEffort"
            | "NotBestEffort"
            | "PriorityClass"
            | "VolumeAttributesClass"
            | "CrossNamespacePodAffinity"
    )
}

/// Whether a scope makes sense for a resource.
fn fits(scope: &str, resource: &str) -> bool {
    let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || compute.contains(&resource),
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

/// How many resources of the quota a scope does not fit.
struct Misfits<'a> {
    hard: &'a Value,
    known: HashMap<String, usize>,
}

impl<'a> Misfits<'a> {
    fn new(hard: &'a Value) -> Self {
        Self { hard, known: HashMap::new() }
    }

    fn count(&mut self, scope: &str) -> usize {
        if !is_scope(scope) {
            return 0;
        }
        if let Some(count) = self.known.get(scope) {
            return *count;
        }
        let names = self.hard.entries().map(|(name, _)| name.as_str());
        let count = names.filter(|n| is_standard_for_quota(n) && !fits(scope, n)).count();
        self.known.insert(scope.to_owned(), count);
        count
    }
}

fn validate_spec(spec: &Value, errors: &mut ErrorList) {
    amounts(spec, "spec", &["hard"], errors);
    let path = Path::new("spec");
    let mut misfits = Misfits::new(spec.at("hard"));
    let scopes = spec.at("scopes");
    if !scopes.items().is_empty() {
        let path = path.child("scopes");
        let mut left = repeats(shown_bytes(scopes));
        let mut refuse = |times: usize, text: &str, errors: &mut ErrorList| {
            for _ in 0..times.min(left) {
                left -= 1;
                errors.push(Error::invalid(&path, scopes.clone(), text));
            }
        };
        for scope in scopes.items() {
            refuse(usize::from(!is_scope(scope.str())), "unsupported scope", errors);
            refuse(misfits.count(scope.str()), "unsupported scope applied to resource", errors);
        }
        let names: HashSet<&str> = scopes.items().iter().map(Value::str).collect();
        refuse(conflicts(&names), "conflicting scopes", errors);
    }
    let selector = spec.at("scopeSelector");
    if !selector.is_null() {
        let path = path.child("scopeSelector");
        selector_errors(spec, selector, &mut misfits, &path.child("matchExpressions"), errors);
    }
}

/// How many pairs of scopes are there that exclude each other.
fn conflicts(scopes: &HashSet<&str>) -> usize {
    [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")]
        .iter()
        .filter(|(a, b)| scopes.contains(a) && scopes.contains(b))
        .count()
}

fn selector_errors(
    spec: &Value,
    selector: &Value,
    misfits: &mut Misfits<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let shown = selector.at("matchExpressions").items().iter().map(|r| 60 + shown_bytes(r.at("values")));
    let mut left = repeats(shown.sum());
    let mut names = HashSet::new();
    for requirement in selector.at("matchExpressions").items() {
        let (scope, operator) = (requirement.at("scopeName").str(), requirement.at("operator").str());
        if !is_scope(scope) {
            errors.push(invalid_named(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for _ in 0..misfits.count(scope).min(left) {
            left -= 1;
            let text = "unsupported scope applied to resource";
            errors.push(internal::invalid(path, "core.ScopeSelector", selector, text));
        }
        let by_existence = matches!(
            scope,
            "BestEffort" | "NotBestEffort" | "Terminating" | "NotTerminating" | "CrossNamespacePodAffinity"
        );
        let operator_path = path.child("operator");
        if by_existence && operator != "Exists" {
            let text = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                 ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(invalid_named(&operator_path, operator, text));
        }
        let (values, values_path) = (requirement.at("values"), path.child("values"));
        match operator {
            "In" | "NotIn" => {
                if values.items().is_empty() {
                    let text =
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                    errors.push(Error::required(&values_path, text));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.items().is_empty() {
                    let text =
                        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                    errors.push(Error::invalid(&values_path, values.clone(), text));
                }
            }
            _ => errors.push(invalid_named(&operator_path, operator, "not a valid selector operator")),
        }
        names.insert(scope);
    }
    for _ in 0..conflicts(&names) {
        errors.push(Error::invalid(path, spec.at("scopes").clone(), "conflicting scopes"));
    }
}

fn warnings(hard: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in ["cpu", "memory", "storage", "ephemeral-storage"] {
        let mut request = format!("requests.{name}");
        if hard.get(&request).is_none() && matches!(name, "cpu" | "memory") {
            request = name.to_owned();
        }
        let limit = format!("limits.{name}");
        let (Some(asked), Some(bound)) = (hard.get(&request), hard.get(&limit)) else { continue };
        let (asked, bound) = (quantity(asked), quantity(bound));
        if asked > bound {
            warnings.push(format!("ResourceQuota {request} ({asked}) should be less than {limit} ({bound})"));
        }
    }
    warnings
}
