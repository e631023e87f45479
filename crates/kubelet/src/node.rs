//! The Node object: registered, kept true, its lease renewed.
//!
//! Upstream counterparts: `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus/setters.go`, and
//! `k8s.io/component-helpers/apimachinery/lease`.

mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::coordination::v1::{Lease, LeaseSpec};
use api::core::v1::{Node, NodeSpec, ObjectReference, PodSpec};
use api::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use api::placement::is_selected;
use client::{Change, Lister, Patch};
use reconcile::EventKind;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::context::{Context, Network};
use crate::machine;
use crate::manager::stopped;
use status::{Findings, findings};

/// The namespace of leases of nodes.
const LEASES: &str = "kube-node-lease";
/// As upstream's `nodeLeaseDurationSeconds`; it is renewed four times in it.
const LEASE_SECONDS: i32 = 40;
const LEASE_PERIOD: Duration = Duration::from_secs(10);
/// How often the node is looked at, as upstream's `nodeStatusUpdateFrequency`...
const STATUS_PERIOD: Duration = Duration::from_secs(10);
/// ...and while something it needs is not ready.
const STATUS_PERIOD_UNREADY: Duration = Duration::from_millis(500);
/// A status in which nothing changed is written so often, as upstream's `nodeStatusReportFrequency`.
const REPORT_PERIOD: jiff::SignedDuration = jiff::SignedDuration::from_secs(300);

/// After limits of all pods together that could not be set, as upstream.
const ENFORCE_RETRY: Duration = Duration::from_secs(60);

/// Pods that ended weigh nothing from then on, as upstream's `periodicQOSCgroupUpdateInterval`.
const WEIGHTS_PERIOD: Duration = Duration::from_secs(60);

/// Labels that describe the machine.
pub(crate) fn labels(context: &Context) -> BTreeMap<String, String> {
    let mut labels = context.config.node_labels.clone();
    let own = [
        ("kubernetes.io/hostname", context.config.node_name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", machine::architecture()),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", machine::architecture()),
    ];
    for (key, value) in own {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// Keeps the Node object until told to stop.
pub(crate) async fn run(context: Arc<Context>, mut stop: watch::Receiver<bool>) {
    let registered = watch::Sender::new(None);
    follow_object(&context, &registered);
    tell(&context, EventKind::Normal, "Starting", "Starting kubelet.");
    let node = tokio::select! {
        node = register(&context) => node,
        () = stopped(&mut stop) => return,
    };
    registered.send_replace(node.metadata.uid.clone());
    let all = async {
        tokio::join!(enforce(&context), renew(&context, &registered), report(&context, &registered, node));
    };
    tokio::select! {
        () = all => {}
        () = stopped(&mut stop) => {}
    }
}

/// The node as it is, for a pod that is new here. What was seen of it may be old: before it is held against a pod that it
/// has other labels, it is read anew. While nobody knows it, it is what it registers as.
pub(crate) async fn selected(context: &Context, pod: &PodSpec) -> Arc<Node> {
    let name = &context.config.node_name;
    let known = context.node.get("", name).unwrap_or_else(|| Arc::new(new(context)));
    if is_selected(pod, &known) {
        return known;
    }
    match context.client.get::<Node>("", name).await {
        Ok(node) => Arc::new(node),
        Err(error) => {
            tracing::warn!(node = name, %error, "cannot read the node anew");
            known
        }
    }
}

/// The UID of the Node object that this node is; `None` while there is none.
type Registered = watch::Sender<Option<String>>;

/// Tells when the node is cordoned, and when no longer; notices when its object is deleted.
fn follow_object(context: &Arc<Context>, registered: &Registered) {
    let (registered, object) = (registered.clone(), context.node.clone());
    let context = context.clone();
    object.subscribe(move |change| {
        let (old, new) = match change {
            Change::Added(node) => (None, node),
            Change::Updated(old, new) => (Some(old), new),
            Change::Deleted(node) => {
                registered.send_if_modified(|uid| {
                    let is_gone = *uid == node.metadata.uid;
                    is_gone.then(|| *uid = None).is_some()
                });
                return;
            }
        };
        let Some(reason) = cordon(old.map(|old| &**old), new) else { return };
        let text = format!("Node {} status is now: {reason}", context.config.node_name);
        tell(&context, EventKind::Normal, reason, text);
    });
}

/// What somebody else has made of the object since `node` was read or written.
fn newer(object: &Lister<Node>, node: &Node) -> Option<Node> {
    let version = |node: &Node| node.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    let found = object.get_key(&node.key())?;
    (found.metadata.uid == node.metadata.uid && version(&found) > version(node)).then(|| (*found).clone())
}

/// The reason of the event of a cordon, if there is something to tell.
fn cordon(old: Option<&Node>, new: &Node) -> Option<&'static str> {
    let is_closed = |node: &Node| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    match (old.is_some_and(is_closed), is_closed(new)) {
        (false, true) => Some("NodeNotSchedulable"),
        (true, false) => Some("NodeSchedulable"),
        _ => None,
    }
}

/// Tells of the node, whose UID is its name here: the kubelet tells of it before the object is there. `kubectl describe`
/// looks for both.
fn tell(context: &Context, kind: EventKind, reason: &str, message: impl Into<String>) {
    let name = Some(context.config.node_name.clone());
    let about =
        ObjectReference { kind: Some("Node".into()), uid: name.clone(), name, ..ObjectReference::default() };
    context.recorder.event(&about, kind, reason, message);
}

/// Limits all pods together to what the machine has, and weighs their classes for ever.
async fn enforce(context: &Context) {
    while let Err(error) = context.cgroups.enforce(&context.machine) {
        let text = format!("Failed to update Node Allocatable Limits [\"kubepods\"]: {error}");
        tell(context, EventKind::Warning, "FailedNodeAllocatableEnforcement", text);
        tokio::time::sleep(ENFORCE_RETRY).await;
    }
    let text = "Updated Node Allocatable limit across pods";
    tell(context, EventKind::Normal, "NodeAllocatableEnforced", text);
    loop {
        context.weigh_classes();
        tokio::time::sleep(WEIGHTS_PERIOD).await;
    }
}

/// What the node registers as, but for its status.
fn new(context: &Context) -> Node {
    let taints = context.config.register_with_taints.clone();
    let annotations =
        [("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned())];
    Node {
        metadata: ObjectMeta {
            name: Some(context.config.node_name.clone()),
            labels: Some(labels(context)),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(taints).filter(|taints| !taints.is_empty()),
            ..NodeSpec::default()
        }),
        status: None,
    }
}

/// Makes the object, or takes over the one that is there.
async fn register(context: &Context) -> Node {
    let name = &context.config.node_name;
    let new = Node { status: Some(findings(context, None).await.status), ..new(context) };
    status::tell(context, None, new.status.as_ref());
    let mut pause = Duration::from_millis(100);
    loop {
        let error = match context.client.create(&new).await {
            Ok(node) => {
                tracing::info!(node = name, "registered the node");
                return node;
            }
            Err(error) if error.is_already_exists() => {
                let patch = json!({"metadata": {"labels": new.metadata.labels, "annotations": new.metadata.annotations}});
                match context.client.patch::<Node>("", name, &Patch::Merge(patch)).await {
                    Ok(node) => return node,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        tracing::warn!(node = name, %error, "cannot register the node");
        tokio::time::sleep(pause).await;
        // As upstream: up to seven seconds.
        pause = (pause * 2).min(Duration::from_secs(7));
    }
}

/// Keeps the status true. Whoever deletes the object of a node that runs means it: as upstream, the kubelet makes it
/// anew only when it is started again, and goes on with one that somebody else makes.
async fn report(context: &Context, registered: &Registered, mut node: Node) {
    let name = &context.config.node_name;
    let mut written = context.clock.now();
    let mut is_first = true;
    loop {
        if registered.borrow().is_none() {
            match context.client.get::<Node>("", name).await {
                Ok(found) => {
                    registered.send_replace(found.metadata.uid.clone());
                    node = found;
                    is_first = true;
                }
                Err(error) => {
                    tracing::warn!(
                        node = name,
                        %error,
                        "cannot write the status of the node; if its object was deleted, the node registers again when \
                         it is started again"
                    );
                    tokio::time::sleep(STATUS_PERIOD).await;
                    continue;
                }
            }
        }
        // Who gave the node up while nothing was heard of it has written that it is unknown.
        node = newer(&context.node, &node).unwrap_or(node);
        let found = findings(context, node.status.as_ref()).await;
        let old = node.status.clone().unwrap_or_default();
        let is_due = context.clock.now().duration_since(written) >= REPORT_PERIOD;
        let Findings { status, network_error, is_ready } = found;
        *context.network.write() = network_error.map_or(Network::Ready, Network::Missing);
        if is_first || is_due || !status::is_same(&old, &status) {
            let patch =
                json!({"metadata": {"uid": node.metadata.uid}, "status": status::patch(&old, &status)});
            match context.client.patch_subresource::<Node>("", name, "status", &Patch::Strategic(patch)).await
            {
                Ok(new) => {
                    status::tell(context, Some(&old), new.status.as_ref());
                    node = new;
                    written = context.clock.now();
                    is_first = false;
                    if is_ready {
                        context.is_ready_told.send_replace(true);
                    }
                }
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    registered.send_replace(None);
                    continue;
                }
                Err(error) => tracing::warn!(node = name, %error, "cannot write the status of the node"),
            }
        }
        tokio::time::sleep(if is_ready && !is_first { STATUS_PERIOD } else { STATUS_PERIOD_UNREADY }).await;
    }
}

async fn renew(context: &Context, registered: &Registered) {
    let name = &context.config.node_name;
    loop {
        let now = MicroTime(context.clock.now());
        let spec = LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        let patch = json!({"spec": serde_json::to_value(&spec).unwrap_or(Value::Null)});
        let result = match context.client.patch::<Lease>(LEASES, name, &Patch::Merge(patch)).await {
            Err(error) if error.is_not_found() => {
                // As upstream: it is the Node's, and goes with it.
                let Some(uid) = registered.borrow().clone() else {
                    tokio::time::sleep(LEASE_PERIOD).await;
                    continue;
                };
                let owner = OwnerReference {
                    api_version: "v1".into(),
                    kind: "Node".into(),
                    name: name.clone(),
                    uid,
                    ..OwnerReference::default()
                };
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(name.clone()),
                        namespace: Some(LEASES.into()),
                        owner_references: Some(vec![owner]),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec),
                };
                context.client.create(&lease).await
            }
            result => result,
        };
        let wait = match result {
            Ok(_) => LEASE_PERIOD,
            Err(error) => {
                tracing::warn!(node = name, %error, "cannot renew the lease of the node");
                Duration::from_secs(1)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cordons() {
        let node = |unschedulable| Node {
            spec: Some(NodeSpec { unschedulable, ..NodeSpec::default() }),
            ..Node::default()
        };
        let (open, closed) = (node(None), node(Some(true)));
        assert_eq!(cordon(None, &open), None);
        assert_eq!(cordon(None, &closed), Some("NodeNotSchedulable"), "the kubelet is new, not the cordon");
        assert_eq!(cordon(Some(&open), &closed), Some("NodeNotSchedulable"));
        assert_eq!(cordon(Some(&closed), &closed), None);
        assert_eq!(cordon(Some(&closed), &node(Some(false))), Some("NodeSchedulable"));
    }
}
