//! What everybody asks of a pod: `pkg/api/v1/pod/util.go`, `pkg/controller/controller_utils.go`.

use crate::core::v1::{Pod, PodCondition};

/// The condition of a type.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_deref()?.iter().find(|condition| condition.type_ == kind)
}

/// The phase; empty if there is none yet.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether condition `Ready` is `True`.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// Whether it has run to its end, well or not.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether its deletion was asked for.
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether it runs or may yet run.
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !is_terminating(pod)
}

/// Whether it has been ready for `min_ready_seconds` at `now`.
pub fn is_available(pod: &Pod, min_ready_seconds: i32, now: jiff::Timestamp) -> bool {
    let Some(ready) = condition(pod, "Ready").filter(|condition| condition.status == "True") else {
        return false;
    };
    if min_ready_seconds == 0 {
        return true;
    }
    let Some(since) = &ready.last_transition_time else { return false };
    now.duration_since(since.0) >= jiff::SignedDuration::from_secs(min_ready_seconds.into())
}
