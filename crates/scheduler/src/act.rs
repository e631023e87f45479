//! Does what the engine decided: bindings, conditions, events, evictions. Nothing is decided here.

use crate::action::{Action, PodRef};
use crate::run::Told;
use crate::volumes::{Claim, Plan, Volume};
use api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use api::meta::v1::{DeleteOptions, Time};
use api::{Object, pods};
use client::{Client, Error, Informers, Lister, Patch};
use reconcile::{Clock, EventKind, Recorder};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Requests that are under way at a time.
const REQUESTS_MAX: usize = 128;
/// The longest message of an event, in bytes; what is longer ends in an ellipsis.
const EVENT_MESSAGE_BYTES_MAX: usize = 1024;

type Report = dyn Fn(Told) + Send + Sync;

/// Does things.
pub(crate) struct Executor {
    hands: Arc<Hands>,
    permits: Arc<Semaphore>,
}

struct Hands {
    client: Client,
    clock: Clock,
    recorders: HashMap<Arc<str>, Recorder>,
    pods: Lister<Pod>,
    volumes: Lister<PersistentVolume>,
    claims: Lister<PersistentVolumeClaim>,
    report: Box<Report>,
}

impl Executor {
    /// `report` tells the engine what came of it.
    pub(crate) fn new(
        client: Client,
        informers: &Informers,
        clock: &Clock,
        schedulers: &[Arc<str>],
        report: impl Fn(Told) + Send + Sync + 'static,
    ) -> Self {
        let recorder =
            |name: &Arc<str>| (name.clone(), Recorder::new(client.clone(), name, "", clock.clone()));
        let hands = Hands {
            recorders: schedulers.iter().map(recorder).collect(),
            clock: clock.clone(),
            pods: informers.get(),
            volumes: informers.get(),
            claims: informers.get(),
            report: Box::new(report),
            client,
        };
        Self { hands: Arc::new(hands), permits: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Starts doing something; waits while too much is under way.
    pub(crate) async fn start(&self, action: Action) {
        let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
        let hands = self.hands.clone();
        tokio::spawn(async move {
            hands.act(action).await;
            drop(permit);
        });
    }
}

impl Hands {
    async fn act(&self, action: Action) {
        match action {
            Action::Bind { pod, node, scheduler } => {
                let result = self.bind(&pod, &node).await;
                match &result {
                    Ok(()) => {
                        let message = format!("Successfully assigned {pod} to {node}");
                        self.event(&scheduler, &pod, EventKind::Normal, "Scheduled", message);
                    }
                    Err(error) => tracing::info!(%pod, %node, %error, "a pod could not be bound"),
                }
                let result =
                    result.map_err(|error| format!("running Bind plugin \"DefaultBinder\": {error}"));
                (self.report)(Box::new(move |engine, now| engine.bound(now, &pod.uid, result)));
            }
            Action::BindVolumes { pod, node, plan } => {
                // That others know where it will be, while its volumes are made (KEP-5278).
                self.nominate(&pod, &node).await;
                let result = self.bind_volumes(&node, &plan).await.map_err(|error| error.to_string());
                (self.report)(Box::new(move |engine, now| engine.volumes_written(now, &pod.uid, result)));
            }
            Action::Reject { pod, scheduler, reason, message, nominated } => {
                self.event(&scheduler, &pod, EventKind::Warning, "FailedScheduling", shortened(&message));
                self.set_condition(&pod, reason, &message, nominated.as_deref()).await;
            }
            Action::SkipDeleting { pod, scheduler } => {
                let message = format!("skip schedule deleting pod: {pod}");
                self.event(&scheduler, &pod, EventKind::Warning, "FailedScheduling", message);
            }
            Action::Evict { preemptor, scheduler, node, victims } => {
                let mut result = Ok(());
                for victim in &victims {
                    result = self.evict(&preemptor, &scheduler, &node, victim).await;
                    if result.is_err() {
                        break;
                    }
                }
                let result = result.map_err(|error| error.to_string());
                (self.report)(Box::new(move |engine, now| engine.evicted(now, &preemptor.uid, result)));
            }
            Action::ClearNomination(pod) => self.nominate(&pod, "").await,
        }
    }

    async fn bind(&self, pod: &PodRef, node: &str) -> Result<(), Error> {
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid },
            "target": { "kind": "Node", "name": node },
        });
        self.client.post_subresource::<Pod>(&pod.namespace, &pod.name, "binding", &binding).await.map(drop)
    }

    async fn bind_volumes(&self, node: &str, plan: &Plan) -> Result<(), Error> {
        for (volume, claim) in &plan.bind {
            self.bind_volume(volume, claim).await?;
        }
        for claim in &plan.provision {
            let Some(known) = self.claims.get_key(&claim.key) else { continue };
            let patch = Patch::Merge(json!({ "metadata": {
                "resourceVersion": known.resource_version(),
                "annotations": { "volume.kubernetes.io/selected-node": node },
            }}));
            self.client.patch::<PersistentVolumeClaim>(&claim.key.namespace, &claim.key.name, &patch).await?;
        }
        Ok(())
    }

    /// Gives a volume to a claim; the claim's own side is the volume controller's.
    async fn bind_volume(&self, volume: &Volume, claim: &Claim) -> Result<(), Error> {
        let Some(known) = self.volumes.get("", &volume.name) else { return Ok(()) };
        let claim_ref = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": claim.key.namespace,
            "name": claim.key.name,
            "uid": &*claim.uid,
        });
        // A volume that was made for the claim by hand is not given back when the claim goes.
        let by_hand = volume.claim.as_ref().is_some_and(|(key, _)| *key == claim.key);
        let annotations = match by_hand {
            true => json!({}),
            false => json!({ "pv.kubernetes.io/bound-by-controller": "yes" }),
        };
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": known.resource_version(), "annotations": annotations },
            "spec": { "claimRef": claim_ref },
        }));
        self.client.patch::<PersistentVolume>("", &volume.name, &patch).await.map(drop)
    }

    async fn evict(
        &self,
        preemptor: &PodRef,
        scheduler: &str,
        node: &str,
        victim: &PodRef,
    ) -> Result<(), Error> {
        let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
        let condition = self.condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", &message);
        if let Some(condition) = condition {
            let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
            let answer = self.patch_status(victim, &patch).await;
            if answer.as_ref().is_err_and(Error::is_not_found) {
                return Ok(());
            }
            answer?;
        }
        match self.client.delete::<Pod>(&victim.namespace, &victim.name, &DeleteOptions::default()).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => {
                let message = format!("Preempted by pod {} on node {node}", preemptor.uid);
                self.event(scheduler, victim, EventKind::Normal, "Preempted", message);
                Ok(())
            }
        }
    }

    async fn set_condition(&self, pod: &PodRef, reason: &str, message: &str, nominated: Option<&str>) {
        let condition = self.condition(pod, "PodScheduled", "False", reason, message);
        let mut status = serde_json::Map::new();
        if let Some(condition) = condition {
            status.insert("conditions".to_owned(), json!([condition]));
        }
        if let Some(node) = nominated {
            status.insert("nominatedNodeName".to_owned(), name_or_null(node));
        }
        if !status.is_empty() {
            let patch = Patch::Strategic(json!({ "status": status }));
            if let Err(error) = self.patch_status(pod, &patch).await
                && !error.is_not_found()
            {
                tracing::warn!(%pod, %error, "condition PodScheduled could not be written");
            }
        }
    }

    async fn nominate(&self, pod: &PodRef, node: &str) {
        let patch = Patch::Strategic(json!({ "status": { "nominatedNodeName": name_or_null(node) } }));
        if let Err(error) = self.patch_status(pod, &patch).await {
            tracing::debug!(%pod, %error, "status.nominatedNodeName could not be written");
        }
    }

    async fn patch_status(&self, pod: &PodRef, patch: &Patch) -> Result<(), Error> {
        self.client.patch_subresource::<Pod>(&pod.namespace, &pod.name, "status", patch).await.map(drop)
    }

    /// A pod's condition, if it is to be another one than it is (`podutil.UpdatePodCondition`).
    fn condition(
        &self,
        pod: &PodRef,
        kind: &str,
        status: &str,
        reason: &str,
        message: &str,
    ) -> Option<Value> {
        let known = self.pods.get(&pod.namespace, &pod.name).filter(|known| *known.uid() == *pod.uid)?;
        let old = pods::condition(&known, kind);
        let mut since = Some(Time(self.clock.now()));
        if let Some(old) = old {
            let same = old.reason.as_deref() == Some(reason) && old.message.as_deref() == Some(message);
            if old.status == status {
                if same {
                    return None;
                }
                since.clone_from(&old.last_transition_time);
            }
        }
        Some(json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": known.metadata.generation,
            "lastProbeTime": null,
            "lastTransitionTime": since,
        }))
    }

    fn event(&self, scheduler: &str, pod: &PodRef, kind: EventKind, reason: &str, message: String) {
        let Some(recorder) = self.recorders.get(scheduler) else { return };
        let text = |text: &Arc<str>| Some(text.to_string());
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: text(&pod.namespace),
            name: text(&pod.name),
            uid: text(&pod.uid),
            ..ObjectReference::default()
        };
        recorder.event(&about, kind, reason, message);
    }
}

/// Absent is what Go leaves out of a status when it is empty.
fn name_or_null(name: &str) -> Value {
    if name.is_empty() { Value::Null } else { Value::from(name) }
}

fn shortened(message: &str) -> String {
    const ELLIPSIS: &str = " ...";
    if message.len() <= EVENT_MESSAGE_BYTES_MAX {
        return message.to_owned();
    }
    format!("{}{ELLIPSIS}", &message[..message.floor_char_boundary(EVENT_MESSAGE_BYTES_MAX - ELLIPSIS.len())])
}
