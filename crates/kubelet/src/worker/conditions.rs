//! The conditions of a pod that its kubelet owns.
//!
//! Pure. Upstream counterpart: `pkg/kubelet/status/generate.go`.

use api::core::v1::{ContainerStatus, PodCondition};
use api::meta::v1::Time;

use super::phase;
use super::status::{Inputs, seconds};
use crate::spec;
use crate::text::go_slice;

/// Which conditions are the kubelet's: `PodConditionByKubelet` of `pkg/kubelet/types/pod_status.go`.
pub(super) const OWN: [&str; 7] = [
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "PodReadyToStartContainers",
    "PodResizePending",
    "PodResizeInProgress",
];

/// How one condition stands.
struct Standing {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Standing {
    fn yes() -> Self {
        Self { holds: true, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { holds: false, reason, message }
    }
}

/// All conditions: those of others as they are, then our own.
pub(crate) fn conditions(
    inputs: &Inputs<'_>,
    statuses: &[ContainerStatus],
    phase: &str,
) -> Vec<PodCondition> {
    let theirs = inputs.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut all: Vec<PodCondition> = theirs
        .into_iter()
        .flatten()
        .filter(|condition| !OWN.contains(&condition.type_.as_str()))
        .cloned()
        .collect();
    if let Some(trouble) = inputs.trouble.filter(|_| !phase::is_terminal(phase)) {
        let old = inputs.old.conditions.iter().flatten().find(|condition| condition.type_ == trouble.kind());
        all.push(trouble.condition(inputs.pod.metadata.generation, old, Time(seconds(inputs.now))));
    }
    let has_sandbox = inputs.state.sandbox(inputs.pod).is_ok();
    let sandbox = if has_sandbox { Standing::yes() } else { Standing::no("", String::new()) };
    let ready = ready(inputs, &all, statuses, phase);
    let own = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(inputs, statuses, phase)),
        ("Ready", ready),
        ("ContainersReady", containers_ready(inputs, statuses, phase)),
        ("PodScheduled", Standing::yes()),
    ];
    all.extend(own.into_iter().map(|(kind, standing)| condition(inputs, kind, standing)));
    all
}

fn condition(inputs: &Inputs<'_>, kind: &str, standing: Standing) -> PodCondition {
    let status = if standing.holds { "True" } else { "False" };
    let old = inputs.old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(standing.reason.to_owned()).filter(|reason| !reason.is_empty()),
        message: Some(standing.message).filter(|message| !message.is_empty()),
        last_transition_time: since.or(Some(Time(seconds(inputs.now)))),
        observed_generation: inputs.pod.metadata.generation,
        last_probe_time: None,
    }
}

fn initialized(inputs: &Inputs<'_>, statuses: &[ContainerStatus], phase: &str) -> Standing {
    let mut unknown = Vec::new();
    let mut incomplete = Vec::new();
    for container in spec::init_containers(inputs.pod) {
        let Some(status) = statuses.iter().find(|status| status.name == container.name) else {
            unknown.push(container.name.clone());
            continue;
        };
        let is_done = if spec::is_sidecar(container) { status.started == Some(true) } else { status.ready };
        if !is_done {
            incomplete.push(container.name.clone());
        }
    }
    if phase == phase::SUCCEEDED && unknown.is_empty() {
        return Standing { reason: "PodCompleted", ..Standing::yes() };
    }
    let has_begun = |status: &&ContainerStatus| {
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        state.running.is_some() || state.terminated.is_some() || last.terminated.is_some()
    };
    let is_app = |status: &&ContainerStatus| {
        spec::containers(inputs.pod).iter().any(|container| container.name == status.name)
    };
    if statuses.iter().filter(is_app).any(|status| has_begun(&status)) {
        return Standing::yes();
    }
    let message = messages(&[
        ("containers with unknown status", &unknown),
        ("containers with incomplete status", &incomplete),
    ]);
    if message.is_empty() { Standing::yes() } else { Standing::no("ContainersNotInitialized", message) }
}

fn containers_ready(inputs: &Inputs<'_>, statuses: &[ContainerStatus], phase: &str) -> Standing {
    let mut unknown = Vec::new();
    let mut unready = Vec::new();
    let sidecars = spec::init_containers(inputs.pod).iter().filter(|container| spec::is_sidecar(container));
    for container in sidecars.chain(spec::containers(inputs.pod)) {
        match statuses.iter().find(|status| status.name == container.name) {
            Some(status) if status.ready => {}
            Some(_) => unready.push(container.name.clone()),
            None => unknown.push(container.name.clone()),
        }
    }
    if phase == phase::SUCCEEDED && unknown.is_empty() {
        return Standing::no("PodCompleted", String::new());
    }
    if phase == phase::FAILED {
        return Standing::no("PodFailed", String::new());
    }
    let message = messages(&[
        ("containers with unknown status", &unknown),
        ("containers with unready status", &unready),
    ]);
    if message.is_empty() { Standing::yes() } else { Standing::no("ContainersNotReady", message) }
}

fn ready(inputs: &Inputs<'_>, all: &[PodCondition], statuses: &[ContainerStatus], phase: &str) -> Standing {
    let containers = containers_ready(inputs, statuses, phase);
    if !containers.holds {
        return containers;
    }
    let mut unready = Vec::new();
    for gate in spec::spec(inputs.pod).readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match all.iter().find(|condition| condition.type_ == *kind) {
            None => unready
                .push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(condition) if condition.status == "True" => {}
            Some(condition) => unready.push(format!(
                "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                condition.status
            )),
        }
    }
    if unready.is_empty() {
        Standing::yes()
    } else {
        Standing::no("ReadinessGatesNotReady", unready.join(", "))
    }
}

fn messages(parts: &[(&str, &Vec<String>)]) -> String {
    let some = parts.iter().filter(|(_, names)| !names.is_empty());
    some.map(|(what, names)| format!("{what}: {}", go_slice(names))).collect::<Vec<_>>().join(", ")
}
