//! HorizontalPodAutoscaler `autoscaling/v1`, which knows one metric, and `v2`, which knows all.
//!
//! What `v1` has no field for travels in annotations: JSON in Go's field order, of `v1` types but for the
//! behaviour, which is of the internal one. Upstream: `pkg/apis/autoscaling/v1/conversion.go`.

mod annotations;
mod metrics;

use value::{Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ALL: [&str; 6] = [
    METRICS,
    CURRENT_METRICS,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// What `v1` means when it names no metric.
const DEFAULT_CPU_PERCENT: i32 = 80;

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
pub(super) fn to_hub(hpa: &mut Value) -> Result<(), String> {
    hpa.set("apiVersion", "autoscaling/v2");
    let annotation = |name: &str| -> Value {
        let text = hpa.at("metadata").at("annotations").at(name).as_str();
        text.and_then(|t| json::parse(t.as_bytes()).ok()).unwrap_or_default()
    };
    let (metrics, current) = (annotation(METRICS), annotation(CURRENT_METRICS));
    let (conditions, behavior) = (annotation(CONDITIONS), annotation(BEHAVIOR));
    drop_annotations(hpa);

    if let Some(spec) = hpa.object_at("spec") {
        let target = spec.remove("targetCPUUtilizationPercentage").unwrap_or_default();
        let mut all: Vec<Value> = metrics.items().iter().map(metrics::spec_to_hub).collect();
        if !target.is_null() {
            all.push(metrics::cpu_utilization(target));
        }
        if all.is_empty() {
            all.push(metrics::cpu_utilization(DEFAULT_CPU_PERCENT.into()));
        }
        spec.set("metrics", Value::Array(all));
        let behavior = annotations::behavior_to_hub(&behavior);
        if !behavior.is_empty() {
            spec.set("behavior", behavior);
        }
    }
    if let Some(status) = hpa.object_at("status") {
        let target = status.remove("currentCPUUtilizationPercentage").unwrap_or_default();
        let mut all = Value::Null;
        if !target.is_null() {
            all = Value::Array(vec![metrics::cpu_status(target)]);
        }
        if current.as_array().is_some() {
            all = Value::Array(current.items().iter().map(metrics::status_to_hub).collect());
        }
        status.set("currentMetrics", all);
        if conditions.as_array().is_some() {
            status.set("conditions", conditions);
        }
    }
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
pub(super) fn from_hub(hpa: &mut Value) -> Result<(), String> {
    hpa.set("apiVersion", "autoscaling/v1");
    drop_annotations(hpa);
    let mut kept: Vec<(&str, String)> = Vec::new();

    if let Some(spec) = hpa.object_at("spec") {
        let metrics = spec.remove("metrics").unwrap_or_default();
        let (own, others): (Vec<&Value>, Vec<&Value>) =
            metrics.items().iter().partition(|m| metrics::is_cpu_utilization(m));
        if let Some(first) = own.first() {
            let target = first.path(&["resource", "target", "averageUtilization"]).clone();
            spec.set("targetCPUUtilizationPercentage", target);
        }
        if !others.is_empty() {
            kept.push((METRICS, annotations::list(others, annotations::metric_spec)));
        }
        let behavior = spec.remove("behavior").unwrap_or_default();
        if !behavior.is_null() {
            let text = crate::internal::text("autoscaling.HorizontalPodAutoscalerBehavior", &behavior);
            kept.push((BEHAVIOR, text));
        }
    }
    if let Some(status) = hpa.object_at("status") {
        let current = status.remove("currentMetrics").unwrap_or_default();
        let cpu = current.items().iter().rev().filter(|m| metrics::is_cpu(m));
        let mut utilization = cpu.map(|m| m.path(&["resource", "current", "averageUtilization"]));
        if let Some(last) = utilization.find(|v| !v.is_null()) {
            status.set("currentCPUUtilizationPercentage", last.clone());
        }
        if !current.items().is_empty() {
            kept.push((CURRENT_METRICS, annotations::list(current.items(), annotations::metric_status)));
        }
        let conditions = status.remove("conditions").unwrap_or_default();
        if !conditions.items().is_empty() {
            kept.push((CONDITIONS, annotations::list(conditions.items(), annotations::condition)));
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    if let Some(annotations) = hpa.object_at("metadata").and_then(|m| m.object_at("annotations")) {
        for (name, text) in kept {
            annotations.set(name, text);
        }
    }
    Ok(())
}

fn drop_annotations(hpa: &mut Value) {
    let Some(metadata) = hpa.get_mut("metadata") else { return };
    let Some(annotations) = metadata.get_mut("annotations") else { return };
    let mut dropped = false;
    for name in ALL {
        dropped |= annotations.remove(name).is_some();
    }
    if dropped && annotations.is_empty() {
        metadata.remove("annotations");
    }
}

#[cfg(test)]
mod tests {
    use super::{from_hub, to_hub};
    use value::json;

    #[test]
    fn what_v1_cannot_hold_comes_back() {
        let v2 = json::parse(
            br#"{"apiVersion":"autoscaling/v2","metadata":{"name":"x"},"spec":{"maxReplicas":3,"minReplicas":1,
            "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":7}}},
            {"type":"Pods","pods":{"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"5"}}}],
            "behavior":{"scaleUp":{"stabilizationWindowSeconds":3,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15}]}}},
            "status":{"currentMetrics":null,"desiredReplicas":0}}"#,
        )
        .expect("valid JSON");
        let mut v = v2.clone();
        from_hub(&mut v).expect("converts");
        assert_eq!(v.at("spec").at("targetCPUUtilizationPercentage").int(), 7);
        let annotations = v.at("metadata").at("annotations");
        assert_eq!(
            annotations.at(super::METRICS).str(),
            r#"[{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"5"}}]"#
        );
        assert_eq!(
            annotations.at(super::BEHAVIOR).str(),
            r#"{"ScaleUp":{"StabilizationWindowSeconds":3,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":null},"ScaleDown":null}"#
        );
        to_hub(&mut v).expect("converts");
        // The CPU metric moves to the end, as upstream's does.
        assert_eq!(v.at("spec").at("metrics").items()[1], v2.at("spec").at("metrics").items()[0]);
        assert_eq!(v.at("spec").at("metrics").items()[0], v2.at("spec").at("metrics").items()[1]);
        assert_eq!(v.at("spec").at("behavior"), v2.at("spec").at("behavior"));
        assert_eq!(v.at("metadata"), v2.at("metadata"));
    }
}
