//! Deletes pods from nodes whose `NoExecute` taints they do not tolerate, or tolerate for a time only.
//!
//! Watches Nodes and Pods; owns nothing but the condition `DisruptionTarget` of the pods that it deletes.
//! How long a pod was tolerated is counted from when this process first saw it: a restart gives more time,
//! never less. Upstream: `pkg/controller/tainteviction`.

use crate::context::{Context, Tasks, spawn};
use api::core::v1::{Node, Pod, Taint, Toleration};
use api::meta::v1::{DeleteOptions, Preconditions, Time};
use api::{Key, Object, pods};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 8;
const CONTROLLER: &str = "taint-eviction-controller";
/// The index of pods by their node, which several controllers share.
pub(super) const BY_NODE: &str = "spec.nodeName";

/// A pod's node, as the index has it.
pub(super) fn node_of(pod: &Pod) -> Vec<String> {
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    name.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let nodes = context.informers.get::<Node>();
    let pods = context.informers.get::<Pod>();
    pods.add_index(BY_NODE, node_of);
    let (changed, of_node) = (queue.clone(), pods.clone());
    nodes.subscribe(move |change| {
        if !matches!(change, Change::Updated(old, new) if no_execute(old).eq(no_execute(new))) {
            let pods = of_node.by_index(BY_NODE, change.object().name());
            pods.iter().for_each(|pod| changed.add(pod.key()));
        }
    });
    let (changed, all) = (queue.clone(), nodes.clone());
    pods.subscribe(move |change| {
        let pod = change.object();
        let same = |old: &Pod| node_of(old) == node_of(pod) && tolerations(old) == tolerations(pod);
        if matches!(change, Change::Updated(old, _) if same(old)) {
            return;
        }
        // A pod of an untainted node is none of our business, unless it was.
        let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let tainted = all.get("", name).is_some_and(|node| no_execute(&node).next().is_some());
        if tainted || matches!(change, Change::Deleted(_)) {
            changed.add(pod.key());
        }
    });
    let controller = TaintEviction {
        client: context.client("node-controller"),
        recorder: context.recorder("node-controller", CONTROLLER),
        clock: context.clock.clone(),
        nodes: nodes.clone(),
        pods: pods.clone(),
        tolerated: Mutex::default(),
    };
    let synced = async move {
        nodes.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute")
}

fn tolerations(pod: &Pod) -> &[Toleration] {
    pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
}

struct TaintEviction {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    nodes: Lister<Node>,
    pods: Lister<Pod>,
    /// Since when each pod is tolerated for a time: by key, with the UID.
    tolerated: Mutex<HashMap<Key, (String, Timestamp)>>,
}

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It stays.
    Stays,
    /// It goes, so long after its node was tainted.
    Goes(SignedDuration),
}

/// Decides by the node's `NoExecute` taints.
fn plan<'a>(taints: impl Iterator<Item = &'a Taint>, tolerations: &[Toleration]) -> Fate {
    let mut fate = Fate::Stays;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else {
            return Fate::Goes(SignedDuration::ZERO);
        };
        let Some(seconds) = toleration.toleration_seconds else { continue };
        let after = SignedDuration::from_secs(seconds.max(0));
        fate = match fate {
            Fate::Goes(sooner) if sooner <= after => fate,
            _ => Fate::Goes(after),
        };
    }
    fate
}

/// `k8s.io/component-helpers/scheduling/corev1`: what a toleration leaves out, it does not care about.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    let (wanted, value) = (text(&toleration.value), taint.value.clone().unwrap_or_default());
    match toleration.operator.as_deref() {
        None | Some("" | "Equal") => wanted == value,
        Some("Exists") => true,
        Some(operator @ ("Lt" | "Gt")) => match (value.parse::<i64>(), wanted.parse::<i64>()) {
            (Ok(value), Ok(wanted)) if operator == "Lt" => value < wanted,
            (Ok(value), Ok(wanted)) => value > wanted,
            _ => false,
        },
        Some(_) => false,
    }
}

impl Reconcile for TaintEviction {
    fn name(&self) -> &'static str {
        "taint-eviction"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let pod = self.pods.get_key(&key).filter(|pod| !pods::is_terminating(pod));
            let Some(pod) = pod else {
                self.forget(&key);
                return Ok(Next::Done);
            };
            let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
            let fate = match self.nodes.get("", name) {
                Some(node) => plan(no_execute(&node), tolerations(&pod)),
                // Pods of nodes that are gone are another controller's.
                None => Fate::Stays,
            };
            let Fate::Goes(after) = fate else {
                if self.forget(&key) {
                    self.tell(&pod, &format!("Cancelling deletion of Pod {key}"));
                }
                return Ok(Next::Done);
            };
            let wait = after - self.clock.now().duration_since(self.since(&key, pod.uid()));
            if let Ok(wait) = Duration::try_from(wait)
                && !wait.is_zero()
            {
                return Ok(Next::After(wait));
            }
            self.tell(&pod, &format!("Marking for deletion Pod {key}"));
            match self.delete(&pod).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => self.forget(&key),
            };
            Ok(Next::Done)
        })
    }
}

impl TaintEviction {
    fn forget(&self, key: &Key) -> bool {
        self.tolerated.lock().remove(key).is_some()
    }

    fn since(&self, key: &Key, uid: &str) -> Timestamp {
        let now = self.clock.now();
        let mut all = self.tolerated.lock();
        let entry = all.entry(key.clone()).or_insert_with(|| (uid.to_owned(), now));
        if entry.0 != uid {
            *entry = (uid.to_owned(), now);
        }
        entry.1
    }

    fn tell(&self, pod: &Pod, message: &str) {
        self.recorder.event(&api::reference(pod), EventKind::Normal, "TaintManagerEviction", message);
    }

    async fn delete(&self, pod: &Pod) -> Result<(), Error> {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": Time(self.clock.now()),
            "observedGeneration": pod.metadata.generation,
        });
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        let patch = Patch::Strategic(patch);
        self.client.patch_subresource::<Pod>(pod.namespace(), pod.name(), "status", &patch).await?;
        let preconditions = Preconditions { uid: Some(pod.uid().to_owned()), resource_version: None };
        let options = DeleteOptions { preconditions: Some(preconditions), ..DeleteOptions::default() };
        self.client.delete::<Pod>(pod.namespace(), pod.name(), &options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn taints_and_tolerations() {
        let taint = |text: &str| -> Taint {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            Taint { key: key.into(), value: Some(value.into()), effect: "NoExecute".into(), time_added: None }
        };
        let toleration =
            |value: &Value| -> Toleration { serde_json::from_value(value.clone()).expect("one") };
        let goes = |seconds| Fate::Goes(SignedDuration::from_secs(seconds));
        let exists = json!({"key": "a", "operator": "Exists"});
        let a300 = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        let b20 = json!({"key": "b", "value": "x", "tolerationSeconds": 20});
        let any = json!({"operator": "Exists"});
        let schedule = json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"});
        let past = json!({"key": "a", "operator": "Exists", "tolerationSeconds": -5});
        let greater = json!({"key": "n", "operator": "Gt", "value": "5"});
        let cases: Vec<(&[&str], Vec<&Value>, Fate)> = vec![
            (&[], vec![], Fate::Stays),
            (&["a"], vec![], goes(0)),
            (&["a"], vec![&exists], Fate::Stays),
            (&["a"], vec![&schedule], goes(0)),
            (&["a"], vec![&a300], goes(300)),
            (&["a", "b=x"], vec![&a300, &b20], goes(20)),
            (&["a", "b=y"], vec![&a300, &b20], goes(0)),
            (&["a", "b=x"], vec![&exists, &b20], goes(20)),
            (&["a", "b=x"], vec![&any], Fate::Stays),
            (&["a"], vec![&past], goes(0)),
            (&["n=7"], vec![&greater], Fate::Stays),
            (&["n=5"], vec![&greater], goes(0)),
        ];
        for (taints, tolerations, expected) in cases {
            let taints: Vec<Taint> = taints.iter().map(|text| taint(text)).collect();
            let typed: Vec<Toleration> = tolerations.iter().map(|value| toleration(value)).collect();
            assert_eq!(plan(taints.iter(), &typed), expected, "{taints:?} {tolerations:?}");
        }
    }
}
