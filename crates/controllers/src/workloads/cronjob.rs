//! CronJobs: Jobs at times of a schedule. Mirrors `pkg/controller/cronjob`.
//!
//! Watches CronJobs and Jobs; owns the Jobs whose controller a CronJob is, and the CronJob's status. `plan`
//! decides.

mod plan;
mod schedule;

use super::control::{self, owned};
use super::patch;
use super::written::Written;
use crate::context::{Context, Tasks, spawn};
use api::batch::v1::{CronJob, CronJobStatus, Job};
use api::core::v1::ObjectReference;
use api::meta::v1::{DeleteOptions, Preconditions, Time};
use api::{Key, Object, owners, reference};
use client::{Client, Error, Patch};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plan::{Plan, World};
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder, Result};
use std::collections::HashSet;
use std::sync::Arc;

const ACCOUNT: &str = "cronjob-controller";

/// How many CronJobs are looked at at a time: upstream's `--concurrent-cron-job-syncs`.
const WORKERS: usize = 5;

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let (crons, jobs) = (context.informers.get::<CronJob>(), context.informers.get::<Job>());
    control::index(&jobs);
    let queue = Queue::new();
    control::follow(&crons, &queue);
    control::follow_owned(&jobs, &crons, &queue, |_: &CronJob| None);
    let controller = Controller {
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT, ACCOUNT),
        clock: context.clock.clone(),
        crons: Written::new(crons.clone()),
        jobs: Written::new(jobs.clone()),
        // As upstream: a schedule without a zone is in that of the machine.
        zone: TimeZone::system(),
    };
    let synced = async move {
        crons.synced().await;
        jobs.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct Controller {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    crons: Written<CronJob>,
    jobs: Written<Job>,
    zone: TimeZone,
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
        let Some(cron) = self.crons.get(&key) else {
            self.crons.forget(&key);
            self.jobs.forget(&key);
            return Ok(Next::Done);
        };
        let jobs = self.jobs.see(&key, |jobs| owned(jobs, cron.uid()));
        let missing = self.missing(&cron, &jobs).await?;
        let now = self.clock.now();
        let world = World { now, cron: &cron, jobs: &jobs, missing: &missing, zone: &self.zone };
        let mut plan = plan::plan(&world);
        for (warning, reason, text) in &plan.events {
            self.tell(&cron, if *warning { EventKind::Warning } else { EventKind::Normal }, reason, text);
        }
        let acted = self.act(&cron, &mut plan, now).await;
        let old = cron.status.clone().unwrap_or_default();
        if let Some(patch) = patch::status(&*cron, &old, &plan.status) {
            let patch = Patch::Update(patch);
            let patched = self.client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
            self.crons.stored(&key, patched);
        }
        acted?;
        Ok(plan.again.map_or(Next::Done, Next::After))
    }

    /// The active Jobs that nobody knows any more: not the cache, and not the API server.
    async fn missing(
        &self,
        cron: &CronJob,
        jobs: &[Arc<Job>],
    ) -> std::result::Result<HashSet<String>, Error> {
        let mut missing = HashSet::new();
        let active = cron.status.iter().flat_map(|status| status.active.iter().flatten());
        for job in active.filter(|active| jobs.iter().all(|job| job.uid() != plan::uid(active))) {
            let name = job.name.as_deref().unwrap_or_default();
            match self.client.get::<Job>(cron.namespace(), name).await {
                Err(error) if error.is_not_found() => {
                    missing.insert(plan::uid(job).to_owned());
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(missing)
    }

    async fn act(&self, cron: &CronJob, plan: &mut Plan, now: Timestamp) -> std::result::Result<(), Error> {
        for job in std::mem::take(&mut plan.clean) {
            // One that stays is deleted at another look; it is no reason not to begin the next.
            let _ = self.delete(cron, job.name(), job.uid(), now).await;
        }
        for job in std::mem::take(&mut plan.replace) {
            self.replace(cron, &mut plan.status, &job, now).await?;
        }
        match plan.create.take() {
            Some((job, time)) => self.create(cron, &mut plan.status, &job, time).await,
            None => Ok(()),
        }
    }

    async fn replace(
        &self,
        cron: &CronJob,
        status: &mut CronJobStatus,
        job: &ObjectReference,
        now: Timestamp,
    ) -> std::result::Result<(), Error> {
        let name = job.name.as_deref().unwrap_or_default();
        self.delete(cron, name, plan::uid(job), now).await?;
        plan::drop_active(status, plan::uid(job));
        Ok(())
    }

    async fn delete(
        &self,
        cron: &CronJob,
        name: &str,
        uid: &str,
        now: Timestamp,
    ) -> std::result::Result<(), Error> {
        let options = DeleteOptions {
            propagation_policy: Some("Background".to_owned()),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..Default::default()
        };
        match self.client.delete::<Job>(cron.namespace(), name, &options).await {
            Err(error) if !error.is_not_found() => {
                self.tell(cron, EventKind::Warning, "FailedDelete", &format!("Deleted job: {error}"));
                return Err(error);
            }
            _ => {}
        }
        if let Some(job) = self.jobs.lister().get(cron.namespace(), name).filter(|job| job.uid() == uid) {
            self.jobs.deleted(&cron.key(), &job, now);
        }
        self.tell(cron, EventKind::Normal, "SuccessfulDelete", &format!("Deleted job {name}"));
        Ok(())
    }

    async fn create(
        &self,
        cron: &CronJob,
        status: &mut CronJobStatus,
        job: &Job,
        time: Timestamp,
    ) -> std::result::Result<(), Error> {
        let made = match self.client.create(job).await {
            Ok(made) => {
                self.tell(
                    cron,
                    EventKind::Normal,
                    "SuccessfulCreate",
                    &format!("Created job {}", made.name()),
                );
                self.jobs.stored(&cron.key(), made)
            }
            // It was made, and the status not written; or another's Job has the name.
            Err(error) if error.is_already_exists() => {
                let present: Job = self.client.get(job.namespace(), job.name()).await?;
                if !owners::is_controlled_by(&present.metadata, cron)
                    || plan::is_active(status, present.uid())
                {
                    return Ok(());
                }
                Arc::new(present)
            }
            Err(error) if error.is_namespace_terminating() => return Ok(()),
            Err(error) => {
                self.tell(cron, EventKind::Warning, "FailedCreate", &format!("Error creating job: {error}"));
                return Err(error);
            }
        };
        status.active.get_or_insert_default().push(plan::active_reference(&made));
        status.last_schedule_time = Some(Time(time));
        Ok(())
    }

    fn tell(&self, cron: &CronJob, kind: EventKind, reason: &str, text: &str) {
        self.recorder.event(&reference(cron), kind, reason, text);
    }
}

#[cfg(test)]
mod tests;
