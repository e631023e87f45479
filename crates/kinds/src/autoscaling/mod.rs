//! HorizontalPodAutoscaler. Both versions are validated as `autoscaling/v2`.
//!
//! Upstream: `pkg/apis/autoscaling/{v1,v2,validation}`, `pkg/registry/autoscaling`.

mod metrics;

use crate::check;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::gvk::GroupVersion;
use value::{Value, json};

/// The hooks of a kind of this group.
pub(crate) fn hooks(version: &str, plural: &str) -> Hooks {
    match (version, plural) {
        ("v1", "horizontalpodautoscalers") => Hooks { default: default_v1, ..HOOKS },
        (_, "horizontalpodautoscalers") => HOOKS,
        _ => Hooks::NONE,
    }
}

const HOOKS: Hooks = Hooks {
    default: default_v2,
    prepare_create: |_, hpa| prepare::reset_status(hpa),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, hpa| validate(hpa, None),
    validate_update: |_, new, old| validate(new, Some(old)),
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, _| {
        let mut errors = ErrorList::new();
        let path = Path::new("status");
        for name in ["currentReplicas", "desiredReplicas"] {
            check::non_negative(new.at("status").at(name), &path.child(name), &mut errors);
        }
        errors
    },
    ..Hooks::NONE
};

fn default_v1(hpa: &mut Value) {
    if let Some(spec) = hpa.object_at("spec") {
        check::default(spec, "minReplicas", 1);
    }
}

const DEFAULT_METRICS: &str = r#"[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":80}}}]"#;
const DEFAULT_SCALE_UP: &str = r#"{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15},{"type":"Percent","value":100,"periodSeconds":15}]}"#;
const DEFAULT_SCALE_DOWN: &str =
    r#"{"selectPolicy":"Max","policies":[{"type":"Percent","value":100,"periodSeconds":15}]}"#;

fn constant(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("a constant of this file is valid JSON")
}

fn default_v2(hpa: &mut Value) {
    let Some(spec) = hpa.object_at("spec") else { return };
    check::default(spec, "minReplicas", 1);
    if spec.at("metrics").is_empty() {
        spec.set("metrics", constant(DEFAULT_METRICS));
    }
    if let Some(behavior) = spec.get_mut("behavior").filter(|b| !b.is_null()) {
        for (name, rules) in [("scaleUp", DEFAULT_SCALE_UP), ("scaleDown", DEFAULT_SCALE_DOWN)] {
            let mut rules = constant(rules);
            for field in ["selectPolicy", "stabilizationWindowSeconds", "policies", "tolerance"] {
                let given = behavior.at(name).at(field);
                if !given.is_null() {
                    rules.set(field, given.clone());
                }
            }
            behavior.set(name, rules);
        }
    }
}

/// How strictly an `apiVersion` is looked at.
#[derive(Clone, Copy)]
struct VersionRule {
    /// Anything goes: it stands already.
    any: bool,
    /// The core group is fine.
    core: bool,
}

fn version_error(reference: &Value, rule: VersionRule) -> Option<String> {
    if rule.any {
        return None;
    }
    match GroupVersion::parse(reference.at("apiVersion").str()) {
        Err(e) => Some(e.to_string()),
        Ok(gv) if gv.group.is_empty() && !rule.core => Some("apiVersion must specify API group".into()),
        Ok(_) => None,
    }
}

fn validate_reference(reference: &Value, rule: VersionRule, path: &Path<'_>, errors: &mut ErrorList) {
    check::required_path_segment(reference.at("kind").str(), &path.child("kind"), errors);
    check::required_path_segment(reference.at("name").str(), &path.child("name"), errors);
    if let Some(text) = version_error(reference, rule) {
        errors.push(Error::invalid(&path.child("apiVersion"), reference.at("apiVersion").str(), text));
    }
}

fn validate(hpa: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (hpa.at("spec"), Path::new("spec"));
    let old = old.map(|o| o.at("spec"));
    let (min, max) = (spec.at("minReplicas"), spec.at("maxReplicas").int());
    // Scaling to zero is behind a gate that is off; who has it keeps it.
    let zero_stands = old.is_some_and(|o| o.at("minReplicas").as_i64() == Some(0));
    let lowest = i64::from(!zero_stands);
    if !min.is_null() && min.int() < lowest {
        let text = format!("must be greater than or equal to {lowest}");
        errors.push(Error::invalid(&path.child("minReplicas"), min.clone(), text));
    }
    let max_path = path.child("maxReplicas");
    if max == 0 {
        errors.push(Error::required(&max_path, "must be set and greater than 0"));
    } else if max < 0 {
        errors.push(Error::invalid(&max_path, max, "must be greater than or equal to 1"));
    }
    if !min.is_null() && max < min.int() {
        errors.push(Error::invalid(&max_path, max, "must be greater than or equal to `minReplicas`"));
    }
    let target = spec.at("scaleTargetRef");
    let stands = old.is_some_and(|o| {
        ["apiVersion", "kind"].iter().all(|n| o.at("scaleTargetRef").at(n).str() == target.at(n).str())
    });
    let rule = VersionRule { any: stands, core: target.at("kind").str() == "ReplicationController" };
    validate_reference(target, rule, &path.child("scaleTargetRef"), &mut errors);
    metrics::validate(spec, old, &path.child("metrics"), &mut errors);
    validate_behavior(spec.at("behavior"), &path.child("behavior"), &mut errors);
    errors
}

/// Upstream's bounds.
const STABILIZATION_MAX_SECONDS: i64 = 3600;
const PERIOD_MAX_SECONDS: i64 = 1800;

fn validate_behavior(behavior: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["scaleUp", "scaleDown"] {
        if !behavior.at(name).is_null() {
            validate_rules(behavior.at(name), &path.child(name), errors);
        }
    }
}

fn validate_rules(rules: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let window = rules.at("stabilizationWindowSeconds");
    let window_path = path.child("stabilizationWindowSeconds");
    if window.int() < 0 {
        errors.push(Error::invalid(&window_path, window.clone(), "must be greater than or equal to zero"));
    }
    if window.int() > STABILIZATION_MAX_SECONDS {
        let text = format!("must be less than or equal to {STABILIZATION_MAX_SECONDS}");
        errors.push(Error::invalid(&window_path, window.clone(), text));
    }
    let select = rules.at("selectPolicy");
    if !select.is_null() && !["Disabled", "Max", "Min"].contains(&select.str()) {
        let known = ["Disabled", "Max", "Min"];
        errors.push(Error::not_supported_in_order(&path.child("selectPolicy"), select.clone(), &known));
    }
    let policies_path = path.child("policies");
    let policies = rules.at("policies").items();
    if policies.is_empty() {
        errors.push(Error::required(&policies_path, "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        validate_policy(policy, &policies_path.index(i), errors);
    }
    if !rules.at("tolerance").is_null() {
        check::non_negative_quantity(rules.at("tolerance"), &path.child("tolerance"), errors);
    }
}

fn validate_policy(policy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = policy.at("type").str();
    if kind != "Pods" && kind != "Percent" {
        errors.push(Error::not_supported_in_order(&path.child("type"), kind, &["Percent", "Pods"]));
    }
    for name in ["value", "periodSeconds"] {
        let n = policy.at(name).int();
        if n <= 0 {
            errors.push(Error::invalid(&path.child(name), n, "must be greater than zero"));
        }
    }
    let period = policy.at("periodSeconds").int();
    if period > PERIOD_MAX_SECONDS {
        let text = format!("must be less than or equal to {PERIOD_MAX_SECONDS}");
        errors.push(Error::invalid(&path.child("periodSeconds"), period, text));
    }
}
