//! What a hardened pod does without.

use super::{Pod, Violation, Words, containers_named, plural, quoted};
use value::Value;

pub(super) fn allow_privilege_escalation(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    let bad = pod.bad(|c| c.at("securityContext").at("allowPrivilegeEscalation").as_bool() != Some(false));
    if bad.is_empty() {
        return None;
    }
    let detail =
        format!("{} must set securityContext.allowPrivilegeEscalation=false", containers_named(&bad));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

pub(super) fn capabilities(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    let list = |c: &'_ Value, which: &str| -> Vec<String> {
        let list = c.at("securityContext").at("capabilities").at(which).items();
        list.iter().map(|v| v.str().to_owned()).collect()
    };
    let keeping = pod.bad(|c| !list(c, "drop").iter().any(|c| c == "ALL"));
    let mut forbidden = std::collections::BTreeSet::new();
    let adding = pod.bad(|c| {
        let added: Vec<String> = list(c, "add").into_iter().filter(|c| c != "NET_BIND_SERVICE").collect();
        let any = !added.is_empty();
        forbidden.extend(added);
        any
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = containers_named(&keeping);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !adding.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers_named(&adding),
            quoted(forbidden.iter().map(String::as_str))
        ));
    }
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn proc_mount(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    super::proc_mount(pod)
}

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const KNOWN_VOLUMES: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

pub(super) fn volumes(pod: &Pod<'_>, _minor: u64) -> Option<Violation> {
    let has = |volume: &Value, source: &&&str| !volume.at(source).is_null();
    let mut names = Vec::new();
    let mut types = Words::new();
    for volume in pod.spec.at("volumes").items() {
        if VOLUMES.iter().any(|source| has(volume, &source)) {
            continue;
        }
        names.push(volume.at("name").str());
        types.insert(KNOWN_VOLUMES.iter().find(|source| has(volume, source)).copied().unwrap_or("unknown"));
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural(names.len(), "volume", "volumes"),
        quoted(names.iter().copied()),
        plural(names.len(), "uses", "use"),
        plural(types.len(), "restricted volume type", "restricted volume types"),
        quoted(types)
    );
    Violation::new("restricted volume types", detail)
}

pub(super) fn run_as_non_root(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if minor >= 35 && pod.has_own_users() {
        return None;
    }
    let set = |security: &Value| security.at("runAsNonRoot").as_bool();
    let of_pod = set(pod.security());
    let explicit = pod.bad(|c| set(c.at("securityContext")) == Some(false));
    if of_pod == Some(false) || !explicit.is_empty() {
        let setters = Pod::setters(of_pod == Some(false), &explicit);
        return Violation::new(REASON, format!("{setters} must not set securityContext.runAsNonRoot=false"));
    }
    let implicit = pod.bad(|c| set(c.at("securityContext")).is_none() && of_pod != Some(true));
    if implicit.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers_named(&implicit));
    Violation::new(REASON, detail)
}

pub(super) fn run_as_user(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    if minor >= 35 && pod.has_own_users() {
        return None;
    }
    let is_root = |security: &Value| security.at("runAsUser").as_i64() == Some(0);
    let of_pod = is_root(pod.security());
    let bad = pod.bad(|c| is_root(c.at("securityContext")));
    if !of_pod && bad.is_empty() {
        return None;
    }
    Violation::new("runAsUser=0", format!("{} must not set runAsUser=0", Pod::setters(of_pod, &bad)))
}

pub(super) fn seccomp_profile(pod: &Pod<'_>, minor: u64) -> Option<Violation> {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    if let Some(bad) = super::bad_seccomp(pod) {
        return Some(bad);
    }
    let is_set = |security: &Value| !security.at("seccompProfile").is_null();
    let of_pod = is_set(pod.security());
    let implicit = pod.bad(|c| !of_pod && !is_set(c.at("securityContext")));
    if implicit.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        containers_named(&implicit)
    );
    Violation::new("seccompProfile", detail)
}
