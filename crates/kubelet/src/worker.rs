//! One task per pod: looks how the pod stands, decides, acts, and tells.
//!
//! Level-triggered: whatever wakes it (a new specification, the end of a process, a probe, a timer), it looks anew.
//! Upstream counterpart: `pkg/kubelet/pod_workers.go` with `SyncPod`, `SyncTerminatingPod`, `SyncTerminatedPod` of
//! `pkg/kubelet/kubelet.go`.

mod admission;
pub(crate) mod backoff;
mod conditions;
mod observe;
mod patch;
pub(crate) mod phase;
pub(crate) mod plan;
mod resize;
mod start;
pub(crate) mod status;
mod stop;
mod terminate;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::core::v1::{Pod, PodStatus};
use jiff::{SignedDuration, Timestamp};
use reconcile::EventKind;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::context::{Context, Network};
use crate::exits::Exits;
use crate::hooks;
use crate::images::Pulls;
use crate::pods::{Entry, Instance};
use crate::probes::Probes;
use crate::sandbox;
use crate::spec::{self, Kind};
use crate::state::PodState;
use crate::volumes::{self, Paths, Tokens};
use backoff::Backoff;
use observe::Observer;
use plan::{Action, Plan, World};
use resize::{Actuated, Trouble};
use start::Start;
use status::{Inputs, Reason};
use writer::Writer;

/// The net under all that wakes a worker: it looks at least so often.
const LOOK: Duration = Duration::from_secs(60);
/// How many runs of a container there are: this one, and the one that `logs --previous` shows.
const RUNS_KEPT: usize = 2;
/// A start that failed is tried again after this, as upstream's `backOffPeriod`.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// Sandboxes that fail are often waiting for the network: soon, then ever later.
const SANDBOX_RETRY_MAX: SignedDuration = SignedDuration::from_secs(10);
/// How often volumes made of objects are compared with them, though nobody told of a change.
const VOLUMES_FRESH: SignedDuration = SignedDuration::from_mins(10);
/// Pauses between tries to make volumes that fail.
const VOLUMES_RETRY_MAX: SignedDuration = SignedDuration::from_secs(10);
/// How often a pod that waits for the node's network looks.
const NETWORK_RETRY: SignedDuration = SignedDuration::from_millis(500);
/// After an error of the runtime itself.
const RUNTIME_RETRY: Duration = Duration::from_secs(1);

/// What is wanted of a pod.
#[derive(Clone)]
pub(crate) enum Wish {
    /// As its object says.
    Be(Arc<Pod>),
    /// The object is gone; nothing may remain.
    Vanish,
}

/// A worker seen from outside.
pub(crate) struct Handle {
    pub(crate) wishes: watch::Sender<Wish>,
    pub(crate) wake: Arc<Notify>,
    /// Set when what volumes are made of has changed.
    pub(crate) are_volumes_stale: Arc<AtomicBool>,
    pub(crate) task: JoinHandle<()>,
}

/// Begins to care for a pod.
pub(crate) fn begin(context: Arc<Context>, pod: Arc<Pod>) -> Handle {
    let (wishes, received) = watch::channel(Wish::Be(pod.clone()));
    let wake = Arc::new(Notify::new());
    let worker = Worker::new(context, pod, wake.clone());
    let are_volumes_stale = worker.are_volumes_stale.clone();
    let task = tokio::spawn(worker.run(received));
    Handle { wishes, wake, are_volumes_stale, task }
}

struct Worker {
    context: Arc<Context>,
    pod: Arc<Pod>,
    wake: Arc<Notify>,
    observer: Observer,
    state: PodState,
    status: PodStatus,
    writer: Writer,
    probes: Probes,
    exits: Exits,
    crashes: Backoff,
    failures: BTreeMap<String, Timestamp>,
    reasons: BTreeMap<String, Reason>,
    pulls: Pulls,
    tokens: Tokens,
    volumes: Option<(Paths, Timestamp)>,
    volumes_retry: Option<(Timestamp, SignedDuration)>,
    sandbox_retry: Option<(Timestamp, SignedDuration)>,
    verdict: Option<Reason>,
    /// What running containers were given.
    actuated: Actuated,
    /// Why they do not have what they are to have.
    trouble: Option<Trouble>,
    resize_after: Option<Timestamp>,
    /// Crashes that were told, so that each is told once.
    told: BTreeSet<(String, u32)>,
    has_cgroup: bool,
    /// Whether it was decided that the pod may run here; if it may not, it is rejected.
    is_judged: bool,
    is_rejected: bool,
    are_volumes_stale: Arc<AtomicBool>,
}

impl Worker {
    fn new(context: Arc<Context>, pod: Arc<Pod>, wake: Arc<Notify>) -> Self {
        Self {
            observer: Observer::default(),
            state: PodState::default(),
            status: pod.status.clone().unwrap_or_default(),
            writer: Writer::new(context.clone(), &pod),
            probes: Probes::new(context.clone(), wake.clone()),
            exits: Exits::new(context.clone(), wake.clone()),
            crashes: Backoff::default(),
            failures: BTreeMap::new(),
            reasons: BTreeMap::new(),
            pulls: Pulls::default(),
            tokens: Tokens::default(),
            volumes: None,
            volumes_retry: None,
            sandbox_retry: None,
            verdict: None,
            actuated: Actuated::new(),
            trouble: None,
            resize_after: None,
            told: BTreeSet::new(),
            has_cgroup: false,
            is_judged: false,
            is_rejected: false,
            are_volumes_stale: Arc::default(),
            context,
            pod,
            wake,
        }
    }

    async fn run(mut self, mut wishes: watch::Receiver<Wish>) {
        loop {
            let wish = wishes.borrow_and_update().clone();
            let is_gone = match wish {
                Wish::Be(pod) => {
                    self.hear(pod);
                    false
                }
                Wish::Vanish => true,
            };
            if is_gone || self.is_ending() {
                if self.terminate(is_gone, &mut wishes).await {
                    self.context.pods.remove(spec::uid(&self.pod));
                    return;
                }
                continue;
            }
            let wait = match self.step(&wishes).await {
                Ok(Some(wait)) => wait,
                // Something was done: look what came of it.
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(pod = spec::name(&self.pod), %error, "cannot ask the runtime for a pod");
                    RUNTIME_RETRY
                }
            };
            tokio::select! {
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Takes a new specification.
    fn hear(&mut self, pod: Arc<Pod>) {
        let old = std::mem::replace(&mut self.pod, pod);
        let (old, new) = (&old.metadata, &self.pod.metadata);
        if old.generation != new.generation {
            self.resize_after = None;
        }
        if (&old.labels, &old.annotations) != (&new.labels, &new.annotations) {
            // Volumes may tell of them.
            self.volumes_due();
        }
    }

    /// Has the volumes compared with what they are made of at the next look.
    fn volumes_due(&mut self) {
        if let Some((_, fresh)) = &mut self.volumes {
            *fresh = Timestamp::UNIX_EPOCH;
        }
        self.volumes_retry = None;
    }

    /// Whether nothing of the pod may start any more.
    fn is_ending(&self) -> bool {
        let phase = |status: Option<&PodStatus>| {
            status.and_then(|status| status.phase.as_deref()).is_some_and(phase::is_terminal)
        };
        self.pod.metadata.deletion_timestamp.is_some()
            || self.verdict.is_some()
            || phase(self.pod.status.as_ref())
            || phase(Some(&self.status))
    }

    async fn observe(&mut self, is_ending: bool) -> Result<(), crate::runtime::Error> {
        self.state = self.observer.observe(&self.context, spec::uid(&self.pod)).await?;
        self.adopt_resources();
        self.exits.follow(&self.state);
        self.probes.follow(&self.pod, &self.state, is_ending);
        Ok(())
    }

    /// Makes the status anew and has it told.
    fn publish(&mut self, is_ended: bool) {
        let probes = self.probes.results();
        let mut status = status::generate(&Inputs {
            pod: &self.pod,
            state: &self.state,
            probes: &probes,
            reasons: &self.reasons,
            old: &self.status,
            verdict: self.verdict.as_ref(),
            actuated: &self.actuated,
            trouble: self.trouble.as_ref(),
            is_ended,
            node_ips: &self.context.config.node_ips,
            runtime_name: &self.context.runtime_name,
            now: self.context.clock.now(),
        });
        if is_ended {
            status::end(&self.pod, &mut status);
        }
        if self.is_rejected {
            // There never were any.
            status.container_statuses = None;
            status.init_container_statuses = None;
            status.start_time = None;
        }
        self.status = status;
        self.writer.set(&self.status);
        self.share();
    }

    /// Tells the server of this process.
    fn share(&self) {
        let mut pod = Pod::clone(&self.pod);
        pod.status = Some(self.status.clone());
        let mut instances: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
        for run in &self.state.runs {
            instances.entry(run.name.clone()).or_default().push(Instance {
                id: run.id.clone(),
                state: run.state,
                attempt: run.restart_count,
                log_path: observe::log_path(&self.context, &self.pod, run),
            });
        }
        let sandbox = self.state.sandboxes.iter().find(|sandbox| sandbox.is_ready);
        let sandbox = sandbox.map(|sandbox| sandbox.id.clone());
        self.context.pods.set(spec::uid(&self.pod), Entry { pod: Arc::new(pod), sandbox, instances });
    }

    /// Removes what is too old to be asked for: runs before the last but one, sandboxes before the last.
    ///
    /// Upstream keeps one dead run of each container (`--maximum-dead-containers-per-container`), and the newest
    /// sandbox.
    async fn prune(&mut self) {
        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &self.state.runs {
            let kept = kept.entry(&run.name).or_default();
            *kept += 1;
            if *kept <= RUNS_KEPT || !run.is_exited() {
                continue;
            }
            if let Err(error) = self.context.runtime.remove_container(&run.id).await {
                tracing::debug!(container = run.name, %error, "cannot remove an old container");
                continue;
            }
            let _ = std::fs::remove_file(observe::log_path(&self.context, &self.pod, run));
        }
        for sandbox in self.state.sandboxes.iter().skip(1) {
            let is_used = self.state.runs.iter().any(|run| run.sandbox == sandbox.id);
            if !sandbox.is_ready && !is_used {
                let _ = self.context.runtime.remove_sandbox(&sandbox.id).await;
            }
        }
    }

    /// One look at a pod that is to run; returns how long to wait, or nothing if something was done.
    async fn step(
        &mut self,
        wishes: &watch::Receiver<Wish>,
    ) -> Result<Option<Duration>, crate::runtime::Error> {
        self.observe(false).await?;
        if self.are_volumes_stale.swap(false, Ordering::AcqRel) {
            self.volumes_due();
        }
        let now = self.context.clock.now();
        self.admit();
        let plan = self.plan(now);
        self.note_crashes(&plan);
        self.check_deadline(now);
        self.forget_trouble();
        self.publish(false);
        if self.is_ending() {
            return Ok(None);
        }
        let mut wake = plan.wake;
        let mut wake_at = |at: Timestamp| wake = Some(wake.map_or(at, |wake| wake.min(at)));
        if let Some(deadline) = self.deadline() {
            wake_at(deadline);
        }
        self.prune().await;
        match self.prepare(&plan, now).await {
            Ok(()) => {
                if self.execute(plan.actions, wishes).await {
                    return Ok(None);
                }
            }
            Err(after) => wake_at(after),
        }
        if volumes::are_live(&self.pod)
            && let Some((_, fresh)) = &self.volumes
        {
            wake_at(*fresh);
        }
        let now = self.context.clock.now();
        let wait = wake.and_then(|wake| Duration::try_from(wake.duration_since(now)).ok());
        let is_due = wake.is_some_and(|wake| wake <= now);
        Ok(Some(if is_due { Duration::from_millis(10) } else { wait.unwrap_or(LOOK).min(LOOK) }))
    }

    /// Decides whether the pod may run here, unless that was done before, by this kubelet or the one before it.
    fn admit(&mut self) {
        if std::mem::replace(&mut self.is_judged, true) {
            return;
        }
        let is_known = self.pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        if is_known || !self.state.sandboxes.is_empty() {
            return;
        }
        let others = self.context.pods.list();
        let others: Vec<&Pod> = others
            .iter()
            .map(|entry| &*entry.pod)
            .filter(|pod| spec::uid(pod) != spec::uid(&self.pod) && !api::pods::is_terminal(pod))
            .collect();
        let allocatable = self.context.machine.allocatable(&self.context.config);
        if let Err(Reason { reason, message }) = admission::admit(&self.pod, &others, &allocatable) {
            self.context.event(&self.pod, EventKind::Warning, &reason, message.clone());
            self.verdict = Some(Reason { reason, message: format!("Pod was rejected: {message}") });
            self.is_rejected = true;
        }
    }

    fn plan(&self, now: Timestamp) -> Plan {
        plan::plan(&World {
            pod: &self.pod,
            state: &self.state,
            probes: &self.probes.results(),
            crashes: &self.crashes,
            failures: &self.failures,
            sandbox_after: self.sandbox_retry.map(|(after, _)| after),
            actuated: &self.actuated,
            resize_after: self.resize_after,
            now,
        })
    }

    fn note_crashes(&mut self, plan: &Plan) {
        for (name, text) in &plan.crashed {
            let attempt = self.state.run(name).map_or(0, |run| run.restart_count);
            let reason = Reason { reason: "CrashLoopBackOff".into(), message: text.clone() };
            self.reasons.insert(name.clone(), reason);
            if self.told.insert((name.clone(), attempt)) {
                let pod = format!(
                    "{}_{}({})",
                    spec::name(&self.pod),
                    spec::namespace(&self.pod),
                    spec::uid(&self.pod)
                );
                let text = format!("Back-off restarting failed container {name} in pod {pod}");
                self.context.container_event(&self.pod, name, EventKind::Warning, "BackOff", text);
            }
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = spec::spec(&self.pod).active_deadline_seconds?;
        let start = self.status.start_time.as_ref()?.0;
        start.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn check_deadline(&mut self, now: Timestamp) {
        if self.verdict.is_none() && self.deadline().is_some_and(|deadline| deadline <= now) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.context.event(&self.pod, EventKind::Normal, "DeadlineExceeded", message.clone());
            self.verdict = Some(Reason { reason: "DeadlineExceeded".into(), message });
        }
    }

    /// Makes what must be there before anything starts; or says when to try again.
    async fn prepare(&mut self, plan: &Plan, now: Timestamp) -> Result<(), Timestamp> {
        let starts = plan
            .actions
            .iter()
            .any(|action| matches!(action, Action::CreateSandbox { .. } | Action::Start { .. }));
        if starts {
            self.check_network(now)?;
            self.make_cgroup(now)?;
        }
        let is_stale = self.volumes.as_ref().is_none_or(|(_, fresh)| *fresh <= now);
        if !is_stale || !(starts || volumes::are_live(&self.pod)) {
            return Ok(());
        }
        if let Some((after, _)) = self.volumes_retry
            && now < after
        {
            return Err(after);
        }
        self.mount(now, starts).await
    }

    fn check_network(&self, now: Timestamp) -> Result<(), Timestamp> {
        if spec::is_host_network(&self.pod) {
            return Ok(());
        }
        let network = self.context.network.read().clone();
        match network {
            Network::Ready => return Ok(()),
            Network::Unknown => {}
            Network::Missing(error) => {
                let text = format!("network is not ready: container runtime network not ready: {error}");
                self.context.event(&self.pod, EventKind::Warning, "NetworkNotReady", text);
            }
        }
        Err(now.saturating_add(NETWORK_RETRY).unwrap_or(now))
    }

    fn make_cgroup(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if self.has_cgroup {
            return Ok(());
        }
        match self.context.cgroups.create(&self.pod) {
            Ok(()) => {
                self.has_cgroup = true;
                Ok(())
            }
            Err(error) => {
                let text = format!("unable to ensure pod container exists: {error}");
                self.context.event(&self.pod, EventKind::Warning, "FailedCreatePodContainer", text);
                Err(now.saturating_add(RETRY).unwrap_or(now))
            }
        }
    }

    async fn mount(&mut self, now: Timestamp, is_needed: bool) -> Result<(), Timestamp> {
        let dir = self.context.pod_dir(spec::uid(&self.pod));
        let made = ["volumes", "containers", "plugins"]
            .iter()
            .try_for_each(|name| std::fs::create_dir_all(dir.join(name)));
        if let Err(error) = made {
            let text = format!("error making pod data directories: {error}");
            self.context.event(&self.pod, EventKind::Warning, "Failed", text);
            return Err(now.saturating_add(RETRY).unwrap_or(now));
        }
        let around = self.context.surroundings(&self.pod, self.state.ips());
        match volumes::mount(&self.context, &self.pod, &around, &mut self.tokens).await {
            Ok(paths) => {
                let now = self.context.clock.now();
                let fresh = now.saturating_add(VOLUMES_FRESH).unwrap_or(now);
                let fresh = self.tokens.next().map_or(fresh, |renew| renew.min(fresh));
                self.volumes = Some((paths, fresh));
                self.volumes_retry = None;
                Ok(())
            }
            Err(errors) => {
                for error in errors {
                    self.context.event(&self.pod, EventKind::Warning, "FailedMount", error);
                }
                let pause =
                    next_pause(self.volumes_retry, SignedDuration::from_millis(500), VOLUMES_RETRY_MAX);
                let after = now.saturating_add(pause).unwrap_or(now);
                self.volumes_retry = Some((after, pause));
                // What runs goes on with what it has.
                if !is_needed && let Some((_, fresh)) = &mut self.volumes {
                    *fresh = after;
                    return Ok(());
                }
                Err(after)
            }
        }
    }

    /// Acts; returns whether anything was done.
    async fn execute(&mut self, actions: Vec<Action>, wishes: &watch::Receiver<Wish>) -> bool {
        let mut did_act = false;
        for action in actions {
            // A pod that is to end starts nothing more.
            if wishes.has_changed().unwrap_or(true) && is_ended_by(&wishes.borrow()) {
                return true;
            }
            did_act = true;
            match action {
                Action::Resize(names) => self.resize(&names).await,
                Action::KillPod => self.kill_pod().await,
                Action::ForgetInit => self.forget_init().await,
                Action::CreateSandbox { attempt, replaces } => self.create_sandbox(attempt, replaces).await,
                Action::Kill { id, name, message, reason } => self.kill(&id, &name, &message, reason).await,
                Action::Start { kind, name, restart_count } => {
                    let is_started = Box::pin(self.start(&name, restart_count, wishes.clone())).await;
                    if !is_started && kind == Kind::Init {
                        return true;
                    }
                }
            }
        }
        did_act
    }

    async fn kill_pod(&self) {
        let grace = Duration::from_secs(u64::try_from(spec::grace_seconds(&self.pod)).unwrap_or(0));
        if let Err(error) = stop::stop_all(&self.context, &self.pod, &self.state, grace).await {
            let text = format!("error killing pod: {error}");
            self.context.event(&self.pod, EventKind::Warning, "FailedKillPod", text);
            tokio::time::sleep(RUNTIME_RETRY).await;
        }
    }

    async fn forget_init(&self) {
        for init in spec::init_containers(&self.pod) {
            for run in self.state.runs_of(&init.name) {
                if let Err(error) = self.context.runtime.remove_container(&run.id).await {
                    tracing::warn!(container = run.name, %error, "cannot remove an init container");
                }
            }
        }
    }

    async fn create_sandbox(&mut self, attempt: u32, replaces: bool) {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        if replaces {
            let text = "Pod sandbox changed, it will be killed and re-created.";
            context.event(&pod, EventKind::Normal, "SandboxChanged", text);
        }
        let result = async {
            std::fs::create_dir_all(context.log_dir(&pod))
                .map_err(|error| format!("create pod log directory: {error}"))?;
            let config = sandbox::config(&context, &pod, attempt)?;
            let handler = sandbox::handler(&context, &pod).await?;
            context.runtime.run_sandbox(config, handler).await.map_err(|error| error.to_string())
        };
        match result.await {
            Ok(_) => self.sandbox_retry = None,
            Err(error) => {
                let text = format!("Failed to create pod sandbox: {error}");
                context.event(&pod, EventKind::Warning, "FailedCreatePodSandBox", text);
                let pause = next_pause(self.sandbox_retry, SignedDuration::from_secs(1), SANDBOX_RETRY_MAX);
                let now = context.clock.now();
                self.sandbox_retry = Some((now.saturating_add(pause).unwrap_or(now), pause));
            }
        }
    }

    async fn kill(&mut self, id: &str, name: &str, message: &str, reason: plan::KillReason) {
        let Some(run) = self.state.runs.iter().find(|run| run.id == id) else { return };
        let Some((_, container)) = spec::find(&self.pod, name) else { return };
        let grace = stop::single_grace(&self.pod, &container, reason);
        let ip = self.state.ips().first().cloned().unwrap_or_default();
        if let Err(error) = stop::stop_one(&self.context, &self.pod, run, &ip, grace, message).await {
            tracing::warn!(container = name, %error, "cannot stop a container");
        }
    }

    /// Starts a container; whether it went well.
    async fn start(&mut self, name: &str, restart_count: u32, wishes: watch::Receiver<Wish>) -> bool {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        let Some((_, container)) = spec::find(&pod, name) else { return false };
        // What was killed just before is another run by now.
        let Ok(sandbox) = self.state.sandbox(&pod).cloned() else { return false };
        let sandbox_config = match sandbox::config(&context, &pod, sandbox.attempt) {
            Ok(config) => config,
            Err(message) => {
                return self.fail(name, Reason { reason: "ConfigPodSandboxError".into(), message });
            }
        };
        let empty = Paths::new();
        let start = Start {
            context: &context,
            pod: &pod,
            container: &container,
            restart_count,
            state: &self.state,
            sandbox: &sandbox.id,
            sandbox_config: &sandbox_config,
            volumes: self.volumes.as_ref().map_or(&empty, |(paths, _)| paths),
        };
        let now = context.clock.now();
        if let Some(ended) = self.state.ended(name) {
            self.crashes.next(name, ended, now);
        }
        let mut pulls = std::mem::take(&mut self.pulls);
        // A pull may take long: the pod's end does not wait for it.
        let image = tokio::select! {
            image = start.image(&mut pulls) => Some(image),
            () = until_ended(wishes.clone()) => None,
        };
        self.pulls = pulls;
        let result = match image {
            None => return false,
            Some(Err(reason)) => Err(reason),
            Some(Ok(image)) => start.run(&image).await,
        };
        let id = match result {
            Ok(id) => id,
            Err(reason) => return self.fail(name, reason),
        };
        self.actuated.insert(id.clone(), container.resources.clone().unwrap_or_default());
        self.reasons.remove(name);
        self.failures.remove(name);
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone());
        let Some(hook) = hook else { return true };
        // Not ready before its hook is done; but everyone may see that it runs.
        if self.observe(false).await.is_ok() {
            self.publish(false);
        }
        let ip = self.state.ips().first().cloned().unwrap_or_default();
        let result = tokio::select! {
            result = hooks::run(&context, &pod, &container, &id, &ip, &hook) => result,
            () = until_ended(wishes) => return false,
        };
        let Err(message) = result else { return true };
        context.container_event(
            &pod,
            name,
            EventKind::Warning,
            "FailedPostStartHook",
            "PostStartHook failed",
        );
        if let Some(run) = self.state.runs.iter().find(|run| run.id == id) {
            let grace = Duration::from_secs(u64::try_from(spec::grace_seconds(&pod)).unwrap_or(0));
            let _ = stop::stop_one(&context, &pod, run, &ip, grace, "FailedPostStartHook").await;
        }
        self.fail(name, Reason { reason: "PostStartHookError".into(), message })
    }

    fn fail(&mut self, name: &str, reason: Reason) -> bool {
        tracing::info!(
            pod = spec::name(&self.pod),
            namespace = spec::namespace(&self.pod),
            container = name,
            reason = reason.reason,
            message = reason.message,
            "a container could not be started"
        );
        let now = self.context.clock.now();
        self.failures.insert(name.to_owned(), now.saturating_add(RETRY).unwrap_or(now));
        self.reasons.insert(name.to_owned(), reason);
        false
    }
}

fn is_ended_by(wish: &Wish) -> bool {
    match wish {
        Wish::Vanish => true,
        Wish::Be(pod) => pod.metadata.deletion_timestamp.is_some(),
    }
}

/// Waits until the pod is to end.
async fn until_ended(mut wishes: watch::Receiver<Wish>) {
    if wishes.wait_for(is_ended_by).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Twice the pause before, within limits.
fn next_pause(
    before: Option<(Timestamp, SignedDuration)>,
    first: SignedDuration,
    max: SignedDuration,
) -> SignedDuration {
    before.map_or(first, |(_, pause)| (pause * 2).min(max))
}
