//! How long a Job waits before it replaces failed pods: 10 s, twice as long each time, 10 min at most, anew
//! after each success. Facts: `pkg/controller/job/backoff_utils.go`.

use api::core::v1::{ContainerStatus, Pod};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(600);

/// The failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    pub(super) failures: i32,
    pub(super) last: Option<Timestamp>,
}

impl Backoff {
    /// After pods succeeded and failed.
    pub(super) fn after(self, succeeded: &[Arc<Pod>], failed: &[Arc<Pod>]) -> Self {
        let last_success = succeeded.iter().map(|pod| finished(pod)).max();
        let mut failures: Vec<Timestamp> = failed.iter().map(|pod| finished(pod)).collect();
        let before = if let Some(success) = last_success {
            failures.retain(|failure| *failure > success);
            Self::default()
        } else {
            self
        };
        let count = i32::try_from(failures.len()).unwrap_or(i32::MAX);
        Self {
            failures: before.failures.saturating_add(count),
            last: failures.into_iter().max().or(before.last),
        }
    }

    /// How long to wait still.
    pub(super) fn left(self, now: Timestamp) -> Duration {
        let Some(last) = self.last.filter(|_| self.failures > 0) else { return Duration::ZERO };
        let doublings = u32::try_from(self.failures - 1).unwrap_or_default().min(10);
        let wait = (FIRST * 2u32.pow(doublings)).min(MOST);
        let passed = now.duration_since(last);
        let left = SignedDuration::try_from(wait).unwrap_or_default() - passed;
        if left.is_positive() { left.unsigned_abs() } else { Duration::ZERO }
    }
}

/// When a pod finished: by its containers, else as well as can be told.
pub(super) fn finished(pod: &Pod) -> Timestamp {
    let meta = &pod.metadata;
    by_containers(pod)
        .or_else(|| {
            let ready = api::pods::condition(pod, "Ready").filter(|condition| condition.status == "False")?;
            ready.last_transition_time.as_ref().map(|time| time.0)
        })
        .or_else(|| {
            let grace = SignedDuration::from_secs(meta.deletion_grace_period_seconds.unwrap_or_default());
            meta.deletion_timestamp.as_ref().and_then(|time| time.0.checked_sub(grace).ok())
        })
        .or_else(|| meta.creation_timestamp.as_ref().map(|time| time.0))
        .unwrap_or_default()
}

/// The last end of a container or sidecar, if all have ended.
fn by_containers(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let is_sidecar = |status: &&ContainerStatus| {
        pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten()).any(|container| {
            container.name == status.name && container.restart_policy.as_deref() == Some("Always")
        })
    };
    let sidecars = status.init_container_statuses.iter().flatten().filter(is_sidecar);
    let ends: Option<Vec<Timestamp>> = status
        .container_statuses
        .iter()
        .flatten()
        .chain(sidecars)
        .map(|status| status.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref().map(|time| time.0))
        .collect();
    ends?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{at, pod};
    use super::*;

    fn ended(second: i64) -> Arc<Pod> {
        pod("p").phase("Failed").condition("Ready", "False", at(second)).build()
    }

    #[test]
    fn waits_double() {
        let mut waits = Vec::new();
        for failures in 0..9 {
            waits.push(Backoff { failures, last: Some(at(0)) }.left(at(0)).as_secs());
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(Backoff { failures: 2, last: Some(at(0)) }.left(at(15)).as_secs(), 5);
        assert_eq!(Backoff { failures: 2, last: Some(at(0)) }.left(at(25)).as_secs(), 0);
    }

    #[test]
    fn a_success_forgives_what_was_before_it() {
        let none = Backoff::default();
        let three = none.after(&[], &[ended(1), ended(9), ended(5)]);
        assert_eq!(three, Backoff { failures: 3, last: Some(at(9)) });
        assert_eq!(three.after(&[], &[]), three);
        assert_eq!(three.after(&[], &[ended(20)]), Backoff { failures: 4, last: Some(at(20)) });
        assert_eq!(three.after(&[ended(30)], &[]), none);
        let mixed = three.after(&[ended(30)], &[ended(20), ended(40)]);
        assert_eq!(mixed, Backoff { failures: 1, last: Some(at(40)) });
    }
}
