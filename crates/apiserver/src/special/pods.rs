//! Graceful deletion of pods (the kubelet ends the containers, then confirms), and their conditions.
//!
//! Upstream: `podStrategy.CheckGracefulDelete` in `pkg/registry/core/pod/strategy.go`, `UpdatePodCondition` in
//! `pkg/api/pod/util.go`.

use value::Value;

/// How long a pod has before it is gone.
pub fn grace_period(pod: &Value, asked: Option<i64>) -> i64 {
    let spec = pod.at("spec");
    let period = asked.or_else(|| spec.at("terminationGracePeriodSeconds").as_i64()).unwrap_or(0);
    // Nobody has to end what runs nowhere, or what has ended.
    if spec.at("nodeName").str().is_empty()
        || matches!(pod.at("status").at("phase").str(), "Failed" | "Succeeded")
    {
        return 0;
    }
    if period < 0 { 1 } else { period }
}

/// Sets a condition in a pod's status. The time of its transition stays if its status does.
pub(super) fn set_condition(pod: &mut Value, mut condition: Value, now: &str) {
    let kind = condition.at("type").clone();
    let Some(status) = pod.object_at("status") else { return };
    if status.at("conditions").is_null() {
        status.set("conditions", Value::Array(Vec::new()));
    }
    let Some(list) = status.get_mut("conditions").and_then(Value::as_array_mut) else { return };
    condition.set("lastProbeTime", Value::Null);
    condition.set("lastTransitionTime", now);
    match list.iter_mut().find(|old| *old.at("type") == kind) {
        Some(old) => {
            if old.at("status") == condition.at("status") {
                condition.set("lastTransitionTime", old.at("lastTransitionTime").clone());
            }
            *old = condition;
        }
        None => list.push(condition),
    }
}
