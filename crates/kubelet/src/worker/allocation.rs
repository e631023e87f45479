//! The resources that a pod was granted: those of its specification, until that asks for others which the node does
//! not have (KEP-1287).
//!
//! A pod is held as its object says but for its resources, so that whoever looks at it need not know of this. Upstream
//! counterpart: `UpdatePodFromAllocation` of `pkg/kubelet/allocation`, which remembers grants in a file; here what the
//! pod's status tells is enough.

use std::sync::Arc;

use api::core::v1::{Container, ContainerStatus, Pod, PodSpec, ResourceRequirements};

use super::resize::RESIZABLE;
use crate::resources::List;
use crate::spec;

/// Whether both have the same resources.
pub(super) fn is_same(one: &Pod, other: &Pod) -> bool {
    let of = |pod: &Pod| {
        let containers = spec::init_containers(pod).iter().chain(spec::containers(pod));
        let own: Vec<_> =
            containers.map(|container| container.resources.clone().unwrap_or_default()).collect();
        (spec::spec(pod).resources.clone().unwrap_or_default(), own)
    };
    of(one) == of(other)
}

/// The pod as it is now, with the resources that it was granted before.
pub(super) fn kept(asked: &Arc<Pod>, before: &Pod) -> Arc<Pod> {
    if is_same(asked, before) {
        return asked.clone();
    }
    let mut pod = Pod::clone(asked);
    let spec = pod.spec.get_or_insert_default();
    spec.resources.clone_from(&spec::spec(before).resources);
    for container in resizable(spec) {
        if let Some((_, before)) = spec::find(before, &container.name) {
            container.resources = before.resources;
        }
    }
    Arc::new(pod)
}

/// The pod with the resources that a kubelet before this one granted it, as its status tells.
pub(super) fn adopted(asked: &Arc<Pod>) -> Arc<Pod> {
    let mut pod = Pod::clone(asked);
    let status = pod.status.clone().unwrap_or_default();
    let lists = [&status.init_container_statuses, &status.container_statuses];
    for container in resizable(pod.spec.get_or_insert_default()) {
        let told = lists.into_iter().flatten().flatten().find(|status| status.name == container.name);
        if let Some(told) = told {
            adopt(container, told);
        }
    }
    if is_same(asked, &pod) { asked.clone() } else { Arc::new(pod) }
}

fn adopt(container: &mut Container, told: &ContainerStatus) {
    let Some(ResourceRequirements { limits, requests, .. }) = &told.resources else { return };
    let own = container.resources.get_or_insert_default();
    take(&mut own.limits, limits.as_ref());
    take(&mut own.requests, told.allocated_resources.as_ref().or(requests.as_ref()));
}

/// Only what can change is taken over.
fn take(own: &mut Option<List>, told: Option<&List>) {
    for name in RESIZABLE {
        match told.and_then(|told| told.get(name)) {
            Some(amount) => {
                own.get_or_insert_default().insert(name.to_owned(), amount.clone());
            }
            None => {
                own.as_mut().and_then(|own| own.remove(name));
            }
        }
    }
}

fn resizable(spec: &mut PodSpec) -> impl Iterator<Item = &mut Container> {
    spec.init_containers.iter_mut().flatten().chain(spec.containers.iter_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::{Value, json};

    fn pod(resources: Value, status: Value) -> Arc<Pod> {
        let side = json!({"name": "side", "restartPolicy": "Always", "resources": resources});
        let mut pod = testing::pod(json!({
            "initContainers": [side], "containers": [{"name": "a", "resources": resources}, {"name": "b"}],
        }));
        pod.status = serde_json::from_value(status).unwrap();
        Arc::new(pod)
    }

    fn resources(pod: &Pod, name: &str) -> Value {
        json!(spec::find(pod, name).unwrap().1.resources)
    }

    #[test]
    fn what_was_granted_stays() {
        let small = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}});
        let before = pod(small.clone(), json!({}));
        let mut asked = Pod::clone(&pod(json!({"requests": {"cpu": "2"}}), json!({})));
        asked.metadata.generation = Some(7);
        let asked = Arc::new(asked);
        let granted = kept(&asked, &before);
        assert_eq!([resources(&granted, "a"), resources(&granted, "side")], [small.clone(), small]);
        assert_eq!(granted.metadata.generation, Some(7), "all else is as it is now");
        assert!(is_same(&granted, &before) && !is_same(&granted, &asked));
        assert!(Arc::ptr_eq(&kept(&asked, &asked), &asked));
    }

    #[test]
    fn what_a_kubelet_before_granted_is_told_by_the_status() {
        let told = json!({"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "resources": {"requests": {"cpu": "50m", "memory": "1Gi"}},
            "allocatedResources": {"cpu": "100m", "memory": "1Gi"}});
        let status = json!({"containerStatuses": [told]});
        let wanted = json!({"requests": {"cpu": "2", "memory": "1Gi", "x/y": "1"}, "limits": {"cpu": "3", "x/y": "1"}});
        let asked = pod(wanted.clone(), status.clone());
        let granted = adopted(&asked);
        let expected =
            json!({"requests": {"cpu": "100m", "memory": "1Gi", "x/y": "1"}, "limits": {"x/y": "1"}});
        assert_eq!(resources(&granted, "a"), expected);
        assert_eq!(resources(&granted, "side"), wanted, "of it nothing was told");
        let same = pod(json!({"requests": {"cpu": "100m", "memory": "1Gi"}}), status);
        assert!(Arc::ptr_eq(&adopted(&same), &same));
    }
}
