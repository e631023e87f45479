//! Deletes Jobs some time after they have finished (`spec.ttlSecondsAfterFinished`). Mirrors
//! `pkg/controller/ttlafterfinished`. Watches Jobs; owns nothing.

use super::control;
use crate::context::{Context, Tasks, spawn};
use api::batch::v1::Job;
use api::meta::v1::{DeleteOptions, Preconditions};
use api::{Key, Object};
use client::{Client, Lister};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reconcile::{Clock, Next, Queue, Reconcile, Result};
use std::sync::Arc;
use std::time::Duration;

const ACCOUNT: &str = "ttl-after-finished-controller";

/// How many Jobs are looked at at a time: upstream's `--concurrent-ttl-after-finished-syncs`.
const WORKERS: usize = 5;

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let jobs = context.informers.get::<Job>();
    let queue = Queue::new();
    control::follow(&jobs, &queue);
    let controller =
        Controller { client: context.client(ACCOUNT), clock: context.clock.clone(), jobs: jobs.clone() };
    let synced = async move { jobs.synced().await };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct Controller {
    client: Client,
    clock: Clock,
    jobs: Lister<Job>,
}

/// What becomes of a Job.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It stays.
    Stays,
    /// Its time has not come.
    Waits(Duration),
    /// Its time has come.
    Goes,
}

fn plan(now: Timestamp, job: &Job) -> Fate {
    let seconds = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut finished = conditions.filter(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    });
    let finished = finished.next().and_then(|condition| condition.last_transition_time.as_ref());
    let (Some(seconds), Some(finished), None) = (seconds, finished, &job.metadata.deletion_timestamp) else {
        return Fate::Stays;
    };
    let left = SignedDuration::from_secs(seconds.into()) - now.duration_since(finished.0);
    if left.is_positive() { Fate::Waits(left.unsigned_abs()) } else { Fate::Goes }
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
        let Some(job) = self.jobs.get_key(&key) else { return Ok(Next::Done) };
        match plan(self.clock.now(), &job) {
            Fate::Stays => return Ok(Next::Done),
            Fate::Waits(left) => return Ok(Next::After(left)),
            Fate::Goes => {}
        }
        // The time may have been changed, or the Job made anew, since the cache saw it.
        let fresh: Job = match self.client.get(&key.namespace, &key.name).await {
            Err(error) if error.is_not_found() => return Ok(Next::Done),
            other => other?,
        };
        match plan(self.clock.now(), &fresh) {
            Fate::Stays => return Ok(Next::Done),
            Fate::Waits(left) => return Ok(Next::After(left)),
            Fate::Goes => {}
        }
        let options = DeleteOptions {
            propagation_policy: Some("Foreground".to_owned()),
            preconditions: Some(Preconditions { uid: Some(fresh.uid().to_owned()), resource_version: None }),
            ..Default::default()
        };
        match self.client.delete::<Job>(&key.namespace, &key.name, &options).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(Next::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, meta};
    use super::*;
    use api::meta::v1::Time;
    use serde_json::json;

    #[test]
    fn fates() {
        let job = |ttl: serde_json::Value, kind: &str, status: &str| {
            let spec = json!({ "template": {}, "ttlSecondsAfterFinished": ttl });
            let finished = json!({ "conditions": [
                { "type": kind, "status": status, "lastTransitionTime": Time(at(100)) }] });
            Job {
                metadata: meta("job"),
                spec: serde_json::from_value(spec).ok(),
                status: serde_json::from_value(finished).ok(),
            }
        };
        for (job, expected) in [
            (job(json!(10), "Complete", "True"), Fate::Goes),
            (job(json!(0), "Failed", "True"), Fate::Goes),
            (job(json!(30), "Complete", "True"), Fate::Waits(Duration::from_secs(20))),
            (job(json!(10), "Complete", "False"), Fate::Stays),
            (job(json!(10), "Suspended", "True"), Fate::Stays),
            (job(json!(null), "Complete", "True"), Fate::Stays),
        ] {
            assert_eq!(plan(at(110), &job), expected);
        }
        let mut going = job(json!(0), "Complete", "True");
        going.metadata.deletion_timestamp = Some(Time(at(105)));
        assert_eq!(plan(at(110), &going), Fate::Stays);
    }
}
