//! Notices nodes that have fallen silent, and says so: conditions to `Unknown`, taints, pods not ready.
//!
//! Watches Nodes, their Leases and Pods. Owns the taints `node.kubernetes.io/*` that follow from conditions
//! (`NoSchedule` at once; `NoExecute` for not ready and unreachable nodes, slowly, and not at all when
//! everything is silent: then it is more likely that we are cut off), the conditions of silent nodes, and
//! `Ready` of their pods.
//!
//! Upstream: `pkg/controller/nodelifecycle`.

mod health;
mod monitor;
mod taints;
mod zones;

use super::taint_eviction::{BY_NODE, node_of};
use crate::context::{Context, Tasks, spawn};
use crate::workloads::patch;
use crate::workloads::written::Written;
use api::coordination::v1::Lease;
use api::core::v1::{Node, NodeCondition, ObjectReference, Pod};
use api::meta::v1::Time;
use api::{Key, Object, pods};
use client::{Change, Client, Error, ListOptions, Lister, Patch};
use futures_util::future::BoxFuture;
use monitor::{Action, Monitor};
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 8;
/// How often the health of all nodes is looked at, as `--node-monitor-period`.
const MONITOR_INTERVAL: Duration = Duration::from_secs(5);
const LEASES: &str = "kube-node-lease";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let nodes = context.informers.get::<Node>();
    let pods = context.informers.get::<Pod>();
    let leases = context.informers.filtered::<Lease>(LEASES, ListOptions::default());
    pods.add_index(BY_NODE, node_of);
    let changed = queue.clone();
    nodes.subscribe(move |change| {
        if !matches!(change, Change::Deleted(_)) {
            changed.add(change.object().key());
        }
    });
    let controller = Arc::new(NodeLifecycle {
        client: context.client("node-controller"),
        recorder: context.recorder("node-controller", "node-controller"),
        clock: context.clock.clone(),
        nodes: Written::new(nodes.clone()),
        pods: pods.clone(),
        leases: leases.clone(),
    });
    let synced = async move {
        nodes.synced().await;
        pods.synced().await;
        leases.synced().await;
    };
    let (whole, seen_whole) = tokio::sync::watch::channel(false);
    let (monitoring, mut stop) = (controller.clone(), context.stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = synced => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        whole.send_replace(true);
        tokio::select! {
            () = monitoring.monitor() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
    let mut seen_whole = seen_whole;
    let synced = async move { drop(seen_whole.wait_for(|whole| *whole).await) };
    spawn(context, tasks, queue, controller, WORKERS, synced);
}

struct NodeLifecycle {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    nodes: Written<Node>,
    pods: Lister<Pod>,
    leases: Lister<Lease>,
}

impl Reconcile for NodeLifecycle {
    fn name(&self) -> &'static str {
        "node-lifecycle"
    }

    /// Taints and labels that follow from what a node says itself.
    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(node) = self.nodes.get(&key) else {
                self.nodes.forget(&key);
                return Ok(Next::Done);
            };
            if let Some(wanted) = taints::follow(&node, self.clock.now()) {
                self.write(&node, &wanted).await?;
            }
            Ok(Next::Done)
        })
    }
}

impl NodeLifecycle {
    async fn write(&self, node: &Node, wanted: &Node) -> Result<(), Error> {
        let Some(change) = patch::update(node, wanted) else { return Ok(()) };
        let node: Node = self.client.patch("", node.name(), &Patch::Merge(change)).await?;
        self.nodes.stored(&node.key(), node);
        Ok(())
    }

    async fn monitor(&self) {
        let mut monitor = Monitor::default();
        loop {
            let mut nodes = self.nodes.lister().list();
            for node in &mut nodes {
                // What we wrote ourselves may not be in the cache yet.
                if let Some(newer) = self.nodes.get(&node.key()) {
                    *node = newer;
                }
            }
            let renewed =
                |name: &str| Some(self.leases.get(LEASES, name)?.spec.as_ref()?.renew_time.as_ref()?.0);
            let actions = monitor.plan(self.clock.now(), &nodes, &renewed);
            for action in actions {
                // Whatever fails is planned again next time.
                if let Err(error) = self.act(&action).await {
                    tracing::debug!(%error, ?action, "node-lifecycle: trying again");
                }
            }
            tokio::time::sleep(MONITOR_INTERVAL).await;
        }
    }

    async fn act(&self, action: &Action) -> Result<(), Error> {
        match action {
            Action::Tell { name, uid, reason, message } => {
                self.tell(name, uid, reason, message);
                Ok(())
            }
            Action::Silent { node, conditions, was_ready } => {
                self.mark_silent(node, conditions).await?;
                if *was_ready {
                    let message = format!("Node {} status is now: NodeNotReady", node.name());
                    self.tell(node.name(), node.uid(), "NodeNotReady", &message);
                }
                Ok(())
            }
            Action::Taint { name, add, remove } => {
                let Some(node) = self.nodes.get(&Key::new("", name)) else { return Ok(()) };
                match taints::swap(&node, add.as_deref(), remove, self.clock.now()) {
                    Some(wanted) => self.write(&node, &wanted).await,
                    None => Ok(()),
                }
            }
            Action::PodsNotReady { name } => {
                let mut result = Ok(());
                for pod in self.pods.by_index(BY_NODE, name).iter().filter(|pod| pods::is_ready(pod)) {
                    if let Err(error) = self.mark_not_ready(pod).await
                        && !error.is_not_found()
                    {
                        result = Err(error);
                    }
                }
                result
            }
        }
    }

    fn tell(&self, name: &str, uid: &str, reason: &str, message: &str) {
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Node".into()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        self.recorder.event(&about, EventKind::Normal, reason, message);
    }

    async fn mark_silent(&self, node: &Node, conditions: &[NodeCondition]) -> Result<(), Error> {
        // Only for the version that was looked at: the kubelet may be back in this moment.
        let patch = json!({
            "metadata": {"uid": node.uid(), "resourceVersion": node.resource_version()},
            "status": {"conditions": conditions},
        });
        let patch = Patch::Strategic(patch);
        let node: Node = self.client.patch_subresource("", node.name(), "status", &patch).await?;
        self.nodes.stored(&node.key(), node);
        Ok(())
    }

    async fn mark_not_ready(&self, pod: &Pod) -> Result<(), Error> {
        let condition = json!({
            "type": "Ready", "status": "False", "lastTransitionTime": Time(self.clock.now()),
        });
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        let patch = Patch::Strategic(patch);
        self.client.patch_subresource::<Pod>(pod.namespace(), pod.name(), "status", &patch).await?;
        self.recorder.event(&api::reference(pod), EventKind::Warning, "NodeNotReady", "Node is not ready");
        Ok(())
    }
}
