//! Security contexts, as the runtime is to be told.
//!
//! Pure. Upstream counterparts: `pkg/kubelet/kuberuntime/security_context.go`, `pkg/securitycontext`.

use api::core::v1::{
    AppArmorProfile, Capabilities, Container, Pod, PodSecurityContext, SELinuxOptions, SeccompProfile,
    SecurityContext,
};

use crate::runtime::messages::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, ProfileType, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy,
};
use crate::spec;

/// Paths that a container must not see, as runtimes mask them by default.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// Paths that a container must not write.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Who the image says it runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageUser {
    pub(crate) uid: Option<i64>,
    pub(crate) name: String,
}

fn of_pod(pod: &Pod) -> PodSecurityContext {
    spec::spec(pod).security_context.clone().unwrap_or_default()
}

/// Which namespaces the pod's containers are in; `target` is the container whose processes they see.
fn namespaces(pod: &Pod, target: Option<&str>) -> NamespaceOption {
    let spec = spec::spec(pod);
    let mode = |is_host: Option<bool>| {
        if is_host == Some(true) { NamespaceMode::Node } else { NamespaceMode::Pod }
    };
    let pid = if spec.host_pid == Some(true) {
        NamespaceMode::Node
    } else if target.is_some() {
        NamespaceMode::Target
    } else if spec.share_process_namespace == Some(true) {
        NamespaceMode::Pod
    } else {
        NamespaceMode::Container
    };
    NamespaceOption {
        network: mode(spec.host_network).into(),
        pid: pid.into(),
        ipc: mode(spec.host_ipc).into(),
        target_id: target.unwrap_or_default().to_owned(),
    }
}

fn value(value: i64) -> Int64Value {
    Int64Value { value }
}

fn groups(context: &PodSecurityContext) -> Vec<i64> {
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

fn groups_policy(context: &PodSecurityContext) -> i32 {
    let is_strict = context.supplemental_groups_policy.as_deref() == Some("Strict");
    if is_strict { SupplementalGroupsPolicy::Strict.into() } else { SupplementalGroupsPolicy::Merge.into() }
}

/// The sandbox's.
pub(crate) fn of_sandbox(pod: &Pod) -> LinuxSandboxSecurityContext {
    let context = of_pod(pod);
    let is_privileged = |container: &Container| {
        container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
    };
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, None)),
        selinux_options: context.se_linux_options.as_ref().map(selinux),
        run_as_user: context.run_as_user.map(value),
        // The runtime refuses a group without a user.
        run_as_group: context.run_as_group.filter(|_| context.run_as_user.is_some()).map(value),
        supplemental_groups: groups(&context),
        supplemental_groups_policy: groups_policy(&context),
        privileged: spec::init_containers(pod).iter().chain(spec::containers(pod)).any(is_privileged),
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::RuntimeDefault.into(),
            localhost_ref: String::new(),
        }),
        ..LinuxSandboxSecurityContext::default()
    }
}

/// A container's. `seccomp_dir` is where local profiles lie; `target` is the container whose processes it sees.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    image: &ImageUser,
    seccomp_dir: &str,
    target: Option<&str>,
) -> LinuxContainerSecurityContext {
    let whole = of_pod(pod);
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(whole.run_as_user);
    let group = own.run_as_group.or(whole.run_as_group);
    let is_unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths = |paths: &[&str]| {
        if is_unmasked { Vec::new() } else { paths.iter().map(ToString::to_string).collect() }
    };
    let is_privileged = own.privileged == Some(true);
    let mut made = LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(capability),
        privileged: is_privileged,
        namespace_options: Some(namespaces(pod, target)),
        selinux_options: own.se_linux_options.as_ref().or(whole.se_linux_options.as_ref()).map(selinux),
        run_as_user: user.map(value),
        run_as_group: group.map(value),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(&whole),
        supplemental_groups_policy: groups_policy(&whole),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp(&own, &whole, seccomp_dir)),
        apparmor: own.app_armor_profile.as_ref().or(whole.app_armor_profile.as_ref()).map(apparmor),
        ..LinuxContainerSecurityContext::default()
    };
    if made.run_as_user.is_none() {
        made.run_as_user = image.uid.map(value);
        made.run_as_username.clone_from(&image.name);
    }
    made
}

fn seccomp(own: &SecurityContext, whole: &PodSecurityContext, dir: &str) -> SecurityProfile {
    let profile =
        |kind: ProfileType, file: String| SecurityProfile { profile_type: kind.into(), localhost_ref: file };
    let wanted: Option<&SeccompProfile> = own.seccomp_profile.as_ref().or(whole.seccomp_profile.as_ref());
    match wanted.map(|wanted| (wanted.type_.as_str(), wanted.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => profile(ProfileType::RuntimeDefault, String::new()),
        Some(("Localhost", Some(file))) => profile(ProfileType::Localhost, format!("{dir}/{file}")),
        _ => profile(ProfileType::Unconfined, String::new()),
    }
}

fn apparmor(wanted: &AppArmorProfile) -> SecurityProfile {
    let kind = match wanted.type_.as_str() {
        "Localhost" => ProfileType::Localhost,
        "Unconfined" => ProfileType::Unconfined,
        _ => ProfileType::RuntimeDefault,
    };
    SecurityProfile {
        profile_type: kind.into(),
        localhost_ref: wanted.localhost_profile.clone().unwrap_or_default(),
    }
}

fn capability(from: &Capabilities) -> Capability {
    Capability {
        add_capabilities: from.add.clone().unwrap_or_default(),
        drop_capabilities: from.drop.clone().unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    }
}

fn selinux(from: &SELinuxOptions) -> SeLinuxOption {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    SeLinuxOption {
        user: text(&from.user),
        role: text(&from.role),
        r#type: text(&from.type_),
        level: text(&from.level),
    }
}

/// Refuses root where the pod forbids it.
///
/// Upstream counterpart: `verifyRunAsNonRoot`.
pub(crate) fn check_non_root(pod: &Pod, container: &Container, image: &ImageUser) -> Result<(), String> {
    let whole = of_pod(pod);
    let own = container.security_context.clone().unwrap_or_default();
    if own.run_as_non_root.or(whole.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let pod = format!("{}_{}({})", spec::name(pod), spec::namespace(pod), spec::uid(pod));
    let place = format!("(pod: \"{pod}\", container: {})", container.name);
    match (own.run_as_user.or(whole.run_as_user), image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {place}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root {place}")),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {place}",
            image.name
        )),
        // Neither says anything: the image runs as root.
        (None, None) => Err(format!("container has runAsNonRoot and image will run as root {place}")),
        (None, Some(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn the_container_overrides_the_pod() {
        let pod =
            pod(json!({"hostPID": true, "securityContext": {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3,
            "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "securityContext": {"runAsUser": 5, "procMount": "Unmasked",
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}));
        let made = of_container(&pod, &spec::containers(&pod)[0], &ImageUser::default(), "/seccomp", None);
        assert_eq!(made.run_as_user, Some(value(5)));
        assert_eq!(made.run_as_group, Some(value(2)));
        assert_eq!(made.supplemental_groups, [3]);
        assert!(made.no_new_privs && made.masked_paths.is_empty());
        assert_eq!(made.namespace_options.unwrap().pid(), NamespaceMode::Node);
        assert_eq!(made.seccomp.unwrap().profile_type(), ProfileType::RuntimeDefault);
    }

    #[test]
    fn non_root() {
        let root = ImageUser::default();
        let named = ImageUser { uid: None, name: "web".into() };
        let user = ImageUser { uid: Some(5), name: String::new() };
        let cases = [
            (json!({"runAsNonRoot": true}), &root, false),
            (json!({"runAsNonRoot": true}), &named, false),
            (json!({"runAsNonRoot": true}), &user, true),
            (json!({"runAsNonRoot": true, "runAsUser": 7}), &root, true),
            (json!({"runAsNonRoot": true, "runAsUser": 0}), &user, false),
            (json!({}), &root, true),
        ];
        for (context, image, expected) in cases {
            let pod = pod(json!({"containers": [{"name": "a", "securityContext": context}]}));
            let result = check_non_root(&pod, &spec::containers(&pod)[0], image);
            assert_eq!(result.is_ok(), expected, "{context} {image:?}");
        }
    }
}
