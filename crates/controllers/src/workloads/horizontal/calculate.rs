//! How many pods a metric asks for. Facts: `pkg/controller/podautoscaler/replica_calculator.go`.

use super::behavior::whole;
use api::core::v1::{Container, Pod};
use api::{Object, milli_amount, pods};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long after its start a pod's use of CPU does not count unless it is ready, and how long after that a first
/// readiness may take: `--horizontal-pod-autoscaler-{cpu-initialization-period,initial-readiness-delay}`.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_secs(300);
const INITIAL_READINESS: SignedDuration = SignedDuration::from_secs(30);

/// What was measured of a pod.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// In thousandths.
    pub(super) value: i64,
    pub(super) at: Timestamp,
    /// Over how long.
    pub(super) window: SignedDuration,
}

/// Samples by the pod's name.
pub(super) type Samples = BTreeMap<String, Sample>;

/// How far from its target a metric may be without anything being done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) up: f64,
    pub(super) down: f64,
}

impl Tolerance {
    fn covers(self, ratio: f64) -> bool {
        (1.0 - self.down) <= ratio && ratio <= (1.0 + self.up)
    }
}

/// What a metric comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) replicas: i32,
    /// In percent of what was requested, where that is the measure.
    pub(super) utilization: Option<i32>,
    /// By pod, in thousandths.
    pub(super) usage: i64,
}

/// What pods are measured by.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Percent of what each pod requests, which is known in thousandths.
    Utilization(i32, BTreeMap<String, i64>),
    /// Thousandths.
    Value(i64),
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) now: Timestamp,
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) is_cpu: bool,
    pub(super) current: i32,
    pub(super) target: Target,
    pub(super) tolerance: Tolerance,
}

/// The pods that a metric of each pod asks for. Pods of which nothing is known are taken to be what makes the
/// change smallest.
pub(super) fn by_pods(question: &Question<'_>, mut samples: Samples) -> Result<Outcome, String> {
    let Question { pods, current, tolerance, target, .. } = question;
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(question, &samples);
    samples.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
    if samples.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let (ratio, utilization, usage) = ratio(target, &samples)?;
    let outcome = |replicas| Ok(Outcome { replicas, utilization, usage });
    let rising_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !rising_unready && groups.missing.is_empty() {
        let wanted = whole((ratio * f64::from(groups.ready)).ceil());
        return outcome(if tolerance.covers(ratio) { *current } else { wanted });
    }
    let assume = |value: i64| Sample { value, at: question.now, window: SignedDuration::ZERO };
    for name in &groups.missing {
        if ratio < 1.0 {
            let full = match target {
                Target::Utilization(percent, requests) => {
                    requests.get(name).copied().unwrap_or_default() * i64::from((*percent).max(100)) / 100
                }
                Target::Value(value) => *value,
            };
            samples.insert(name.clone(), assume(full));
        } else if ratio > 1.0 {
            samples.insert(name.clone(), assume(0));
        }
    }
    if rising_unready {
        samples.extend(groups.unready.iter().map(|name| (name.clone(), assume(0))));
    }
    let (new, _, _) = self::ratio(target, &samples)?;
    if tolerance.covers(new) || (ratio < 1.0 && new > 1.0) || (ratio > 1.0 && new < 1.0) {
        return outcome(*current);
    }
    let wanted = whole((new * samples.len() as f64).ceil());
    let contrary = (new < 1.0 && wanted > *current) || (new > 1.0 && wanted < *current);
    outcome(if contrary { *current } else { wanted })
}

#[derive(Debug, Default)]
struct Groups {
    ready: i32,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

fn group(question: &Question<'_>, samples: &Samples) -> Groups {
    let mut groups = Groups::default();
    for pod in question.pods {
        let name = pod.name().to_owned();
        if pods::is_terminating(pod) || pods::phase(pod) == "Failed" {
            groups.ignored.insert(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.insert(name);
        } else if let Some(sample) = samples.get(&name) {
            if question.is_cpu && is_starting(question.now, pod, sample) {
                groups.unready.insert(name);
            } else {
                groups.ready += 1;
            }
        } else {
            groups.missing.insert(name);
        }
    }
    groups
}

/// Whether a pod uses CPU because it starts.
fn is_starting(now: Timestamp, pod: &Pod, sample: &Sample) -> bool {
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let condition = pods::condition(pod, "Ready");
    let since = condition.and_then(|condition| condition.last_transition_time.as_ref());
    let (Some(start), Some(condition)) = (start, condition) else { return true };
    let since = since.map_or(start.0, |time| time.0);
    let unready = condition.status == "False";
    if now.duration_since(start.0) < CPU_INITIALIZATION {
        unready || sample.at.duration_since(since) < sample.window
    } else {
        unready && since.duration_since(start.0) < INITIAL_READINESS
    }
}

/// How the use compares with the target: as a ratio, in percent of requests, and by pod.
fn ratio(target: &Target, samples: &Samples) -> Result<(f64, Option<i32>, i64), String> {
    match target {
        Target::Value(value) => {
            let usage = samples.values().map(|sample| sample.value).sum::<i64>() / count(samples.len());
            Ok((fraction(usage, *value), None, usage))
        }
        Target::Utilization(percent, requests) => {
            let known =
                samples.iter().filter_map(|(name, sample)| Some((sample.value, *requests.get(name)?)));
            let (mut used, mut requested, mut pods) = (0i64, 0i64, 0);
            for (value, request) in known {
                used = used.saturating_add(value);
                requested = requested.saturating_add(request);
                pods += 1;
            }
            if requested == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let utilization = i32::try_from(used.saturating_mul(100) / requested).unwrap_or(i32::MAX);
            let ratio = f64::from(utilization) / f64::from(*percent);
            Ok((ratio, Some(utilization), used / count(pods)))
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn fraction(one: i64, other: i64) -> f64 {
    one as f64 / other as f64
}

/// The pods that a metric of something else asks for, compared as a whole with its target.
pub(super) fn by_ratio(question: &Question<'_>, usage: i64, target: i64) -> Result<Outcome, String> {
    let ratio = fraction(usage, target);
    let replicas = if question.current == 0 {
        whole(ratio.ceil())
    } else if question.tolerance.covers(ratio) {
        question.current
    } else {
        if question.pods.is_empty() {
            let why = "unable to calculate ready pods: no pods returned by selector while calculating replica count";
            return Err(why.to_owned());
        }
        let ready = |pod: &&Arc<Pod>| pods::phase(pod) == "Running" && pods::is_ready(pod);
        let ready = i32::try_from(question.pods.iter().filter(ready).count()).unwrap_or(i32::MAX);
        whole((ratio * f64::from(ready)).ceil())
    };
    Ok(Outcome { replicas, utilization: None, usage })
}

/// Compared by pod with its target; `pods` is how many there are.
pub(super) fn by_average(tolerance: Tolerance, usage: i64, target: i64, pods: i32) -> Outcome {
    let ratio = fraction(usage, target) / f64::from(pods);
    let replicas = if tolerance.covers(ratio) { pods } else { whole(fraction(usage, target).ceil()) };
    let by_pod = usage.div_euclid(i64::from(pods.max(1)));
    let rest = i64::from(usage.rem_euclid(i64::from(pods.max(1))) > 0);
    Outcome { replicas, utilization: None, usage: by_pod + rest }
}

/// What each pod requests of a resource: of one container, if it is named.
pub(super) fn requests(
    pods: &[Arc<Pod>],
    resource: &str,
    container: Option<&str>,
) -> Result<BTreeMap<String, i64>, String> {
    pods.iter().map(|pod| Ok((pod.name().to_owned(), request(pod, resource, container)?))).collect()
}

fn request(pod: &Pod, resource: &str, container: Option<&str>) -> Result<i64, String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let whole_pod = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if let Some(request) = whole_pod.and_then(|all| all.get(resource)).filter(|_| container.is_none()) {
        return Ok(milli_amount(request));
    }
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let mut all = spec.containers.iter().chain(sidecars);
    let of = |container: &Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        requests.and_then(|requests| requests.get(resource)).map(milli_amount).ok_or_else(|| {
            format!("missing request for {resource} in container {} of Pod {}", container.name, pod.name())
        })
    };
    match container {
        None => all.map(of).sum(),
        Some(name) => match all.find(|container| container.name == name) {
            Some(container) => of(container),
            None => Err(format!("container {name} not found in Pod {}", pod.name())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::{PodBuilder, at, pod};
    use api::meta::v1::Time;

    const TOLERANCE: Tolerance = Tolerance { up: 0.1, down: 0.1 };

    fn running(name: &str) -> PodBuilder {
        pod(name).ready(at(100)).change(|pod| {
            pod.status.get_or_insert_default().start_time = Some(Time(at(90)));
        })
    }

    fn ask(pods: &[Arc<Pod>], values: &[(&str, i64)], target: i32) -> Result<Outcome, String> {
        let requests = pods.iter().map(|pod| (pod.name().to_owned(), 1_000)).collect();
        let sample = |value| Sample { value, at: at(1_000), window: SignedDuration::from_secs(30) };
        let samples = values.iter().map(|(name, value)| ((*name).to_owned(), sample(*value))).collect();
        let question = Question {
            now: at(1_000),
            pods,
            is_cpu: true,
            current: i32::try_from(pods.len()).expect("few"),
            target: Target::Utilization(target, requests),
            tolerance: TOLERANCE,
        };
        by_pods(&question, samples)
    }

    #[test]
    fn utilization() {
        let three = || ["a", "b", "c"].map(|name| running(name).build());
        for (what, pods, values, target, expected) in [
            ("up", three(), &[("a", 300), ("b", 500), ("c", 700)][..], 30, 5),
            ("down", three(), &[("a", 100), ("b", 100), ("c", 100)], 30, 1),
            ("as it is", three(), &[("a", 300), ("b", 310), ("c", 290)], 30, 3),
            ("one is not known, up", three(), &[("a", 900), ("b", 900)], 50, 4),
            ("one is not known, down", three(), &[("a", 100), ("b", 100)], 50, 3),
            (
                "one goes",
                [running("a").build(), running("b").build(), running("c").terminating(at(999)).build()],
                &[("a", 800), ("b", 800), ("c", 0)],
                40,
                4,
            ),
            (
                "one begins",
                [running("a").build(), running("b").build(), pod("c").build()],
                &[("a", 800), ("b", 800)],
                40,
                4,
            ),
        ] {
            assert_eq!(ask(&pods, values, target).expect("an answer").replicas, expected, "{what}");
        }
        let outcome = ask(&three(), &[("a", 300), ("b", 500), ("c", 700)], 30).expect("an answer");
        assert_eq!((outcome.utilization, outcome.usage), (Some(50), 500));
        assert!(ask(&three(), &[], 30).is_err());
        assert!(ask(&[], &[], 30).is_err());
    }

    #[test]
    fn averages() {
        for (usage, target, pods, replicas, by_pod) in
            [(8_600, 2_000, 3, 5, 2_867), (4_000, 2_000, 2, 2, 2_000), (100, 2_000, 3, 1, 34)]
        {
            let outcome = by_average(TOLERANCE, usage, target, pods);
            assert_eq!((outcome.replicas, outcome.usage), (replicas, by_pod));
        }
    }
}
