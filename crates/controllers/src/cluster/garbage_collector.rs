//! Deletes what no living owner holds, and carries out foreground and orphaning deletions.
//!
//! Watches the metadata of everything that can be listed, watched and deleted, whatever kinds come and go
//! ([`monitors`]); keeps a [`graph`] of it; for each object that may have lost its owners asks the API server
//! about it and them, and acts on what is so *now* ([`decide`]). The graph says where to look, never what is.
//! Owns the finalizers `orphan` and `foregroundDeletion` of every object.
//!
//! Upstream: `pkg/controller/garbagecollector`.

mod decide;
mod graph;
mod monitors;
#[cfg(test)]
mod simulation;

use super::discovery::{self, Catalog, MERGE_PATCH, Meta, Resource, STRATEGIC_PATCH};
use crate::context::{Context, Tasks, spawn};
use api::Key;
use api::core::v1::ObjectReference;
use client::{Client, Error};
use decide::{Decision, FOREGROUND, Item, ORPHAN, OwnerState};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt as _};
use graph::{Change, Deletion, Graph, Identity, Node, Uid, Work};
use parking_lot::{Mutex, MutexGuard, RwLock};
use reconcile::{EventKind, Next, Queue, Reconcile, Recorder};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How many objects are looked at side by side, as upstream's `--concurrent-gc-syncs`.
const WORKERS: usize = 20;
/// How many dependents are let go side by side.
const ORPHANING_PARALLEL: usize = 20;
/// How long workers wait for all watches to have shown what there is, as upstream.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// The first and the longest wait before an owner that no watch has shown is looked up again.
const LOOKUP_AFTER_FIRST: Duration = Duration::from_millis(100);
const LOOKUP_AFTER_MAX: Duration = Duration::from_secs(1000);

/// What monitors and workers share.
pub(super) struct Shared {
    client: Client,
    informers: client::Informers,
    recorder: Recorder,
    graph: Mutex<Graph>,
    catalog: RwLock<Arc<Catalog>>,
    deletions: Queue,
    orphanings: Queue,
    /// Wakes discovery when a reference names a kind that is not known.
    unknown_kind: tokio::sync::Notify,
}

/// Starts monitors and workers.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let client = context.client("generic-garbage-collector");
    let shared = Arc::new(Shared {
        informers: context.informers.with_client(client.clone()),
        client,
        recorder: context.recorder("generic-garbage-collector", "garbage-collector-controller"),
        graph: Mutex::default(),
        catalog: RwLock::default(),
        deletions: Queue::new(),
        orphanings: Queue::new(),
        unknown_kind: tokio::sync::Notify::new(),
    });
    let (whole, seen_whole) = watch::channel(false);
    tasks.spawn(monitors::run(shared.clone(), whole, context.stop.clone()));
    let deletions: Arc<dyn Reconcile> = Arc::new(Deletions(shared.clone()));
    let orphanings: Arc<dyn Reconcile> = Arc::new(Orphanings(shared.clone()));
    for (queue, worker) in [(&shared.deletions, deletions), (&shared.orphanings, orphanings)] {
        let mut whole = seen_whole.clone();
        let synced = async move {
            // What is not seen by then is looked up.
            let seen = whole.wait_for(|whole| *whole);
            let _ = tokio::time::timeout(SYNC_TIMEOUT, seen).await;
        };
        spawn(context, tasks, queue.clone(), worker, WORKERS, synced);
    }
}

/// What can be told of an object's owners.
enum Owners {
    States(Vec<(Uid, OwnerState)>),
    /// A kind is not served, or not yet: whether such an owner exists is not known.
    UnknownKind,
    /// An object of the cluster names an owner of a namespaced kind; that never gets right.
    Impossible,
}

struct Deletions(Arc<Shared>);
struct Orphanings(Arc<Shared>);

impl Reconcile for Deletions {
    fn name(&self) -> &'static str {
        "garbage-collector-delete"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move { self.0.attempt_delete(&key.name).await })
    }
}

impl Reconcile for Orphanings {
    fn name(&self) -> &'static str {
        "garbage-collector-orphan"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move { self.0.orphan(&key.name).await.map(|()| Next::Done) })
    }
}

impl Shared {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock()
    }

    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }

    fn apply(&self, change: Change) {
        let work = self.graph().apply(change);
        for work in work {
            match work {
                Work::Delete(uid) => self.deletions.add(Key::new("", &*uid)),
                Work::Orphan(uid) => self.orphanings.add(Key::new("", &*uid)),
                Work::ForeignOwner(foreign) => self.report_foreign_owner(&foreign.dependent, &foreign.owner),
            }
        }
    }

    fn report_foreign_owner(&self, dependent: &Identity, owner: &Identity) {
        let regarding = ObjectReference {
            api_version: Some(dependent.api_version.clone()),
            kind: Some(dependent.kind.clone()),
            namespace: Some(dependent.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            name: Some(dependent.name.clone()),
            uid: Some(dependent.uid.to_string()),
            ..ObjectReference::default()
        };
        let message = format!(
            "ownerRef [{}/{}, namespace: {}, name: {}, uid: {}] does not exist in namespace {:?}",
            owner.api_version, owner.kind, owner.namespace, owner.name, owner.uid, dependent.namespace
        );
        self.recorder.event(&regarding, EventKind::Warning, "OwnerRefInvalidNamespace", &message);
    }

    fn resource(&self, identity: &Identity) -> Option<Resource> {
        let found = self.catalog().find(&identity.api_version, &identity.kind).cloned();
        if found.is_none() {
            // Not served, or not yet known.
            self.unknown_kind.notify_one();
        }
        found
    }

    async fn live(&self, resource: &Resource, identity: &Identity) -> Result<Option<Meta>, Error> {
        match discovery::get(&self.client, resource, &identity.namespace, &identity.name).await {
            Ok(meta) if meta.uid == *identity.uid => Ok(Some(meta)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn attempt_delete(&self, uid: &str) -> Result<Next, Error> {
        let Some(item) = ({
            let graph = self.graph();
            graph.node(uid).map(|node| Item::of(&graph, node))
        }) else {
            return Ok(Next::Done);
        };
        if item.is_left_alone() {
            return Ok(Next::Done);
        }
        let Some(resource) = self.resource(&item.identity) else { return Ok(self.look_again(&item)) };
        if resource.namespaced && item.identity.namespace.is_empty() {
            // Named so by an object of the cluster.
            return Ok(Next::Done);
        }
        let Some(live) = self.live(&resource, &item.identity).await? else {
            self.apply(Change::Absent(item.identity));
            return Ok(Next::Done);
        };
        let decision = if item.deletion == Deletion::Foreground {
            decide::waiting(&item)
        } else {
            match self.owner_states(&item, &live).await? {
                Owners::States(states) => decide::owned(&item, live.finalizers(), &states),
                Owners::Impossible => return Ok(Next::Done),
                Owners::UnknownKind => return Ok(self.look_again(&item)),
            }
        };
        tracing::debug!(item = ?item.identity, ?decision, "garbage collector");
        let result = match decision {
            Decision::Nothing => Ok(()),
            Decision::Attempt(blocking) => {
                for uid in blocking {
                    self.deletions.add(Key::new("", &*uid));
                }
                Ok(())
            }
            Decision::FinishForeground => self.remove_finalizer(&item.identity, FOREGROUND).await,
            Decision::Release(owners) => self.release(&resource, &live, &owners).await,
            Decision::DeleteForeground { unblock } => {
                if unblock {
                    self.unblock(&resource, &live).await?;
                }
                // The patch above makes a new version.
                let version = if unblock { "" } else { &live.resource_version };
                self.delete(&resource, &live, "Foreground", version).await
            }
            Decision::Delete(policy) => {
                self.delete(&resource, &live, policy.name(), &live.resource_version).await
            }
        };
        match result {
            Err(error) if error.is_not_found() => self.apply(Change::Absent(item.identity)),
            Err(error) => return Err(error),
            Ok(()) if !item.observed => return Ok(self.look_again(&item)),
            Ok(()) => {}
        }
        Ok(Next::Done)
    }

    /// What cannot be told yet is looked at again, ever more seldom: a virtual node until a watch shows it or a
    /// lookup does not find it, an owner of a kind that is not served until it is.
    fn look_again(&self, item: &Item) -> Next {
        if let Some(node) = self.graph().node_mut(&item.identity.uid) {
            node.lookups = node.lookups.saturating_add(1);
        }
        Next::After(LOOKUP_AFTER_FIRST.saturating_mul(1 << item.lookups.min(20)).min(LOOKUP_AFTER_MAX))
    }

    /// What became of each owner.
    async fn owner_states(&self, item: &Item, live: &Meta) -> Result<Owners, Error> {
        let mut states = Vec::new();
        for reference in live.owners() {
            let owner = monitors::owner(reference);
            let uid = owner.uid.clone();
            let mut identity = owner.identity("");
            let remembered = self.graph().is_absent(&identity);
            identity.namespace = item.identity.namespace.clone();
            if remembered || self.graph().is_absent(&identity) {
                states.push((uid, OwnerState::Dangling));
                continue;
            }
            let Some(resource) = self.resource(&identity) else { return Ok(Owners::UnknownKind) };
            if resource.namespaced && item.identity.namespace.is_empty() {
                return Ok(Owners::Impossible);
            }
            if !resource.namespaced {
                identity.namespace.clear();
            }
            let state = match self.live(&resource, &identity).await? {
                None => {
                    self.graph().remember_absent(identity);
                    OwnerState::Dangling
                }
                Some(owner) if owner.is_deleted() && owner.has_finalizer(FOREGROUND) => OwnerState::Waiting,
                Some(_) => OwnerState::Solid,
            };
            states.push((uid, state));
        }
        Ok(Owners::States(states))
    }

    async fn delete(
        &self,
        resource: &Resource,
        live: &Meta,
        policy: &str,
        version: &str,
    ) -> Result<(), Error> {
        let (namespace, name) = (&live.namespace, &live.name);
        let first =
            discovery::delete(&self.client, resource, namespace, name, policy, (&live.uid, version)).await;
        match first {
            Err(error) if error.is_conflict() && !version.is_empty() => {
                // Changes that leave the owners as they were must not starve collection.
                let now = discovery::get(&self.client, resource, namespace, name).await?;
                if now.uid != live.uid || now.owners() != live.owners() {
                    return Err(error);
                }
                discovery::delete(&self.client, resource, namespace, name, policy, (&live.uid, "")).await
            }
            other => other,
        }
    }

    /// Takes references to owners away.
    async fn release(&self, resource: &Resource, live: &Meta, owners: &[Uid]) -> Result<(), Error> {
        let gone: Vec<Value> = owners.iter().map(|uid| json!({"$patch": "delete", "uid": &**uid})).collect();
        let strategic = json!({"metadata": {"uid": live.uid, "ownerReferences": gone}});
        self.patch_owners(resource, live, &strategic, |owner| {
            (!owners.iter().any(|uid| **uid == *owner.uid)).then_some(owner)
        })
        .await
    }

    /// Makes that no owner waits for the object.
    async fn unblock(&self, resource: &Resource, live: &Meta) -> Result<(), Error> {
        let blocking = live.owners().iter().filter(|owner| owner.block_owner_deletion == Some(true));
        let freed: Vec<Value> = blocking.map(|owner| reference(owner, Some(false))).collect();
        let strategic = json!({"metadata": {"uid": live.uid, "ownerReferences": freed}});
        self.patch_owners(resource, live, &strategic, |mut owner| {
            owner.block_owner_deletion = Some(false);
            Some(owner)
        })
        .await
    }

    /// Strategic patches touch only the entries they name; kinds without them (custom resources) get the
    /// whole list, of a version that must still hold.
    async fn patch_owners(
        &self,
        resource: &Resource,
        live: &Meta,
        strategic: &Value,
        keep: impl Fn(api::meta::v1::OwnerReference) -> Option<api::meta::v1::OwnerReference>,
    ) -> Result<(), Error> {
        let (client, namespace, name) = (&self.client, &live.namespace, &live.name);
        match discovery::patch(client, resource, namespace, name, STRATEGIC_PATCH, strategic).await {
            Err(error) if error.code() == Some(415) => {}
            other => return other,
        }
        let kept: Vec<Value> = live
            .owners()
            .iter()
            .filter_map(|owner| keep(owner.clone()))
            .map(|owner| reference(&owner, owner.block_owner_deletion))
            .collect();
        let merge = json!({"metadata": {
            "uid": live.uid, "resourceVersion": live.resource_version, "ownerReferences": kept,
        }});
        discovery::patch(client, resource, namespace, name, MERGE_PATCH, &merge).await
    }

    async fn remove_finalizer(&self, identity: &Identity, finalizer: &str) -> Result<(), Error> {
        let Some(resource) = self.resource(identity) else {
            return Err(Error::Other(format!("{}/{} is not served", identity.api_version, identity.kind)));
        };
        let Some(live) = self.live(&resource, identity).await? else { return Ok(()) };
        if !live.has_finalizer(finalizer) {
            return Ok(());
        }
        let kept: Vec<&String> = live.finalizers().iter().filter(|f| *f != finalizer).collect();
        let patch = json!({"metadata": {"resourceVersion": live.resource_version, "finalizers": kept}});
        discovery::patch(&self.client, &resource, &live.namespace, &live.name, MERGE_PATCH, &patch).await
    }

    /// Lets go of all dependents, then of the owner itself.
    async fn orphan(&self, uid: &str) -> Result<(), Error> {
        let Some((owner, dependents)) = ({
            let graph = self.graph();
            graph.node(uid).filter(|node| node.deletion == Deletion::Orphan).map(|node| {
                let dependents: Vec<Node> = graph.dependents(node).cloned().collect();
                (node.identity.clone(), dependents)
            })
        }) else {
            return Ok(());
        };
        let results: Vec<Result<(), Error>> = stream::iter(dependents)
            .map(|dependent| {
                let owner = owner.uid.clone();
                async move {
                    let Some(resource) = self.resource(&dependent.identity) else { return Ok(()) };
                    let Some(live) = self.live(&resource, &dependent.identity).await? else { return Ok(()) };
                    match self.release(&resource, &live, &[owner]).await {
                        Err(error) if error.is_not_found() => Ok(()),
                        other => other,
                    }
                }
            })
            .buffer_unordered(ORPHANING_PARALLEL)
            .collect()
            .await;
        for result in results {
            result.map_err(|error| Error::Other(format!("orphaning a dependent of {owner:?}: {error}")))?;
        }
        self.remove_finalizer(&owner, ORPHAN).await
    }
}

fn reference(owner: &api::meta::v1::OwnerReference, blocking: Option<bool>) -> Value {
    let mut value = json!({
        "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
    });
    if let Some(controller) = owner.controller {
        value["controller"] = controller.into();
    }
    if let Some(blocking) = blocking {
        value["blockOwnerDeletion"] = blocking.into();
    }
    value
}
