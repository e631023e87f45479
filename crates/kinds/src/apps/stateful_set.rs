//! StatefulSet.

use super::replica_set::{collision_count, not_greater, required_selector, warn_update};
use super::strategy::{int_or_percent, not_more_than_100_percent, positive_int_or_percent};
use crate::check::{self, Selector};
use crate::core::pod;
use crate::equal::semantic_equal;
use crate::hooks::{Context, Hooks, NameRule};
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::{Map, Value};

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, sts| {
        prepare::reset_status(sts);
        drop_max_unavailable(sts, None);
        prepare::template_create(sts, &["spec", "template"]);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        drop_max_unavailable(new, Some(old));
        prepare::template_update(new, old, &["spec", "template"]);
    },
    validate_create: |_, sts| {
        let mut errors = ErrorList::new();
        validate_spec(sts.at("spec"), None, Checks::ALL, &mut errors);
        errors
    },
    validate_update,
    warn_create: |_, sts| {
        let mut warnings = super::replica_set::pod_warnings(sts, None);
        claim_warnings(sts, "", &mut warnings);
        warnings
    },
    warn_update: |context, new, old| {
        let mut warnings = warn_update(context, new, old);
        // Upstream's path on update has this stray segment.
        claim_warnings(new, ".Spec", &mut warnings);
        warnings
    },
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, old| validate_status(new, old),
    name: NameRule::DnsLabel,
    ..Hooks::NONE
};

fn default(sts: &mut Value) {
    let Some(spec) = sts.object_at("spec") else { return };
    check::default_text(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = spec.object_at("updateStrategy") {
        if strategy.at("type").str().is_empty() {
            strategy.set("type", "RollingUpdate");
            let _ = strategy.object_at("rollingUpdate");
        }
        if strategy.at("type").str() == "RollingUpdate"
            && !strategy.at("rollingUpdate").is_null()
            && let Some(rolling) = strategy.object_at("rollingUpdate")
        {
            check::default(rolling, "partition", 0);
        }
    }
    if let Some(policy) = spec.object_at("persistentVolumeClaimRetentionPolicy") {
        check::default_text(policy, "whenDeleted", "Retain");
        check::default_text(policy, "whenScaled", "Retain");
    }
    check::default(spec, "replicas", 1);
    check::default(spec, "revisionHistoryLimit", 10);
    if let Some(template) = spec.object_at("template") {
        pod::default_pod_template(template);
    }
    if let Some(claims) = spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut) {
        for claim in claims {
            crate::core::default_claim_template(claim);
            // The conversion to the served form names the kind (`apps/v1/conversion.go`).
            claim.set("apiVersion", "v1");
            claim.set("kind", "PersistentVolumeClaim");
        }
    }
}

/// `maxUnavailable` is behind a gate that is off; whoever has it keeps it.
fn drop_max_unavailable(new: &mut Value, old: Option<&Value>) {
    let path = ["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];
    if old.is_some_and(|o| !o.path(&path).is_null()) {
        return;
    }
    let rolling = path[..3].iter().try_fold(new, |v, k| v.get_mut(k));
    if let Some(rolling) = rolling {
        rolling.remove("maxUnavailable");
    }
}

fn claim_warnings(sts: &Value, stray: &str, warnings: &mut Vec<String>) {
    for (i, claim) in sts.at("spec").at("volumeClaimTemplates").items().iter().enumerate() {
        let prefix = format!("spec.volumeClaimTemplates[{i}]{stray}");
        warnings.extend(crate::core::claim_spec_warnings(claim.at("spec"), &prefix));
    }
    let limit = sts.at("spec").at("revisionHistoryLimit");
    if limit.int() < 0 {
        warnings.push(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is \
             recommended"
                .into(),
        );
    }
}

/// What is looked at; an update leaves out what cannot change.
#[derive(Clone, Copy)]
struct Checks {
    service_name: bool,
    claims: bool,
    template: bool,
}

impl Checks {
    const ALL: Self = Self { service_name: true, claims: true, template: true };
}

fn validate_spec(spec: &Value, old: Option<&Value>, checks: Checks, errors: &mut ErrorList) {
    let path = Path::new("spec");
    match spec.at("podManagementPolicy").str() {
        "" => errors.push(Error::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(Error::invalid(
            &path.child("podManagementPolicy"),
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    validate_strategy(spec.at("updateStrategy"), &path.child("updateStrategy"), errors);
    let policy = spec.at("persistentVolumeClaimRetentionPolicy");
    if !policy.is_null() {
        let path = path.child("persistentVolumeClaimRetentionPolicy");
        for name in ["whenDeleted", "whenScaled"] {
            let v = policy.at(name).str();
            if v != "Retain" && v != "Delete" {
                errors.push(Error::not_supported_in_order(&path.child(name), v, &["Retain", "Delete"]));
            }
        }
    }
    if checks.claims {
        let path = path.child("volumeClaimTemplates");
        for (i, claim) in spec.at("volumeClaimTemplates").items().iter().enumerate() {
            crate::core::validate_claim_spec(claim.at("spec"), &path.index(i).child("spec"), errors);
        }
    }
    check::non_negative(spec.at("replicas"), &path.child("replicas"), errors);
    check::non_negative(spec.at("minReadySeconds"), &path.child("minReadySeconds"), errors);
    if !spec.at("ordinals").is_null() {
        check::non_negative(spec.at("ordinals").at("start"), &path.child("ordinals.start"), errors);
    }
    if checks.service_name && !spec.at("serviceName").str().is_empty() {
        check::dns1123_label(spec.at("serviceName").str(), &path.child("serviceName"), errors);
    }
    let (selector, selector_path) = (spec.at("selector"), path.child("selector"));
    required_selector(selector, "empty selector is invalid for statefulset", &selector_path, errors);
    match Selector::parse(selector) {
        Err(_) => errors.push(check::invalid_selector(&selector_path, selector, "")),
        Ok(parsed) => {
            validate_template(spec, &parsed, old, checks, &path.child("template"), errors);
        }
    }
    super::replica_set::always_running(spec.at("template"), "StatefulSet", &path.child("template"), errors);
}

fn validate_template(
    spec: &Value,
    selector: &Selector,
    old: Option<&Value>,
    checks: Checks,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let template = &template_with_claims(spec);
    let metadata = template.at("metadata");
    let labels = metadata.at("labels");
    if !selector.is_empty() && !selector.matches(labels) {
        let text = "`selector` does not match template `labels`";
        errors.push(Error::invalid(&path.child("metadata").child("labels"), labels.clone(), text));
    }
    let options = pod::Options { old: old.map(|o| o.at("template").clone()) };
    if checks.template {
        pod::validate_pod_template_spec(template, path, &options, errors);
    }
    check::labels(labels, &path.child("labels"), errors);
    check::annotations(metadata.at("annotations"), &path.child("annotations"), errors);
    pod::validate_pod_annotations(template, &path.child("annotations"), &options, errors);
}

/// The template as its pods will have it: the controller sets host name and subdomain, and adds a volume
/// for each claim.
fn template_with_claims(spec: &Value) -> Value {
    let mut template = spec.at("template").clone();
    let claims = spec.at("volumeClaimTemplates").items();
    let Some(pod) = template.get_mut("spec") else { return template };
    pod.remove("subdomain");
    pod.remove("hostname");
    if claims.is_empty() {
        return template;
    }
    let mut names = HashSet::new();
    let mut volumes: Vec<Value> = Vec::new();
    for name in claims.iter().map(|c| c.at("metadata").at("name")) {
        if names.insert(name.str()) {
            let source = Map::from_iter([("claimName".into(), name.clone())]);
            volumes.push(Value::Object(Map::from_iter([
                ("name".into(), name.clone()),
                ("persistentVolumeClaim".into(), Value::Object(source)),
            ])));
        }
    }
    let own = pod.at("volumes").items().iter().filter(|v| !names.contains(v.at("name").str()));
    volumes.extend(own.cloned());
    pod.set("volumes", Value::Array(volumes));
    template
}

fn validate_strategy(strategy: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let rolling = strategy.at("rollingUpdate");
    let rolling_text = || {
        if rolling.is_null() {
            return "null".into();
        }
        check::go_struct(&[
            ("Partition", rolling.at("partition").int().to_string()),
            ("MaxUnavailable", check::json(rolling.at("maxUnavailable"))),
        ])
    };
    match strategy.at("type").str() {
        "" => errors.push(Error::required(path, "")),
        "OnDelete" => {
            if !rolling.is_null() {
                let text = "only allowed for updateStrategy 'RollingUpdate'";
                let error = Error::invalid(&path.child("rollingUpdate"), rolling.clone(), text);
                errors.push(error.shown_as(rolling_text()));
            }
        }
        "RollingUpdate" => {
            if !rolling.is_null() {
                validate_rolling(rolling, &path.child("rollingUpdate"), errors);
            }
        }
        kind => {
            let shown =
                check::go_struct(&[("Type", check::go_text(kind)), ("RollingUpdate", rolling_text())]);
            let error = Error::invalid(path, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'");
            errors.push(error.shown_as(shown));
        }
    }
}

fn validate_rolling(rolling: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::non_negative(rolling.at("partition"), &path.child("partition"), errors);
    let unavailable = rolling.at("maxUnavailable");
    if !unavailable.is_null() {
        let path = path.child("maxUnavailable");
        positive_int_or_percent(unavailable, &path, errors);
        if int_or_percent(unavailable) == 0 {
            errors.push(Error::invalid(&path, unavailable.clone(), "cannot be 0"));
        }
        not_more_than_100_percent(unavailable, &path, errors);
    }
}

fn validate_update(_: &Context, new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (new, old) = (new.at("spec"), old.at("spec"));
    let mut checks = Checks { service_name: false, claims: false, template: true };
    // What stands and would be refused today may stay.
    let mut old_errors = ErrorList::new();
    validate_spec(old, Some(old), checks, &mut old_errors);
    checks.template = old_errors.is_empty();
    validate_spec(new, Some(old), checks, &mut errors);

    let mut clone = new.clone();
    for name in [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ] {
        prepare::keep(&mut clone, old, name);
    }
    if !semantic_equal(&clone, old) {
        errors.push(Error::forbidden(
            &Path::new("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
             'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
             'minReadySeconds' are forbidden",
        ));
    }
    errors
}

fn validate_status(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (status, path) = (new.at("status"), Path::new("status"));
    for name in [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ] {
        check::non_negative(status.at(name), &path.child(name), &mut errors);
    }
    for name in ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
        not_greater(status, name, "replicas", "cannot be greater than status.replicas", &path, &mut errors);
    }
    let text = "cannot be greater than status.readyReplicas";
    not_greater(status, "availableReplicas", "readyReplicas", text, &path, &mut errors);
    collision_count(new, old, &mut errors);
    errors
}
