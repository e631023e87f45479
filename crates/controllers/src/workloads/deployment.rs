//! Deployments: ReplicaSets that take over from each other. Mirrors `pkg/controller/deployment`.
//!
//! Watches Deployments, ReplicaSets and pods (whose end a `Recreate` waits for); owns the ReplicaSets whose
//! controller a Deployment is, and the Deployment's status and revision annotation. `plan` decides.

mod plan;
mod revision;
mod scaling;
mod sets;
mod status;
mod steps;

use super::control::{self, still_stands};
use super::written::Written;
use super::{claim, hash, patch};
use crate::context::{Context, Tasks, spawn};
use api::apps::v1::{Deployment, ReplicaSet};
use api::core::v1::Pod;
use api::meta::v1::{DeleteOptions, Preconditions};
use api::{Key, Object, Selector, owners, reference};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use plan::{Action, Plan, World};
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder, Result};
use serde_json::json;
use std::sync::Arc;

const ACCOUNT: &str = "deployment-controller";

/// How many Deployments are looked at at a time: upstream's `--concurrent-deployment-syncs`.
const WORKERS: usize = 5;

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let deployments = context.informers.get::<Deployment>();
    let (sets, pods) = (context.informers.get::<ReplicaSet>(), context.informers.get::<Pod>());
    control::index(&sets);
    control::index(&pods);
    let queue = Queue::new();
    control::follow(&deployments, &queue);
    control::follow_owned(&sets, &deployments, &queue, |deployment| {
        deployment.spec.as_ref().map(|spec| spec.selector.clone())
    });
    follow_last_pods(&pods, &sets, &deployments, &queue);
    let controller = Controller {
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT, ACCOUNT),
        clock: context.clock.clone(),
        deployments: Written::new(deployments.clone()),
        sets: Written::new(sets.clone()),
        pods: pods.clone(),
    };
    let synced = async move {
        deployments.synced().await;
        sets.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// A `Recreate` goes on when the last old pod is gone, which no ReplicaSet's status tells.
fn follow_last_pods(
    pods: &Lister<Pod>,
    sets: &Lister<ReplicaSet>,
    deployments: &Lister<Deployment>,
    queue: &Queue,
) {
    let (sets, deployments, queue) = (sets.clone(), deployments.clone(), queue.clone());
    pods.subscribe(move |change| {
        let pod = change.object();
        let over = matches!(change, Change::Deleted(_)) || api::pods::is_terminal(pod);
        let owner = owners::controller_of(pod.meta()).filter(|owner| control::refers_to::<ReplicaSet>(owner));
        let Some(owner) = owner.filter(|_| over) else { return };
        let set = sets.get(pod.namespace(), &owner.name);
        let deployment = set
            .and_then(|set| owners::controller_of(set.meta()).map(|owner| owner.name.clone()))
            .and_then(|name| deployments.get(pod.namespace(), &name));
        if let Some(deployment) = deployment.filter(|deployment| scaling::is_recreate(deployment)) {
            queue.add(deployment.key());
        }
    });
}

struct Controller {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    deployments: Written<Deployment>,
    sets: Written<ReplicaSet>,
    pods: Lister<Pod>,
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
        let Some(deployment) = self.deployments.get(&key) else {
            self.deployments.forget(&key);
            self.sets.forget(&key);
            return Ok(Next::Done);
        };
        let sets = self.claim(&deployment).await?;
        let pods_of = |set: &Arc<ReplicaSet>| (set.uid().to_owned(), control::owned(&self.pods, set.uid()));
        let pods = sets.iter().map(pods_of).collect();
        let plan = plan::plan(World { now: self.clock.now(), deployment: &deployment, sets, pods });
        match self.act(&deployment, &plan).await {
            Ok(()) => self.write_status(&deployment, &plan).await?,
            // In a namespace that is being deleted nothing can be made: that is no failure.
            Err(error) if error.is_namespace_terminating() => return Ok(Next::Done),
            Err(error) => return Err(error),
        }
        Ok(plan.again.map_or(Next::Done, Next::After))
    }

    /// The sets that it controls, after adopting and releasing.
    async fn claim(&self, deployment: &Deployment) -> std::result::Result<Vec<Arc<ReplicaSet>>, Error> {
        let key = deployment.key();
        let spec = deployment.spec.as_ref();
        let selector = spec.and_then(|spec| Selector::try_from(&spec.selector).ok());
        let mut mine = Vec::new();
        let mut asked = false;
        for set in self.sets.see(&key, |sets| control::owned_and_orphans(sets, deployment)) {
            let selected =
                selector.as_ref().is_some_and(|selector| selector.matches(set.metadata.labels.as_ref()));
            let patch = match claim::claim(&deployment.metadata, &set.metadata, selected) {
                claim::Claim::Ignore => continue,
                claim::Claim::Own => {
                    mine.push(set);
                    continue;
                }
                claim::Claim::Adopt => {
                    if !asked {
                        still_stands(&self.client, deployment).await?;
                        asked = true;
                    }
                    patch::adopt(&owners::controller_reference(deployment), &set.metadata, &[])
                }
                claim::Claim::Release => patch::release(deployment.uid(), &set.metadata, &[]),
            };
            let patch = Patch::Strategic(patch);
            match self.client.patch::<ReplicaSet>(set.namespace(), set.name(), &patch).await {
                Ok(patched) => {
                    let patched = self.sets.stored(&key, patched);
                    if owners::is_controlled_by(&patched.metadata, deployment) {
                        mine.push(patched);
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_invalid() && !selected => {}
                Err(error) => return Err(error),
            }
        }
        Ok(mine)
    }

    async fn act(&self, deployment: &Deployment, plan: &Plan) -> std::result::Result<(), Error> {
        let key = deployment.key();
        for action in &plan.actions {
            match action {
                Action::Create(set, event) => {
                    if self.create(deployment, set).await? {
                        self.scaled(deployment, event.as_deref());
                    }
                }
                Action::Update(read, wanted, events) => {
                    let Some(patch) = patch::update(&**read, &**wanted) else { continue };
                    let patch = Patch::Update(patch);
                    let patched = self.client.patch::<ReplicaSet>(read.namespace(), read.name(), &patch);
                    self.sets.stored(&key, patched.await?);
                    events.iter().for_each(|event| self.scaled(deployment, Some(event)));
                }
                Action::Delete(set) => {
                    let options = DeleteOptions {
                        preconditions: Some(Preconditions {
                            uid: set.metadata.uid.clone(),
                            resource_version: None,
                        }),
                        ..Default::default()
                    };
                    match self.client.delete::<ReplicaSet>(set.namespace(), set.name(), &options).await {
                        Err(error) if !error.is_not_found() => return Err(error),
                        _ => self.sets.deleted(&key, set, self.clock.now()),
                    }
                }
                Action::Replace(wanted) => {
                    if let Some(patch) = patch::update(deployment, &**wanted) {
                        let patch = Patch::Update(patch);
                        let patched = self.client.patch::<Deployment>(&key.namespace, &key.name, &patch);
                        self.deployments.stored(&key, patched.await?);
                    }
                }
                Action::Event(warning, reason, message) => {
                    let kind = if *warning { EventKind::Warning } else { EventKind::Normal };
                    self.recorder.event(&reference(deployment), kind, reason, message);
                }
            }
        }
        Ok(())
    }

    fn scaled(&self, deployment: &Deployment, event: Option<&str>) {
        if let Some(message) = event {
            self.recorder.event(&reference(deployment), EventKind::Normal, "ScalingReplicaSet", message);
        }
    }

    /// Makes a set; whether it was not there. If another one has its name, the count of collisions grows, and
    /// with it the hash changes at the next look.
    async fn create(&self, deployment: &Deployment, set: &ReplicaSet) -> std::result::Result<bool, Error> {
        let key = deployment.key();
        match self.client.create(set).await {
            Ok(made) => {
                self.sets.stored(&key, made);
                Ok(true)
            }
            Err(error) if error.is_already_exists() => {
                let present: ReplicaSet = self.client.get(set.namespace(), set.name()).await?;
                let template = |set: &ReplicaSet| {
                    set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default()
                };
                if owners::is_controlled_by(&present.metadata, deployment)
                    && hash::same_template(&template(&present), &template(set))
                {
                    self.sets.stored(&key, present);
                    return Ok(false);
                }
                let old = deployment.status.clone().unwrap_or_default();
                let mut new = old.clone();
                new.collision_count = Some(old.collision_count.unwrap_or_default().saturating_add(1));
                self.patch_status(deployment, patch::status(deployment, &old, &new)).await?;
                Err(error)
            }
            Err(error) if error.is_namespace_terminating() => Err(error),
            Err(error) => {
                let message = format!("Failed to create new replica set {:?}: {error}", set.name());
                self.recorder.event(
                    &reference(deployment),
                    EventKind::Warning,
                    status::CREATE_FAILED,
                    &message,
                );
                if status::deadline(deployment).is_some() {
                    let old = deployment.status.clone().unwrap_or_default();
                    let mut new = old.clone();
                    let now = self.clock.now();
                    let failed =
                        status::condition(now, status::PROGRESSING, "False", status::CREATE_FAILED, message);
                    status::set(&mut new, failed);
                    self.patch_status(deployment, patch::status(deployment, &old, &new)).await?;
                }
                Err(error)
            }
        }
    }

    /// The status, and the revision with it, as upstream's: that annotation is changed through `/status`.
    async fn write_status(&self, deployment: &Deployment, plan: &Plan) -> std::result::Result<(), Error> {
        let old = deployment.status.clone().unwrap_or_default();
        let mut patch = patch::status(deployment, &old, &plan.status);
        let known = revision::annotation(&deployment.metadata, revision::REVISION);
        if let Some(revision) = plan.revision.as_deref().filter(|revision| known != Some(revision)) {
            let patch = patch.get_or_insert_with(|| patch::nothing(deployment));
            patch["metadata"]["annotations"] = json!({ revision::REVISION: revision });
        }
        self.patch_status(deployment, patch).await
    }

    async fn patch_status(
        &self,
        deployment: &Deployment,
        patch: Option<serde_json::Value>,
    ) -> std::result::Result<(), Error> {
        let Some(patch) = patch else { return Ok(()) };
        let (key, patch) = (deployment.key(), Patch::Update(patch));
        let patched = self.client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
        self.deployments.stored(&key, patched);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
