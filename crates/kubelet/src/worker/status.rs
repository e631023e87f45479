//! The status of a pod as its API object shows it.
//!
//! Pure. Upstream counterparts: `generateAPIPodStatus` and `convertToAPIContainerStatuses` of
//! `pkg/kubelet/kubelet_pods.go`, `UpdatePodStatus` of `pkg/kubelet/prober`, `TerminatePod` of
//! `pkg/kubelet/status`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, ContainerUser, HostIP, LinuxContainerUser, Pod, PodIP, PodStatus,
    VolumeMountStatus,
};
use api::meta::v1::Time;
use jiff::Timestamp;

use super::conditions;
use super::phase::{self, phase};
use super::plan::should_start;
use super::resize::{Actuated, Trouble};
use crate::runtime::messages::ContainerState;
use crate::spec::{self, Kind};
use crate::state::{self, PodState, ProbeResults, Run};

/// Why a container that was there cannot be found.
const STATUS_UNKNOWN: &str = "ContainerStatusUnknown";
/// The code of what ended without telling one: as if killed.
const KILLED: i32 = 137;

/// What a status is made from.
pub(crate) struct Inputs<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) state: &'a PodState,
    pub(crate) probes: &'a ProbeResults,
    /// Why containers wait, by name.
    pub(crate) reasons: &'a BTreeMap<String, Reason>,
    /// The status before this one.
    pub(crate) old: &'a PodStatus,
    /// What ends the pod from outside: its deadline, its eviction.
    pub(crate) verdict: Option<&'a Reason>,
    pub(crate) actuated: &'a Actuated,
    /// Why containers do not have the resources that they are to have.
    pub(crate) trouble: Option<&'a Trouble>,
    /// Whether no container will start any more.
    pub(crate) is_ended: bool,
    pub(crate) node_ips: &'a [IpAddr],
    /// `containerd`, the scheme of container ids.
    pub(crate) runtime_name: &'a str,
    pub(crate) now: Timestamp,
}

/// A reason in one word, and a message for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// The status of the pod of `inputs`.
pub(crate) fn generate(inputs: &Inputs<'_>) -> PodStatus {
    let (pod, old) = (inputs.pod, inputs.old);
    let mut status = PodStatus {
        qos_class: Some(crate::resources::qos_class(pod).to_owned()),
        observed_generation: pod.metadata.generation,
        start_time: old.start_time.clone().or(Some(Time(seconds(inputs.now)))),
        ..foreign(old)
    };
    let of_kind = |wanted: fn(Kind) -> bool| -> Vec<(Kind, Container)> {
        spec::all(pod).into_iter().filter(|(kind, _)| wanted(*kind)).collect()
    };
    let app = of_kind(|kind| kind == Kind::App);
    let init = of_kind(|kind| matches!(kind, Kind::Init | Kind::Sidecar));
    let ephemeral = of_kind(|kind| kind == Kind::Ephemeral);
    let before = |list: &Option<Vec<ContainerStatus>>| list.clone().unwrap_or_default();
    let mut app = container_statuses(inputs, &app, &before(&old.container_statuses));
    app.sort_by(|a, b| a.name.cmp(&b.name));
    let init = container_statuses(inputs, &init, &before(&old.init_container_statuses));
    let mut ephemeral = container_statuses(inputs, &ephemeral, &before(&old.ephemeral_container_statuses));
    ephemeral.sort_by(|a, b| a.name.cmp(&b.name));

    let all: Vec<_> = init.iter().chain(&app).cloned().collect();
    decide_phase(inputs, &all, &mut status);
    status.conditions =
        Some(conditions::conditions(inputs, &all, status.phase.as_deref().unwrap_or_default()));
    let some = |list: Vec<ContainerStatus>| Some(list).filter(|list| !list.is_empty());
    status.container_statuses = some(app);
    status.init_container_statuses = some(init);
    status.ephemeral_container_statuses = some(ephemeral);
    addresses(inputs, &mut status);
    status
}

/// What of the status belongs to others.
fn foreign(old: &PodStatus) -> PodStatus {
    PodStatus {
        nominated_node_name: old.nominated_node_name.clone(),
        resource_claim_statuses: old.resource_claim_statuses.clone(),
        extended_resource_claim_status: old.extended_resource_claim_status.clone(),
        node_allocatable_resource_claim_statuses: old.node_allocatable_resource_claim_statuses.clone(),
        resize: old.resize.clone(),
        ..PodStatus::default()
    }
}

fn decide_phase(inputs: &Inputs<'_>, statuses: &[ContainerStatus], status: &mut PodStatus) {
    let old = inputs.old.phase.as_deref().unwrap_or_default();
    let has_live = inputs.state.live().next().is_some();
    let app_is_live = spec::containers(inputs.pod)
        .iter()
        .any(|container| inputs.state.run(&container.name).is_some_and(Run::is_running));
    let mut next = phase(inputs.pod, statuses, inputs.is_ended, app_is_live);
    // A pod that ended stays what it was.
    if phase::is_terminal(old) {
        next = old;
    }
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let kept = || Reason { reason: text(&inputs.old.reason), message: text(&inputs.old.message) };
    let mut word = None;
    if let Some(verdict) = inputs.verdict {
        next = phase::FAILED;
        word = Some(verdict.clone());
    } else if next == old {
        word = Some(kept());
    }
    // An end is told only when nothing of the pod runs any more: others act on it. What is said of it comes with it
    // (`mergePodStatus` of `pkg/kubelet/status`).
    if phase::is_terminal(next) && !phase::is_terminal(old) && has_live {
        next = if old.is_empty() { phase::PENDING } else { old };
        word = Some(kept());
    }
    status.phase = Some(next.to_owned());
    let word = word.unwrap_or(Reason { reason: String::new(), message: String::new() });
    status.reason = Some(word.reason).filter(|text| !text.is_empty());
    status.message = Some(word.message).filter(|text| !text.is_empty());
}

fn addresses(inputs: &Inputs<'_>, status: &mut PodStatus) {
    if let Some(first) = inputs.node_ips.first() {
        status.host_ip = Some(first.to_string());
        status.host_ips = Some(inputs.node_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect());
    }
    let mut ips: Vec<String> = if spec::is_host_network(inputs.pod) {
        inputs.node_ips.iter().map(ToString::to_string).collect()
    } else {
        in_family_order(inputs.state.ips(), inputs.node_ips)
    };
    // The addresses of a pod that ended are kept for those who look at it.
    if ips.is_empty() {
        ips = inputs.old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    }
    status.pod_ip = ips.first().cloned();
    status.pod_ips =
        Some(ips.into_iter().map(|ip| PodIP { ip }).collect()).filter(|ips: &Vec<_>| !ips.is_empty());
}

/// The addresses, the node's preferred family first.
fn in_family_order(ips: &[String], node_ips: &[IpAddr]) -> Vec<String> {
    let wants_v6 = node_ips.first().is_some_and(IpAddr::is_ipv6);
    let mut ips = ips.to_vec();
    ips.sort_by_key(|ip| ip.contains(':') != wants_v6);
    ips
}

fn container_statuses(
    inputs: &Inputs<'_>,
    containers: &[(Kind, Container)],
    before: &[ContainerStatus],
) -> Vec<ContainerStatus> {
    containers
        .iter()
        .map(|(kind, container)| {
            let old = before.iter().find(|status| status.name == container.name);
            let mut status = container_status(inputs, container, old);
            wait_for_start(inputs, *kind, container, &mut status);
            mark_started_and_ready(inputs, *kind, container, old, &mut status);
            status
        })
        .collect()
}

fn container_status(
    inputs: &Inputs<'_>,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let mut runs = inputs.state.runs_of(&container.name);
    let Some(run) = runs.next() else { return status_without_run(inputs, container, old) };
    let mut status = of_run(inputs, container, run, old);
    if let Some(previous) = runs.next() {
        status.last_state = of_run(inputs, container, previous, None).state;
    } else if let Some(old) = old {
        // The run before was removed; what it ended with is remembered in the status.
        let is_other = old.container_id != status.container_id;
        status.last_state = match &old.state {
            Some(state) if is_other && state.terminated.is_some() => old.state.clone(),
            _ => old.last_state.clone(),
        };
    }
    status
}

/// The status of a container of which the runtime knows nothing (yet, or any more).
fn status_without_run(
    inputs: &Inputs<'_>,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting(default_reason(inputs.pod), "")),
        last_state: Some(ApiState::default()),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    };
    let Some(old) = old else { return status };
    let old_state = old.state.clone().unwrap_or_default();
    if old_state.terminated.is_some() {
        return old.clone();
    }
    status.restart_count = old.restart_count;
    status.last_state.clone_from(&old.last_state);
    // Upstream leaves the end of a run before that as it is, and then does not count this one.
    if old_state.running.is_some() {
        let message =
            "The container could not be located when the pod was deleted.  The container used to be Running";
        status.last_state = Some(lost(message));
        if inputs.pod.metadata.deletion_timestamp.is_none() {
            status.restart_count += 1;
        }
    }
    status
}

/// The restart count that the next run gets by what was told: where the runtime and the logs of the runs before are
/// gone, it must not begin anew.
pub(crate) fn next_restart_count(told: &PodStatus, name: &str) -> u32 {
    let lists = [&told.container_statuses, &told.init_container_statuses, &told.ephemeral_container_statuses];
    let Some(status) = lists.into_iter().flatten().flatten().find(|status| status.name == name) else {
        return 0;
    };
    let count = u32::try_from(status.restart_count).unwrap_or(0);
    let ended = |state: &Option<ApiState>| state.as_ref().and_then(|state| state.terminated.clone());
    match ended(&status.state).or_else(|| ended(&status.last_state)) {
        // A run that is lost was counted when that was seen.
        Some(end) if end.reason.as_deref() == Some(STATUS_UNKNOWN) => count,
        Some(_) => count.saturating_add(1),
        None => count,
    }
}

fn of_run(
    inputs: &Inputs<'_>,
    container: &Container,
    run: &Run,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = format!("{}://{}", inputs.runtime_name, run.id);
    let was_running = old.and_then(|old| old.state.as_ref()).is_some_and(|state| state.running.is_some());
    let mut restart_count = i32::try_from(run.restart_count).unwrap_or(i32::MAX);
    let at = |nanoseconds| state::time(nanoseconds).map(|time| Time(seconds(time)));
    // What ended without having begun began in 1970, as upstream tells it: nothing would be the year 1.
    let ever = |nanoseconds| at(nanoseconds).or(Some(Time(Timestamp::UNIX_EPOCH)));
    let state = match run.state {
        ContainerState::Running => ApiState {
            running: Some(ContainerStateRunning { started_at: at(run.started_at) }),
            ..ApiState::default()
        },
        ContainerState::Exited => ApiState {
            terminated: Some(ContainerStateTerminated {
                container_id: Some(id.clone()),
                exit_code: run.exit_code,
                reason: Some(run.reason.clone()).filter(|reason| !reason.is_empty()),
                message: Some(run.message.clone()).filter(|message| !message.is_empty()),
                started_at: ever(run.started_at),
                finished_at: ever(run.finished_at),
                signal: None,
            }),
            ..ApiState::default()
        },
        ContainerState::Unknown if was_running => {
            restart_count += 1;
            lost("The container could not be located when the pod was terminated")
        }
        ContainerState::Created | ContainerState::Unknown => waiting("", ""),
    };
    let user = run.user.as_ref().map(|(uid, gid, groups)| ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: *uid,
            gid: *gid,
            supplemental_groups: Some(groups.clone()).filter(|groups| !groups.is_empty()),
        }),
    });
    let given = inputs.actuated.get(&run.id).filter(|_| run.is_running()).cloned();
    ContainerStatus {
        name: run.name.clone(),
        restart_count: restart_count.max(old.map_or(0, |old| old.restart_count)),
        image: run.image.clone(),
        image_id: run.image_ref.clone(),
        container_id: Some(id),
        state: Some(state),
        last_state: Some(ApiState::default()),
        volume_mounts: mounts(container),
        resources: Some(given.or_else(|| container.resources.clone()).unwrap_or_default()),
        allocated_resources: container.resources.as_ref().and_then(|resources| resources.requests.clone()),
        user,
        ..ContainerStatus::default()
    }
}

fn mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let status = |mount: &api::core::v1::VolumeMount| {
        let is_read_only = mount.read_only == Some(true);
        VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: Some(true).filter(|_| is_read_only),
            recursive_read_only: Some("Disabled".to_owned()).filter(|_| is_read_only),
            ..VolumeMountStatus::default()
        }
    };
    Some(container.volume_mounts.iter().flatten().map(status).collect())
        .filter(|list: &Vec<_>| !list.is_empty())
}

/// A container that is to be started and could not be tells why.
fn wait_for_start(inputs: &Inputs<'_>, kind: Kind, container: &Container, status: &mut ContainerStatus) {
    let run = inputs.state.run(&container.name);
    let is_init = matches!(kind, Kind::Init | Kind::Sidecar);
    if is_init && run.is_some_and(|run| run.is_exited() && run.exit_code == 0) && kind == Kind::Init {
        return;
    }
    let app_was_created =
        spec::containers(inputs.pod).iter().any(|container| inputs.state.run(&container.name).is_some());
    let is_waiting = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    if kind == Kind::Init && run.is_none() && app_was_created && is_waiting {
        status.state = Some(ApiState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("Completed".into()),
                message: Some(
                    "Unable to get init container status from container runtime and pod has been initialized, \
                     treat it as exited normally"
                        .into(),
                ),
                ..ContainerStateTerminated::default()
            }),
            ..ApiState::default()
        });
        return;
    }
    if !should_start(inputs.pod, container, run) {
        return;
    }
    let Some(reason) = inputs.reasons.get(&container.name) else { return };
    if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
        status.last_state = status.state.take();
    }
    status.state = Some(waiting(&reason.reason, &reason.message));
}

fn mark_started_and_ready(
    inputs: &Inputs<'_>,
    kind: Kind,
    container: &Container,
    old: Option<&ContainerStatus>,
    status: &mut ContainerStatus,
) {
    let state = status.state.clone().unwrap_or_default();
    let is_running = state.running.is_some();
    let id = status.container_id.as_deref().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
    let found = inputs.probes.of(id);
    // Before its first probe after a restart of the kubelet, a container is what it was.
    let known = old.filter(|old| old.container_id.is_some() && old.container_id == status.container_id);
    let started = is_running
        && match found.startup {
            Some(passed) => passed,
            None => container.startup_probe.is_none() || known.is_some_and(|old| old.started == Some(true)),
        };
    status.started = Some(started);
    let passed = match found.readiness {
        Some(passed) => passed,
        None => container.readiness_probe.is_none() || known.is_some_and(|old| old.ready),
    };
    status.ready = match kind {
        Kind::Init => state.terminated.is_some_and(|terminated| terminated.exit_code == 0),
        Kind::Ephemeral => false,
        Kind::App | Kind::Sidecar => started && passed,
    };
    if kind == Kind::Ephemeral {
        status.started = None;
    }
}

/// What a pod that ended has to say at last: nothing of it is left open.
pub(crate) fn end(pod: &Pod, status: &mut PodStatus) {
    let message = "The container could not be located when the pod was terminated";
    let has_begun = |status: &ContainerStatus| {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        state.terminated.is_some() || state.running.is_some() || last.terminated.is_some()
    };
    let close = |container: &mut ContainerStatus| {
        if container.state.as_ref().is_none_or(|state| state.terminated.is_none()) {
            container.state = Some(lost(message));
            container.ready = false;
            container.started = Some(false);
        }
    };
    let init_is_done = spec::init_containers(pod).is_empty()
        || status.container_statuses.iter().flatten().any(has_begun)
        || status.init_container_statuses.as_ref().and_then(|list| list.last()).is_some_and(|last| {
            last.state
                .as_ref()
                .and_then(|state| state.terminated.as_ref())
                .is_some_and(|end| end.exit_code == 0)
        });
    if init_is_done {
        status.container_statuses.iter_mut().flatten().for_each(close);
    }
    // All but the last init containers without a sign of life were started once.
    if let Some(init) = &mut status.init_container_statuses {
        let begun = init.iter().rposition(has_begun).map_or(0, |last| last + 1);
        init.iter_mut().take(begun).for_each(close);
    }
    if !phase::is_terminal(status.phase.as_deref().unwrap_or_default()) {
        status.phase = Some(phase::FAILED.into());
    }
}

fn default_reason(pod: &Pod) -> &'static str {
    if spec::init_containers(pod).is_empty() { "ContainerCreating" } else { "PodInitializing" }
}

fn waiting(reason: &str, message: &str) -> ApiState {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ApiState {
        waiting: Some(ContainerStateWaiting { reason: text(reason), message: text(message) }),
        ..ApiState::default()
    }
}

fn lost(message: &str) -> ApiState {
    ApiState {
        terminated: Some(ContainerStateTerminated {
            reason: Some(STATUS_UNKNOWN.into()),
            message: Some(message.into()),
            exit_code: KILLED,
            ..ContainerStateTerminated::default()
        }),
        ..ApiState::default()
    }
}

/// A time as objects have it: whole seconds.
pub(crate) fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests;
