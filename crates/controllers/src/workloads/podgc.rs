//! Deletes pods that nobody else will: whose node is gone or out of service, that go without ever having had
//! one, and ended ones beyond a number. Mirrors `pkg/controller/podgc`. Watches pods and nodes; owns nothing.

use super::control;
use super::pods::node as node_of;
use crate::context::{Context, Tasks, spawn};
use api::core::v1::{Node, Pod};
use api::meta::v1::{DeleteOptions, Preconditions, Time};
use api::{Key, Object, pods};
use client::{Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reconcile::{Clock, Next, Queue, Reconcile, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const ACCOUNT: &str = "pod-garbage-collector";

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(20);

/// How long a node has to be gone before its pods go: it may only not have been seen yet.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let (pods, nodes) = (context.informers.get::<Pod>(), context.informers.get::<Node>());
    let queue = Queue::new();
    queue.add(Key::default());
    let controller = Controller {
        client: context.client(ACCOUNT),
        clock: context.clock.clone(),
        pods: pods.clone(),
        nodes: nodes.clone(),
        terminated_max: context.config.terminated_pods_max,
        absent: Mutex::default(),
    };
    let synced = async move {
        pods.synced().await;
        nodes.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), 1, synced);
}

/// What is decided on.
struct World<'a> {
    now: Timestamp,
    pods: &'a [Arc<Pod>],
    nodes: &'a [Arc<Node>],
    /// How many ended pods may stay; 0 for all.
    terminated_max: usize,
    /// Since when nodes that pods are on are not there.
    absent: &'a BTreeMap<String, Timestamp>,
}

/// What is decided.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    delete: Vec<Arc<Pod>>,
    /// Those whose node is gone, by node: to be deleted if the API server says so too.
    orphans: BTreeMap<String, Vec<Arc<Pod>>>,
    /// The nodes that pods are on and that are not there, since when.
    absent: BTreeMap<String, Timestamp>,
}

fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    let known: BTreeMap<&str, &Arc<Node>> = world.nodes.iter().map(|node| (node.name(), node)).collect();
    if world.terminated_max > 0 {
        let mut ended: Vec<&Arc<Pod>> = world.pods.iter().filter(|pod| is_over(pod)).collect();
        // Evicted ones first, then the oldest.
        ended.sort_by_key(|pod| {
            let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (!is_evicted(pod), created, pod.name().to_owned())
        });
        let surplus = ended.len().saturating_sub(world.terminated_max);
        plan.delete.extend(ended.into_iter().take(surplus).cloned());
    }
    for pod in world.pods {
        let (name, goes) = (node_of(pod), pods::is_terminating(pod));
        if name.is_empty() {
            if goes {
                plan.delete.push(pod.clone());
            }
            continue;
        }
        match known.get(name) {
            Some(node) if goes && is_out_of_service(node) => plan.delete.push(pod.clone()),
            Some(_) => {}
            None => {
                let since = world.absent.get(name).copied().unwrap_or(world.now);
                plan.absent.insert(name.to_owned(), since);
                if world.now.duration_since(since) >= QUARANTINE {
                    plan.orphans.entry(name.to_owned()).or_default().push(pod.clone());
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    plan.delete.retain(|pod| seen.insert(pod.uid().to_owned()));
    plan
}

fn is_over(pod: &Pod) -> bool {
    !matches!(pods::phase(pod), "Pending" | "Running" | "Unknown")
}

fn is_evicted(pod: &Pod) -> bool {
    let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    pods::phase(pod) == "Failed" && reason == Some("Evicted")
}

/// Whether an administrator has said that the node is off for good (KEP-2268), and it does not say otherwise.
fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready.next().is_none() && taints.into_iter().any(|taint| taint.key == "node.kubernetes.io/out-of-service")
}

struct Controller {
    client: Client,
    clock: Clock,
    pods: Lister<Pod>,
    nodes: Lister<Node>,
    terminated_max: usize,
    absent: Mutex<BTreeMap<String, Timestamp>>,
}

impl Reconcile for Controller {
    fn name(&self) -> &'static str {
        ACCOUNT
    }

    fn reconcile(&self, _: Key) -> BoxFuture<'_, Result> {
        Box::pin(self.look())
    }
}

impl Controller {
    async fn look(&self) -> Result {
        let absent = self.absent.lock().clone();
        let (pods, nodes) = (self.pods.list(), self.nodes.list());
        let now = self.clock.now();
        let terminated_max = self.terminated_max;
        let plan = plan(&World { now, pods: &pods, nodes: &nodes, terminated_max, absent: &absent });
        *self.absent.lock() = plan.absent;
        let mut failed = control::all(plan.delete.iter().map(|pod| self.delete(pod, None)).collect()).await;
        for (node, pods) in plan.orphans {
            match self.client.get::<Node>("", &node).await {
                Err(error) if error.is_not_found() => {
                    let gone = |pod: &Arc<Pod>| condition(pod, now);
                    let tasks: Vec<_> = pods.iter().map(|pod| self.delete(pod, Some(gone(pod)))).collect();
                    failed = failed.and(control::all(tasks).await);
                }
                Err(error) => failed = failed.and(Err(error)),
                Ok(_) => {}
            }
        }
        if let Err(error) = failed {
            tracing::warn!(%error, "not all pods that are left over could be deleted; trying again");
        }
        Ok(Next::After(PERIOD))
    }

    /// Says that the pod has failed, if it has not ended, so that its owner need not wait; then deletes it at once.
    async fn delete(&self, pod: &Pod, condition: Option<Value>) -> std::result::Result<(), Error> {
        let (namespace, name) = (pod.namespace(), pod.name());
        if !pods::is_terminal(pod) {
            let mut status = json!({ "phase": "Failed", "observedGeneration": pod.metadata.generation });
            if let Some(condition) = condition {
                status["conditions"] = json!([condition]);
            }
            let patch = Patch::Strategic(json!({ "metadata": { "uid": pod.uid() }, "status": status }));
            match self.client.patch_subresource::<Pod>(namespace, name, "status", &patch).await {
                Err(error) if error.is_not_found() => return Ok(()),
                other => drop(other?),
            }
        }
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..Default::default()
        };
        match self.client.delete::<Pod>(namespace, name, &options).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Says why a pod was disrupted.
fn condition(pod: &Pod, now: Timestamp) -> Value {
    json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": Time(now),
        "observedGeneration": pod.metadata.generation,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, meta, pod};
    use super::*;

    fn node(name: &str, ready: &str, taint: &str) -> Arc<Node> {
        let spec = json!({ "taints": [{ "key": taint, "effect": "NoExecute" }] });
        let status = json!({ "conditions": [{ "type": "Ready", "status": ready }] });
        Arc::new(Node {
            metadata: meta(name),
            spec: serde_json::from_value(spec).ok(),
            status: serde_json::from_value(status).ok(),
        })
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name()).collect()
    }

    #[test]
    fn pods_that_are_left_over() {
        let off = "node.kubernetes.io/out-of-service";
        let nodes = [node("on", "True", "x"), node("off", "Unknown", off), node("back", "True", off)];
        let pods = [
            pod("runs").node("on").phase("Running").build(),
            pod("goes").node("on").phase("Running").terminating(at(1)).build(),
            pod("stuck").node("off").phase("Running").terminating(at(1)).build(),
            pod("on-off").node("off").phase("Running").build(),
            pod("comes-back").node("back").phase("Running").terminating(at(1)).build(),
            pod("never-was").terminating(at(1)).build(),
            pod("waits").build(),
            pod("lost").node("gone").phase("Running").build(),
        ];
        let absent = BTreeMap::new();
        let look = |second, absent: &BTreeMap<String, Timestamp>| {
            plan(&World { now: at(second), pods: &pods, nodes: &nodes, terminated_max: 5, absent })
        };
        let first = look(100, &absent);
        assert_eq!(names(&first.delete), ["stuck", "never-was"]);
        assert_eq!((first.orphans.len(), first.absent.len()), (0, 1));
        assert_eq!(look(139, &first.absent).orphans.len(), 0);
        assert_eq!(names(&look(140, &first.absent).orphans["gone"]), ["lost"]);
    }

    #[test]
    fn ended_pods_beyond_the_limit() {
        let evicted = |pod: &mut Pod| {
            pod.status.get_or_insert_default().reason = Some("Evicted".into());
        };
        let pods = [
            pod("new").phase("Succeeded").created(at(9)).build(),
            pod("old").phase("Failed").created(at(1)).build(),
            pod("evicted").phase("Failed").created(at(5)).change(evicted).build(),
            pod("runs").phase("Running").created(at(0)).build(),
        ];
        for (most, expected) in [(3, &[][..]), (2, &["evicted"]), (1, &["evicted", "old"]), (0, &[])] {
            let absent = BTreeMap::new();
            let world = World { now: at(10), pods: &pods, nodes: &[], terminated_max: most, absent: &absent };
            assert_eq!(names(&plan(&world).delete), expected, "{most}");
        }
    }
}
