//! One task per pod: looks how the pod stands, decides, acts, and tells.
//!
//! Level-triggered: whatever wakes it (a new specification, the end of a process, a probe, a timer), it looks anew.
//! Upstream counterpart: `pkg/kubelet/pod_workers.go` with `SyncPod`, `SyncTerminatingPod`, `SyncTerminatedPod` of
//! `pkg/kubelet/kubelet.go`.

mod admission;
mod allocation;
pub(crate) mod backoff;
mod conditions;
mod execute;
mod observe;
mod patch;
pub(crate) mod phase;
pub(crate) mod plan;
mod prepare;
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

use crate::context::Context;
use crate::exits::Exits;
use crate::images::Pulls;
use crate::node;
use crate::pods::{Entry, Instance};
use crate::probes::Probes;
use crate::spec;
use crate::state::PodState;
use crate::volumes::{self, Paths, Tokens};
use admission::Means;
use backoff::Backoff;
use observe::Observer;
use plan::{Failure, Plan, World};
use resize::{Actuated, Trouble};
use status::{Inputs, Reason};
use writer::Writer;

/// The net under all that wakes a worker: it looks at least so often.
const LOOK: Duration = Duration::from_secs(60);
/// How many runs of a container there are: this one, and the one that `logs --previous` shows.
const RUNS_KEPT: usize = 2;
/// A start that failed is tried again after this, as upstream's `backOffPeriod`.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
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
    /// True once the pod's status was written as this kubelet found it.
    pub(crate) is_told: watch::Receiver<bool>,
    pub(crate) task: JoinHandle<()>,
}

/// Begins to care for a pod.
pub(crate) fn begin(context: Arc<Context>, pod: Arc<Pod>) -> Handle {
    let (wishes, received) = watch::channel(Wish::Be(pod.clone()));
    let wake = Arc::new(Notify::new());
    let worker = Worker::new(context, pod, wake.clone());
    let are_volumes_stale = worker.are_volumes_stale.clone();
    let is_told = worker.is_told.subscribe();
    let task = tokio::spawn(worker.run(received));
    Handle { wishes, wake, are_volumes_stale, is_told, task }
}

struct Worker {
    context: Arc<Context>,
    /// The pod as its object says.
    asked: Arc<Pod>,
    /// The same with the resources that it was granted here: what all but the grant itself goes by.
    pod: Arc<Pod>,
    wake: Arc<Notify>,
    observer: Observer,
    state: PodState,
    status: PodStatus,
    writer: Writer,
    probes: Probes,
    exits: Exits,
    crashes: Backoff,
    failures: BTreeMap<String, Failure>,
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
    /// Whether resources were granted that are not given yet.
    is_resizing: bool,
    resize_after: Option<Timestamp>,
    /// Crashes that were told, so that each is told once.
    told: BTreeSet<(String, u32)>,
    has_cgroup: bool,
    /// Whether it was decided that the pod may run here; if it may not, it is rejected.
    is_judged: bool,
    is_rejected: bool,
    are_volumes_stale: Arc<AtomicBool>,
    is_told: watch::Sender<bool>,
}

impl Worker {
    fn new(context: Arc<Context>, pod: Arc<Pod>, wake: Arc<Notify>) -> Self {
        Self {
            observer: Observer::default(),
            state: PodState::default(),
            status: pod.status.clone().unwrap_or_default(),
            writer: Writer::new(context.client.clone(), &pod),
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
            is_resizing: false,
            resize_after: None,
            told: BTreeSet::new(),
            has_cgroup: false,
            is_judged: false,
            is_rejected: false,
            are_volumes_stale: Arc::default(),
            is_told: watch::Sender::new(false),
            context,
            pod: allocation::adopted(&pod),
            asked: pod,
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
                Wish::Vanish => {
                    self.writer.withdraw();
                    true
                }
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
        let granted = allocation::kept(&pod, &self.pod);
        self.asked = pod;
        let old = std::mem::replace(&mut self.pod, granted);
        self.writer.saw(&self.asked);
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
        if !*self.is_told.borrow() {
            self.writer.tell_when_written(self.is_told.clone());
        }
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
        self.admit().await;
        let resize_at = self.allocate(now);
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
        for at in [self.deadline(), resize_at].into_iter().flatten() {
            wake_at(at);
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
    async fn admit(&mut self) {
        if std::mem::replace(&mut self.is_judged, true) {
            return;
        }
        let is_known = self.pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        if is_known || !self.state.sandboxes.is_empty() {
            return;
        }
        let context = self.context.clone();
        let node = node::selected(&context, spec::spec(&self.pod)).await;
        let admission = context.pods.admit();
        let others = admission.others(&self.pod);
        let others: Vec<&Pod> = others.iter().map(Arc::as_ref).collect();
        let means = Means {
            allocatable: &context.machine.allocatable(&context.config),
            has_groups_policy: context.has_groups_policy.load(Ordering::Relaxed),
            node: &node,
        };
        if let Err(Reason { reason, message }) = admission::admit(&self.pod, &others, &means) {
            self.context.event(&self.pod, EventKind::Warning, &reason, message.clone());
            self.verdict = Some(Reason { reason, message: format!("Pod was rejected: {message}") });
            self.is_rejected = true;
        } else {
            self.share();
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
            is_resizing: self.is_resizing,
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
}

/// Twice the pause before, within limits.
fn next_pause(
    before: Option<(Timestamp, SignedDuration)>,
    first: SignedDuration,
    max: SignedDuration,
) -> SignedDuration {
    before.map_or(first, |(_, pause)| (pause * 2).min(max))
}
