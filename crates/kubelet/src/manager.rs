//! All pods of this node: follows their objects, has a worker for each, and clears away what nobody knows.
//!
//! Upstream counterparts: `syncLoop` and `HandlePodCleanups` of `pkg/kubelet`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::core::v1::{Pod, PodSpec};
use api::meta::v1::ObjectMeta;
use client::{Change, Informers, ListOptions, Lister};
use tokio::sync::{mpsc, watch};

use crate::context::Context;
use crate::runtime;
use crate::runtime::messages::{ContainerFilter, Labels, PodSandboxFilter};
use crate::spec;
use crate::state::label;
use crate::worker::{self, Handle, Wish};

/// How often what has no owner is looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

/// How long the first look at all pods may take before the node counts as ready all the same.
const TOLD_PATIENCE: Duration = Duration::from_secs(30);

/// After the runtime's stream of events ended.
const EVENTS_RETRY: Duration = Duration::from_secs(5);

/// What a change of an object means for the worker of its pod.
struct News {
    uid: String,
    wish: Wish,
}

/// Runs the pods of this node until told to stop. Stopped, it leaves them running.
/// `changes` tells which pods are made of objects that changed.
pub(crate) async fn run(
    context: Arc<Context>,
    informers: &Informers,
    mut changes: mpsc::UnboundedReceiver<String>,
    mut stop: watch::Receiver<bool>,
) {
    let selector = ListOptions::fields(format!("spec.nodeName={}", context.config.node_name));
    let pods: Lister<Pod> = informers.filtered("", selector);
    let (sender, mut news) = mpsc::unbounded_channel();
    pods.subscribe(move |change| {
        for item in told(change) {
            // Nobody listens any more: the kubelet stops.
            let _ = sender.send(item);
        }
    });
    tokio::select! {
        () = pods.synced() => {}
        () = stopped(&mut stop) => return,
    }
    let mut manager = Manager { context, pods, workers: BTreeMap::new() };
    while let Ok(item) = news.try_recv() {
        manager.hear(item);
    }
    let telling = tokio::spawn(note_when_told(manager.context.clone(), manager.told()));
    let (ended, mut ends) = mpsc::unbounded_channel();
    let listening = tokio::spawn(listen(manager.context.clone(), ended));
    let mut sweeps = tokio::time::interval(SWEEP_PERIOD);
    loop {
        tokio::select! {
            item = news.recv() => match item {
                Some(item) => manager.hear(item),
                None => return,
            },
            Some(uid) = ends.recv() => {
                if let Some(handle) = manager.workers.get(&uid) {
                    handle.wake.notify_one();
                }
            }
            Some(uid) = changes.recv() => {
                if let Some(handle) = manager.workers.get(&uid) {
                    handle.are_volumes_stale.store(true, Ordering::Release);
                    handle.wake.notify_one();
                }
            }
            _ = sweeps.tick() => {
                // First what was heard already, so that nothing known is taken for lost.
                while let Ok(item) = news.try_recv() {
                    manager.hear(item);
                }
                if let Err(error) = manager.sweep().await {
                    tracing::warn!(%error, "cannot look for pods that nobody knows");
                    sweeps.reset_after(Duration::from_secs(1));
                }
            }
            () = stopped(&mut stop) => break,
        }
    }
    listening.abort();
    telling.abort();
    for handle in manager.workers.into_values() {
        handle.task.abort();
        let _ = handle.task.await;
    }
}

/// Waits until the first pods were told of. One that cannot be told of keeps nobody waiting for ever.
async fn note_when_told(context: Arc<Context>, pods: Vec<watch::Receiver<bool>>) {
    let all = async {
        for mut told in pods {
            // A worker that ended has nothing more to tell.
            let _ = told.wait_for(|told| *told).await;
        }
    };
    if tokio::time::timeout(TOLD_PATIENCE, all).await.is_err() {
        tracing::warn!("not all pods could be told of since the start");
    }
    context.are_pods_told.send_replace(true);
}

/// Waits until this process is to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Passes on what the runtime tells of its containers, where it tells anything: the UIDs of pods.
async fn listen(context: Arc<Context>, ended: mpsc::UnboundedSender<String>) {
    loop {
        match context.runtime.container_events().await {
            Ok(mut events) => {
                while let Ok(Some(event)) = events.message().await {
                    let sandbox = event.pod_sandbox_status.and_then(|sandbox| sandbox.metadata);
                    if let Some(sandbox) = sandbox
                        && ended.send(sandbox.uid).is_err()
                    {
                        return;
                    }
                }
            }
            Err(error) if error.is_unimplemented() => return,
            Err(error) => tracing::debug!(%error, "cannot listen to the runtime's events"),
        }
        tokio::time::sleep(EVENTS_RETRY).await;
    }
}

fn told(change: &Change<Pod>) -> Vec<News> {
    let be = |pod: &Arc<Pod>| News { uid: spec::uid(pod).to_owned(), wish: Wish::Be(pod.clone()) };
    let vanish = |pod: &Arc<Pod>| News { uid: spec::uid(pod).to_owned(), wish: Wish::Vanish };
    match change {
        Change::Added(pod) => vec![be(pod)],
        Change::Updated(old, new) if spec::uid(old) != spec::uid(new) => vec![vanish(old), be(new)],
        Change::Updated(_, new) => vec![be(new)],
        Change::Deleted(pod) => vec![vanish(pod)],
    }
}

struct Manager {
    context: Arc<Context>,
    pods: Lister<Pod>,
    workers: BTreeMap<String, Handle>,
}

impl Manager {
    /// Whether each pod was told of.
    fn told(&self) -> Vec<watch::Receiver<bool>> {
        self.workers.values().map(|handle| handle.is_told.clone()).collect()
    }

    fn hear(&mut self, News { uid, wish }: News) {
        let is_live = self.workers.get(&uid).is_some_and(|handle| !handle.task.is_finished());
        match (is_live, wish) {
            (true, wish) => {
                if let Some(handle) = self.workers.get(&uid) {
                    handle.wishes.send_replace(wish);
                }
            }
            (false, Wish::Be(pod)) => {
                self.workers.insert(uid, worker::begin(self.context.clone(), pod));
            }
            (false, Wish::Vanish) => {
                self.workers.remove(&uid);
            }
        }
    }

    /// Gives a worker to whatever lacks one: containers of unknown pods, known pods whose worker died.
    async fn sweep(&mut self) -> Result<(), runtime::Error> {
        self.workers.retain(|_, handle| !handle.task.is_finished());
        for pod in self.pods.list() {
            if !self.workers.contains_key(spec::uid(&pod)) {
                self.hear(News { uid: spec::uid(&pod).to_owned(), wish: Wish::Be(pod) });
            }
        }
        for (uid, pod) in self.strangers().await? {
            tracing::info!(uid, pod = spec::name(&pod), "ending a pod that nobody knows");
            let handle = worker::begin(self.context.clone(), Arc::new(pod));
            handle.wishes.send_replace(Wish::Vanish);
            self.workers.insert(uid, handle);
        }
        Ok(())
    }

    /// What is on this node and belongs to no pod with a worker.
    async fn strangers(&self) -> Result<BTreeMap<String, Pod>, runtime::Error> {
        let runtime = &self.context.runtime;
        let mut found: BTreeMap<String, Pod> = BTreeMap::new();
        let mut add = |labels: &Labels| {
            if let Some(pod) = stranger(labels) {
                found.entry(spec::uid(&pod).to_owned()).or_insert(pod);
            }
        };
        runtime
            .list_sandboxes(PodSandboxFilter::default())
            .await?
            .iter()
            .for_each(|sandbox| add(&sandbox.labels));
        runtime
            .list_containers(ContainerFilter::default())
            .await?
            .iter()
            .for_each(|container| add(&container.labels));
        for uid in directories(&self.context) {
            let labels = Labels::from([(label::POD_UID.to_owned(), uid)]);
            add(&labels);
        }
        found.retain(|uid, _| !self.workers.contains_key(uid));
        Ok(found)
    }
}

/// A pod of which only labels are known.
fn stranger(labels: &Labels) -> Option<Pod> {
    let text = |key: &str| labels.get(key).cloned();
    Some(Pod {
        metadata: ObjectMeta {
            uid: Some(text(label::POD_UID)?),
            name: text(label::POD_NAME),
            namespace: text(label::POD_NAMESPACE),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec::default()),
        status: None,
    })
}

/// The UIDs whose directories are there.
pub(crate) fn directories(context: &Context) -> BTreeSet<String> {
    let entries = std::fs::read_dir(context.config.root_dir.join("pods")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
