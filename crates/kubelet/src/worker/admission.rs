//! Whether a pod that is new here may run here: the scheduler decided for a node that it saw a while ago, and pods
//! need not come from it.
//!
//! Pure. Upstream counterparts: `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/sysctl`.

use std::collections::BTreeSet;

use api::core::v1::{ContainerPort, Node, Pod, ResourceRequirements};
use api::placement::{is_selected, tolerates};
use api::{amount, milli_amount};

use super::status::Reason;
use crate::resources::{self, List};
use crate::spec;

/// Sysctls of a namespace that a pod may set without harm to others.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// What the node has and can.
pub(crate) struct Means<'a> {
    pub(crate) allocatable: &'a List,
    /// Whether the runtime knows of `supplementalGroupsPolicy`.
    pub(crate) has_groups_policy: bool,
    /// Its object.
    pub(crate) node: &'a Node,
}

/// Decides on `pod`. `others` are the pods that are here and have not ended.
pub(crate) fn admit(pod: &Pod, others: &[&Pod], means: &Means<'_>) -> Result<(), Reason> {
    let reject = |reason: &str, message: String| Err(Reason { reason: reason.into(), message });
    let os = pod.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    if os.is_some_and(|os| os != "linux") {
        return reject(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label".into(),
        );
    }
    if spec::spec(pod).os.as_ref().is_some_and(|os| os.name != "linux") {
        return reject(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS".into(),
        );
    }
    let security = spec::spec(pod).security_context.as_ref();
    let policy = security.and_then(|security| security.supplemental_groups_policy.as_deref());
    if policy == Some("Strict") && !means.has_groups_policy {
        let message = "SupplementalGroupsPolicy=Strict is not supported in this node";
        return reject("SupplementalGroupsPolicyNotSupported", message.into());
    }
    if let Some(error) = forbidden_sysctl(pod) {
        return reject("SysctlForbidden", format!("forbidden sysctl: {error}"));
    }
    let huge: BTreeSet<String> = huge_pages(pod).collect();
    for name in
        ["pods", "cpu", "memory", "ephemeral-storage"].into_iter().chain(huge.iter().map(String::as_str))
    {
        let of =
            |pod: &Pod| if name == "pods" { 1 } else { resources::pod_amount(pod, false, name).unwrap_or(0) };
        let capacity = means
            .allocatable
            .get(name)
            .map_or(0, |value| if name == "cpu" { milli_amount(value) } else { amount(value) });
        let requested = of(pod);
        let used: i64 = others.iter().map(|other| of(other)).sum();
        if requested > 0 && requested.saturating_add(used) > capacity {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
            );
            return reject(&format!("OutOf{name}"), message);
        }
    }
    if !is_selected(spec::spec(pod), means.node) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return reject("NodeAffinity", message.into());
    }
    let taken: Vec<_> = others.iter().flat_map(|other| host_ports(other)).collect();
    if host_ports(pod).iter().any(|port| taken.iter().any(|other| collides(port, other))) {
        let message =
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return reject("NodePorts", message.into());
    }
    let taints = means.node.spec.as_ref().and_then(|node| node.taints.as_deref()).unwrap_or_default();
    let tolerations = spec::spec(pod).tolerations.as_deref().unwrap_or_default();
    if !tolerates(tolerations, taints, &["NoExecute"]) {
        let message = "Predicate TaintToleration failed: node(s) had untolerated taint(s)";
        return reject("TaintToleration", message.into());
    }
    Ok(())
}

fn forbidden_sysctl(pod: &Pod) -> Option<String> {
    let spec = spec::spec(pod);
    spec.security_context.as_ref()?.sysctls.iter().flatten().find_map(|sysctl| {
        let name = sysctl.name.replace('/', ".");
        let of_network = name.starts_with("net.");
        if !SAFE_SYSCTLS.contains(&name.as_str()) {
            return Some(format!("\"{name}\" not allowlisted"));
        }
        let (is_host, namespace) =
            if of_network { (spec.host_network, "Net") } else { (spec.host_ipc, "IPC") };
        (is_host == Some(true)).then(|| format!("\"{name}\" not allowed with host {namespace} enabled"))
    })
}

fn host_ports(pod: &Pod) -> Vec<ContainerPort> {
    let sidecars = spec::init_containers(pod).iter().filter(|container| spec::is_sidecar(container));
    let ports = sidecars.chain(spec::containers(pod)).flat_map(|container| container.ports.iter().flatten());
    ports.filter(|port| port.host_port.is_some_and(|port| port > 0)).cloned().collect()
}

fn collides(a: &ContainerPort, b: &ContainerPort) -> bool {
    let address = |port: &ContainerPort| match port.host_ip.as_deref() {
        None | Some("" | "0.0.0.0" | "::") => None,
        Some(address) => Some(address.to_owned()),
    };
    let protocol = |port: &ContainerPort| port.protocol.clone().unwrap_or_else(|| "TCP".into());
    a.host_port == b.host_port
        && protocol(a) == protocol(b)
        && (address(a).is_none() || address(b).is_none() || address(a) == address(b))
}

/// The sizes of huge pages that a pod asks for, as `hugepages-2Mi`; requests are what limits are.
fn huge_pages(pod: &Pod) -> impl Iterator<Item = String> {
    let of = |resources: &ResourceRequirements| resources.limits.clone().unwrap_or_default().into_keys();
    let containers = spec::init_containers(pod).iter().chain(spec::containers(pod));
    let own = containers.filter_map(|container| container.resources.as_ref());
    let names = own.chain(&spec::spec(pod).resources).flat_map(of);
    names.filter(|name| name.starts_with("hugepages-")).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use api::Quantity;
    use serde_json::{Value, json};

    #[test]
    fn reasons() {
        let allocatable: List = [("pods", "2"), ("cpu", "2"), ("memory", "1Gi")]
            .map(|(name, value)| (name.to_owned(), Quantity(value.into())))
            .into();
        let here = pod(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1500m"}},
            "ports": [{"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.1"}]}]}));
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "n", "labels": {"zone": "a"}},
            "spec": {"taints": [{"key": "t", "effect": "NoExecute"}, {"key": "u", "effect": "NoSchedule"}]},
        }))
        .unwrap();
        let of = |mut spec: Value, others: &[&Pod]| {
            if spec.get("tolerations").is_none() {
                spec["tolerations"] = json!([{"key": "t", "operator": "Exists"}]);
            }
            let means = Means { allocatable: &allocatable, has_groups_policy: false, node: &node };
            admit(&pod(spec), others, &means).err().map(|r| r.reason)
        };
        let with = |extra: Value| {
            let mut container = json!({"name": "a"});
            container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            json!({"containers": [container]})
        };
        let sysctl = |name: &str, host: bool| {
            json!({"containers": [], "hostNetwork": host,
                "securityContext": {"sysctls": [{"name": name, "value": "1"}]}})
        };
        let port =
            |address: &str| with(json!({"ports": [{"containerPort": 1, "hostPort": 80, "hostIP": address}]}));
        let cases = [
            (with(json!({})), vec![&here], None),
            (with(json!({})), vec![&here, &here], Some("OutOfpods")),
            (with(json!({"resources": {"requests": {"cpu": "600m"}}})), vec![&here], Some("OutOfcpu")),
            (with(json!({"resources": {"requests": {"cpu": "500m"}}})), vec![&here], None),
            (with(json!({"resources": {"requests": {"memory": "2Gi"}}})), vec![], Some("OutOfmemory")),
            (port("10.0.0.2"), vec![&here], None),
            (port("0.0.0.0"), vec![&here], Some("NodePorts")),
            (sysctl("net.ipv4.tcp_syncookies", false), vec![], None),
            (sysctl("net/ipv4/tcp_syncookies", true), vec![], Some("SysctlForbidden")),
            (sysctl("kernel.msgmax", false), vec![], Some("SysctlForbidden")),
            (
                with(json!({"resources": {"limits": {"hugepages-2Mi": "4Mi"}}})),
                vec![],
                Some("OutOfhugepages-2Mi"),
            ),
            (
                json!({"containers": [], "securityContext": {"supplementalGroupsPolicy": "Strict"}}),
                vec![],
                Some("SupplementalGroupsPolicyNotSupported"),
            ),
            (
                json!({"containers": [], "securityContext": {"supplementalGroupsPolicy": "Merge"}}),
                vec![],
                None,
            ),
            (json!({"containers": [], "os": {"name": "windows"}}), vec![], Some("PodOSNotSupported")),
            (json!({"containers": [], "nodeSelector": {"zone": "a"}}), vec![], None),
            (json!({"containers": [], "nodeSelector": {"zone": "b"}}), vec![], Some("NodeAffinity")),
            (json!({"containers": [], "tolerations": []}), vec![], Some("TaintToleration")),
        ];
        for (spec, others, expected) in cases {
            assert_eq!(of(spec.clone(), &others).as_deref(), expected, "{spec}");
        }
    }
}
