//! Probes of the containers of one pod: a task for each question that is open.
//!
//! Upstream counterpart: `pkg/kubelet/prober`.

mod act;
mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use reconcile::EventKind;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::spec::{self, Kind};
use crate::state::{PodState, ProbeResults, Run};
use act::{Outcome, act};
use judge::{Question, Row};

const QUESTIONS: [Question; 3] = [Question::Startup, Question::Liveness, Question::Readiness];

/// The probes of a pod; dropped, they end.
pub(crate) struct Probes {
    context: Arc<Context>,
    results: Arc<Mutex<ProbeResults>>,
    /// Woken when something is known anew.
    wake: Arc<Notify>,
    tasks: BTreeMap<(String, Question), JoinHandle<()>>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

impl Probes {
    pub(crate) fn new(context: Arc<Context>, wake: Arc<Notify>) -> Self {
        Self { context, results: Arc::default(), wake, tasks: BTreeMap::new() }
    }

    /// What is known now.
    pub(crate) fn results(&self) -> ProbeResults {
        self.results.lock().clone()
    }

    /// Begins the probes of what runs and ends those of what does not. While the pod ends, only readiness matters.
    pub(crate) fn follow(&mut self, pod: &Arc<Pod>, state: &PodState, is_ending: bool) {
        let running: Vec<&Run> = state.runs.iter().filter(|run| run.is_running()).collect();
        let is_running = |id: &str| state.runs.iter().any(|run| run.id == id && run.is_running());
        let is_wanted = |(id, question): &(String, Question)| {
            is_running(id) && (!is_ending || *question == Question::Readiness)
        };
        self.tasks.retain(|key, task| {
            let stays = is_wanted(key);
            if !stays {
                task.abort();
            }
            stays
        });
        self.results.lock().0.retain(|id, _| is_running(id));
        let ip = if spec::is_host_network(pod) {
            self.context.config.node_ips.first().map(ToString::to_string)
        } else {
            state.ips().first().cloned()
        };
        for run in running {
            let Some((kind, container)) = spec::find(pod, &run.name) else { continue };
            if matches!(kind, Kind::Init | Kind::Ephemeral) {
                continue;
            }
            for question in QUESTIONS {
                let key = (run.id.clone(), question);
                if !is_wanted(&key) || question.probe(&container).is_none() || self.tasks.contains_key(&key) {
                    continue;
                }
                let task = Task {
                    context: self.context.clone(),
                    results: self.results.clone(),
                    wake: self.wake.clone(),
                    pod: pod.clone(),
                    container: container.clone(),
                    id: run.id.clone(),
                    ip: ip.clone().unwrap_or_default(),
                    question,
                    started: run.started_at,
                };
                self.tasks.insert(key, tokio::spawn(task.run()));
            }
        }
    }
}

struct Task {
    context: Arc<Context>,
    results: Arc<Mutex<ProbeResults>>,
    wake: Arc<Notify>,
    pod: Arc<Pod>,
    container: Container,
    id: String,
    ip: String,
    question: Question,
    /// Nanoseconds since 1970.
    started: i64,
}

impl Task {
    async fn run(self) {
        let Some(probe) = self.question.probe(&self.container).cloned() else { return };
        let seconds =
            |value: Option<i32>, least: u64| u64::try_from(value.unwrap_or(0)).unwrap_or(0).max(least);
        let period = Duration::from_secs(seconds(Some(probe.period_seconds.unwrap_or(10)), 1));
        tokio::time::sleep(self.rest_of_delay(seconds(probe.initial_delay_seconds, 0))).await;
        let mut row = Row::default();
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.question != Question::Startup && !self.is_started() {
                // The startup probe's end is waited for; then this probe is due at once.
                tokio::time::sleep(STARTED_POLL).await;
                ticks.reset_immediately();
                continue;
            }
            let outcome = act(&self.context, &probe, &self.container, &self.id, &self.ip).await;
            self.tell(&outcome);
            let passed = match outcome {
                Outcome::Success | Outcome::Warning(_) => true,
                Outcome::Failure(_) => false,
                // What could not be asked is no answer.
                Outcome::Error(_) => continue,
            };
            let Some(known) = row.take(&probe, passed) else { continue };
            self.note(known);
            // Then the container is restarted, or the question answered.
            let is_over = match self.question {
                Question::Startup => true,
                Question::Liveness => !known,
                Question::Readiness => false,
            };
            if is_over {
                return;
            }
        }
    }

    /// What is left of the delay that the probe has after the container's start.
    fn rest_of_delay(&self, seconds: u64) -> Duration {
        let now = self.context.clock.now().as_nanosecond();
        let passed = u64::try_from(now - i128::from(self.started)).unwrap_or(0);
        Duration::from_secs(seconds).saturating_sub(Duration::from_nanos(passed))
    }

    fn is_started(&self) -> bool {
        self.container.startup_probe.is_none() || self.results.lock().of(&self.id).startup == Some(true)
    }

    fn note(&self, known: bool) {
        let mut results = self.results.lock();
        let found = results.0.entry(self.id.clone()).or_default();
        let answer = match self.question {
            Question::Startup => &mut found.startup,
            Question::Liveness => &mut found.liveness,
            Question::Readiness => &mut found.readiness,
        };
        if answer.replace(known) != Some(known) {
            self.wake.notify_one();
        }
    }

    fn tell(&self, outcome: &Outcome) {
        let name = self.question.name();
        let (reason, text) = match outcome {
            Outcome::Success => return,
            Outcome::Warning(text) => ("ProbeWarning", format!("{name} probe warning: {text}")),
            Outcome::Failure(text) => ("Unhealthy", format!("{name} probe failed: {text}")),
            Outcome::Error(text) => {
                ("Unhealthy", format!("{name} probe errored and resulted in unknown state: {text}"))
            }
        };
        self.context.container_event(&self.pod, &self.container.name, EventKind::Warning, reason, text);
    }
}

/// How often a probe that waits for its container's startup probe looks.
const STARTED_POLL: Duration = Duration::from_millis(200);
