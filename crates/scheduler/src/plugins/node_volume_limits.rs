//! How many volumes a driver can attach to a node: `pkg/scheduler/framework/plugins/nodevolumelimits`.

use crate::cluster::{Cluster, Slot};
use crate::pod::Class;
use crate::status::{Plugin, Status};
use std::collections::{BTreeMap, BTreeSet};

const EXCEEDED: Status = Status::unschedulable(Plugin::NodeVolumeLimits, "node(s) exceed max volume count");

/// Volumes by driver, each by a name of its own.
type ByDriver = BTreeMap<Box<str>, BTreeSet<Box<str>>>;

/// Whether a node takes a pod.
pub fn filter(cluster: &Cluster, class: &Class, slot: &Slot) -> Option<Status> {
    if class.claims.is_empty() {
        return None;
    }
    let csi_node = cluster.volumes.csi_node(&slot.name)?;
    if csi_node.drivers.iter().all(|(_, limit)| limit.is_none()) {
        return None;
    }
    let mut new = ByDriver::new();
    if let Err(status) = collect(cluster, class, true, &mut new) {
        return Some(status);
    }
    let mut attached = ByDriver::new();
    for pod in &slot.pods {
        // What a pod there uses and is not known, counts for nothing.
        collect(cluster, &pod.class, false, &mut attached).ok()?;
    }
    for attachment in cluster.volumes.attachments(&slot.name) {
        if let Some((driver, handle)) =
            cluster.volumes.volume(&attachment.volume).and_then(|v| v.csi.as_ref())
        {
            attached.entry(driver.clone()).or_default().insert(handle.clone());
        }
    }
    for (driver, volumes) in &new {
        let Some(limit) = csi_node.limit(driver) else { continue };
        let there = attached.get(driver);
        let more =
            volumes.iter().filter(|volume| !there.is_some_and(|there| there.contains(*volume))).count();
        if more > 0 && there.map_or(0, BTreeSet::len) + more > usize::try_from(limit).unwrap_or_default() {
            return Some(EXCEEDED);
        }
    }
    None
}

/// The volumes of a pod; those that are to be made go by the names of their claims.
fn collect(cluster: &Cluster, class: &Class, new: bool, into: &mut ByDriver) -> Result<(), Status> {
    for used in &class.claims {
        let Some(claim) = cluster.volumes.claim(&class.namespace, &used.name) else {
            if new {
                let text = format!(
                    "looking up PVC {}/{}: persistentvolumeclaim \"{}\" not found",
                    class.namespace, used.name, used.name
                );
                return Err(Status::unresolvable_because(Plugin::NodeVolumeLimits, text));
            }
            continue;
        };
        let (driver, volume) = match cluster.volumes.volume(&claim.volume) {
            Some(volume) => match &volume.csi {
                Some((driver, handle)) => (driver.clone(), handle.clone()),
                None => continue,
            },
            None => match cluster.volumes.class(&claim.class) {
                Some(class) => (class.provisioner.clone(), claim.key.to_string().into()),
                None => continue,
            },
        };
        into.entry(driver).or_default().insert(volume);
    }
    Ok(())
}
