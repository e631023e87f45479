//! Carries out the plans of ReplicaSets and ReplicationControllers, which are one mechanism (upstream wraps the
//! one as the other in `pkg/controller/replication/conversion.go`).

use super::control::{self, PodControl};
use super::written::Written;
use super::{patch, pods, replicaset};
use crate::context::{Context, Tasks, spawn};
use api::apps::v1::ReplicaSet;
use api::core::v1::Pod;
use api::meta::v1::LabelSelector;
use api::{Key, Object, owners};
use client::{Error, Lister, Patch};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile, Result};
use std::sync::Arc;

/// How many sets are looked at at a time: upstream's `--concurrent-replicaset-syncs`.
const WORKERS: usize = 5;

/// A kind that keeps so many pods of a template.
pub(super) trait Replicated: Object {
    /// The identity of its controller: `replicaset-controller` is its name as a service account.
    const ACCOUNT: &'static str;
    /// Whether its status counts pods that are being deleted.
    const COUNTS_TERMINATING: bool;

    /// As a ReplicaSet.
    fn view(&self) -> ReplicaSet;

    /// The selector, for who watches pods that are nobody's.
    fn selector(&self) -> Option<LabelSelector>;

    /// The ReplicaSets of the same owner.
    fn siblings(lister: &Lister<Self>, set: &Self) -> Vec<Arc<Self>>;
}

/// Starts the controller of a kind.
pub(super) fn start<K: Replicated>(context: &Context, tasks: &mut Tasks) {
    let (sets, pods) = (context.informers.get::<K>(), context.informers.get::<Pod>());
    control::index(&pods);
    control::index(&sets);
    let queue = Queue::new();
    control::follow(&sets, &queue);
    control::follow_owned(&pods, &sets, &queue, K::selector);
    let controller = Controller {
        control: PodControl {
            client: context.client(K::ACCOUNT),
            recorder: context.recorder(K::ACCOUNT, K::ACCOUNT),
            clock: context.clock.clone(),
            pods: Written::new(pods.clone()),
        },
        sets: Written::new(sets.clone()),
    };
    let synced = async move {
        sets.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct Controller<K> {
    control: PodControl,
    sets: Written<K>,
}

impl<K: Replicated> Reconcile for Controller<K> {
    fn name(&self) -> &'static str {
        K::ACCOUNT
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result> {
        Box::pin(self.look(key))
    }
}

impl<K: Replicated> Controller<K> {
    async fn look(&self, key: Key) -> Result {
        let Some(owner) = self.sets.get(&key) else {
            self.sets.forget(&key);
            self.control.pods.forget(&key);
            return Ok(Next::Done);
        };
        let set = owner.view();
        let now = self.control.now();
        let pods = self.control.owned_and_orphans(&*owner);
        // They matter only where some pods are to go.
        let surplus = i32::try_from(pods.len()).is_ok_and(|count| count > replicaset::replicas(&set));
        let related = if surplus { self.related(&owner) } else { Vec::new() };
        let plan = replicaset::plan(now, &set, &pods, &related);
        self.control.adopt(&*owner, &plan.adopt, &[]).await?;
        self.control.release(&*owner, &plan.release, &[]).await?;
        let managed = self.manage(&*owner, &set, &plan).await;
        let failure = managed.as_ref().err().map(ToString::to_string);
        // What is told is how it is now, not how it was before this look (as upstream's), so that who waits for
        // this generation to be observed finds the pods that it came to.
        let after = replicaset::plan(now, &set, &self.control.owned_and_orphans(&*owner), &[]);
        let terminating = K::COUNTS_TERMINATING.then_some(after.terminating.len());
        let status = replicaset::status(now, &set, &after.active, terminating, failure.as_deref());
        if let Some(patch) = patch::status(&*owner, &set.status.clone().unwrap_or_default(), &status) {
            let patch = Patch::Update(patch);
            let patched = self.control.client.patch_subresource(&key.namespace, &key.name, "status", &patch);
            self.sets.stored(&key, patched.await?);
        }
        managed?;
        let seconds = replicaset::min_ready_seconds(&set);
        Ok(match pods::next_available(now, &after.active, seconds) {
            Some(wait) => Next::After(wait),
            None => Next::Done,
        })
    }

    async fn manage(
        &self,
        owner: &K,
        set: &ReplicaSet,
        plan: &replicaset::Plan,
    ) -> std::result::Result<(), Error> {
        if plan.create > 0 {
            let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
            return self.control.create_many(owner, &control::alike(owner, &template, plan.create)).await.1;
        }
        self.control.delete_many(owner, &plan.delete).await
    }

    /// The pods of all sets with the same owner: where they crowd a node, that is where one is taken off.
    fn related(&self, set: &Arc<K>) -> Vec<Arc<Pod>> {
        if owners::controller_of(set.meta()).is_none() {
            return Vec::new();
        }
        let siblings = K::siblings(self.sets.lister(), set);
        siblings.iter().flat_map(|set| control::owned(self.control.pods.lister(), set.uid())).collect()
    }
}

impl Replicated for ReplicaSet {
    const ACCOUNT: &'static str = "replicaset-controller";
    const COUNTS_TERMINATING: bool = true;

    fn view(&self) -> ReplicaSet {
        self.clone()
    }

    fn selector(&self) -> Option<LabelSelector> {
        self.spec.as_ref().map(|spec| spec.selector.clone())
    }

    fn siblings(lister: &Lister<Self>, set: &Self) -> Vec<Arc<Self>> {
        let owner = owners::controller_of(set.meta()).map_or("", |reference| reference.uid.as_str());
        control::owned(lister, owner)
    }
}
