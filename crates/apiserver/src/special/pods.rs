//! Graceful deletion of pods: the kubelet ends the containers, then confirms.
//!
//! Upstream: `podStrategy.CheckGracefulDelete` in `pkg/registry/core/pod/strategy.go`.

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
