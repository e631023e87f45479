//! HorizontalPodAutoscalers: sizes that follow what is measured. Mirrors `pkg/controller/podautoscaler`.
//!
//! Watches autoscalers and pods, reads metrics every 15 s; owns the `scale` of what an autoscaler names, and the
//! autoscaler's status. `calculate` and `behavior` decide.

mod behavior;
mod calculate;
mod metrics;
mod selectors;
mod single;
mod status;

use super::written::Written;
use super::{patch, scale};
use crate::context::{Context, Tasks, spawn};
use api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricSpec,
    MetricTarget,
};
use api::core::v1::Pod;
use api::meta::v1::Time;
use api::{Key, Object, Quantity, milli_amount, reference};
use behavior::{Memory, Wish};
use bytes::Bytes;
use calculate::{Outcome, Question, Target, Tolerance};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use http::Method;
use jiff::Timestamp;
use metrics::Metrics;
use parking_lot::Mutex;
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder, Result};
use selectors::Selectors;
use serde_json::{Value, json};
use single::Single;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const ACCOUNT: &str = "horizontal-pod-autoscaler";

/// How many autoscalers are looked at at a time: `--concurrent-horizontal-pod-autoscaler-syncs`.
const WORKERS: usize = 5;

/// How often each is: `--horizontal-pod-autoscaler-sync-period`.
const PERIOD: Duration = Duration::from_secs(15);

/// How far from its target a metric may be: `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let scalers = context.informers.get::<HorizontalPodAutoscaler>();
    let pods = context.informers.get::<Pod>();
    let queue = Queue::new();
    follow(&scalers, &queue);
    let controller = Controller {
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT, ACCOUNT),
        clock: context.clock.clone(),
        scalers: Written::new(scalers.clone()),
        pods: pods.clone(),
        memory: Mutex::default(),
        selectors: Mutex::default(),
    };
    let synced = async move {
        scalers.synced().await;
        pods.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// A change of the status is no reason to measure again: it comes of measuring.
fn follow(scalers: &Lister<HorizontalPodAutoscaler>, queue: &Queue) {
    let queue = queue.clone();
    scalers.subscribe(move |change| match change {
        Change::Updated(old, new) if old.spec == new.spec => {}
        other => queue.add(other.object().key()),
    });
}

struct Controller {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    scalers: Written<HorizontalPodAutoscaler>,
    pods: Lister<Pod>,
    memory: Mutex<HashMap<Key, Memory>>,
    selectors: Mutex<Selectors>,
}

/// What an autoscaler scales.
struct Subject {
    path: String,
    scale: Value,
    selector: String,
    /// Those that it selects, once that was asked.
    pods: Vec<Arc<Pod>>,
}

/// What metrics ask for.
struct Proposal {
    replicas: i32,
    metric: String,
}

/// Why a metric tells nothing: for the condition of its reason, and with what stands before it in the event of all
/// metrics.
struct Failure {
    reason: &'static str,
    why: String,
    context: String,
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
        let Some(scaler) = self.scalers.get(&key) else {
            self.scalers.forget(&key);
            self.memory.lock().remove(&key);
            self.selectors.lock().forget(&key);
            return Ok(Next::Done);
        };
        let mut status = scaler.status.clone().unwrap_or_default();
        self.follow(&key, &scaler, &mut status).await;
        let old = scaler.status.clone().unwrap_or_default();
        if let Some(patch) = patch::status(&*scaler, &old, &status) {
            let patch = Patch::Update(patch);
            let patched = self.client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
            self.scalers.stored(&key, patched);
        }
        Ok(Next::After(PERIOD))
    }

    /// Measures and scales; what came of it is in the status.
    async fn follow(
        &self,
        key: &Key,
        scaler: &HorizontalPodAutoscaler,
        status: &mut HorizontalPodAutoscalerStatus,
    ) {
        let now = self.clock.now();
        let spec = scaler.spec.clone();
        let mut subject = match self.subject(scaler, &spec).await {
            Ok(subject) => subject,
            Err(why) => {
                self.warn(scaler, "FailedGetScale", &why);
                let text = format!("the HPA controller was unable to get the target's current scale: {why}");
                status::set(now, status, "AbleToScale", "False", "FailedGetScale", text);
                return;
            }
        };
        let text = "the HPA controller was able to get the target's current scale".to_owned();
        status::set(now, status, "AbleToScale", "True", "SucceededGetScale", text);
        let current = scale::replicas(&subject.scale);
        self.with_memory(key, |memory| memory.begin(now, current));
        let least = spec.min_replicas.unwrap_or(1);
        status.current_replicas = Some(current).filter(|count| *count != 0);
        let (desired, why) = if current == 0 {
            let text = "scaling is disabled since the replica count of the target is zero".to_owned();
            status::set(now, status, "ScalingActive", "False", "ScalingDisabled", text);
            (0, String::new())
        } else if current > spec.max_replicas {
            (spec.max_replicas, "Current number of replicas above Spec.MaxReplicas".to_owned())
        } else if current < least {
            (least, "Current number of replicas below Spec.MinReplicas".to_owned())
        } else {
            let Some(proposal) = self.propose(now, scaler, &spec, &mut subject, status).await else { return };
            let why = if proposal.replicas > current {
                format!("{} above target", proposal.metric)
            } else {
                "All metrics below target".to_owned()
            };
            let wish = Wish { current, desired: proposal.replicas, least, most: spec.max_replicas };
            let size = self.with_memory(key, |memory| memory.settle(now, spec.behavior.as_ref(), wish));
            let (reason, text) = size.able;
            status::set(now, status, "AbleToScale", "True", reason, text.to_owned());
            let (limited, (reason, text)) = size.limited;
            let limited = if limited { "True" } else { "False" };
            status::set(now, status, "ScalingLimited", limited, reason, text.to_owned());
            (size.replicas, why)
        };
        if desired != current && !self.rescale(scaler, &subject, status, desired, &why).await {
            return;
        }
        if desired != current {
            self.with_memory(key, |memory| memory.change(now, desired - current));
            status.last_scale_time = Some(Time(now));
        }
        status.desired_replicas = desired;
    }

    fn with_memory<T>(&self, key: &Key, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(self.memory.lock().entry(key.clone()).or_default())
    }

    async fn subject(
        &self,
        scaler: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
    ) -> std::result::Result<Subject, String> {
        let target = &spec.scale_target_ref;
        let version = target.api_version.as_deref().unwrap_or("v1");
        let found = scale::resource(&self.client, version, &target.kind).await;
        let Some(resource) = found.map_err(|error| error.to_string())? else {
            return Err(format!("no matches for kind {:?} in version {version:?}", target.kind));
        };
        let path = resource.scale_path(scaler.namespace(), &target.name);
        let scale = match self.client.raw(Method::GET, &path, None).await {
            Ok(bytes) => serde_json::from_slice::<Value>(&bytes).map_err(|error| error.to_string())?,
            Err(error) => return Err(error.to_string()),
        };
        let selector = scale["status"]["selector"].as_str().unwrap_or_default().to_owned();
        Ok(Subject { path, scale, pods: Vec::new(), selector })
    }

    /// The most that a metric asks for; nothing if it cannot be told. A metric that fails does not keep others from
    /// asking for more pods, but no pod is taken away while one does.
    async fn propose(
        &self,
        now: Timestamp,
        scaler: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
        subject: &mut Subject,
        status: &mut HorizontalPodAutoscalerStatus,
    ) -> Option<Proposal> {
        let pods = self.pods.list_in(scaler.namespace());
        let selected = self.selectors.lock().select(&scaler.key(), &subject.selector, pods);
        match selected {
            Ok(pods) => subject.pods = pods,
            Err(unfit) => {
                self.warn(scaler, unfit.event, &unfit.why);
                status::set(now, status, "ScalingActive", "False", unfit.reason, unfit.text);
                status.current_metrics = None;
                self.warn(scaler, "FailedComputeMetricsReplicas", &unfit.why);
                return None;
            }
        }
        let subject = &*subject;
        let metrics = spec.metrics.as_deref().unwrap_or_default();
        let mut best: Option<Proposal> = None;
        let mut measured = Vec::new();
        let mut failures: Vec<Failure> = Vec::new();
        for metric in metrics {
            match self.measure(now, scaler, spec, subject, metric).await {
                Ok((outcome, name)) => {
                    measured.push(status::measured(metric, &outcome));
                    if best.as_ref().is_none_or(|best| outcome.replicas > best.replicas) {
                        best = Some(Proposal { replicas: outcome.replicas, metric: name });
                    }
                }
                Err(failure) => {
                    self.warn(scaler, failure.reason, &failure.why);
                    failures.push(failure);
                }
            }
        }
        status.current_metrics = Some(measured).filter(|measured| !measured.is_empty());
        let current = scale::replicas(&subject.scale);
        let usable = best.filter(|best| failures.is_empty() || best.replicas >= current);
        if let Some(best) = usable {
            let text =
                format!("the HPA was able to successfully calculate a replica count from {}", best.metric);
            status::set(now, status, "ScalingActive", "True", "ValidMetricFound", text);
            return Some(best);
        }
        let (failed, all) = (failures.len(), metrics.len());
        if let Some(Failure { reason, why, context }) = failures.into_iter().next() {
            let text = format!("the HPA was unable to compute the replica count: {why}");
            status::set(now, status, "ScalingActive", "False", reason, text);
            let text =
                format!("invalid metrics ({failed} invalid out of {all}), first error is: {context}{why}");
            self.warn(scaler, "FailedComputeMetricsReplicas", &text);
        }
        None
    }

    /// What one metric asks for, and its name.
    async fn measure(
        &self,
        now: Timestamp,
        scaler: &HorizontalPodAutoscaler,
        spec: &HorizontalPodAutoscalerSpec,
        subject: &Subject,
        metric: &MetricSpec,
    ) -> std::result::Result<(Outcome, String), Failure> {
        let metrics = Metrics { client: &self.client, namespace: scaler.namespace() };
        let tolerance = tolerance(spec);
        let current = scale::replicas(&subject.scale);
        let present = scale::number(&subject.scale["status"]["replicas"]);
        let ask = |target, is_cpu| Question { now, pods: &subject.pods, is_cpu, current, target, tolerance };
        if let Some(source) = &metric.resource {
            let found = self.by_resource(&metrics, &source.name, None, &source.target, subject, &ask).await;
            let context = format!("failed to get {} resource metric value: ", source.name);
            return found.map_err(|why| Failure { reason: "FailedGetResourceMetric", why, context });
        }
        if let Some(source) = &metric.container_resource {
            let container = Some(source.container.as_str());
            let found =
                self.by_resource(&metrics, &source.name, container, &source.target, subject, &ask).await;
            let context = format!("failed to get {} container metric value: ", source.container);
            return found.map_err(|why| Failure { reason: "FailedGetContainerResourceMetric", why, context });
        }
        if let Some(source) = &metric.pods {
            let metric = &source.metric.name;
            let failed = |why| {
                let context = "failed to get pods metric value: ".to_owned();
                Failure { reason: "FailedGetPodsMetric", why, context }
            };
            let samples = metrics.of_pods(&source.metric, &subject.selector).await;
            let samples = samples.map_err(|why| failed(format!("unable to get metric {metric}: {why}")))?;
            let target = Target::Value(milli(source.target.average_value.as_ref()));
            let outcome = calculate::by_pods(&ask(target, false), samples).map_err(failed)?;
            return Ok((outcome, format!("pods metric {metric}")));
        }
        let (reading, target, source) = if let Some(source) = &metric.object {
            let reading = metrics.of_object(&source.described_object, &source.metric).await;
            (reading, &source.target, Single::Object(source))
        } else if let Some(source) = &metric.external {
            (metrics.external(&source.metric).await, &source.target, Single::External(source))
        } else {
            let why = format!("unknown metric source type {:?}", metric.type_);
            return Err(Failure { reason: "InvalidMetricSourceType", why, context: String::new() });
        };
        let by_pod = target.average_value.is_some();
        let failed = |why| source.failure(by_pod, why);
        let reading = reading.map_err(|why| failed(source.unread(scaler.namespace(), &why)))?;
        let outcome = match (&target.average_value, &target.value) {
            (Some(average), _) => {
                Ok(calculate::by_average(tolerance, reading, milli(Some(average)), present))
            }
            (None, Some(value)) => {
                let target = milli(Some(value));
                calculate::by_ratio(&ask(Target::Value(target), false), reading, target)
            }
            (None, None) => {
                let why = "neither a value target nor an average value target was set";
                Err(format!("invalid {} metric source: {why}", source.kind()))
            }
        };
        Ok((outcome.map_err(failed)?, source.name(by_pod)))
    }

    async fn by_resource<'a>(
        &self,
        metrics: &Metrics<'_>,
        resource: &str,
        container: Option<&str>,
        target: &MetricTarget,
        subject: &'a Subject,
        ask: &(impl Fn(Target, bool) -> Question<'a> + Sync),
    ) -> std::result::Result<(Outcome, String), String> {
        let what = if target.average_value.is_some() { "usage" } else { "utilization" };
        let failed = |why: String| format!("failed to get {resource} {what}: {why}");
        let samples = metrics.of_resource(resource, container, &subject.selector).await;
        let samples =
            samples.map_err(|why| failed(format!("unable to get metrics for resource {resource}: {why}")))?;
        let kind = if container.is_some() { " container" } else { "" };
        let (goal, name) = match (&target.average_value, target.average_utilization) {
            (Some(value), _) => (Target::Value(milli(Some(value))), format!("{resource} resource")),
            (None, Some(percent)) => {
                let requests = calculate::requests(&subject.pods, resource, container).map_err(failed)?;
                let name = format!("{resource}{kind} resource utilization (percentage of request)");
                (Target::Utilization(percent, requests), name)
            }
            (None, None) => {
                let why = "invalid resource metric source: neither an average utilization target nor an average \
                           value (usage) target was set";
                return Err(why.to_owned());
            }
        };
        let outcome = calculate::by_pods(&ask(goal, resource == "cpu"), samples).map_err(failed)?;
        Ok((outcome, name))
    }

    /// Changes the size; whether that was done.
    async fn rescale(
        &self,
        scaler: &HorizontalPodAutoscaler,
        subject: &Subject,
        status: &mut HorizontalPodAutoscalerStatus,
        desired: i32,
        why: &str,
    ) -> bool {
        let now = self.clock.now();
        let mut wanted = subject.scale.clone();
        wanted["spec"]["replicas"] = json!(desired);
        let body = Some(("application/json", Bytes::from(wanted.to_string())));
        match self.client.raw(Method::PUT, &subject.path, body).await {
            Ok(_) => {
                let text = format!("the HPA controller was able to update the target scale to {desired}");
                status::set(now, status, "AbleToScale", "True", "SucceededRescale", text);
                let text = format!("New size: {desired}; reason: {why}");
                self.recorder.event(&reference(scaler), EventKind::Normal, "SuccessfulRescale", &text);
                true
            }
            Err(error) => {
                self.failed_rescale(now, scaler, status, desired, why, &error);
                false
            }
        }
    }

    fn failed_rescale(
        &self,
        now: Timestamp,
        scaler: &HorizontalPodAutoscaler,
        status: &mut HorizontalPodAutoscalerStatus,
        desired: i32,
        why: &str,
        error: &Error,
    ) {
        self.warn(scaler, "FailedRescale", &format!("New size: {desired}; reason: {why}; error: {error}"));
        let text = format!("the HPA controller was unable to update the target scale: {error}");
        status::set(now, status, "AbleToScale", "False", "FailedUpdateScale", text);
    }

    fn warn(&self, scaler: &HorizontalPodAutoscaler, reason: &str, text: &str) {
        self.recorder.event(&reference(scaler), EventKind::Warning, reason, text);
    }
}

fn milli(quantity: Option<&Quantity>) -> i64 {
    quantity.map(milli_amount).unwrap_or_default()
}

/// The tolerances of an autoscaler (KEP-4951).
fn tolerance(spec: &HorizontalPodAutoscalerSpec) -> Tolerance {
    let rules = spec.behavior.as_ref();
    let of = |quantity: Option<&Quantity>| {
        let parsed = quantity.and_then(|text| meta::quantity::Quantity::parse(&text.0).ok());
        parsed.map_or(TOLERANCE, |parsed| parsed.as_f64())
    };
    Tolerance {
        up: of(rules.and_then(|rules| rules.scale_up.as_ref()?.tolerance.as_ref())),
        down: of(rules.and_then(|rules| rules.scale_down.as_ref()?.tolerance.as_ref())),
    }
}
