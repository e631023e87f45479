//! DaemonSets: a pod on each node that fits. Mirrors `pkg/controller/daemon`.
//!
//! Watches DaemonSets, their ControllerRevisions, pods and nodes; owns the pods and revisions whose controller a
//! DaemonSet is, and the DaemonSet's status. `plan` decides; the scheduler binds the pods.

mod plan;
mod template;

use super::claim::{Claim, claim};
use super::control::{self, PodControl};
use super::history::{self, History, Subject};
use super::written::Written;
use super::{patch, pods};
use crate::context::{Context, Tasks, spawn};
use api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec};
use api::core::v1::{Node, Pod};
use api::{Key, Object, Selector};
use client::{Change, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use plan::{Failure, Plan, World};
use reconcile::{EventKind, Next, Queue, Reconcile, Result};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const ACCOUNT: &str = "daemon-set-controller";
/// The name under which events are told (`daemon_controller.go`).
const COMPONENT: &str = "daemonset-controller";

/// The label of pods and revisions that says which template they are of.
const REVISION_HASH: &str = "controller-revision-hash";
/// The label that said so in `extensions/v1beta1`.
const TEMPLATE_GENERATION: &str = "pod-template-generation";

/// How many DaemonSets are looked at at a time: upstream's `--concurrent-daemonset-syncs`.
const WORKERS: usize = 2;

/// How long changes of nodes are gathered: each concerns all DaemonSets.
const GATHERING: Duration = Duration::from_millis(200);

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let (sets, pods) = (context.informers.get::<DaemonSet>(), context.informers.get::<Pod>());
    let nodes = context.informers.get::<Node>();
    let revisions = context.informers.get::<ControllerRevision>();
    control::index(&pods);
    let queue = Queue::new();
    control::follow(&sets, &queue);
    let selector = |set: &DaemonSet| set.spec.as_ref().map(|spec| spec.selector.clone());
    control::follow_owned(&pods, &sets, &queue, selector);
    control::follow_owned(&revisions, &sets, &queue, selector);
    follow_nodes(&nodes, &sets, &queue);
    let client = context.client(ACCOUNT);
    let controller = Controller {
        control: PodControl {
            client: client.clone(),
            recorder: context.recorder(ACCOUNT, COMPONENT),
            clock: context.clock.clone(),
            pods: Written::new(pods.clone()),
        },
        history: History::new(client, context.clock.clone(), revisions.clone()),
        sets: Written::new(sets.clone()),
        nodes: nodes.clone(),
        failures: Mutex::default(),
    };
    let synced = async move {
        sets.synced().await;
        pods.synced().await;
        nodes.synced().await;
        revisions.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn follow_nodes(nodes: &Lister<Node>, sets: &Lister<DaemonSet>, queue: &Queue) {
    let (sets, queue) = (sets.clone(), queue.clone());
    nodes.subscribe(move |change| {
        let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
        let concerns = match change {
            Change::Updated(old, new) => {
                old.metadata.labels != new.metadata.labels || taints(old) != taints(new)
            }
            Change::Added(_) | Change::Deleted(_) => true,
        };
        if concerns {
            sets.list().iter().for_each(|set| queue.add_after(set.key(), GATHERING));
        }
    });
}

struct Controller {
    control: PodControl,
    history: History,
    sets: Written<DaemonSet>,
    nodes: Lister<Node>,
    /// By the set's UID, then by node.
    failures: Mutex<HashMap<String, HashMap<String, Failure>>>,
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
        let Some(set) = self.sets.get(&key) else {
            self.sets.forget(&key);
            self.control.pods.forget(&key);
            self.history.forget(&key);
            let left = self.sets.lister().list();
            self.failures.lock().retain(|uid, _| left.iter().any(|set| set.uid() == uid));
            return Ok(Next::Done);
        };
        let spec = set.spec.clone().unwrap_or_default();
        if Selector::try_from(&spec.selector).is_ok_and(|selector| selector.is_everything()) {
            let text = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.control.tell(&*set, EventKind::Warning, "SelectingAll", text);
            return Ok(Next::Done);
        }
        if set.metadata.deletion_timestamp.is_some() {
            self.failures.lock().remove(set.uid());
            return Ok(Next::Done);
        }
        self.keep(&key, &set, &spec).await
    }

    async fn keep(&self, key: &Key, set: &Arc<DaemonSet>, spec: &DaemonSetSpec) -> Result {
        let revisions = self
            .history
            .sync(&Subject {
                owner: &**set,
                selector: &spec.selector,
                template: &spec.template,
                collisions: set.status.as_ref().and_then(|status| status.collision_count),
                label: REVISION_HASH,
            })
            .await?;
        let hash = history::label_of(&revisions.current.metadata, REVISION_HASH).unwrap_or_default();
        self.claim(set, spec).await?;
        let now = self.control.now();
        let (nodes, pods) = (self.nodes.list(), self.mine(set, spec));
        let failures = self.failures_of(set, now);
        let world = World { now, set, nodes: &nodes, pods: &pods, hash, failures: &failures };
        let plan = plan::plan(&world);
        let acted = self.act(set, hash, &plan, now).await;
        let after = self.mine(set, spec);
        let world = World { pods: &after, ..world };
        let status = plan::status(&world, revisions.collisions);
        if let Some(patch) = patch::status(&**set, &set.status.clone().unwrap_or_default(), &status) {
            let client = &self.control.client;
            let patch = Patch::Update(patch);
            let patched = client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
            self.sets.stored(key, patched);
        }
        acted?;
        let live = history::label_values(&after, REVISION_HASH);
        let limit = spec.revision_history_limit.unwrap_or(10);
        let is_live = |revision: &ControllerRevision| {
            history::label_of(&revision.metadata, REVISION_HASH).is_some_and(|hash| live.contains(hash))
        };
        self.history.truncate(&**set, &revisions.old, limit, is_live).await?;
        let available = pods::next_available(now, &after, plan::min_ready_seconds(set));
        Ok(match plan.again.into_iter().chain(available).min() {
            Some(wait) => Next::After(wait),
            None => Next::Done,
        })
    }

    /// Adopts and releases.
    async fn claim(&self, set: &DaemonSet, spec: &DaemonSetSpec) -> std::result::Result<(), Error> {
        let Ok(selector) = Selector::try_from(&spec.selector) else { return Ok(()) };
        let (mut adopt, mut release) = (Vec::new(), Vec::new());
        for pod in self.control.owned_and_orphans(set) {
            let selected = selector.matches(pod.metadata.labels.as_ref());
            match claim(&set.metadata, &pod.metadata, selected) {
                Claim::Adopt => adopt.push(pod),
                Claim::Release => release.push(pod),
                Claim::Own | Claim::Ignore => {}
            }
        }
        self.control.adopt(set, &adopt, &[]).await?;
        self.control.release(set, &release, &[]).await
    }

    fn mine(&self, set: &DaemonSet, spec: &DaemonSetSpec) -> Vec<Arc<Pod>> {
        let selector = Selector::try_from(&spec.selector).ok();
        let selected = |pod: &Pod| {
            selector.as_ref().is_some_and(|selector| selector.matches(pod.metadata.labels.as_ref()))
        };
        let pods = self.control.owned_and_orphans(set);
        pods.into_iter()
            .filter(|pod| claim(&set.metadata, &pod.metadata, selected(pod)) == Claim::Own)
            .collect()
    }

    async fn act(
        &self,
        set: &DaemonSet,
        hash: &str,
        plan: &Plan,
        now: jiff::Timestamp,
    ) -> std::result::Result<(), Error> {
        for (warning, reason, text) in &plan.events {
            let kind = if *warning { EventKind::Warning } else { EventKind::Normal };
            self.control.tell(set, kind, reason, text);
        }
        if !plan.failed.is_empty() {
            let mut all = self.failures.lock();
            let of_set = all.entry(set.uid().to_owned()).or_default();
            for node in &plan.failed {
                of_set.insert(node.clone(), Failure::next(of_set.get(node), now));
            }
        }
        let new: Vec<Pod> = plan.create.iter().map(|node| template::pod(set, hash, node)).collect();
        let created = self.control.create_many(set, &new).await.1;
        self.control.delete_many(set, &plan.delete).await?;
        created
    }

    fn failures_of(&self, set: &DaemonSet, now: jiff::Timestamp) -> HashMap<String, Failure> {
        let mut all = self.failures.lock();
        let Some(of_set) = all.get_mut(set.uid()) else { return HashMap::new() };
        of_set.retain(|_, failure| !failure.is_forgotten(now));
        of_set.clone()
    }
}

#[cfg(test)]
mod tests;
