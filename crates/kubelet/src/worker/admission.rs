//! Whether a pod that is new here may run here: the scheduler decided for a node that it saw a while ago, and pods
//! need not come from it.
//!
//! Pure. Upstream counterparts: `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/sysctl`.

use api::core::v1::{ContainerPort, Pod};
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

/// Decides on `pod`. `others` are the pods that are here and have not ended.
pub(crate) fn admit(pod: &Pod, others: &[&Pod], allocatable: &List) -> Result<(), Reason> {
    let reject = |reason: &str, message: String| Err(Reason { reason: reason.into(), message });
    if spec::spec(pod).os.as_ref().is_some_and(|os| os.name != "linux") {
        return reject(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS".into(),
        );
    }
    if let Some(error) = forbidden_sysctl(pod) {
        return reject("SysctlForbidden", format!("forbidden sysctl: {error}"));
    }
    for name in ["pods", "cpu", "memory", "ephemeral-storage"] {
        let of =
            |pod: &Pod| if name == "pods" { 1 } else { resources::pod_amount(pod, false, name).unwrap_or(0) };
        let capacity = allocatable
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
    let taken: Vec<_> = others.iter().flat_map(|other| host_ports(other)).collect();
    if host_ports(pod).iter().any(|port| taken.iter().any(|other| collides(port, other))) {
        let message =
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return reject("NodePorts", message.into());
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
        let of =
            |spec: Value, others: &[&Pod]| admit(&pod(spec), others, &allocatable).err().map(|r| r.reason);
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
            (json!({"containers": [], "os": {"name": "windows"}}), vec![], Some("PodOSNotSupported")),
        ];
        for (spec, others, expected) in cases {
            assert_eq!(of(spec.clone(), &others).as_deref(), expected, "{spec}");
        }
    }
}
