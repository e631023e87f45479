//! Volumes that say by labels in which zone they are: `pkg/scheduler/framework/plugins/volumezone`.

use crate::cluster::Cluster;
use crate::node::Node;
use crate::pod::Class;
use crate::status::{Plugin, Status};

const CONFLICT: Status = Status::unresolvable(Plugin::VolumeZone, "node(s) had no available volume zone");

/// The labels, each with the one that took its place.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// Where the volumes of a pod are: labels, and the values of which a node must have one.
#[derive(Debug)]
pub struct Zones(Vec<(&'static str, &'static str, Vec<Box<str>>)>);

impl Zones {
    /// Of a pod; nothing if no volume says.
    ///
    /// # Errors
    /// If a claim or its volume is not there: no node will do then.
    pub fn new(cluster: &Cluster, class: &Class) -> Result<Option<Self>, Status> {
        let rejected = |text: String| Status::unresolvable_because(Plugin::VolumeZone, text);
        let mut zones = Vec::new();
        for used in class.claims.iter().filter(|claim| !claim.ephemeral) {
            let Some(claim) = cluster.volumes.claim(&class.namespace, &used.name) else {
                return Err(rejected(format!("persistentvolumeclaim \"{}\" not found", used.name)));
            };
            if claim.volume.is_empty() {
                if claim.class.is_empty() {
                    return Err(rejected(
                        "PersistentVolumeClaim had no pv name and storageClass name".to_owned(),
                    ));
                }
                match cluster.volumes.class(&claim.class).map(|class| class.waits_for_consumer) {
                    Some(Some(true)) => continue,
                    Some(Some(false)) => return Err(rejected("PersistentVolume had no name".to_owned())),
                    Some(None) => {
                        let text = format!("VolumeBindingMode not set for StorageClass \"{}\"", claim.class);
                        return Err(rejected(text));
                    }
                    None => {
                        let text = format!("storageclass.storage.k8s.io \"{}\" not found", claim.class);
                        return Err(rejected(text));
                    }
                }
            }
            let Some(volume) = cluster.volumes.volume(&claim.volume) else {
                return Err(rejected(format!("persistentvolume \"{}\" not found", claim.volume)));
            };
            for (label, new) in LABELS {
                if let Some(value) = volume.labels.get(label) {
                    zones.push((label, new, value.split("__").map(|zone| zone.trim().into()).collect()));
                }
            }
        }
        Ok((!zones.is_empty()).then_some(Self(zones)))
    }

    /// Whether a node takes the pod. Nodes that say nothing take all.
    pub fn filter(&self, node: &Node) -> Option<Status> {
        if LABELS.iter().all(|(label, _)| node.labels.get(label).is_none()) {
            return None;
        }
        let there = |(label, new, values): &(&str, &str, Vec<Box<str>>)| {
            let zone = node.labels.get(label).or_else(|| node.labels.get(new));
            zone.is_some_and(|zone| values.iter().any(|value| **value == *zone))
        };
        (!self.0.iter().all(there)).then_some(CONFLICT)
    }
}
