//! The status of pods.
//!
//! Upstream: `ValidatePodStatusUpdate` in `pkg/apis/core/validation/validation.go`, `podStatusStrategy` in
//! `pkg/registry/core/pod/strategy.go`.

use super::options::Allow;
use super::util::{finalizer_names, is_dual_stack, legacy_ip};
use super::{annotations, container_status};
use crate::check;
use crate::internal;
use crate::prepare as shared;
use meta::field::{Error, ErrorList, Path};
use meta::names::ip;
use std::collections::{HashMap, HashSet, VecDeque};
use value::Value;

/// Puts back all but the status, and in the status what writers may leave out.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    shared::keep(new, old, "spec");
    if let Some(metadata) = new.object_at("metadata") {
        for name in ["deletionTimestamp", "ownerReferences"] {
            shared::keep(metadata, old.at("metadata"), name);
        }
    }
    let before = old.at("status");
    let Some(status) = new.object_at("status") else { return };
    if status.at("qosClass").str().is_empty() {
        shared::keep(status, before, "qosClass");
    }
    if status.at("observedGeneration").int() == 0 {
        shared::keep(status, before, "observedGeneration");
    }
    // There may be several conditions of a type: the first takes from the first.
    let mut known: HashMap<&str, VecDeque<i64>> = HashMap::new();
    for condition in before.at("conditions").items() {
        let generation = condition.at("observedGeneration").int();
        known.entry(condition.at("type").str()).or_default().push_back(generation);
    }
    super::util::each(status, "conditions", |condition| {
        let generation = known.get_mut(condition.at("type").str()).and_then(VecDeque::pop_front);
        if condition.at("observedGeneration").int() == 0
            && let Some(generation) = generation.filter(|g| *g != 0)
        {
            condition.set("observedGeneration", generation);
        }
    });
}

/// All errors of a changed status.
pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let allow = Allow::for_pod(Some(old));
    finalizer_names(new, &mut errors);
    let meta_path = Path::new("metadata");
    annotations::validate_update(new, old, &allow, &meta_path.child("annotations"), &mut errors);
    let path = Path::new("status");
    let (status, before) = (new.at("status"), old.at("status"));
    let (spec, old_spec) = (new.at("spec"), old.at("spec"));
    conditions(status, &path.child("conditions"), &mut errors);
    if spec.at("nodeName") != old_spec.at("nodeName") {
        errors.push(Error::forbidden(&path.child("nodeName"), "may not be changed directly"));
    }
    let nominated = status.at("nominatedNodeName").str();
    if !nominated.is_empty() && nominated != before.at("nominatedNodeName").str() {
        let path = path.child("nominatedNodeName");
        check::dns1123_subdomain(nominated, &path, &mut errors);
        if !old_spec.at("nodeName").str().is_empty() {
            let text = "may not be set on pods that are already bound to a node";
            errors.push(Error::forbidden(&path, text));
        }
    }
    generation(status, &path, &mut errors);
    if status.at("qosClass").str() != before.at("qosClass").str() {
        let class = status.at("qosClass").str();
        errors.push(super::util::invalid_named(&path.child("qosClass"), class, "field is immutable"));
    }
    container_status::transitions(status, before, old_spec, &path, &mut errors);
    claim_statuses(status, spec, &path.child("resourceClaimStatuses"), &mut errors);
    extended_claim(status, spec, &path.child("extendedResourceClaimStatus"), &mut errors);
    pod_ips(status, before, &path.child("podIPs"), &mut errors);
    host_ips(status, before, &path.child("hostIPs"), &mut errors);
    container_status::validate(status, spec, &path, &mut errors);
    errors
}

/// Warnings about addresses that are not in their canonical form.
pub(super) fn warnings(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let path = Path::new("status");
    for list in ["podIPs", "hostIPs"] {
        let path = path.child(list);
        for (i, ip) in ips(pod.at("status").at(list)).into_iter().enumerate() {
            warnings.extend(ip::ip_warnings(&path.index(i).child("ip"), ip));
        }
    }
    warnings
}

fn generation(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let n = v.at("observedGeneration").int();
    if n < 0 {
        errors.push(Error::invalid(&path.child("observedGeneration"), n, "must be a non-negative integer"));
    }
}

fn conditions(status: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, condition) in status.at("conditions").items().iter().enumerate() {
        let path = path.index(i);
        generation(condition, &path, errors);
        let kind = condition.at("type").str();
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            check::qualified_name(kind, &path.child("Type"), errors);
        }
    }
}

fn claim_statuses(status: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let known: HashSet<&str> = spec.at("resourceClaims").items().iter().map(|c| c.at("name").str()).collect();
    let mut seen = HashSet::new();
    for (i, claim) in status.at("resourceClaimStatuses").items().iter().enumerate() {
        let path = path.index(i);
        let (name, name_path) = (claim.at("name").str(), path.child("name"));
        if !known.contains(name) {
            let text = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(Error::invalid(&name_path, name, text));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&name_path, name));
        }
        if let Some(name) = claim.at("resourceClaimName").as_str() {
            let path = path.child("resourceClaimName");
            let messages = meta::names::dns1123_subdomain(name);
            errors.extend(messages.into_iter().map(|m| super::util::invalid_named(&path, name, m)));
        }
    }
}

fn extended_claim(status: &Value, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let v = status.at("extendedResourceClaimStatus");
    if v.is_null() {
        return;
    }
    let lists = ["initContainers", "containers"];
    let containers: HashMap<&str, &Value> =
        lists.iter().flat_map(|l| spec.at(l).items()).map(|c| (c.at("name").str(), c)).collect();
    let list_path = path.child("requestMappings");
    let mappings = v.at("requestMappings").items();
    if mappings.is_empty() {
        errors.push(Error::required(&list_path, "at least one request mapping is required"));
    }
    let mut seen = HashSet::new();
    let names = ["containerName", "resourceName", "requestName"];
    for (i, mapping) in mappings.iter().enumerate() {
        let own = list_path.index(i);
        let [container, resource, request] = names.map(|n| mapping.at(n).str());
        match containers.get(container) {
            None => {
                let text =
                    "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(Error::invalid(&own.child("containerName"), container, text));
            }
            Some(c) if c.at("resources").at("requests").get(resource).is_none() => {
                let text = "must match the extended resource name of an entry in \
                     spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(Error::invalid(&own.child("resourceName"), resource, text));
            }
            Some(_) => {}
        }
        check::dns1123_label(request, &path.child("requestName"), errors);
        if !seen.insert([container, resource, request]) {
            for name in names {
                errors.push(Error::duplicate(&own.child(name), mapping.at(name).str()));
            }
        }
    }
    let (name, path) = (v.at("resourceClaimName").str(), path.child("resourceClaimName"));
    if name.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        check::dns1123_subdomain(name, &path, errors);
    }
}

fn ips(list: &Value) -> Vec<&str> {
    list.items().iter().map(|v| v.at("ip").str()).collect()
}

/// Addresses that are new must be sound, and there may be one of each family.
fn addresses(new: &Value, old: &Value, kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let known: HashSet<&str> = ips(old).into_iter().collect();
    let own = ips(new);
    for (i, ip) in own.iter().enumerate() {
        legacy_ip(&path.index(i), ip, &known, errors);
    }
    if own.len() > 1 {
        let dual = is_dual_stack(&own).unwrap_or_else(|e| {
            errors.push(Error::internal(path, format!("failed to check for dual stack with error:{e}")));
            false
        });
        if !dual || own.len() > 2 {
            let text = "may specify no more than one IP for each IP family";
            let shown = internal::text(kind, new);
            errors.push(Error::invalid(path, new.clone(), text).shown_as(shown));
        }
    }
}

fn pod_ips(status: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    addresses(status.at("podIPs"), before.at("podIPs"), "[]core.PodIP", path, errors);
}

fn host_ips(status: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let list = status.at("hostIPs");
    let Some(first) = list.items().first() else { return };
    let first = first.at("ip").str();
    if status.at("hostIP").str() != first {
        let path = path.index(0);
        errors.push(Error::invalid(&path.child("ip"), first, "must be equal to `hostIP`"));
    }
    addresses(list, before.at("hostIPs"), "[]core.HostIP", path, errors);
}
