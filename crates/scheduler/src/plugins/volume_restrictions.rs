//! Disks that one node mounts at a time and claims that one pod uses at a time:
//! `pkg/scheduler/framework/plugins/volumerestrictions`.

use crate::cluster::{Cluster, Slot};
use crate::pod::{Class, Pod};
use crate::status::{Plugin, Status};

const DISK: Status = Status::unschedulable(Plugin::VolumeRestrictions, "node(s) had no available disk");
const IN_USE: Status = Status::unschedulable(
    Plugin::VolumeRestrictions,
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
);

/// The claims of a pod that no other may use, as the pods stand.
#[derive(Debug, Default)]
pub struct Exclusive {
    claims: Vec<Box<str>>,
    /// How many of them other pods use.
    used: i64,
}

impl Exclusive {
    /// Of a pod.
    pub fn new(cluster: &Cluster, class: &Class) -> Result<Self, Status> {
        let mut exclusive = Self::default();
        for claim in class.claims.iter().filter(|claim| !claim.ephemeral) {
            let Some(known) = cluster.volumes.claim(&class.namespace, &claim.name) else {
                let text = format!("persistentvolumeclaim \"{}\" not found", claim.name);
                return Err(Status::unresolvable_because(Plugin::VolumeRestrictions, text));
            };
            if known.read_write_once_pod && !exclusive.claims.contains(&claim.name) {
                exclusive.claims.push(claim.name.clone());
                exclusive.used += i64::from(cluster.volumes.is_used(&class.namespace, &claim.name));
            }
        }
        Ok(exclusive)
    }

    /// By how much fewer (or more) such uses there are if a pod comes (`sign` 1) or goes.
    pub fn change(&self, class: &Class, pod: &Pod, sign: i64) -> i64 {
        if class.namespace != pod.class.namespace {
            return 0;
        }
        let uses =
            pod.class.claims.iter().filter(|claim| !claim.ephemeral && self.claims.contains(&claim.name));
        sign * uses.count() as i64
    }

    /// Whether a node takes the pod.
    pub fn filter(&self, class: &Class, slot: &Slot, delta: i64) -> Option<Status> {
        let conflicts = |pod: &Pod| {
            pod.class.disks.iter().any(|theirs| class.disks.iter().any(|ours| ours.conflicts(theirs)))
        };
        if !class.disks.is_empty() && slot.pods.iter().any(|pod| conflicts(pod)) {
            return Some(DISK);
        }
        (self.used + delta > 0).then_some(IN_USE)
    }
}
