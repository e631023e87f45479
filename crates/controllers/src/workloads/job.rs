//! Jobs: pods that run to their end, so many times. Mirrors `pkg/controller/job`.
//!
//! Watches Jobs and pods; owns the pods whose controller a Job is, their finalizer
//! `batch.kubernetes.io/job-tracking`, and the Job's status, unless `spec.managedBy` names another controller.
//! A pod's end is noted in the status before its finalizer goes, and counted after: so none is counted twice
//! and none forgotten (KEP-2307). `plan` decides.

mod account;
mod backoff;
mod conditions;
mod indexes;
mod orphans;
mod plan;
mod pods;
mod policy;
mod tally;

use super::claim::{Claim, claim};
use super::control::{self, PodControl};
use super::patch;
use super::written::Written;
use crate::context::{Context, Tasks, spawn};
use account::Outcome;
use api::batch::v1::{Job, JobCondition, JobStatus};
use api::core::v1::Pod;
use api::{Key, Object, Selector};
use backoff::Backoff;
use client::{Error, Patch};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use plan::{Work, World};
use reconcile::{EventKind, Next, Queue, Reconcile, Result};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const ACCOUNT: &str = "job-controller";

/// The finalizer that keeps a pod until it is counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// Who manages a Job that names nobody else.
const MANAGER: &str = "kubernetes.io/job-controller";

/// How many Jobs are looked at at a time: upstream's `--concurrent-job-syncs`.
const WORKERS: usize = 5;

/// How long changes of pods are gathered before their Job is looked at, so that the end of many pods is one
/// change of the status. Upstream's is a second, and short Jobs last as long.
const GATHERING: Duration = Duration::from_millis(100);

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let (jobs, pods) = (context.informers.get::<Job>(), context.informers.get::<Pod>());
    control::index(&pods);
    let queue = Queue::new();
    control::follow(&jobs, &queue);
    control::follow_owned_after(GATHERING, &pods, &jobs, &queue, |job: &Job| {
        job.spec.as_ref().and_then(|spec| spec.selector.clone())
    });
    let control = PodControl {
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT, ACCOUNT),
        clock: context.clock.clone(),
        pods: Written::new(pods.clone()),
    };
    let controller = Controller { control, jobs: Written::new(jobs.clone()), backoffs: Mutex::default() };
    let synced = {
        let (jobs, pods) = (jobs.clone(), pods.clone());
        async move {
            jobs.synced().await;
            pods.synced().await;
        }
    };
    orphans::start(context, tasks, &jobs, &pods);
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct Controller {
    control: PodControl,
    jobs: Written<Job>,
    /// Lost when the process ends, as upstream's: then a Job begins with short waits again.
    backoffs: Mutex<HashMap<Key, Backoff>>,
}

impl Reconcile for Controller {
    fn name(&self) -> &'static str {
        ACCOUNT
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result> {
        Box::pin(self.look(key))
    }
}

impl Controller {
    async fn look(&self, key: Key) -> Result {
        let job = self.jobs.get(&key);
        let job = job.filter(|job| is_ours(job) && !conditions::is_finished(&status_of(job)));
        let Some(job) = job else {
            self.backoffs.lock().remove(&key);
            self.control.pods.forget(&key);
            return Ok(Next::Done);
        };
        let mode = job.spec.as_ref().and_then(|spec| spec.completion_mode.as_deref());
        if !matches!(mode, None | Some("NonIndexed" | "Indexed")) {
            let text = "Skipped Job sync because completion mode is unknown";
            self.control.tell(&*job, EventKind::Warning, "UnknownCompletionMode", text);
            return Ok(Next::Done);
        }
        let pods = self.claim(&job).await?;
        let now = self.control.now();
        let world = World { now, job: &job, pods: &pods };
        let known = self.backoffs.lock().get(&key).copied().unwrap_or_default();
        let decision = plan::decide(&world, known);
        let worked = self.work(&job, &decision.work).await;
        let outcome = if worked.is_ok() { Outcome::Done } else { Outcome::Failed };
        let after = self.mine(&job);
        let account = account::account(&world, &decision, outcome, &after);
        for (reason, text) in &account.events {
            self.control.tell(&*job, EventKind::Normal, reason, text);
        }
        // The status says first which pods have ended, then their finalizers go, then they are counted.
        let job = self.write_status(&job, &account.status).await?;
        self.backoffs.lock().insert(key.clone(), decision.backoff);
        let released = self.untrack(&job, &account.release).await;
        let last = account.last.as_ref().filter(|_| released.is_ok());
        let status = account::settle(now, account.status, last, &self.mine(&job));
        let finished = conditions::is_finished(&status);
        let job = self.write_status(&job, &status).await?;
        if let Some(last) = last.filter(|_| finished) {
            self.tell_end(&job, &status, last);
        }
        released?;
        worked?;
        Ok(decision.again.map_or(Next::Done, Next::After))
    }

    /// Its pods, after adopting and releasing.
    async fn claim(&self, job: &Job) -> std::result::Result<Vec<Arc<Pod>>, Error> {
        let (mut adopt, mut release) = (Vec::new(), Vec::new());
        for pod in self.control.owned_and_orphans(job) {
            match claim(&job.metadata, &pod.metadata, is_selected(job, &pod)) {
                Claim::Adopt => adopt.push(pod),
                Claim::Release => release.push(pod),
                Claim::Own | Claim::Ignore => {}
            }
        }
        self.control.adopt(job, &adopt, &[TRACKING]).await?;
        self.control.release(job, &release, &[TRACKING]).await?;
        Ok(self.mine(job))
    }

    /// The pods that it controls as of now.
    fn mine(&self, job: &Job) -> Vec<Arc<Pod>> {
        let pods = self.control.owned_and_orphans(job);
        let owned = |pod: &Arc<Pod>| claim(&job.metadata, &pod.metadata, is_selected(job, pod)) == Claim::Own;
        pods.into_iter().filter(owned).collect()
    }

    async fn work(&self, job: &Job, work: &Work) -> std::result::Result<(), Error> {
        match work {
            Work::Rest => Ok(()),
            Work::Create(pods) => self.control.create_many(job, pods).await.1,
            Work::End(pods) => self.control.delete_many(job, pods).await,
            Work::Delete(pods) => {
                control::all(pods.iter().map(|pod| self.drop_pod(job, pod)).collect()).await
            }
        }
    }

    /// Deletes a pod that is not to count.
    async fn drop_pod(&self, job: &Job, pod: &Pod) -> std::result::Result<(), Error> {
        self.untrack_one(job, pod).await?;
        self.control.delete(job, pod).await
    }

    async fn untrack(&self, job: &Job, pods: &[Arc<Pod>]) -> std::result::Result<(), Error> {
        control::all(pods.iter().map(|pod| self.untrack_one(job, pod)).collect()).await
    }

    async fn untrack_one(&self, job: &Job, pod: &Pod) -> std::result::Result<(), Error> {
        if pods::is_tracked(pod) {
            self.control.patch(job, pod, untracked(pod)).await?;
        }
        Ok(())
    }

    async fn write_status(&self, job: &Arc<Job>, status: &JobStatus) -> std::result::Result<Arc<Job>, Error> {
        let Some(patch) = patch::status(&**job, &status_of(job), status) else { return Ok(job.clone()) };
        let (key, patch) = (job.key(), Patch::Update(patch));
        let client = &self.control.client;
        let written = client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
        Ok(self.jobs.stored(&key, written))
    }

    fn tell_end(&self, job: &Job, status: &JobStatus, last: &JobCondition) {
        if last.type_ != conditions::COMPLETE {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            self.control.tell(job, EventKind::Warning, &text(&last.reason), &text(&last.message));
            return;
        }
        let completions = job.spec.as_ref().and_then(|spec| spec.completions);
        if completions.is_some_and(|wanted| status.succeeded.unwrap_or_default() > wanted) {
            let text = "Too many succeeded pods running after completion count reached";
            self.control.tell(job, EventKind::Warning, "TooManySucceededPods", text);
        }
        self.control.tell(job, EventKind::Normal, "Completed", "Job completed");
    }
}

/// The patch that takes the finalizer off a pod, if it is still that pod.
fn untracked(pod: &Pod) -> serde_json::Value {
    json!({ "metadata": { "uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [TRACKING] } })
}

fn status_of(job: &Job) -> JobStatus {
    job.status.clone().unwrap_or_default()
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
}

/// Whether no other controller is named for it (KEP-4368).
fn is_ours(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    manager.is_none_or(|manager| manager == MANAGER)
}

fn is_selected(job: &Job, pod: &Pod) -> bool {
    let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector
        .and_then(|selector| Selector::try_from(selector).ok())
        .is_some_and(|selector| selector.matches(pod.metadata.labels.as_ref()))
}

#[cfg(test)]
mod tests;
