//! Changing what a running pod and its containers may use.
//!
//! Upstream: `ValidatePodResize` in `pkg/apis/core/validation/validation.go`, `dropNonResizeUpdates` in
//! `pkg/registry/core/pod/strategy.go`.

use super::options::Allow;
use super::sums::qos_class;
use super::util::{is_set, is_sidecar, keep, metadata_again};
use super::{annotations, pod};
use crate::equal::semantic_equal;
use crate::prepare as shared;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::Scope;
use value::Value;

const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Leaves only resources and resize policies of what was written.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    let (spec, before) = (new.at("spec"), old.at("spec"));
    if LISTS.iter().any(|l| spec.at(l).items().len() != before.at(l).items().len()) {
        // Validation tells what is wrong.
        return;
    }
    let resources = spec.at("resources").clone();
    let lists = LISTS.map(|l| merged(spec.at(l), before.at(l)));
    shared::keep(new, old, "spec");
    shared::keep(new, old, "status");
    shared::reset_meta_for_status(new, old);
    let Some(spec) = new.get_mut("spec") else { return };
    if resources.is_null() {
        spec.remove("resources");
    } else {
        spec.set("resources", resources);
    }
    for (name, list) in LISTS.into_iter().zip(lists) {
        if list.is_null() {
            spec.remove(name);
        } else {
            spec.set(name, list);
        }
    }
}

fn merged(new: &Value, old: &Value) -> Value {
    let (now, before) = (new.items(), old.items());
    if now.is_empty() || now.iter().zip(before).any(|(n, o)| n.at("name") != o.at("name")) {
        return new.clone();
    }
    let each = now.iter().zip(before).map(|(new, old)| {
        let mut c = old.clone();
        keep(&mut c, new, "resources");
        keep(&mut c, new, "resizePolicy");
        c
    });
    Value::Array(each.collect())
}

/// All errors of a resize.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let refuse = |text: &str| vec![Error::forbidden(&Path::new(""), text)];
    if old.at("metadata").at("annotations").get(annotations::MIRROR).is_some() {
        return refuse("static pods cannot be resized");
    }
    let (spec, before) = (new.at("spec"), old.at("spec"));
    if before.at("os").at("name").str() == "windows" {
        return refuse("windows pods cannot be resized");
    }
    let mut errors = ErrorList::new();
    metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
    pod::validate_common(new, &Allow::for_pod(Some(old)), &mut errors);
    let path = Path::new("spec");
    let class = match old.at("status").at("qosClass").str() {
        "" => qos_class(before),
        class => class,
    };
    if class != qos_class(spec) {
        let text = "Pod QOS Class may not change as a result of resizing";
        let given = new.at("status").at("qosClass").str();
        errors.push(super::util::invalid_named(&path, given, text));
    }
    let statuses = old.at("status").at("containerStatuses").items();
    let running = statuses.iter().find(|c| is_set(c.at("state"), "running"));
    if running.is_some_and(|c| !is_set(c, "resources")) {
        errors.push(Error::forbidden(&path, "Pod running on node without support for resize"));
    }
    let mut copy = spec.clone();
    if has_resources(before) || has_resources(spec) {
        of_pod(&mut copy, spec, before, &path, &mut errors);
    }
    if !old.at("status").at("nodeAllocatableResourceClaimStatuses").items().is_empty() {
        let text = "pods with node allocatable resource claims cannot be resized";
        errors.push(Error::forbidden(&path, text));
    }
    if !same_containers(spec, before, &path, &mut errors) {
        return errors;
    }
    for list in ["initContainers", "containers"] {
        let list_path = path.child(list);
        for (i, (c, before)) in spec.at(list).items().iter().zip(before.at(list).items()).enumerate() {
            let path = list_path.index(i);
            let path = path.child("resources");
            for kind in ["requests", "limits"] {
                if removed(c.at("resources").at(kind), before.at("resources").at(kind)) {
                    let text = format!("resource {kind} cannot be removed");
                    errors.push(Error::forbidden(&path.child(kind), text));
                }
            }
        }
    }
    only_compute(&mut copy, before, &path, &mut errors);
    if errors.is_empty() && !semantic_equal(&copy, before) {
        errors.push(Error::forbidden(&path, "only cpu and memory resources are mutable"));
    }
    errors
}

fn has_resources(spec: &Value) -> bool {
    let v = spec.at("resources");
    !v.at("requests").is_empty() || !v.at("limits").is_empty()
}

/// Whether something of a list is gone.
fn removed(new: &Value, old: &Value) -> bool {
    old.entries().any(|(name, _)| new.get(name).is_none())
}

/// What the pod as a whole asks for; `copy` gets what it had.
fn of_pod(copy: &mut Value, spec: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (v, old) = (spec.at("resources"), before.at("resources"));
    let resources_path = path.child("resources");
    if !old.is_null() {
        if v.is_null() {
            errors.push(Error::forbidden(&resources_path, "pod-level resources cannot be removed"));
            return;
        }
        for kind in ["requests", "limits"] {
            if removed(v.at(kind), old.at(kind)) {
                let text = format!("pod-level resource {kind} cannot be removed");
                errors.push(Error::forbidden(&resources_path.child(kind), text));
            }
        }
    }
    let mut own = v.clone();
    with_old_compute(&mut own, old);
    drop_empty(&mut own);
    if old.is_null() && ["requests", "limits", "claims"].iter().all(|n| own.at(n).is_empty()) {
        own = Value::Null;
    }
    if !semantic_equal(&own, old) {
        let text = "only cpu and memory resources are mutable at pod-level";
        errors.push(Error::forbidden(path, text));
    }
    if own.is_null() {
        copy.remove("resources");
    } else {
        copy.set("resources", own);
    }
}

/// Puts CPU and memory back as they were.
fn with_old_compute(resources: &mut Value, old: &Value) {
    for kind in ["limits", "requests"] {
        let before = old.at(kind);
        if resources.at(kind).is_null() && before.is_null() {
            continue;
        }
        let Some(list) = resources.object_at(kind) else { continue };
        for name in ["cpu", "memory"] {
            keep(list, before, name);
        }
    }
}

/// A map that is empty is one that is not there.
fn drop_empty(resources: &mut Value) {
    if let Some(v) = resources.as_object_mut() {
        v.retain(|_, v| !v.is_empty());
    }
}

fn same_containers(spec: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let count = errors.len();
    for list in LISTS {
        let path = path.child(list);
        let (new, old) = (spec.at(list).items(), before.at(list).items());
        if new.len() != old.len() {
            errors.push(Error::forbidden(&path, format!("{list} may not be added or removed on resize")));
            continue;
        }
        for (i, (new, old)) in new.iter().zip(old).enumerate() {
            if new.at("name") != old.at("name") {
                let text = format!("{list} may not be renamed or reordered on resize");
                errors.push(Error::forbidden(&path.index(i).child("name"), text));
            }
        }
    }
    errors.len() == count
}

/// That containers changed in nothing but CPU and memory; `copy` gets what they had.
fn only_compute(copy: &mut Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for list in LISTS {
        let list_path = path.child(list);
        let Some(containers) = copy.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (i, (c, old)) in containers.iter_mut().zip(before.at(list).items()).enumerate() {
            let modified = !semantic_equal(c, old);
            let mut resources = super::util::object([
                ("limits", c.at("resources").at("limits").clone()),
                ("requests", c.at("resources").at("requests").clone()),
            ]);
            with_old_compute(&mut resources, old.at("resources"));
            drop_empty(&mut resources);
            c.set("resources", resources);
            let path = list_path.index(i);
            let same = semantic_equal(c, old);
            if list == "containers" {
                if !same {
                    let text = "only cpu and memory resources are mutable";
                    errors.push(Error::forbidden(&Path::new("spec"), text));
                }
                continue;
            }
            if !same {
                let text = "only cpu and memory resources for init or sidecar containers are mutable";
                errors.push(Error::forbidden(&path, text));
            }
            if modified && !is_sidecar(c) {
                for policy in c.at("resizePolicy").items() {
                    if policy.at("restartPolicy").str() == "RestartContainer" {
                        let text = "non-sidecar init containers with a resize policy of RestartContainer \
                             cannot be resized";
                        errors.push(Error::forbidden(&path, text));
                    }
                }
            }
        }
    }
}
