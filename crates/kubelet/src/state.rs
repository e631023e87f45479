//! What the container runtime says of one pod, in the kubelet's words.

use std::collections::BTreeMap;

use api::core::v1::{LifecycleHandler, Pod};
use jiff::Timestamp;

use crate::runtime::messages::{Container, ContainerState, ContainerStatus, Labels};
use crate::spec;

/// Labels and annotations by which containers are known, upstream's own
/// (`pkg/kubelet/kuberuntime/labels.go`, `k8s.io/kubelet/pkg/types`).
pub(crate) mod label {
    pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
    pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
    pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    pub(crate) const HASH: &str = "io.kubernetes.container.hash";
    pub(crate) const HASH_VERSION: &str = "corten.dev/container-hash-version";
    pub(crate) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    pub(crate) const MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
    pub(crate) const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
    pub(crate) const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
    pub(crate) const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
    pub(crate) const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
    pub(crate) const PORTS: &str = "io.kubernetes.container.ports";
}

/// Sandboxes and containers of one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PodState {
    /// The newest first.
    pub(crate) sandboxes: Vec<Sandbox>,
    /// The newest first.
    pub(crate) runs: Vec<Run>,
}

/// One sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) is_ready: bool,
    pub(crate) created_at: i64,
    /// Addresses, the primary first; none if the pod is in the node's network, or the sandbox has ended.
    pub(crate) ips: Vec<String>,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) sandbox: String,
    pub(crate) name: String,
    pub(crate) restart_count: u32,
    pub(crate) state: ContainerState,
    /// Nanoseconds since 1970, as the runtime counts; 0 for never.
    pub(crate) created_at: i64,
    pub(crate) started_at: i64,
    pub(crate) finished_at: i64,
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// The image by the name that it was asked for.
    pub(crate) image: String,
    /// The image by digest.
    pub(crate) image_ref: String,
    pub(crate) log_path: String,
    pub(crate) annotations: Labels,
    /// User, group, supplemental groups of its first process, where the runtime says them.
    pub(crate) user: Option<(i64, i64, Vec<i64>)>,
    /// Where the container's termination message lies on the node.
    pub(crate) message_path: Option<String>,
}

impl PodState {
    /// The newest run of a container.
    pub(crate) fn run(&self, name: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.name == name)
    }

    /// All runs of a container, the newest first.
    pub(crate) fn runs_of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.name == name)
    }

    /// When the newest run of a container that has ended did so.
    pub(crate) fn ended(&self, name: &str) -> Option<Timestamp> {
        self.runs_of(name).find(|run| run.is_exited())?.finished()
    }

    /// What is running or may be.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.is_running() || run.state == ContainerState::Unknown)
    }

    /// The sandbox that containers may be started in, if it is as the pod needs it.
    ///
    /// Upstream counterpart: `PodSandboxChanged`.
    pub(crate) fn sandbox(&self, pod: &Pod) -> Result<&Sandbox, NewSandbox> {
        let Some(newest) = self.sandboxes.first() else {
            return Err(NewSandbox { attempt: 0, replaces: false });
        };
        let ready = self.sandboxes.iter().filter(|sandbox| sandbox.is_ready).count();
        let has_address = spec::is_host_network(pod) || !newest.ips.is_empty();
        if ready == 1 && newest.is_ready && has_address {
            return Ok(newest);
        }
        Err(NewSandbox { attempt: newest.attempt + 1, replaces: true })
    }

    /// The addresses of the pod, as far as the runtime knows them.
    pub(crate) fn ips(&self) -> &[String] {
        self.sandboxes.iter().find(|sandbox| sandbox.is_ready).map_or(&[], |sandbox| sandbox.ips.as_slice())
    }
}

/// That a sandbox must be made before anything can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewSandbox {
    /// How many were before it.
    pub(crate) attempt: u32,
    /// Whether there was one.
    pub(crate) replaces: bool,
}

impl Run {
    pub(crate) fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }

    pub(crate) fn is_exited(&self) -> bool {
        self.state == ContainerState::Exited
    }

    /// When the run ended; never, for one that did not.
    pub(crate) fn finished(&self) -> Option<Timestamp> {
        time(self.finished_at)
    }

    /// Whether this run is of another definition than the one in the specification.
    pub(crate) fn is_changed(&self, container: &api::core::v1::Container) -> bool {
        self.annotations.get(label::HASH_VERSION).is_some_and(|version| version == spec::HASH_VERSION)
            && self.annotations.get(label::HASH).is_some_and(|hash| *hash != spec::hash(container))
    }

    /// The hook before its end, as was said when it was made.
    pub(crate) fn recorded_pre_stop(&self) -> Option<LifecycleHandler> {
        serde_json::from_str(self.annotations.get(label::PRE_STOP)?).ok()
    }

    pub(crate) fn new(listed: &Container, status: ContainerStatus) -> Self {
        let text = |key: &str| status.annotations.get(key).cloned();
        let wanted = text(label::MESSAGE_PATH).unwrap_or_default();
        let message_path = status
            .mounts
            .iter()
            .find(|mount| !wanted.is_empty() && mount.container_path == wanted)
            .map(|mount| mount.host_path.clone());
        let user = status.user.as_ref().and_then(|user| user.linux.as_ref());
        Self {
            id: listed.id.clone(),
            sandbox: listed.pod_sandbox_id.clone(),
            name: status.labels.get(label::CONTAINER_NAME).cloned().unwrap_or_default(),
            restart_count: text(label::RESTART_COUNT).and_then(|text| text.parse().ok()).unwrap_or(0),
            state: status.state(),
            created_at: status.created_at,
            started_at: status.started_at,
            finished_at: status.finished_at,
            exit_code: status.exit_code,
            reason: status.reason,
            message: status.message,
            image: status.image.map(|image| image.image).unwrap_or_default(),
            image_ref: status.image_ref,
            log_path: status.log_path,
            user: user.map(|user| (user.uid, user.gid, user.supplemental_groups.clone())),
            annotations: status.annotations,
            message_path,
        }
    }
}

/// The runtime's nanoseconds as a time; 0 is none.
pub(crate) fn time(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds == 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()
}

/// What probes found, by container id: what is not there was not found yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProbeResults(pub(crate) BTreeMap<String, Found>);

/// What the probes of one run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) startup: Option<bool>,
    pub(crate) liveness: Option<bool>,
    pub(crate) readiness: Option<bool>,
}

impl ProbeResults {
    pub(crate) fn of(&self, id: &str) -> Found {
        self.0.get(id).copied().unwrap_or_default()
    }
}
