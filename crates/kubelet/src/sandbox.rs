//! The sandbox of a pod, as the runtime is to be told.
//!
//! Upstream counterpart: `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`.

use api::core::v1::Pod;
use api::node::v1::RuntimeClass;

use crate::context::Context;
use crate::dns;
use crate::runtime::messages::{
    Labels, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol,
};
use crate::security;
use crate::spec;
use crate::state::label;

/// The configuration of the sandbox number `attempt`.
pub(crate) fn config(context: &Context, pod: &Pod, attempt: u32) -> Result<PodSandboxConfig, String> {
    check(pod)?;
    let settings = &context.config;
    let host = std::fs::read_to_string(&settings.resolv_conf).unwrap_or_default();
    let servers: Vec<_> = settings.cluster_dns.iter().map(ToString::to_string).collect();
    let hostname = if spec::is_host_network(pod) {
        String::new()
    } else {
        dns::kernel_hostname(pod, &settings.cluster_domain)?
    };
    let sysctls = spec::spec(pod)
        .security_context
        .iter()
        .flat_map(|context| context.sysctls.iter().flatten())
        .map(|sysctl| (sysctl.name.replace('/', "."), sysctl.value.clone()))
        .collect();
    Ok(PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: spec::name(pod).into(),
            uid: spec::uid(pod).into(),
            namespace: spec::namespace(pod).into(),
            attempt,
        }),
        hostname,
        log_directory: context.log_dir(pod).to_string_lossy().into_owned(),
        dns_config: Some(dns::resolver(pod, dns::parse(&host), &servers, &settings.cluster_domain)),
        port_mappings: port_mappings(pod),
        labels: labels(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: context.cgroups.parent(pod),
            security_context: Some(security::of_sandbox(pod)),
            sysctls,
            ..LinuxPodSandboxConfig::default()
        }),
    })
}

/// Refuses what would be ignored: a pod that asks for a wall must not run without it.
fn check(pod: &Pod) -> Result<(), String> {
    let spec = spec::spec(pod);
    if spec.host_users == Some(false) {
        return Err("can't set `spec.hostUsers: false`, this node does not support user namespaces".into());
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err("resource claims are not supported by this node".into());
    }
    let rules = spec::all(pod).into_iter().flat_map(|(_, c)| c.restart_policy_rules.unwrap_or_default());
    if rules.into_iter().any(|rule| rule.action == "RestartAllContainers") {
        return Err("the action RestartAllContainers is not supported by this node".into());
    }
    Ok(())
}

fn labels(pod: &Pod) -> Labels {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.insert(label::POD_NAME.into(), spec::name(pod).into());
    labels.insert(label::POD_NAMESPACE.into(), spec::namespace(pod).into());
    labels.insert(label::POD_UID.into(), spec::uid(pod).into());
    labels
}

fn port_mappings(pod: &Pod) -> Vec<PortMapping> {
    let sidecars = spec::init_containers(pod).iter().filter(|container| spec::is_sidecar(container));
    sidecars
        .chain(spec::containers(pod))
        .flat_map(|container| container.ports.iter().flatten())
        .map(|port| PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            }
            .into(),
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}

/// The handler of the pod's runtime class; empty for the default one.
pub(crate) async fn handler(context: &Context, pod: &Pod) -> Result<String, String> {
    let Some(name) = spec::spec(pod).runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(String::new());
    };
    match context.client.get::<RuntimeClass>("", name).await {
        Ok(class) => Ok(class.handler),
        Err(error) if error.is_not_found() => Err(format!("RuntimeClass \"{name}\" not found")),
        Err(error) => Err(error.to_string()),
    }
}
