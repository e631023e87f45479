//! Dropping fields of pods that are behind gates that are off.
//!
//! Upstream: `dropDisabledFields`, `dropDisabledPodStatusFields` in `pkg/api/pod/util.go`, for gates that are
//! off by default: trust bundles, pod certificates, scheduling groups, stop signals, digests of image volumes,
//! claims of resources that nodes allocate.

use super::options::projected_sources;
use super::util::{containers, each, each_container, is_set};
use value::Value;

/// Drops fields behind gates that are off, unless the old template has them.
pub fn drop_disabled_template_fields(template: &mut Value, old: Option<&Value>) {
    let old = old.map_or(&Value::Null, |o| o.at("spec"));
    if let Some(spec) = template.get_mut("spec") {
        drop_spec(spec, old);
    }
}

/// The same for a pod with its status.
pub(super) fn drop_disabled_pod_fields(pod: &mut Value, old: Option<&Value>) {
    drop_disabled_template_fields(pod, old);
    let old = old.map_or(&Value::Null, |o| o.at("status"));
    if let Some(status) = pod.get_mut("status") {
        drop_status(status, old);
    }
}

fn drop_spec(spec: &mut Value, old: &Value) {
    for kind in ["clusterTrustBundle", "podCertificate"] {
        if projected_sources(old).any(|s| is_set(s, kind)) {
            continue;
        }
        each(spec, "volumes", |volume| {
            if let Some(projected) = volume.get_mut("projected") {
                each(projected, "sources", |source| drop(source.remove(kind)));
            }
        });
    }
    if !is_set(old, "schedulingGroup") {
        spec.remove("schedulingGroup");
    }
    if !containers(old).any(|(_, _, c)| is_set(c.at("lifecycle"), "stopSignal")) {
        each_container(spec, |c| {
            let Some(lifecycle) = c.get_mut("lifecycle") else { return };
            let had = lifecycle.remove("stopSignal").is_some_and(|v| !v.is_null());
            if had && lifecycle.entries().all(|(_, v)| v.is_null()) {
                c.remove("lifecycle");
            }
        });
    }
}

const STATUS_LISTS: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

fn drop_status(status: &mut Value, old: &Value) {
    let mut mounts =
        STATUS_LISTS.iter().flat_map(|list| old.at(list).items()).flat_map(|c| c.at("volumeMounts").items());
    if !mounts.any(|m| is_set(m, "volumeStatus")) {
        for list in STATUS_LISTS {
            each(status, list, |c| each(c, "volumeMounts", |m| drop(m.remove("volumeStatus"))));
        }
    }
    if old.at("nodeAllocatableResourceClaimStatuses").items().is_empty() {
        status.remove("nodeAllocatableResourceClaimStatuses");
    }
}
