//! Takes the tracking finalizer off pods that no Job will count: of Jobs that are gone or have finished.

use super::{ACCOUNT, conditions, is_ours, pods::is_tracked, status_of, untracked};
use crate::context::{Context, Tasks, spawn};
use crate::workloads::control;
use api::batch::v1::Job;
use api::core::v1::Pod;
use api::{Key, Object, owners};
use client::{Change, Client, Lister, Patch};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile, Result};
use std::sync::Arc;

const WORKERS: usize = 2;

/// Starts the second half of the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks, jobs: &Lister<Job>, pods: &Lister<Pod>) {
    let queue = Queue::new();
    let orphans = queue.clone();
    pods.subscribe(move |change| {
        let pod = change.object();
        let lonely = owners::controller_of(pod.meta()).is_none();
        if is_tracked(pod) && (lonely || api::pods::is_terminating(pod)) {
            orphans.add(pod.key());
        }
    });
    let (of_jobs, orphans) = (pods.clone(), queue.clone());
    jobs.subscribe(move |change| {
        let job = change.object();
        if matches!(change, Change::Deleted(_)) || conditions::is_finished(&status_of(job)) {
            let mine = control::owned(&of_jobs, job.uid());
            mine.iter().filter(|pod| is_tracked(pod)).for_each(|pod| orphans.add(pod.key()));
        }
    });
    let controller = Orphans { client: context.client(ACCOUNT), jobs: jobs.clone(), pods: pods.clone() };
    let (jobs, pods) = (jobs.clone(), pods.clone());
    let synced = async move {
        jobs.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct Orphans {
    client: Client,
    jobs: Lister<Job>,
    pods: Lister<Pod>,
}

impl Reconcile for Orphans {
    fn name(&self) -> &'static str {
        "job-orphan-pods"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result> {
        Box::pin(async move {
            let pod = self.pods.get_key(&key).filter(|pod| is_tracked(pod));
            let Some(pod) = pod.filter(|pod| !is_awaited(pod, &self.jobs)) else { return Ok(Next::Done) };
            let patch = Patch::Strategic(untracked(&pod));
            match self.client.patch::<Pod>(&key.namespace, &key.name, &patch).await {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(Next::Done),
            }
        })
    }
}

/// Whether somebody will count the pod: a Job that is under way, or another controller.
fn is_awaited(pod: &Pod, jobs: &Lister<Job>) -> bool {
    let Some(owner) = owners::controller_of(pod.meta()) else { return false };
    if !control::refers_to::<Job>(owner) {
        return true;
    }
    let job = jobs.get(pod.namespace(), &owner.name).filter(|job| job.uid() == owner.uid);
    job.is_some_and(|job| !is_ours(&job) || !conditions::is_finished(&status_of(&job)))
}
