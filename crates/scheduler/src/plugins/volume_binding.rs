//! Claims and where their volumes are or can be made: `pkg/scheduler/framework/plugins/volumebinding`.
//! In-tree volumes that a driver stands in for are not translated.

use crate::cluster::Cluster;
use crate::node::Node;
use crate::pod::Class;
use crate::status::{Plugin, Reason, Reasons, Status};
use crate::volumes::{Claim, Plan, Volume};
use std::sync::Arc;

const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const BIND_CONFLICT: &str = "node(s) didn't find available persistent volumes to bind";
const NOT_ENOUGH_SPACE: &str = "node(s) did not have enough free storage";
const NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
/// The provisioner of classes whose volumes are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The claims of a pod.
#[derive(Debug)]
pub struct Claims {
    bound: Vec<Arc<Claim>>,
    /// Those that wait for a pod, the smallest first.
    waiting: Vec<Arc<Claim>>,
}

impl Claims {
    /// Of a pod; nothing if it has none.
    ///
    /// # Errors
    /// If a claim is not there or not yet fit for use: no node will do then.
    pub fn new(cluster: &Cluster, class: &Class, uid: &str) -> Result<Option<Self>, Status> {
        if class.claims.is_empty() {
            return Ok(None);
        }
        let rejected = |text: String| Status::unresolvable_because(Plugin::VolumeBinding, text);
        let volumes = &cluster.volumes;
        let mut claims = Self { bound: Vec::new(), waiting: Vec::new() };
        let mut immediate = false;
        for used in &class.claims {
            let name = &used.name;
            let Some(claim) = volumes.claim(&class.namespace, name) else {
                let text = match used.ephemeral {
                    true => format!(
                        "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
                    ),
                    false => format!("persistentvolumeclaim \"{name}\" not found"),
                };
                return Err(rejected(text));
            };
            if claim.lost {
                let volume = &claim.volume;
                return Err(rejected(format!(
                    "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
                )));
            }
            if claim.terminating {
                return Err(rejected(format!("persistentvolumeclaim \"{name}\" is being deleted")));
            }
            if used.ephemeral && *claim.owner != *uid {
                return Err(rejected(format!(
                    "PVC {} was not created for pod {}/{} (pod is not owner)",
                    claim.key, class.namespace, name
                )));
            }
            if claim.bound {
                claims.bound.push(claim.clone());
            } else if volumes.class(&claim.class).and_then(|class| class.waits_for_consumer) == Some(true)
                && claim.volume.is_empty()
            {
                claims.waiting.push(claim.clone());
            } else {
                immediate = true;
            }
        }
        if immediate {
            return Err(rejected("pod has unbound immediate PersistentVolumeClaims".to_owned()));
        }
        claims.waiting.sort_by_key(|claim| claim.size);
        Ok(Some(claims))
    }

    /// What binding takes on a node.
    ///
    /// # Errors
    /// If the node will not do.
    pub fn filter(&self, cluster: &Cluster, node: &Node) -> Result<Plan, Status> {
        let mut reasons = Vec::new();
        for claim in &self.bound {
            match cluster.volumes.volume(&claim.volume) {
                None => {
                    reasons.push(NO_VOLUME);
                    break;
                }
                Some(volume) if !volume.is_reachable(node) => {
                    reasons.push(NODE_CONFLICT);
                    break;
                }
                Some(_) => {}
            }
        }
        let plan = match self.plan(cluster, node) {
            Ok(plan) => plan,
            Err(reason) => {
                // Told before a volume that is not there.
                let at = reasons.iter().position(|told| *told == NO_VOLUME).unwrap_or(reasons.len());
                reasons.insert(at, reason);
                Plan::default()
            }
        };
        match reasons.as_slice() {
            [] => Ok(plan),
            [reason] => Err(Status::unresolvable(Plugin::VolumeBinding, reason)),
            several => {
                let reasons = Reasons::Many(several.iter().map(|reason| Reason::Fixed(reason)).collect());
                Err(Status { plugin: Plugin::VolumeBinding, resolvable: false, reasons })
            }
        }
    }

    fn plan(&self, cluster: &Cluster, node: &Node) -> Result<Plan, &'static str> {
        let mut plan = Plan::default();
        for claim in &self.waiting {
            match cluster.volumes.selected_node(claim) {
                Some(selected) if selected != node.name => return Err(BIND_CONFLICT),
                Some(_) => plan.provision.push(claim.clone()),
                None => match find(cluster, claim, node, &plan) {
                    Some(volume) => plan.bind.push((volume, claim.clone())),
                    None => plan.provision.push(claim.clone()),
                },
            }
        }
        for claim in &plan.provision {
            let Some(class) = cluster.volumes.class(&claim.class) else { return Err(BIND_CONFLICT) };
            let made = !class.provisioner.is_empty() && *class.provisioner != *NO_PROVISIONER;
            if !made || !class.allows(&node.labels) {
                return Err(BIND_CONFLICT);
            }
            if !has_room(cluster, claim, &class.provisioner, node) {
                return Err(NOT_ENOUGH_SPACE);
            }
        }
        Ok(plan)
    }
}

/// The smallest volume that a claim can have on a node, and not one of the plan already; the one that is
/// already its own before all (`volume.FindMatchingVolume`).
fn find(cluster: &Cluster, claim: &Claim, node: &Node, plan: &Plan) -> Option<Arc<Volume>> {
    let fits = |volume: &Volume| {
        volume.capacity >= claim.size.unwrap_or_default()
            && volume.mode == claim.mode
            && volume.attributes_class == claim.attributes_class
            && !volume.terminating
    };
    let is_free = |volume: &Volume| {
        volume.available
            && claim.selector.as_ref().is_none_or(|selector| selector.matches(&volume.labels))
            && volume.is_reachable(node)
            && claim.access_modes.iter().all(|mode| volume.access_modes.contains(mode))
    };
    let mut best: Option<&Arc<Volume>> = None;
    for volume in cluster.volumes.volumes_of(&claim.class) {
        if plan.bind.iter().any(|(taken, _)| taken.name == volume.name) || !fits(volume) {
            continue;
        }
        match cluster.volumes.claim_of(volume) {
            Some(key) if key == claim.key => {
                let other =
                    volume.claim.as_ref().is_some_and(|(_, uid)| !uid.is_empty() && *uid != claim.uid);
                if !other {
                    return volume.is_reachable(node).then(|| volume.clone());
                }
            }
            Some(_) => {}
            // By name too, so that the same cluster gives the same answer.
            None if is_free(volume)
                && best.is_none_or(|best| (volume.capacity, &volume.name) < (best.capacity, &best.name)) =>
            {
                best = Some(volume);
            }
            None => {}
        }
    }
    best.cloned()
}

/// Whether there is room for a claim's volume, if the driver says (KEP-1472).
fn has_room(cluster: &Cluster, claim: &Claim, provisioner: &str, node: &Node) -> bool {
    let Some(size) = claim.size else { return true };
    if !cluster.volumes.driver(provisioner).is_some_and(|driver| driver.tells_capacity) {
        return true;
    }
    let mut capacities = cluster.volumes.capacities(&claim.class);
    capacities.any(|room| room.limit.is_some_and(|limit| limit >= size) && room.nodes.matches(&node.labels))
}
