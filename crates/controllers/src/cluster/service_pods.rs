//! Which Services a pod is behind, and what of a pod matters to them: for EndpointSlices and Endpoints alike.
//! Upstream: `k8s.io/endpointslice/util/controller_utils.go`.

use api::core::v1::{Container, Pod, Service, ServicePort};
use api::{IntOrString, Key, Object, pods};
use client::{Change, Lister};
use reconcile::Queue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Labels = BTreeMap<String, String>;

/// Whether all of `selector` are among `labels`.
pub(super) fn selects(selector: &Labels, labels: Option<&Labels>) -> bool {
    selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

/// The Service's selector; nothing if it selects no pods at all.
pub(super) fn selector(service: &Service) -> Option<&Labels> {
    service.spec.as_ref()?.selector.as_ref().filter(|selector| !selector.is_empty())
}

/// Puts the Services that a changed pod is or was behind into a queue.
pub(super) fn enqueue(services: &Lister<Service>, change: &Change<Pod>, queue: &Queue) {
    let pod = change.object();
    let behind = |labels: Option<&Labels>| -> BTreeSet<Key> {
        services
            .list_in(pod.namespace())
            .iter()
            .filter(|service| selector(service).is_some_and(|selector| selects(selector, labels)))
            .map(|service| service.key())
            .collect()
    };
    let affected = match change {
        Change::Added(pod) | Change::Deleted(pod) => behind(pod.metadata.labels.as_ref()),
        Change::Updated(old, new) => {
            let membership = old.metadata.labels != new.metadata.labels || names(old) != names(new);
            match (endpoint_changed(old, new), membership) {
                (false, false) => return,
                (true, false) => behind(new.metadata.labels.as_ref()),
                (changed, true) => {
                    let before = behind(old.metadata.labels.as_ref());
                    let now = behind(new.metadata.labels.as_ref());
                    if changed { &before | &now } else { &before ^ &now }
                }
            }
        }
    };
    affected.into_iter().for_each(|key| queue.add(key));
}

fn names(pod: &Pod) -> (Option<&str>, Option<&str>) {
    let spec = pod.spec.as_ref();
    (spec.and_then(|s| s.hostname.as_deref()), spec.and_then(|s| s.subdomain.as_deref()))
}

fn endpoint_changed(old: &Pod, new: &Pod) -> bool {
    old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        || pods::is_ready(old) != pods::is_ready(new)
        || pods::is_terminal(old) != pods::is_terminal(new)
        || addresses(old).ne(addresses(new))
}

/// The pod's addresses, as its status has them.
pub(super) fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.as_ref();
    status.into_iter().flat_map(|s| s.pod_ips.iter().flatten()).map(|ip| ip.ip.as_str())
}

/// Whether the pod can be reached at all: it has an address and has not run to its end.
pub(super) fn can_be_endpoint(pod: &Pod) -> bool {
    let ip = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref()).unwrap_or_default();
    !pods::is_terminal(pod) && (!ip.is_empty() || addresses(pod).next().is_some())
}

/// Whether the pod has a name of its own behind the Service.
pub(super) fn hostname<'a>(pod: &'a Pod, service: &Service) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let hostname = spec.hostname.as_deref().filter(|hostname| !hostname.is_empty())?;
    let ours = spec.subdomain.as_deref() == Some(service.name()) && service.namespace() == pod.namespace();
    ours.then_some(hostname)
}

/// The pod's port that a Service's port leads to; nothing if it is named and the pod has none of that name.
pub(super) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
        None => return Some(port.port),
    };
    let spec = pod.spec.as_ref()?;
    let sidecars =
        spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = |container: &Container| container.ports.clone().unwrap_or_default();
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(ports)
        .find(|p| p.name.as_deref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol)
        .map(|p| p.container_port)
}

/// The pods behind a Service.
pub(super) fn behind(pods: &Lister<Pod>, service: &Service) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let mut found = pods.list_in(service.namespace());
    found.retain(|pod| selects(selector, pod.metadata.labels.as_ref()));
    found
}

/// Whether the Service has addresses of its own.
pub(super) fn has_cluster_ip(service: &Service) -> bool {
    let ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    !ip.is_empty() && ip != "None"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(labels: &str, ready: bool) -> Pod {
        let labels: serde_json::Map<_, _> =
            labels.split(',').filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "n", "name": "p", "labels": labels},
            "status": {"podIPs": [{"ip": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        }))
        .expect("a pod")
    }

    #[test]
    fn a_changed_pod_wakes_the_services_that_it_concerns() {
        let services = Lister::<Service>::new();
        for (name, app) in [("a", "a"), ("b", "b")] {
            let service = serde_json::json!({"metadata": {"namespace": "n", "name": name},
                "spec": {"selector": {"app": app}}});
            services.put(serde_json::from_value(service).expect("a service"));
        }
        services.put(
            serde_json::from_value(
                serde_json::json!({"metadata": {"namespace": "n", "name": "none"}, "spec": {}}),
            )
            .expect("a service"),
        );
        let woken = |change: Change<Pod>| {
            let queue = Queue::new();
            enqueue(&services, &change, &queue);
            queue.len()
        };
        let updated = |old, new| Change::Updated(Arc::new(old), Arc::new(new));
        assert_eq!(woken(Change::Added(Arc::new(pod("app=a", true)))), 1);
        assert_eq!(woken(updated(pod("app=a", true), pod("app=a", true))), 0);
        assert_eq!(woken(updated(pod("app=a", true), pod("app=a", false))), 1);
        assert_eq!(woken(updated(pod("app=a", true), pod("app=b", true))), 2);
        assert_eq!(woken(updated(pod("app=a", true), pod("app=a,x=y", true))), 0);
        assert_eq!(woken(updated(pod("app=a", true), pod("app=a,x=y", false))), 1);
    }

    #[test]
    fn named_ports_are_looked_up_in_containers_and_sidecars() {
        let mut pod = pod("", true);
        pod.spec = Some(
            serde_json::from_value(serde_json::json!({
                "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 80, "protocol": "UDP"}]}],
                "initContainers": [
                    {"name": "once", "ports": [{"name": "metrics", "containerPort": 1}]},
                    {"name": "side", "restartPolicy": "Always",
                     "ports": [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]}],
            }))
            .expect("a spec"),
        );
        let port = |target: serde_json::Value| -> ServicePort {
            serde_json::from_value(serde_json::json!({"port": 5, "targetPort": target, "protocol": "TCP"}))
                .expect("a port")
        };
        assert_eq!(target_port(&pod, &port(8080.into())), Some(8080));
        assert_eq!(target_port(&pod, &port("metrics".into())), Some(9090));
        assert_eq!(target_port(&pod, &port("web".into())), None);
    }
}
