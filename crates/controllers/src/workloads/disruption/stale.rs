//! Takes back `DisruptionTarget` from pods that were to be evicted and were not (KEP-3329).

use super::{ACCOUNT, plan::DELETION_TIMEOUT};
use crate::context::{Context, Tasks, spawn};
use api::core::v1::Pod;
use api::meta::v1::Time;
use api::{Key, Object, pods};
use client::{Client, Lister, Patch};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reconcile::{Clock, Next, Queue, Reconcile, Result};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const CONDITION: &str = "DisruptionTarget";

/// Starts the second half of the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks, pods: &Lister<Pod>) {
    let queue = Queue::new();
    let stale = queue.clone();
    pods.subscribe(move |change| {
        if pods::condition(change.object(), CONDITION).is_some() {
            stale.add(change.object().key());
        }
    });
    let controller =
        Stale { client: context.client(ACCOUNT), clock: context.clock.clone(), pods: pods.clone() };
    let pods = pods.clone();
    let synced = async move { pods.synced().await };
    spawn(context, tasks, queue, Arc::new(controller), 1, synced);
}

struct Stale {
    client: Client,
    clock: Clock,
    pods: Lister<Pod>,
}

/// How long until the condition is stale; nothing if it is right.
fn left(now: Timestamp, pod: &Pod) -> Option<Duration> {
    let condition = pods::condition(pod, CONDITION).filter(|condition| condition.status == "True")?;
    let by_kubelet = condition.reason.as_deref() == Some("TerminationByKubelet");
    if pods::is_terminating(pod) || pods::is_terminal(pod) || by_kubelet {
        return None;
    }
    let since = condition.last_transition_time.as_ref().map_or(now, |time| time.0);
    let left = DELETION_TIMEOUT - now.duration_since(since);
    Some(if left.is_positive() { left.unsigned_abs() } else { Duration::ZERO })
}

impl Reconcile for Stale {
    fn name(&self) -> &'static str {
        "stale-pod-disruption"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result> {
        Box::pin(async move {
            let now = self.clock.now();
            let Some(pod) = self.pods.get_key(&key) else { return Ok(Next::Done) };
            match left(now, &pod) {
                None => return Ok(Next::Done),
                Some(left) if !left.is_zero() => return Ok(Next::After(left)),
                Some(_) => {}
            }
            let condition = json!({ "type": CONDITION, "status": "False", "lastTransitionTime": Time(now),
                "reason": null, "message": null, "observedGeneration": pod.metadata.generation });
            let meta = json!({ "uid": pod.uid(), "resourceVersion": pod.resource_version() });
            let patch = json!({ "metadata": meta, "status": { "conditions": [condition] } });
            let patch = Patch::Strategic(patch);
            match self.client.patch_subresource::<Pod>(&key.namespace, &key.name, "status", &patch).await {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(Next::Done),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::{at, pod};

    #[test]
    fn staleness() {
        let target = || pod("a").phase("Running").condition(CONDITION, "True", at(100));
        for (pod, expected) in [
            (target(), Some(30)),
            (target().condition(CONDITION, "True", at(0)), Some(0)),
            (target().condition(CONDITION, "False", at(0)), None),
            (target().terminating(at(101)), None),
            (target().phase("Failed"), None),
            (pod("b"), None),
        ] {
            assert_eq!(left(at(190), &pod.build()), expected.map(Duration::from_secs));
        }
    }
}
