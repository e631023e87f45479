//! Changes of pods, and of their ephemeral containers.
//!
//! Upstream: `ValidatePodUpdate`, `ValidatePodEphemeralContainersUpdate` in
//! `pkg/apis/core/validation/validation.go`.

use super::diff::diff;
use super::options::Allow;
use super::util::{is_set, metadata_again};
use super::{annotations, pod, scheduling};
use crate::equal::semantic_equal;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::Scope;
use std::collections::{HashMap, HashSet};
use value::Value;

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
     `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it \
     to be set to 1 if it was previously negative)";

/// All errors of a changed pod.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let allow = Allow::for_pod(Some(old));
    metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
    pod::validate_common(new, &allow, &mut errors);
    let meta_path = Path::new("metadata");
    annotations::validate_update(new, old, &allow, &meta_path.child("annotations"), &mut errors);
    let path = Path::new("spec");
    let (spec, before) = (new.at("spec"), old.at("spec"));
    for list in ["containers", "initContainers"] {
        if !images(spec, before, list, &path, &mut errors) {
            return errors;
        }
    }
    if !active_deadline(spec, before, &path, &mut errors) {
        return errors;
    }
    only_added_tolerations(spec, before, &allow, &path.child("tolerations"), &mut errors);
    only_deleted_gates(spec, before, &path.child("schedulingGates"), &mut errors);
    if semantic_equal(spec, before) {
        return errors;
    }
    let mut munged = with_old_updatable(spec, before);
    if !before.at("schedulingGates").items().is_empty() {
        gated(&mut munged, before, &path, &mut errors);
    }
    if !semantic_equal(&munged, before) {
        let text = format!(
            "pod updates may not change fields other than {UPDATABLE}\n{}",
            diff("core.PodSpec", before, &munged)
        );
        errors.push(Error::forbidden(&path, text));
    }
    errors
}

/// Images of containers; says whether there are as many as before.
fn images(spec: &Value, before: &Value, list: &str, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let path = path.child(list);
    let containers = spec.at(list).items();
    if containers.len() != before.at(list).items().len() {
        errors.push(Error::forbidden(&path, "pod updates may not add or remove containers"));
        return false;
    }
    for (i, c) in containers.iter().enumerate() {
        let path = path.index(i);
        super::util::require(c, "image", &path, errors);
        super::container::only_in_pods(c, &path, errors);
    }
    true
}

/// It may come, and get shorter; says whether to go on.
fn active_deadline(spec: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let name = "activeDeadlineSeconds";
    let path = path.child(name);
    let (new, old) = (spec.at(name).as_i64(), before.at(name).as_i64());
    match (new, old) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            let text = names::inclusive_range_error(0, i64::from(i32::MAX));
            errors.push(Error::invalid(&path, new, text));
            false
        }
        (Some(new), Some(old)) if old < new => {
            errors.push(Error::invalid(&path, new, "must be less than or equal to previous value"));
            false
        }
        (None, Some(_)) => {
            let text = "must not update from a positive integer to nil value";
            errors.push(Error::invalid(&path, Value::Null, text));
            true
        }
        _ => true,
    }
}

/// A toleration but for its seconds.
fn toleration_key(v: &Value) -> [&str; 4] {
    ["key", "operator", "value", "effect"].map(|name| v.at(name).str())
}

fn only_added_tolerations(
    spec: &Value,
    before: &Value,
    allow: &Allow,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let list = spec.at("tolerations");
    let known: HashSet<[&str; 4]> = list.items().iter().map(toleration_key).collect();
    if before.at("tolerations").items().iter().any(|t| !known.contains(&toleration_key(t))) {
        let text = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(Error::forbidden(path, text));
        return;
    }
    scheduling::tolerations(list, allow.toleration_comparisons, path, errors);
}

fn only_deleted_gates(spec: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let known: HashSet<&str> =
        before.at("schedulingGates").items().iter().map(|g| g.at("name").str()).collect();
    let gates = spec.at("schedulingGates").items();
    // The last place of each name, as upstream.
    let last: HashMap<&str, usize> = gates.iter().enumerate().map(|(i, g)| (g.at("name").str(), i)).collect();
    for (i, gate) in gates.iter().enumerate() {
        let name = gate.at("name").str();
        if !known.contains(name) && last.get(name) == Some(&i) {
            let text = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(Error::forbidden(&path.index(i).child("name"), text));
        }
    }
}

/// The new spec with what may change as it was.
fn with_old_updatable(spec: &Value, before: &Value) -> Value {
    let mut munged = spec.clone();
    for list in ["containers", "initContainers"] {
        if let Some(containers) = munged.get_mut(list).and_then(Value::as_array_mut) {
            for (c, old) in containers.iter_mut().zip(before.at(list).items()) {
                super::util::keep(c, old, "image");
            }
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        super::util::keep(&mut munged, before, name);
    }
    let name = "terminationGracePeriodSeconds";
    if before.at(name).int() < 0 && munged.at(name).int() == 1 {
        super::util::keep(&mut munged, before, name);
    }
    munged
}

/// A pod that is not scheduled yet may be narrowed down to fewer nodes.
fn gated(munged: &mut Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (new, old) = (munged.at("nodeSelector"), before.at("nodeSelector"));
    if !semantic_equal(new, old) {
        if old.entries().any(|(k, v)| new.get(k) != Some(v)) {
            let text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
            errors.push(Error::invalid(&path.child("nodeSelector"), new.clone(), text));
        }
        super::util::keep(munged, before, "nodeSelector");
    }
    let affinity = |spec: &Value| spec.at("affinity").at("nodeAffinity").clone();
    let (new, old) = (affinity(munged), affinity(before));
    if semantic_equal(&new, &old) {
        return;
    }
    let path = path.child("affinity");
    node_affinity(&new, &old, &path.child("nodeAffinity"), errors);
    let own = munged.at("affinity");
    let only_node = !is_set(own, "podAffinity") && !is_set(own, "podAntiAffinity");
    if own.is_null() {
        if !old.is_null() {
            munged.set("affinity", super::util::object([("nodeAffinity", old)]));
        }
    } else if !is_set(before, "affinity") && only_node {
        munged.remove("affinity");
    } else if let Some(own) = munged.get_mut("affinity") {
        own.set("nodeAffinity", old);
    }
}

/// Terms may get longer, but not more (`validateNodeAffinityMutation`).
fn node_affinity(new: &Value, old: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let name = "requiredDuringSchedulingIgnoredDuringExecution";
    if !is_set(old, name) {
        return;
    }
    let path = path.child(name);
    let path = path.child("nodeSelectorTerms");
    let (terms, before) =
        (new.at(name).at("nodeSelectorTerms"), old.at(name).at("nodeSelectorTerms").items());
    if !before.is_empty() && before.len() != terms.items().len() {
        let text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let shown = internal::text("[]core.NodeSelectorTerm", terms);
        errors.push(Error::invalid(&path, terms.clone(), text).shown_as(shown));
        return;
    }
    for (i, (term, before)) in terms.items().iter().zip(before).enumerate() {
        if !only_adds(term, before) {
            let text = "only additions are allowed (no mutations or deletions)";
            errors.push(internal::invalid(&path.index(i), "core.NodeSelectorTerm", term, text));
        }
    }
}

fn only_adds(term: &Value, before: &Value) -> bool {
    let lists = ["matchExpressions", "matchFields"];
    if lists.iter().all(|l| before.at(l).items().is_empty()) {
        return lists.iter().all(|l| term.at(l).items().is_empty());
    }
    lists.iter().all(|l| {
        let (new, old) = (term.at(l).items(), before.at(l).items());
        new.len() >= old.len() && new.iter().zip(old).all(|(n, o)| semantic_equal(n, o))
    })
}

/// All errors of a pod whose ephemeral containers changed.
pub(super) fn validate_ephemeral(new: &Value, old: &Value) -> ErrorList {
    if old.at("metadata").at("annotations").get(annotations::MIRROR).is_some() {
        let text = "static pods do not support ephemeral containers";
        return vec![Error::forbidden(&Path::new(""), text)];
    }
    let mut errors = ErrorList::new();
    let allow = Allow::for_pod(Some(old));
    metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
    pod::validate_common(new, &allow, &mut errors);
    let meta_path = Path::new("metadata");
    annotations::validate_update(new, old, &allow, &meta_path.child("annotations"), &mut errors);
    let containers = |pod: &Value| pod.at("spec").at("ephemeralContainers").clone();
    let (now, before) = (containers(new), containers(old));
    let known: HashMap<&str, &Value> = now.items().iter().map(|c| (c.at("name").str(), c)).collect();
    let path = Path::new("spec");
    let path = path.child("ephemeralContainers");
    for c in before.items() {
        let name = c.at("name").str();
        let text = match known.get(name) {
            None => "may not be removed\n".to_owned(),
            Some(new) if !semantic_equal(c, new) => {
                format!("may not be changed\n{}", diff("core.EphemeralContainer", c, new))
            }
            Some(_) => continue,
        };
        let text = format!("existing ephemeral containers {} {text}", meta::quote::quote(name));
        errors.push(Error::forbidden(&path, text));
    }
    errors
}
