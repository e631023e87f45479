//! How many pods each ReplicaSet of a Deployment has: fence posts and proportions. Facts:
//! `pkg/controller/deployment/{rolling,sync}.go`, `util/deployment_util.go`.

use super::revision::{DESIRED_REPLICAS, MAX_REPLICAS, annotation};
use crate::workloads::amounts::{Round, scaled};
use crate::workloads::replicaset;
use api::IntOrString;
use api::apps::v1::{Deployment, ReplicaSet};

/// What the spec of a Deployment says of amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The pods wanted.
    pub(super) replicas: i32,
    /// The pods that may be more for a while.
    pub(super) max_surge: i32,
    /// The pods that may be missing for a while.
    pub(super) max_unavailable: i32,
}

impl Limits {
    /// Of a Deployment. Where both fence posts come to 0, one pod may be missing, or nothing would ever move.
    pub(super) fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let strategy = spec.and_then(|spec| spec.strategy.as_ref());
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        if is_recreate(deployment) {
            return Self { replicas, max_surge: 0, max_unavailable: 0 };
        }
        let resolve = |amount: Option<&IntOrString>, round| {
            amount.and_then(|amount| scaled(amount, replicas, round)).unwrap_or_default()
        };
        let max_surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()), Round::Up);
        let mut max_unavailable =
            resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()), Round::Down);
        if max_surge == 0 && max_unavailable == 0 {
            max_unavailable = 1;
        }
        Self { replicas, max_surge, max_unavailable: max_unavailable.min(replicas) }
    }

    /// The most pods at any time.
    pub(super) fn most(self) -> i32 {
        self.replicas.saturating_add(self.max_surge)
    }

    /// The fewest available pods at any time.
    pub(super) fn fewest_available(self) -> i32 {
        self.replicas - self.max_unavailable
    }

    /// How large the new set may be, given its size and that of all sets together.
    pub(super) fn new_size(self, new: i32, all: i32) -> i32 {
        if all >= self.most() { new } else { new + (self.most() - all).min(self.replicas - new) }
    }
}

/// Whether all old pods go before the first new one comes.
pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// The change of one set's size when `to_add` pods (negative: to take away) are spread over all sets by size, of
/// which `added` are spread already.
pub(super) fn proportion(
    limits: Limits,
    set: &ReplicaSet,
    status_replicas: i32,
    to_add: i32,
    added: i32,
) -> i32 {
    let size = replicaset::replicas(set);
    if size == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(limits, set, size, status_replicas);
    let allowed = to_add - added;
    if to_add > 0 { fraction.min(allowed) } else { fraction.max(allowed) }
}

fn fraction(limits: Limits, set: &ReplicaSet, size: i32, status_replicas: i32) -> i32 {
    if limits.replicas == 0 {
        return -size;
    }
    let before = match replicas_annotation(set, MAX_REPLICAS) {
        Some(most) if most != 0 => most,
        _ => status_replicas,
    };
    if before == 0 {
        return 0;
    }
    // Rounded half away from zero, in whole numbers: all of them are positive.
    let (product, before) = (i64::from(size) * i64::from(limits.most()), i64::from(before));
    let rounded = (2 * product + before) / (2 * before);
    i32::try_from(rounded - i64::from(size)).unwrap_or_default()
}

/// The Deployment's size that a set was last scaled for.
pub(super) fn desired_replicas(set: &ReplicaSet) -> Option<i32> {
    replicas_annotation(set, DESIRED_REPLICAS)
}

fn replicas_annotation(set: &ReplicaSet, key: &str) -> Option<i32> {
    annotation(&set.metadata, key)?.parse().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deployment, set};
    use super::*;

    #[test]
    fn limits() {
        for (replicas, surge, unavailable, expected) in [
            (10, "25%", "25%", (13, 8)),
            (4, "1", "0", (5, 4)),
            (4, "0", "0", (4, 3)),
            (0, "25%", "25%", (0, 0)),
            (1, "25%", "25%", (2, 1)),
            (3, "0", "10", (3, 0)),
        ] {
            let limits = Limits::of(&deployment(replicas, surge, unavailable));
            assert_eq!(
                (limits.most(), limits.fewest_available()),
                expected,
                "{replicas} {surge} {unavailable}"
            );
        }
    }

    #[test]
    fn proportions() {
        // Of 10 + 3 pods, 8 in the old set and 5 in the new: scaled to 20, each grows by its share.
        let limits = Limits::of(&deployment(20, "30%", "20%"));
        let of = |size: i32, to_add, added| {
            let mut set = set("a", size, "web:1");
            set.metadata.annotations.get_or_insert_default().insert(MAX_REPLICAS.into(), "13".into());
            proportion(limits, &set, 13, to_add, added)
        };
        assert_eq!(of(8, 13, 0), 8);
        assert_eq!(of(5, 13, 8), 5);
        assert_eq!(of(5, 13, 10), 3);
        assert_eq!(of(0, 13, 0), 0);
        let none = Limits { replicas: 0, max_surge: 0, max_unavailable: 0 };
        assert_eq!(proportion(none, &set("a", 4, "web:1"), 4, -4, 0), -4);
    }
}
