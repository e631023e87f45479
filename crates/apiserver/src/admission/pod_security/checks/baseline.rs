//! What would let a pod out of its box: known escalations of privilege.

use super::{Pod, Violation, Words, containers_named, plural, quoted};
use meta::quote::Quoted;
use std::collections::BTreeSet;
use value::Value;

pub(super) fn app_armor_profile(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    let bad_type = |security: &'_ Value| -> bool {
        let profile = security.at("appArmorProfile");
        !profile.is_null() && !matches!(profile.at("type").str(), "RuntimeDefault" | "Localhost")
    };
    let kind = |security: &Value| security.at("appArmorProfile").at("type").str().to_owned();
    let mut values: BTreeSet<String> = BTreeSet::new();
    let of_pod = bad_type(pod.security());
    if of_pod {
        values.insert(kind(pod.security()));
    }
    let bad = pod.bad(|c| {
        let security = c.at("securityContext");
        let bad = bad_type(security);
        if bad {
            values.insert(kind(security));
        }
        bad
    });
    let mut setters = Vec::new();
    if of_pod {
        setters.push("pod".to_owned());
    }
    if !bad.is_empty() {
        setters.push(containers_named(&bad));
    }
    let annotations = pod.metadata.at("annotations").entries().filter(|(key, value)| {
        let value = value.str();
        key.starts_with(ANNOTATION)
            && !(value.is_empty() || value == "runtime/default" || value.starts_with("localhost/"))
    });
    let annotations: Vec<String> = annotations.map(|(k, v)| format!("{k}={}", Quoted(v.str()))).collect();
    if !annotations.is_empty() {
        setters.push(plural(annotations.len(), "annotation", "annotations").into());
    }
    if setters.is_empty() {
        return None;
    }
    let values: Vec<&str> = values.iter().chain(&annotations).map(String::as_str).collect();
    Violation::new(
        plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(values)),
    )
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

pub(super) fn capabilities(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let mut values = Words::new();
    let bad = pod.bad(|c| {
        let added = c.at("securityContext").at("capabilities").at("add").items();
        let mut bad = false;
        for capability in added.iter().map(Value::str).filter(|c| !CAPABILITIES.contains(c)) {
            bad = true;
            values.insert(capability);
        }
        bad
    });
    if bad.is_empty() {
        return None;
    }
    Violation::new(
        "non-default capabilities",
        format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers_named(&bad),
            quoted(values)
        ),
    )
}

pub(super) fn host_namespaces(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|field| pod.spec.at(field).bool())
        .map(|field| format!("{field}=true"))
        .collect();
    if set.is_empty() { None } else { Violation::new("host namespaces", set.join(", ")) }
}

pub(super) fn host_path_volumes(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let volumes = pod.spec.at("volumes").items().iter().filter(|v| !v.at("hostPath").is_null());
    let names: Vec<&str> = volumes.map(|v| v.at("name").str()).collect();
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} {}", plural(names.len(), "volume", "volumes"), quoted(names));
    Violation::new("hostPath volumes", detail)
}

pub(super) fn host_ports(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    // Sorted as text, as upstream.
    let mut ports: BTreeSet<String> = BTreeSet::new();
    let bad = pod.bad(|c| {
        let used = c.at("ports").items().iter().map(|p| p.at("hostPort").int()).filter(|p| *p != 0);
        let before: Vec<String> = used.map(|p| p.to_string()).collect();
        let any = !before.is_empty();
        ports.extend(before);
        any
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {}",
        containers_named(&bad),
        plural(bad.len(), "uses", "use"),
        plural(ports.len(), "hostPort", "hostPorts"),
        ports.into_iter().collect::<Vec<_>>().join(", ")
    );
    Violation::new("hostPort", detail)
}

pub(super) fn host_probes(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let mut hosts = Words::new();
    let bad = pod.bad(|c| {
        let lifecycle = c.at("lifecycle");
        let handlers = [
            c.at("livenessProbe"),
            c.at("readinessProbe"),
            c.at("startupProbe"),
            lifecycle.at("postStart"),
            lifecycle.at("preStop"),
        ];
        let named = handlers.into_iter().flat_map(|h| [h.at("httpGet"), h.at("tcpSocket")]);
        let named: Vec<&str> = named.map(|h| h.at("host").str()).filter(|h| !h.is_empty()).collect();
        let any = !named.is_empty();
        hosts.extend(named);
        any
    });
    let bad: Words<'_> = bad.into_iter().collect();
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<&str> = bad.into_iter().collect();
    let detail = format!(
        "{} {} {} {}",
        containers_named(&bad),
        plural(bad.len(), "uses", "use"),
        plural(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts"),
        quoted(hosts)
    );
    Violation::new("probe or lifecycle host", detail)
}

pub(super) fn privileged(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let bad = pod.bad(|c| c.at("securityContext").at("privileged").bool());
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.privileged=true", containers_named(&bad));
    Violation::new("privileged", detail)
}

pub(super) fn proc_mount(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    if minor >= 35 && pod.has_own_users() { None } else { super::proc_mount(pod) }
}

pub(super) fn se_linux_options(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    let mut types = Words::new();
    let (mut user, mut role) = (false, false);
    let mut check = |options: &'_ Value| -> (bool, bool, bool) {
        let kind = options.at("type").str();
        let allowed = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && minor >= 31);
        let (has_user, has_role) =
            (!options.at("user").str().is_empty(), !options.at("role").str().is_empty());
        user |= has_user;
        role |= has_role;
        (!allowed, has_user, has_role)
    };
    let of_pod = pod.security().at("seLinuxOptions");
    let (bad_type, bad_user, bad_role) = check(of_pod);
    if bad_type {
        types.insert(of_pod.at("type").str());
    }
    let pod_is_bad = bad_type || bad_user || bad_role;
    let bad = pod.bad(|c| {
        let options = c.at("securityContext").at("seLinuxOptions");
        let (bad_type, bad_user, bad_role) = check(options);
        if bad_type {
            types.insert(options.at("type").str());
        }
        bad_type || bad_user || bad_role
    });
    if !pod_is_bad && bad.is_empty() {
        return None;
    }
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural(types.len(), "type", "types"), quoted(types)));
    }
    if user {
        data.push("user may not be set".into());
    }
    if role {
        data.push("role may not be set".into());
    }
    let setters = Pod::setters(pod_is_bad, &bad);
    let detail = format!("{setters} set forbidden securityContext.seLinuxOptions: {}", data.join("; "));
    Violation::new("seLinuxOptions", detail)
}

pub(super) fn seccomp_profile(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    const OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    if minor >= 19 {
        return super::bad_seccomp(pod);
    }
    let annotations = pod.metadata.at("annotations");
    let containers = pod.containers().map(|c| format!("{OF_CONTAINER}{}", c.at("name").str()));
    let mut forbidden: BTreeSet<String> = BTreeSet::new();
    for key in std::iter::once(OF_POD.to_owned()).chain(containers) {
        let Some(value) = annotations.get(&key).map(Value::str) else { continue };
        if !matches!(value, "runtime/default" | "docker/default") && !value.starts_with("localhost/") {
            forbidden.insert(format!("{key}={}", Quoted(value)));
        }
    }
    if forbidden.is_empty() {
        return None;
    }
    let detail = format!(
        "forbidden {} {}",
        plural(forbidden.len(), "annotation", "annotations"),
        forbidden.into_iter().collect::<Vec<_>>().join(", ")
    );
    Violation::new("seccompProfile", detail)
}

/// Sysctls that stay within a pod's namespaces, with the version that allows them.
const SYSCTLS: [(u64, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
];

pub(super) fn sysctls(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(since, n)| *n == name && *since <= minor);
    let set = pod.security().at("sysctls").items().iter().map(|s| s.at("name").str());
    let bad: Vec<&str> = set.filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { Violation::new("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn windows_host_process(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let set = |security: &Value| security.at("windowsOptions").at("hostProcess").bool();
    let of_pod = set(pod.security());
    let bad = pod.bad(|c| set(c.at("securityContext")));
    if !of_pod && bad.is_empty() {
        return None;
    }
    let setters = Pod::setters(of_pod, &bad);
    Violation::new(
        "hostProcess",
        format!("{setters} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
