//! What a pod's specification asks for: its containers in one list, when they restart, what identifies them.

use std::sync::LazyLock;

use api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next one.
    Init,
    /// An init container that keeps running (`restartPolicy: Always`).
    Sidecar,
    /// One of `spec.containers`.
    App,
    /// Added to a running pod; never restarted.
    Ephemeral,
}

/// The UID; empty for an object that the server never saw.
pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// The specification; an empty one for an object without.
pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

pub(crate) fn is_host_network(pod: &Pod) -> bool {
    spec(pod).host_network == Some(true)
}

pub(crate) fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

pub(crate) fn containers(pod: &Pod) -> &[Container] {
    &spec(pod).containers
}

pub(crate) fn ephemeral_containers(pod: &Pod) -> &[EphemeralContainer] {
    spec(pod).ephemeral_containers.as_deref().unwrap_or_default()
}

/// Whether an init container is one that keeps running.
pub(crate) fn is_sidecar(init: &Container) -> bool {
    init.restart_policy.as_deref() == Some("Always")
}

/// The container of that name, with what it is.
pub(crate) fn find(pod: &Pod, name: &str) -> Option<(Kind, Container)> {
    if let Some(found) = containers(pod).iter().find(|container| container.name == name) {
        return Some((Kind::App, found.clone()));
    }
    if let Some(found) = init_containers(pod).iter().find(|container| container.name == name) {
        return Some((if is_sidecar(found) { Kind::Sidecar } else { Kind::Init }, found.clone()));
    }
    let found = ephemeral_containers(pod).iter().find(|container| container.name == name)?;
    Some((Kind::Ephemeral, as_container(found)))
}

/// The name of the container whose processes an ephemeral one is to see.
pub(crate) fn target<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let own = ephemeral_containers(pod).iter().find(|own| own.name == name)?;
    own.target_container_name.as_deref().filter(|name| !name.is_empty())
}

/// All containers in the order in which they start.
pub(crate) fn all(pod: &Pod) -> Vec<(Kind, Container)> {
    let init = init_containers(pod)
        .iter()
        .map(|container| (if is_sidecar(container) { Kind::Sidecar } else { Kind::Init }, container.clone()));
    let app = containers(pod).iter().map(|container| (Kind::App, container.clone()));
    let ephemeral =
        ephemeral_containers(pod).iter().map(|container| (Kind::Ephemeral, as_container(container)));
    init.chain(app).chain(ephemeral).collect()
}

/// An ephemeral container as any other: all but the one it aims at.
pub(crate) fn as_container(from: &EphemeralContainer) -> Container {
    let from = from.clone();
    Container {
        args: from.args,
        command: from.command,
        env: from.env,
        env_from: from.env_from,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        lifecycle: from.lifecycle,
        liveness_probe: from.liveness_probe,
        name: from.name,
        ports: from.ports,
        readiness_probe: from.readiness_probe,
        resize_policy: from.resize_policy,
        resources: from.resources,
        restart_policy: from.restart_policy,
        restart_policy_rules: from.restart_policy_rules,
        security_context: from.security_context,
        startup_probe: from.startup_probe,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        tty: from.tty,
        volume_devices: from.volume_devices,
        volume_mounts: from.volume_mounts,
        working_dir: from.working_dir,
    }
}

/// Whether a container that ended with that code is started again: rules, then its own policy, then the pod's.
///
/// Upstream counterpart: `ContainerShouldRestart` of `pkg/api/v1/pod/util.go` (KEP-5307).
pub(crate) fn restarts(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    if container.restart_policy.is_some() && matches_rule(container, exit_code) {
        return true;
    }
    let policy = container.restart_policy.as_deref().or(spec(pod).restart_policy.as_deref());
    match policy {
        Some("Never") => false,
        Some("OnFailure") => exit_code != 0,
        _ => true,
    }
}

fn matches_rule(container: &Container, exit_code: i32) -> bool {
    container.restart_policy_rules.iter().flatten().any(|rule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let is_listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let applies = match codes.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            _ => false,
        };
        applies && rule.action == "Restart"
    })
}

/// Whether a container that is killed by its kubelet while it runs comes back.
pub(crate) fn restarts_on_failure(pod: &Pod, container: &Container) -> bool {
    container.restart_policy.as_deref().or(spec(pod).restart_policy.as_deref()) != Some("Never")
}

/// Whether any container of the pod may start again.
pub(crate) fn is_restarted_as_a_whole(pod: &Pod) -> bool {
    spec(pod).restart_policy.as_deref() != Some("Never")
}

/// The version of the fields that [`hash`] covers; a container made under another version is never judged changed.
pub(crate) const HASH_VERSION: &str = "1";

/// What identifies a container's definition, over restarts and upgrades of the kubelet: name and image, as
/// upstream's `HashContainer`; all else is immutable, or applied without a restart.
pub(crate) fn hash(container: &Container) -> String {
    let mut hash = Fnv::default();
    hash.write(container.name.as_bytes());
    hash.write(&[0]);
    hash.write(container.image.as_deref().unwrap_or_default().as_bytes());
    format!("{:x}", hash.0)
}

/// FNV-1a, 64 bits: pinned by its definition, unlike the hashes of the standard library.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The seconds that the pod's containers have to end: what its deletion says, else what its specification says.
pub(crate) fn grace_seconds(pod: &Pod) -> i64 {
    let given = if pod.metadata.deletion_timestamp.is_some() {
        pod.metadata.deletion_grace_period_seconds
    } else {
        None
    };
    given.or(spec(pod).termination_grace_period_seconds).unwrap_or(30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;

    #[test]
    fn restart_laws() {
        let cases = [
            ("Always", None, None, 0, true),
            ("OnFailure", None, None, 0, false),
            ("OnFailure", None, None, 1, true),
            ("Never", None, None, 1, false),
            ("Never", Some("OnFailure"), None, 1, true),
            ("Always", Some("Never"), None, 1, false),
            ("Never", Some("Never"), Some(("In", vec![42])), 42, true),
            ("Never", Some("Never"), Some(("In", vec![42])), 43, false),
            ("Never", Some("Never"), Some(("NotIn", vec![42])), 43, true),
        ];
        for (pod_policy, own, rule, code, expected) in cases {
            let rules = rule.as_ref().map(|(operator, values)| {
                serde_json::json!([{"action": "Restart",
                    "exitCodes": {"operator": operator, "values": values}}])
            });
            let pod = pod(serde_json::json!({"restartPolicy": pod_policy, "containers": [
                {"name": "a", "restartPolicy": own, "restartPolicyRules": rules}]}));
            let answer = restarts(&pod, &containers(&pod)[0], code);
            assert_eq!(answer, expected, "{pod_policy} {own:?} {rule:?} {code}");
        }
    }

    #[test]
    fn the_hash_is_pinned() {
        let container =
            Container { name: "a".into(), image: Some("busybox:1".into()), ..Container::default() };
        assert_eq!(hash(&container), "85ef9d9ab5337d37");
    }
}
