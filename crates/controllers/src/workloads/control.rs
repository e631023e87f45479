//! What controllers of workloads do to pods, and how they learn of them. Event texts are upstream's
//! (`RealPodControl` in `pkg/controller/controller_utils.go`).

use super::written::Written;
use super::{patch, pods};
use api::core::v1::Pod;
use api::meta::v1::{DeleteOptions, LabelSelector, ObjectMeta, Preconditions};
use api::{Key, Object, Selector, owners, reference};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::{StreamExt, TryFutureExt, stream};
use jiff::Timestamp;
use reconcile::{Clock, EventKind, Queue, Recorder};
use std::sync::Arc;
use std::time::Duration;

/// The most requests that one look at one object has under way at a time.
pub(crate) const REQUESTS_AT_ONCE_MAX: usize = 32;

/// The first batch of pods made; each further one is twice as large. Where making pods fails, few are tried.
const FIRST_BATCH_PODS: usize = 1;

/// The index of objects by who manages them.
const BY_CONTROLLER: &str = "controller";

/// Makes, patches and deletes pods for their owners.
#[derive(Clone)]
pub(crate) struct PodControl {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) clock: Clock,
    pub(crate) pods: Written<Pod>,
}

impl PodControl {
    /// The pods that the owner controls, and those of its namespace that nobody does.
    pub(crate) fn owned_and_orphans<K: Object>(&self, owner: &K) -> Vec<Arc<Pod>> {
        self.pods.see(&owner.key(), |pods| owned_and_orphans(pods, owner))
    }

    /// Makes a pod.
    pub(crate) async fn create<K: Object>(&self, owner: &K, pod: &Pod) -> Result<Arc<Pod>, Error> {
        match self.client.create(pod).await {
            Ok(made) => {
                self.tell(
                    owner,
                    EventKind::Normal,
                    "SuccessfulCreate",
                    &format!("Created pod: {}", made.name()),
                );
                Ok(self.pods.stored(&owner.key(), made))
            }
            Err(error) => {
                if !error.is_namespace_terminating() {
                    self.tell(owner, EventKind::Warning, "FailedCreate", &format!("Error creating: {error}"));
                }
                Err(error)
            }
        }
    }

    /// Makes `count` pods in batches that grow, until one cannot be made. In a namespace that is being deleted
    /// that is no failure: nothing can be made there.
    pub(crate) async fn create_many<K: Object>(&self, owner: &K, pods: &[Pod]) -> (usize, Result<(), Error>) {
        let mut made = 0;
        let mut batch = FIRST_BATCH_PODS;
        while made < pods.len() {
            let next = &pods[made..pods.len().min(made + batch)];
            let tasks: Vec<_> = next.iter().map(|pod| self.create(owner, pod)).collect();
            let answers: Vec<_> = stream::iter(tasks).buffered(REQUESTS_AT_ONCE_MAX).collect().await;
            made += answers.iter().filter(|answer| answer.is_ok()).count();
            match answers.into_iter().find_map(Result::err) {
                Some(error) if error.is_namespace_terminating() => return (made, Ok(())),
                Some(error) => return (made, Err(error)),
                None => batch *= 2,
            }
        }
        (made, Ok(()))
    }

    /// Deletes a pod, and tells of it.
    pub(crate) async fn delete<K: Object>(&self, owner: &K, pod: &Pod) -> Result<(), Error> {
        let (kind, reason, text, result) = match self.delete_quietly(owner, pod).await {
            Ok(()) => (EventKind::Normal, "SuccessfulDelete", format!("Deleted pod: {}", pod.name()), Ok(())),
            Err(error) => {
                let result = Err(Error::Other(format!("unable to delete pods: {error}")));
                (EventKind::Warning, "FailedDelete", format!("Error deleting: {error}"), result)
            }
        };
        self.tell(owner, kind, reason, &text);
        result
    }

    /// Deletes a pod: this one, and none that got its name since. One that is gone is no error.
    pub(crate) async fn delete_quietly<K: Object>(&self, owner: &K, pod: &Pod) -> Result<(), Error> {
        let options = DeleteOptions {
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..Default::default()
        };
        match self.client.delete::<Pod>(pod.namespace(), pod.name(), &options).await {
            Ok(()) => self.pods.deleted(&owner.key(), pod, self.clock.now()),
            Err(error) if error.is_not_found() => self.pods.gone(&owner.key(), pod),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes pods; of several failures the first is told.
    pub(crate) async fn delete_many<K: Object>(&self, owner: &K, pods: &[Arc<Pod>]) -> Result<(), Error> {
        all(pods.iter().map(|pod| self.delete(owner, pod)).collect()).await
    }

    /// Patches a pod, strategically. What is gone is left.
    pub(crate) async fn patch<K: Object>(
        &self,
        owner: &K,
        pod: &Pod,
        patch: serde_json::Value,
    ) -> Result<Option<Arc<Pod>>, Error> {
        match self.client.patch::<Pod>(pod.namespace(), pod.name(), &Patch::Strategic(patch)).await {
            Ok(patched) => Ok(Some(self.pods.stored(&owner.key(), patched))),
            Err(error) if error.is_not_found() => {
                self.pods.gone(&owner.key(), pod);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes nobody's pods for the owner, once the API server itself has said that the owner still stands.
    pub(crate) async fn adopt<K: Object>(
        &self,
        owner: &K,
        pods: &[Arc<Pod>],
        finalizers: &[&str],
    ) -> Result<(), Error> {
        if pods.is_empty() {
            return Ok(());
        }
        still_stands(&self.client, owner).await?;
        let reference = owners::controller_reference(owner);
        let adopt = |pod: &Arc<Pod>| patch::adopt(&reference, &pod.metadata, finalizers);
        all(pods.iter().map(|pod| self.patch(owner, pod, adopt(pod)).map_ok(drop)).collect()).await
    }

    /// Lets go of pods that the owner's selector no longer meets.
    pub(crate) async fn release<K: Object>(
        &self,
        owner: &K,
        pods: &[Arc<Pod>],
        finalizers: &[&str],
    ) -> Result<(), Error> {
        all(pods.iter().map(|pod| self.release_one(owner, pod, finalizers)).collect()).await
    }

    async fn release_one<K: Object>(&self, owner: &K, pod: &Pod, finalizers: &[&str]) -> Result<(), Error> {
        match self.patch(owner, pod, patch::release(owner.uid(), &pod.metadata, finalizers)).await {
            // It is another pod by now, or has no owner: there is nothing to let go of.
            Err(error) if error.is_invalid() => Ok(()),
            other => other.map(drop),
        }
    }

    /// An event about the owner.
    pub(crate) fn tell<K: Object>(&self, owner: &K, kind: EventKind, reason: &str, message: &str) {
        self.recorder.event(&reference(owner), kind, reason, message);
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Does things side by side; of several failures the first is told, after all were tried.
pub(crate) async fn all<F>(tasks: Vec<F>) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let answers: Vec<_> = stream::iter(tasks).buffered(REQUESTS_AT_ONCE_MAX).collect().await;
    answers.into_iter().collect()
}

/// Whether the owner is still there and stays, by the API server's own word: a cache may be behind, and who
/// adopts for an owner that is being deleted undoes the orphaning of its objects (kubernetes issue 42639).
pub(crate) async fn still_stands<K: Object>(client: &Client, owner: &K) -> Result<(), Error> {
    let fresh: K = client.get(owner.namespace(), owner.name()).await?;
    if fresh.uid() != owner.uid() {
        return Err(Error::Other(format!(
            "original {} {} is gone: got uid {}, wanted {}",
            K::KIND,
            owner.key(),
            fresh.uid(),
            owner.uid()
        )));
    }
    match &fresh.meta().deletion_timestamp {
        None => Ok(()),
        Some(time) => Err(Error::Other(format!("{} has just been deleted at {}", owner.key(), time.0))),
    }
}

/// Makes objects of a cache findable by their controller.
pub(crate) fn index<K: Object>(lister: &Lister<K>) {
    lister.add_index(BY_CONTROLLER, |object: &K| vec![controller_key(object.meta())]);
}

fn controller_key(meta: &ObjectMeta) -> String {
    match owners::controller_of(meta) {
        Some(reference) => reference.uid.clone(),
        None => orphans_key(meta.namespace.as_deref().unwrap_or_default()),
    }
}

/// A UID has no slash.
fn orphans_key(namespace: &str) -> String {
    format!("/{namespace}")
}

/// The objects that have this UID for their controller.
pub(crate) fn owned<K: Object>(lister: &Lister<K>, uid: &str) -> Vec<Arc<K>> {
    lister.by_index(BY_CONTROLLER, uid)
}

/// With those of the namespace that have none.
pub(crate) fn owned_and_orphans<K: Object, O: Object>(lister: &Lister<K>, owner: &O) -> Vec<Arc<K>> {
    let mut all = owned(lister, owner.uid());
    all.extend(lister.by_index(BY_CONTROLLER, &orphans_key(owner.namespace())));
    all
}

/// Whether a reference is to an object of this kind.
pub(crate) fn refers_to<K: Object>(reference: &api::meta::v1::OwnerReference) -> bool {
    reference.kind == K::KIND && reference.api_version == K::API_VERSION
}

/// Has each object of a cache looked at when it changes.
pub(crate) fn follow<K: Object>(lister: &Lister<K>, queue: &Queue) {
    let queue = queue.clone();
    lister.subscribe(move |change| queue.add(change.object().key()));
}

/// Has owners looked at when what they own changes, and when something of nobody's might be theirs.
pub(crate) fn follow_owned<K: Object, O: Object>(
    lister: &Lister<K>,
    owners: &Lister<O>,
    queue: &Queue,
    selector: fn(&O) -> Option<LabelSelector>,
) {
    follow_owned_after(Duration::ZERO, lister, owners, queue, selector);
}

/// Likewise, after a while in which changes gather.
pub(crate) fn follow_owned_after<K: Object, O: Object>(
    wait: Duration,
    lister: &Lister<K>,
    owners: &Lister<O>,
    queue: &Queue,
    selector: fn(&O) -> Option<LabelSelector>,
) {
    let (owners, queue) = (owners.clone(), queue.clone());
    lister.subscribe(move |change| {
        let object = change.object();
        let now = owners::controller_of(object.meta());
        let before = match change {
            Change::Updated(old, _) => owners::controller_of(old.meta()),
            _ => None,
        };
        for reference in [now, before].into_iter().flatten().filter(|reference| refers_to::<O>(reference)) {
            queue.add_after(Key::new(object.namespace(), reference.name.as_str()), wait);
        }
        let strays = match change {
            Change::Added(_) => true,
            Change::Updated(old, new) => before != now || old.meta().labels != new.meta().labels,
            Change::Deleted(_) => false,
        };
        if now.is_none() && strays {
            for owner in owners.list_in(object.namespace()) {
                if selector(&owner).is_some_and(|selector| selects(&selector, object.meta())) {
                    queue.add_after(owner.key(), wait);
                }
            }
        }
    });
}

/// Whether labels meet a selector that selects not everything.
pub(crate) fn selects(selector: &LabelSelector, meta: &ObjectMeta) -> bool {
    Selector::try_from(selector)
        .is_ok_and(|selector| !selector.is_everything() && selector.matches(meta.labels.as_ref()))
}

/// Pods of a template, all alike.
pub(crate) fn alike<K: Object>(
    owner: &K,
    template: &api::core::v1::PodTemplateSpec,
    count: usize,
) -> Vec<Pod> {
    vec![pods::from_template(template, owner, owners::controller_reference(owner)); count]
}
