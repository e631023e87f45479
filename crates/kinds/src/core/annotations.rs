//! Annotations that mean something in pods: tolerations, deletion cost, seccomp and AppArmor profiles.
//!
//! Upstream: `ValidatePodSpecificAnnotations`, `validateSeccompAnnotationsAndFields`,
//! `validateAppArmorAnnotationsAndFieldsMatchOnCreate` in `pkg/apis/core/validation/validation.go`.

use super::options::Allow;
use super::scheduling;
use super::util::{containers, descending_path};
use meta::field::{Error, ErrorList, Path};
use meta::strconv;
use std::collections::HashSet;
use value::{Value, json};

pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// All annotations of a pod or template with this spec; `path` is that of the annotations.
pub(super) fn validate(
    metadata: &Value,
    spec: &Value,
    allow: &Allow,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let annotations = metadata.at("annotations");
    if let Some(v) = annotations.get(MIRROR)
        && spec.at("nodeName").str().is_empty()
    {
        let text = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(Error::invalid(&path.key(MIRROR), v.str(), text));
    }
    let given = annotations.at(TOLERATIONS).str();
    if !given.is_empty() {
        tolerations(given, allow, path, errors);
    }
    if !allow.invalid_deletion_cost && has_invalid_deletion_cost(metadata) {
        let v = annotations.at(DELETION_COST).str();
        errors.push(Error::invalid(&path.key(DELETION_COST), v, "must be a 32bit integer"));
    }
    if let Some(v) = annotations.get(SECCOMP_POD) {
        seccomp(v.str(), &path.child(SECCOMP_POD), errors);
    }
    for (key, v) in annotations.entries().filter(|(k, _)| k.starts_with(SECCOMP_CONTAINER)) {
        seccomp(v.str(), &path.child(key), errors);
    }
    let mut names: Option<HashSet<&str>> = None;
    for (key, v) in annotations.entries() {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        let names =
            names.get_or_insert_with(|| containers(spec).map(|(_, _, c)| c.at("name").str()).collect());
        if !names.contains(name) {
            errors.push(Error::invalid(&path.key(key), name, "container not found"));
        }
        let profile = v.str();
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
            let text = format!("invalid AppArmor profile name: {}", meta::quote::quote(profile));
            errors.push(Error::invalid(&path.key(key), profile, text));
        }
    }
}

fn tolerations(text: &str, allow: &Allow, path: &Path<'_>, errors: &mut ErrorList) {
    match json::parse(text.as_bytes()) {
        Ok(v @ (Value::Array(_) | Value::Null)) => {
            scheduling::tolerations(&v, allow.toleration_comparisons, &path.child(TOLERATIONS), errors);
        }
        Ok(_) => {
            let text = "json: cannot unmarshal object into Go value of type []core.Toleration";
            errors.push(Error::invalid(path, TOLERATIONS, text));
        }
        Err(e) => errors.push(Error::invalid(path, TOLERATIONS, e.to_string())),
    }
}

/// Whether the cost of deletion is no 32 bit number in plain digits.
pub(super) fn has_invalid_deletion_cost(metadata: &Value) -> bool {
    let Some(v) = metadata.at("annotations").get(DELETION_COST) else { return false };
    let plain = matches!(v.str().as_bytes(), [b'0'] | [b'-' | b'1'..=b'9', ..]);
    !plain || strconv::parse_int32(v.str()).is_err()
}

fn seccomp(profile: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        return;
    }
    match profile.strip_prefix("localhost/") {
        Some(file) => descending_path(file, path, errors),
        None => errors.push(Error::invalid(path, profile, "must be a valid seccomp profile")),
    }
}

/// That seccomp annotations and fields say the same; `path` is that of the spec.
pub(super) fn seccomp_match(metadata: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let annotations = metadata.at("annotations");
    if let Some(v) = annotations.get(SECCOMP_POD) {
        let profile = spec.at("securityContext").at("seccompProfile");
        let path = path.child("securityContext");
        seccomp_matches(v.str(), profile, &path.child("seccompProfile"), errors);
    }
    for (list, i, container) in containers(spec) {
        let key = format!("{SECCOMP_CONTAINER}{}", container.at("name").str());
        if let Some(v) = annotations.get(&key) {
            let path = path.child(list);
            let path = path.index(i);
            let path = path.child("securityContext");
            let profile = container.at("securityContext").at("seccompProfile");
            seccomp_matches(v.str(), profile, &path.child("seccompProfile"), errors);
        }
    }
}

fn seccomp_matches(annotation: &str, profile: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let runtime: &[&str] = &["runtime/default", "docker/default"];
    profile_matches(annotation, profile, runtime, "seccomp", path, errors);
}

fn profile_matches(
    annotation: &str,
    profile: &Value,
    runtime: &[&str],
    what: &str,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let same_type = match profile.at("type").str() {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => runtime.contains(&annotation),
        "Localhost" => annotation.starts_with("localhost/"),
        _ => return,
    };
    if !same_type {
        let text = format!("{what} type in annotation and field must match");
        errors.push(Error::forbidden(&path.child("type"), text));
    } else if profile.at("type").str() == "Localhost"
        && profile.at("localhostProfile").as_str() != annotation.strip_prefix("localhost/")
    {
        let text = format!("{what} profile in annotation and field must match");
        errors.push(Error::forbidden(&path.child("localhostProfile"), text));
    }
}

/// The same for AppArmor.
pub(super) fn app_armor_match(metadata: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if spec.at("os").at("name").str() == "windows" {
        return;
    }
    let annotations = metadata.at("annotations");
    let of = |v: &Value| v.at("securityContext").at("appArmorProfile").clone();
    let pod = of(spec);
    for (list, i, container) in containers(spec) {
        let key = format!("{APP_ARMOR}{}", container.at("name").str());
        if let Some(v) = annotations.get(&key) {
            let own = of(container);
            let profile = if own.is_null() { &pod } else { &own };
            let path = path.child(list);
            let path = path.index(i);
            let path = path.child("securityContext");
            let path = path.child("appArmorProfile");
            profile_matches(v.str(), profile, &["runtime/default"], "apparmor", &path, errors);
        }
    }
}

/// Annotations that must not come, go or change (`ValidatePodSpecificAnnotationUpdates`); then all of them.
pub(super) fn validate_update(
    new: &Value,
    old: &Value,
    allow: &Allow,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let annotations = |v: &Value| v.at("metadata").at("annotations").clone();
    let (now, before) = (annotations(new), annotations(old));
    let mut forbid = |key: &str, what: &str| {
        if key.starts_with(APP_ARMOR) {
            errors.push(Error::forbidden(&path.key(key), format!("may not {what} AppArmor annotations")));
        }
        if key == MIRROR {
            errors.push(Error::forbidden(&path.key(key), format!("may not {what} mirror pod annotation")));
        }
    };
    for (key, v) in before.entries() {
        if now.get(key) != Some(v) {
            forbid(key, "remove or update");
        }
    }
    for (key, _) in now.entries() {
        if before.get(key).is_none() {
            forbid(key, "add");
        }
    }
    validate(new.at("metadata"), new.at("spec"), allow, path, errors);
}
