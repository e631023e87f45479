//! Whether something that happened may help a pod that no node took: upstream's queueing hints (KEP-4247), which
//! are the `EventsToRegister` of each plugin.

use crate::cluster::Cluster;
use crate::node::Node;
use crate::placement::Checks;
use crate::plugins::node_resources_fit::Asked;
use crate::pod::{Class, Pod, SpreadConstraint, Term};
use crate::profile::Profile;
use crate::resources::Resources;
use crate::status::{Plugin, PluginSet};
use crate::volumes::{Capacity, Claim, CsiNode, StorageClass, Volume};
use std::sync::Arc;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A node came.
    NodeAdded(&'a Node),
    /// A node changed.
    NodeUpdated(&'a Node, &'a Node),
    /// A node went.
    NodeDeleted(&'a Node),
    /// A pod got a node.
    PodAssigned(&'a Pod),
    /// A pod with a node changed.
    PodUpdated(&'a Pod, &'a Pod),
    /// A pod with a node went, or one to which a node was promised.
    PodDeleted(&'a Pod),
    /// A claim came or changed.
    Claim(Option<&'a Claim>, &'a Claim),
    /// A volume came or changed.
    Volume(Option<&'a Volume>, &'a Volume),
    /// A storage class came or changed.
    StorageClass(Option<&'a StorageClass>, &'a StorageClass),
    /// The drivers of a node came or changed.
    CsiNode(Option<&'a CsiNode>, &'a CsiNode),
    /// A driver does not say any more how much room there is.
    CsiDriver,
    /// Room for volumes came or changed.
    Capacity(Option<&'a Capacity>, &'a Capacity),
    /// A volume was detached.
    AttachmentDeleted,
}

impl Event<'_> {
    /// The plugins whose rejections it may undo.
    pub fn interested(&self) -> PluginSet {
        use Plugin as P;
        const NODE_ADDED: PluginSet = PluginSet::of(&[
            P::NodeUnschedulable,
            P::TaintToleration,
            P::NodeAffinity,
            P::NodePorts,
            P::NodeResourcesFit,
            P::VolumeRestrictions,
            P::VolumeBinding,
            P::VolumeZone,
            P::PodTopologySpread,
            P::InterPodAffinity,
        ]);
        const PODS: PluginSet = PluginSet::of(&[P::PodTopologySpread, P::InterPodAffinity]);
        const POD_UPDATED: PluginSet =
            PluginSet::of(&[P::NodeResourcesFit, P::PodTopologySpread, P::InterPodAffinity]);
        const POD_DELETED: PluginSet = PluginSet::of(&[
            P::NodePorts,
            P::NodeResourcesFit,
            P::VolumeRestrictions,
            P::NodeVolumeLimits,
            P::PodTopologySpread,
            P::InterPodAffinity,
        ]);
        const CLAIM: PluginSet =
            PluginSet::of(&[P::VolumeRestrictions, P::NodeVolumeLimits, P::VolumeBinding, P::VolumeZone]);
        const VOLUME: PluginSet = PluginSet::of(&[P::VolumeBinding, P::VolumeZone]);
        match self {
            Self::NodeAdded(_) | Self::NodeUpdated(..) => NODE_ADDED,
            Self::NodeDeleted(_) => PluginSet::of(&[P::PodTopologySpread]),
            Self::PodAssigned(_) => PODS,
            Self::PodUpdated(..) => POD_UPDATED,
            Self::PodDeleted(_) => POD_DELETED,
            Self::Claim(..) => CLAIM,
            Self::Volume(..) | Self::StorageClass(..) => VOLUME,
            Self::CsiNode(..) => PluginSet::of(&[P::NodeVolumeLimits, P::VolumeBinding]),
            Self::CsiDriver | Self::Capacity(..) => PluginSet::of(&[P::VolumeBinding]),
            Self::AttachmentDeleted => PluginSet::of(&[P::NodeVolumeLimits]),
        }
    }

    /// Whether it may help a pod that some plugins rejected; `promised` is the node that it is nominated to.
    pub fn helps(
        &self,
        cluster: &mut Cluster,
        profile: &Profile,
        pod: &Pod,
        promised: Option<&Arc<str>>,
        rejectors: PluginSet,
    ) -> bool {
        // Who was evicted for it has gone: if somebody else took the place, it has to look anew.
        if let (Self::PodDeleted(gone), Some(promised)) = (self, promised)
            && gone.node == *promised
        {
            return true;
        }
        let mut asked = rejectors.iter().filter(|plugin| self.interested().has(*plugin));
        asked.any(|plugin| self.undoes(cluster, profile, pod, plugin))
    }

    /// Whether it may undo a plugin's rejection of a pod.
    fn undoes(&self, cluster: &mut Cluster, profile: &Profile, pod: &Pod, plugin: Plugin) -> bool {
        let class = &*pod.class;
        match plugin {
            Plugin::NodeUnschedulable => self.schedulable_now(),
            Plugin::TaintToleration => self.accepted_now(class, PluginSet::of(&[Plugin::TaintToleration])),
            Plugin::NodeAffinity => self.accepted_now(class, PluginSet::of(&[Plugin::NodeAffinity])),
            Plugin::NodeResourcesFit => self.fits_now(cluster, profile, class),
            Plugin::NodePorts => match self {
                Self::NodeAdded(_) => true,
                Self::PodDeleted(gone) => gone
                    .class
                    .ports
                    .iter()
                    .any(|freed| class.ports.iter().any(|wanted| wanted.conflicts(freed))),
                _ => false,
            },
            Plugin::PodTopologySpread => self.spreads_now(cluster, profile, class),
            Plugin::InterPodAffinity => self.agrees_now(cluster, class),
            Plugin::VolumeRestrictions => self.unrestricted_now(class),
            Plugin::NodeVolumeLimits => match self {
                Self::PodDeleted(gone) => !gone.class.claims.is_empty(),
                Self::Claim(None, claim) => uses(class, claim),
                Self::CsiNode(old, new) => raises_limit(*old, new),
                Self::AttachmentDeleted => !class.claims.is_empty(),
                _ => false,
            },
            Plugin::VolumeBinding => match self {
                Self::NodeAdded(_) | Self::Volume(..) | Self::CsiDriver => true,
                Self::NodeUpdated(old, new) => old.labels != new.labels,
                Self::Claim(_, claim) => uses(class, claim),
                Self::StorageClass(old, new) => old.is_none_or(|old| old.topologies != new.topologies),
                Self::CsiNode(old, new) => old.is_none_or(|old| old.migrated != new.migrated),
                Self::Capacity(old, new) => old.is_none_or(|old| new.limit > old.limit),
                _ => false,
            },
            Plugin::VolumeZone => match self {
                Self::NodeAdded(_) => true,
                Self::NodeUpdated(old, new) => old.labels != new.labels,
                Self::Claim(_, claim) => uses(class, claim),
                Self::Volume(old, new) => old.is_none_or(|old| old.labels != new.labels),
                Self::StorageClass(None, new) => new.waits_for_consumer == Some(true),
                _ => false,
            },
            _ => false,
        }
    }

    fn schedulable_now(&self) -> bool {
        match self {
            Self::NodeAdded(node) => !node.unschedulable,
            Self::NodeUpdated(old, new) => old.unschedulable && !new.unschedulable,
            _ => false,
        }
    }

    /// Whether a node passes checks that it did not pass before.
    fn accepted_now(&self, class: &Class, plugins: PluginSet) -> bool {
        let checks = Checks::new(plugins);
        let accepts = |node: &Node| class.placement.facts(node).rejection(checks).is_none();
        match self {
            Self::NodeAdded(node) => accepts(node),
            Self::NodeUpdated(old, new) => accepts(new) && !accepts(old),
            _ => false,
        }
    }

    fn fits_now(&self, cluster: &Cluster, profile: &Profile, class: &Class) -> bool {
        let asked = &class.requests.total;
        let filter = || Asked::new(asked, &profile.ignored_resources);
        match self {
            Self::NodeAdded(node) => filter().fits_empty(node),
            Self::NodeUpdated(old, new) => {
                let (had, has) = (&old.allocatable, &new.allocatable);
                had != has
                    && (has.pods > had.pods || any_asked_exceeds(asked, has, had))
                    && filter().fits_empty(new)
            }
            Self::PodUpdated(old, new) => {
                any_asked_exceeds(asked, &old.class.requests.total, &new.class.requests.total)
            }
            // Upstream tries all pods then; but if it does not fit where it has become emptier, it fits nowhere.
            Self::PodDeleted(gone) => {
                let node = cluster.find(&gone.node);
                node.is_none_or(|node| filter().filter(cluster.slot(node)).is_none())
            }
            _ => false,
        }
    }

    fn spreads_now(&self, cluster: &mut Cluster, profile: &Profile, class: &Class) -> bool {
        let constraints = crate::plugins::pod_topology_spread::hard_constraints(cluster, class, profile);
        let has_labels = |node: &Node| {
            constraints.iter().all(|constraint| node.labels.get(&constraint.topology_key).is_some())
        };
        let selects = |pod: &Pod| {
            let selects = |constraint: &SpreadConstraint| constraint.selector.matches(&pod.class.labels);
            pod.class.namespace == class.namespace && constraints.iter().any(selects)
        };
        match self {
            Self::NodeAdded(node) | Self::NodeDeleted(node) => has_labels(node),
            Self::NodeUpdated(old, new) => {
                let moved = |constraint: &SpreadConstraint| {
                    old.labels.get(&constraint.topology_key) != new.labels.get(&constraint.topology_key)
                };
                has_labels(old) != has_labels(new)
                    || (has_labels(new) && (old.taints != new.taints || constraints.iter().any(moved)))
            }
            Self::PodAssigned(pod) | Self::PodDeleted(pod) => selects(pod),
            Self::PodUpdated(old, new) => {
                let differs = |constraint: &SpreadConstraint| {
                    constraint.selector.matches(&old.class.labels)
                        != constraint.selector.matches(&new.class.labels)
                };
                // A pod that is being deleted does not count any more.
                (new.class.namespace == class.namespace && constraints.iter().any(differs))
                    || (new.terminating && !old.terminating && selects(new))
            }
            _ => false,
        }
    }

    fn agrees_now(&self, cluster: &Cluster, class: &Class) -> bool {
        let nothing = Default::default();
        let own = class.affinity.as_deref().unwrap_or(&nothing);
        let all_about = |terms: &[Term], pod: &Pod| {
            let namespace = cluster.namespace(&pod.class.namespace);
            !terms.is_empty() && terms.iter().all(|term| term.scope.has(&pod.class, namespace))
        };
        let any_about = |terms: &[Term], pod: &Pod| {
            let namespace = cluster.namespace(&pod.class.namespace);
            terms.iter().any(|term| term.scope.has(&pod.class, namespace))
        };
        match self {
            Self::PodAssigned(pod) => all_about(&own.required, pod),
            Self::PodUpdated(old, new) => {
                (!all_about(&own.required, old) && all_about(&own.required, new))
                    || (any_about(&own.required_anti, old) && !any_about(&own.required_anti, new))
            }
            Self::PodDeleted(gone) => {
                let theirs = gone.class.affinity.as_deref().map(|affinity| &*affinity.required_anti);
                let namespace = cluster.namespace(&class.namespace);
                any_about(&own.required_anti, gone)
                    || theirs.unwrap_or_default().iter().any(|term| term.scope.has(class, namespace))
                    // The last of those that it wants to be near may be gone: then it may be the first.
                    || all_about(&own.required, gone)
            }
            Self::NodeAdded(node) => {
                !own.required_anti.is_empty()
                    || own.required.iter().any(|term| node.labels.get(&term.topology_key).is_some())
                    // A node without the topology of others' terms takes it.
                    || own.required.is_empty()
            }
            Self::NodeUpdated(old, new) => {
                let moved =
                    |term: &Term| old.labels.get(&term.topology_key) != new.labels.get(&term.topology_key);
                old.labels != new.labels
                    && (own.required.iter().chain(&own.required_anti).any(moved) || own.required.is_empty())
            }
            _ => false,
        }
    }

    fn unrestricted_now(&self, class: &Class) -> bool {
        match self {
            Self::NodeAdded(_) => true,
            Self::Claim(None, claim) => uses(class, claim),
            Self::PodDeleted(gone) => {
                let disks = &gone.class.disks;
                let claims = gone.class.claims.iter().filter(|claim| !claim.ephemeral);
                disks.iter().any(|freed| class.disks.iter().any(|wanted| wanted.conflicts(freed)))
                    || (gone.class.namespace == class.namespace
                        && claims.clone().any(|freed| class.claims.contains(freed)))
            }
            _ => false,
        }
    }
}

/// Whether a pod's own change may help it.
pub fn own_change_helps(rejectors: PluginSet, old: &Pod, new: &Pod) -> bool {
    let (before, now) = (&*old.class, &*new.class);
    let relabelled = before.labels != now.labels;
    let tolerates = before.placement != now.placement;
    rejectors.iter().any(|plugin| match plugin {
        Plugin::SchedulingGates => now.gates.is_empty(),
        Plugin::NodeUnschedulable => tolerates && now.placement.tolerates_unschedulable(),
        // A gated pod may yet change where it wants to go (KEP-3838).
        Plugin::TaintToleration | Plugin::NodeAffinity => tolerates,
        Plugin::NodeResourcesFit => {
            any_asked_exceeds(&before.requests.total, &before.requests.total, &now.requests.total)
        }
        Plugin::PodTopologySpread => relabelled || tolerates,
        Plugin::InterPodAffinity => relabelled,
        _ => false,
    })
}

/// Whether there is more of something that is asked for.
fn any_asked_exceeds(asked: &Resources, more: &Resources, less: &Resources) -> bool {
    (asked.milli_cpu > 0 && more.milli_cpu > less.milli_cpu)
        || (asked.memory > 0 && more.memory > less.memory)
        || (asked.ephemeral_storage > 0 && more.ephemeral_storage > less.ephemeral_storage)
        || asked.scalars.iter().any(|(name, amount)| *amount > 0 && more.scalar(name) > less.scalar(name))
}

fn uses(class: &Class, claim: &Claim) -> bool {
    *claim.key.namespace == *class.namespace && class.claims.iter().any(|used| *used.name == *claim.key.name)
}

fn raises_limit(old: Option<&CsiNode>, new: &CsiNode) -> bool {
    let Some(old) = old else { return true };
    new.drivers.iter().any(|(driver, limit)| {
        let before = old.drivers.iter().find(|(name, _)| name == driver).and_then(|(_, limit)| *limit);
        limit.unwrap_or_default() > before.unwrap_or_default()
    })
}
