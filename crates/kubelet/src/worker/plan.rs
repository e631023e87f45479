//! What must be done to make a pod run: decided from its specification and what the runtime says.
//!
//! Pure. Upstream counterparts: `computePodActions`, `computeInitContainerActions` and `doBackOff` of
//! `pkg/kubelet/kuberuntime`.

use std::collections::BTreeMap;

use api::core::v1::{Container, Pod};
use jiff::Timestamp;

use super::backoff::Backoff;
use super::resize::{Actuated, Resize, judge};
use crate::runtime::messages::ContainerState;
use crate::spec::{self, Kind};
use crate::state::{PodState, ProbeResults, Run};

/// What a plan is made from.
pub(crate) struct World<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) state: &'a PodState,
    pub(crate) probes: &'a ProbeResults,
    pub(crate) crashes: &'a Backoff,
    /// The last failed starts, by container.
    pub(crate) failures: &'a BTreeMap<String, Failure>,
    /// When a sandbox may be made, after one that failed.
    pub(crate) sandbox_after: Option<Timestamp>,
    pub(crate) actuated: &'a Actuated,
    /// Whether resources were granted that are not given yet.
    pub(crate) is_resizing: bool,
    /// When resources may be changed, after a change that failed.
    pub(crate) resize_after: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// A start that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The restart count that the run was to have.
    pub(crate) attempt: u32,
    /// When it may be tried again.
    pub(crate) until: Timestamp,
    /// The run of the target that was seen running then, by its restart count.
    pub(crate) target: Option<u32>,
}

impl Failure {
    /// Whether the container has to wait. A run that came to be and has ended is a crash, with the pauses of one. And
    /// a target that came to run ends the wait: it may crash again before the time is over. (Upstream tries again
    /// whenever something of the pod starts or ends.)
    fn holds(self, run: Option<&Run>, target: Option<u32>, now: Timestamp) -> bool {
        let has_crashed = run.is_some_and(|run| run.is_exited() && run.restart_count >= self.attempt);
        let has_target = target.is_some() && target != self.target;
        now < self.until && !has_crashed && !has_target
    }
}

/// The run of the container that an ephemeral one aims at, by its restart count, if it is running.
pub(crate) fn running_target(pod: &Pod, state: &PodState, name: &str) -> Option<u32> {
    let run = state.run(spec::target(pod, name)?)?;
    run.is_running().then_some(run.restart_count)
}

/// What is to be done, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) actions: Vec<Action>,
    /// Containers that wait because they crashed, with the text for status and event.
    pub(crate) crashed: BTreeMap<String, String>,
    /// When to look again, though nothing happened.
    pub(crate) wake: Option<Timestamp>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Ends all containers and sandboxes.
    KillPod,
    /// Removes the runs of init containers, so that a new sandbox begins at the first.
    ForgetInit,
    CreateSandbox {
        attempt: u32,
        replaces: bool,
    },
    Kill {
        id: String,
        name: String,
        message: String,
        reason: KillReason,
    },
    /// Gives the pod, and these of its running containers, what they were granted.
    Resize(Vec<String>),
    Start {
        kind: Kind,
        name: String,
        restart_count: u32,
    },
}

/// Why a single container is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillReason {
    Changed,
    Startup,
    Liveness,
    Unknown,
}

/// What makes the pod of `world` run; empty if it does, or waits.
pub(crate) fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    match world.state.sandbox(world.pod) {
        Err(needed) => plan_sandbox(world, needed.attempt, needed.replaces, &mut plan),
        Ok(_) => plan_containers(world, &mut plan),
    }
    plan
}

fn plan_sandbox(world: &World<'_>, attempt: u32, replaces: bool, plan: &mut Plan) {
    let has_live = world.state.live().next().is_some();
    if has_live || world.state.sandboxes.iter().any(|sandbox| sandbox.is_ready) {
        plan.actions.push(Action::KillPod);
    }
    let runs_once = !spec::is_restarted_as_a_whole(world.pod);
    if runs_once && attempt != 0 && !world.state.runs.is_empty() {
        return;
    }
    let is_done = |container: &Container| {
        let policy = container.restart_policy.as_deref().or(spec::spec(world.pod).restart_policy.as_deref());
        policy == Some("OnFailure")
            && world.state.run(&container.name).is_some_and(|run| run.is_exited() && run.exit_code == 0)
    };
    let is_all_done = spec::containers(world.pod).iter().all(is_done);
    if is_all_done && any_app_created(world) {
        return;
    }
    if let Some(after) = world.sandbox_after
        && world.now < after
    {
        plan.wake_at(after);
        return;
    }
    if replaces && spec::init_containers(world.pod).iter().any(|init| world.state.run(&init.name).is_some()) {
        plan.actions.push(Action::ForgetInit);
    }
    plan.actions.push(Action::CreateSandbox { attempt, replaces });
}

fn any_app_created(world: &World<'_>) -> bool {
    spec::containers(world.pod).iter().any(|container| world.state.run(&container.name).is_some())
}

fn plan_containers(world: &World<'_>, plan: &mut Plan) {
    for ephemeral in spec::ephemeral_containers(world.pod) {
        if world.state.run(&ephemeral.name).is_none() {
            plan.start(world, Kind::Ephemeral, &ephemeral.name);
        }
    }
    let init = plan_init(world);
    if init.is_failed {
        plan.actions.push(Action::KillPod);
        return;
    }
    let mut app = AppPlan::default();
    if init.is_initialized {
        app = plan_app(world);
    }
    if init.is_initialized && app.kept == 0 && app.start.is_empty() {
        // All have ended: what is left of the pod need not live on.
        if world.state.live().next().is_some() {
            plan.actions.push(Action::KillPod);
        }
        return;
    }
    plan.actions.extend(init.kill);
    plan.actions.extend(app.kill);
    plan_resize(world, plan);
    for index in init.start {
        let container = &spec::init_containers(world.pod)[index];
        let kind = if spec::is_sidecar(container) { Kind::Sidecar } else { Kind::Init };
        let can_start = plan.start(world, kind, &container.name);
        // Those after an init container that has to wait have to wait too.
        if !can_start && kind == Kind::Init {
            return;
        }
    }
    for name in app.start {
        plan.start(world, Kind::App, &name);
    }
}

#[derive(Default)]
struct InitPlan {
    is_initialized: bool,
    /// An init container failed for good.
    is_failed: bool,
    kill: Vec<Action>,
    /// Indexes, in order.
    start: Vec<usize>,
}

fn plan_init(world: &World<'_>) -> InitPlan {
    let containers = spec::init_containers(world.pod);
    if containers.is_empty() {
        return InitPlan { is_initialized: true, ..InitPlan::default() };
    }
    // One that is created or runs: then initialization was over once, whatever became of its traces.
    let app_is_live = spec::containers(world.pod).iter().any(|container| {
        let state = world.state.run(&container.name).map(|run| run.state);
        matches!(state, Some(ContainerState::Created | ContainerState::Running))
    });
    let mut plan = InitPlan { is_initialized: app_is_live, ..InitPlan::default() };
    // From the last to the first: the newest that has a trace tells how far the pod came.
    let mut is_later_known = app_is_live;
    for (index, container) in containers.iter().enumerate().rev() {
        let is_sidecar = spec::is_sidecar(container);
        let Some(run) = world.state.run(&container.name) else {
            if is_later_known && is_sidecar {
                plan.start.push(index);
            }
            continue;
        };
        if is_later_known && !is_sidecar {
            continue;
        }
        let is_last = index + 1 == containers.len();
        let step =
            if is_sidecar { judge_sidecar(world, container, run) } else { judge_init(world, container, run) };
        match step {
            InitStep::Wait => {}
            InitStep::Failed => {
                return InitPlan { is_failed: true, ..InitPlan::default() };
            }
            InitStep::Start => plan.start.push(index),
            InitStep::Restart(reason, message) => {
                plan.kill.push(kill(run, message, reason));
                plan.start.push(index);
            }
            InitStep::Done(restart) => {
                if is_last {
                    plan.is_initialized = true;
                } else if !is_later_known {
                    plan.start.push(index + 1);
                }
                if let Some((reason, message)) = restart {
                    plan.kill.push(kill(run, message, reason));
                    plan.start.push(index);
                }
            }
        }
        is_later_known = true;
    }
    if !is_later_known {
        plan.start.push(0);
    }
    plan.start.reverse();
    plan
}

/// How one init container stands.
enum InitStep {
    Wait,
    Start,
    /// Done, or well on its way: the next may start; and perhaps it is to be restarted all the same.
    Done(Option<(KillReason, String)>),
    Restart(KillReason, String),
    Failed,
}

fn judge_init(world: &World<'_>, container: &Container, run: &Run) -> InitStep {
    match run.state {
        ContainerState::Created => InitStep::Start,
        ContainerState::Running => InitStep::Wait,
        ContainerState::Exited if run.exit_code == 0 => InitStep::Done(None),
        ContainerState::Exited if spec::restarts(world.pod, container, run.exit_code) => InitStep::Start,
        ContainerState::Exited => InitStep::Failed,
        ContainerState::Unknown if spec::restarts_on_failure(world.pod, container) => unknown(true),
        ContainerState::Unknown => InitStep::Failed,
    }
}

fn judge_sidecar(world: &World<'_>, container: &Container, run: &Run) -> InitStep {
    match run.state {
        ContainerState::Created | ContainerState::Exited => return InitStep::Start,
        ContainerState::Unknown => return unknown(true),
        ContainerState::Running => {}
    }
    let found = world.probes.of(&run.id);
    let name = &container.name;
    if container.startup_probe.is_some() {
        match found.startup {
            Some(true) => {}
            Some(false) => {
                let message = format!("Init container {name} failed startup probe");
                return InitStep::Restart(KillReason::Startup, message);
            }
            None => return InitStep::Wait,
        }
    }
    if run.is_changed(container) {
        let message = format!("Init container {name} definition changed");
        return InitStep::Done(Some((KillReason::Changed, message)));
    }
    if container.liveness_probe.is_some() && found.liveness == Some(false) {
        let message = format!("Init container {name} failed liveness probe");
        return InitStep::Done(Some((KillReason::Liveness, message)));
    }
    InitStep::Done(None)
}

fn unknown(is_init: bool) -> InitStep {
    InitStep::Restart(KillReason::Unknown, unknown_message(is_init))
}

fn unknown_message(is_init: bool) -> String {
    let what = if is_init { "Init container" } else { "Container" };
    format!("{what} is in \"unknown\" state, try killing it before restart")
}

#[derive(Default)]
struct AppPlan {
    kept: usize,
    kill: Vec<Action>,
    start: Vec<String>,
}

fn plan_app(world: &World<'_>) -> AppPlan {
    let mut plan = AppPlan::default();
    for container in spec::containers(world.pod) {
        let run = world.state.run(&container.name);
        let Some(run) = run.filter(|run| run.is_running()) else {
            if should_start(world.pod, container, run) {
                plan.start.push(container.name.clone());
                if let Some(run) = run.filter(|run| run.state == ContainerState::Unknown) {
                    plan.kill.push(kill(run, unknown_message(false), KillReason::Unknown));
                }
            }
            continue;
        };
        let found = world.probes.of(&run.id);
        let name = &container.name;
        let (reason, message, restart) = if run.is_changed(container) {
            (KillReason::Changed, format!("Container {name} definition changed"), true)
        } else if found.liveness == Some(false) {
            let restart = spec::restarts_on_failure(world.pod, container);
            (KillReason::Liveness, format!("Container {name} failed liveness probe"), restart)
        } else if found.startup == Some(false) {
            let restart = spec::restarts_on_failure(world.pod, container);
            (KillReason::Startup, format!("Container {name} failed startup probe"), restart)
        } else if judge(container, run, world.actuated) == Resize::Restart {
            plan.kill.push(kill(
                run,
                format!("Container {name} resize requires restart"),
                KillReason::Changed,
            ));
            plan.start.push(name.clone());
            continue;
        } else {
            plan.kept += 1;
            continue;
        };
        if restart {
            plan.kill.push(kill(run, format!("{message}, will be restarted"), reason));
            plan.start.push(name.clone());
        } else {
            plan.kill.push(kill(run, message, reason));
        }
    }
    plan
}

fn plan_resize(world: &World<'_>, plan: &mut Plan) {
    let all = spec::init_containers(world.pod).iter().chain(spec::containers(world.pod));
    let names: Vec<_> = all
        .filter(|container| {
            let run = world.state.run(&container.name).filter(|run| run.is_running());
            run.is_some_and(|run| judge(container, run, world.actuated) == Resize::InPlace)
        })
        .map(|container| container.name.clone())
        .collect();
    match world.resize_after {
        _ if names.is_empty() && !world.is_resizing => {}
        Some(after) if world.now < after => plan.wake_at(after),
        _ => plan.actions.push(Action::Resize(names)),
    }
}

/// Whether a container that does not run is to be started.
///
/// Upstream counterpart: `ShouldContainerBeRestarted`.
pub(crate) fn should_start(pod: &Pod, container: &Container, run: Option<&Run>) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    match run.map(|run| (run.state, run.exit_code)) {
        None | Some((ContainerState::Unknown | ContainerState::Created, _)) => true,
        Some((ContainerState::Running, _)) => false,
        Some((ContainerState::Exited, code)) => spec::restarts(pod, container, code),
    }
}

fn kill(run: &Run, message: String, reason: KillReason) -> Action {
    Action::Kill { id: run.id.clone(), name: run.name.clone(), message, reason }
}

impl Plan {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Plans a start, unless the container crashed too often, or its last start failed just now.
    fn start(&mut self, world: &World<'_>, kind: Kind, name: &str) -> bool {
        let run = world.state.run(name);
        if let Some(failure) = world.failures.get(name)
            && failure.holds(run, running_target(world.pod, world.state, name), world.now)
        {
            self.wake_at(failure.until);
            return false;
        }
        // The newest that has ended: the newest of all may be about to be killed for its probes.
        if let Some(finished) = world.state.ended(name)
            && let Some((length, end)) = world.crashes.wait(name, finished, world.now)
        {
            let (pod, namespace, uid) =
                (spec::name(world.pod), spec::namespace(world.pod), spec::uid(world.pod));
            let length = crate::text::go_duration(length);
            let text =
                format!("back-off {length} restarting failed container={name} pod={pod}_{namespace}({uid})");
            self.crashed.insert(name.to_owned(), text);
            self.wake_at(end);
            return false;
        }
        let restart_count = run.map_or(0, |run| run.restart_count + 1);
        self.actions.push(Action::Start { kind, name: name.to_owned(), restart_count });
        true
    }
}

#[cfg(test)]
mod tests;
