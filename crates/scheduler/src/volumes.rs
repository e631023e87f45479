//! Claims, volumes and what they are made by, as placing pods needs them, with what was decided here and is not
//! written yet. Upstream: `pkg/scheduler/framework/plugins/volumebinding/{binder,passive_assume_cache}.go`.

mod objects;

pub use objects::{Attachment, Capacity, Claim, CsiDriver, CsiNode, StorageClass, Topology, Volume};

use crate::pod::Class;
use api::Key;
use std::collections::HashMap;
use std::sync::Arc;

/// Everything about volumes.
#[derive(Debug, Default)]
pub struct Volumes {
    claims: HashMap<Key, Arc<Claim>>,
    volumes: HashMap<Box<str>, Arc<Volume>>,
    classes: HashMap<Box<str>, StorageClass>,
    csi_nodes: HashMap<Box<str>, CsiNode>,
    drivers: HashMap<Box<str>, CsiDriver>,
    capacities: HashMap<Key, Capacity>,
    attachments: HashMap<Box<str>, Attachment>,
    /// How many pods on nodes use a claim.
    used: HashMap<Key, usize>,
    /// Claims whose node was chosen, and volumes whose claim was: not written yet, or not seen yet.
    chosen_nodes: HashMap<Key, Arc<str>>,
    chosen_claims: HashMap<Box<str>, Key>,
}

/// What binding a pod's volumes takes: decided for one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Volumes that are there, with the claims that get them.
    pub bind: Vec<(Arc<Volume>, Arc<Claim>)>,
    /// Claims for which a volume is made where the pod goes.
    pub provision: Vec<Arc<Claim>>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }
}

impl Volumes {
    /// A claim by namespace and name.
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&Arc<Claim>> {
        self.claims.get(&Key::new(namespace, name))
    }

    /// A volume.
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.volumes.get(name)
    }

    /// Volumes of a class.
    pub fn volumes_of(&self, class: &str) -> impl Iterator<Item = &Arc<Volume>> {
        self.volumes.values().filter(move |volume| *volume.class == *class)
    }

    /// The claim that a volume is bound to, or will be by a decision made here.
    pub fn claim_of(&self, volume: &Volume) -> Option<Key> {
        self.chosen_claims.get(&volume.name).or(volume.claim.as_ref().map(|(key, _)| key)).cloned()
    }

    /// The node that a claim's volume is made for, or will be by a decision made here.
    pub fn selected_node(&self, claim: &Claim) -> Option<Arc<str>> {
        self.chosen_nodes.get(&claim.key).or(claim.selected_node.as_ref()).cloned()
    }

    /// Whether the node that was chosen for a claim here is not seen there yet.
    pub fn is_node_pending(&self, claim: &Key) -> bool {
        self.chosen_nodes.contains_key(claim)
    }

    /// Whether the claim that was chosen for a volume here is not seen there yet.
    pub fn is_claim_pending(&self, volume: &str) -> bool {
        self.chosen_claims.contains_key(volume)
    }

    /// A storage class.
    pub fn class(&self, name: &str) -> Option<&StorageClass> {
        self.classes.get(name)
    }

    /// What drivers a node has.
    pub fn csi_node(&self, name: &str) -> Option<&CsiNode> {
        self.csi_nodes.get(name)
    }

    /// A driver.
    pub fn driver(&self, name: &str) -> Option<&CsiDriver> {
        self.drivers.get(name)
    }

    /// Room for volumes of a class.
    pub fn capacities(&self, class: &str) -> impl Iterator<Item = &Capacity> {
        self.capacities.values().filter(move |capacity| *capacity.class == *class)
    }

    /// What is attached to a node.
    pub fn attachments(&self, node: &str) -> impl Iterator<Item = &Attachment> {
        self.attachments.values().filter(move |attachment| *attachment.node == *node)
    }

    /// Whether pods on nodes use a claim.
    pub fn is_used(&self, namespace: &str, name: &str) -> bool {
        self.used.contains_key(&Key::new(namespace, name))
    }

    /// Takes over a claim; its former state.
    pub fn set_claim(&mut self, key: &Key, claim: Option<Claim>) -> Option<Arc<Claim>> {
        // What was decided here is written once it is seen, or was given up by someone else.
        if claim.as_ref().is_none_or(|claim| claim.selected_node.is_some()) {
            self.chosen_nodes.remove(key);
        }
        replace(&mut self.claims, key.clone(), claim.map(Arc::new))
    }

    /// Takes over a volume; its former state.
    pub fn set_volume(&mut self, name: &str, volume: Option<Volume>) -> Option<Arc<Volume>> {
        if volume.as_ref().is_none_or(|volume| volume.claim.is_some()) {
            self.chosen_claims.remove(name);
        }
        replace(&mut self.volumes, name.into(), volume.map(Arc::new))
    }

    /// Takes over a storage class; its former state.
    pub fn set_class(&mut self, name: &str, class: Option<StorageClass>) -> Option<StorageClass> {
        replace(&mut self.classes, name.into(), class)
    }

    /// Takes over what drivers a node has; the former state.
    pub fn set_csi_node(&mut self, name: &str, node: Option<CsiNode>) -> Option<CsiNode> {
        replace(&mut self.csi_nodes, name.into(), node)
    }

    /// Takes over a driver; its former state.
    pub fn set_driver(&mut self, name: &str, driver: Option<CsiDriver>) -> Option<CsiDriver> {
        replace(&mut self.drivers, name.into(), driver)
    }

    /// Takes over room for volumes; the former state.
    pub fn set_capacity(&mut self, key: &Key, capacity: Option<Capacity>) -> Option<Capacity> {
        replace(&mut self.capacities, key.clone(), capacity)
    }

    /// Takes over an attachment; its former state.
    pub fn set_attachment(&mut self, name: &str, attachment: Option<Attachment>) -> Option<Attachment> {
        replace(&mut self.attachments, name.into(), attachment)
    }

    /// Counts as done what will be written.
    pub fn assume(&mut self, plan: &Plan, node: &Arc<str>) {
        for (volume, claim) in &plan.bind {
            self.chosen_claims.insert(volume.name.clone(), claim.key.clone());
        }
        for claim in &plan.provision {
            self.chosen_nodes.insert(claim.key.clone(), node.clone());
        }
    }

    /// It was not written.
    pub fn forget(&mut self, plan: &Plan) {
        for (volume, _) in &plan.bind {
            self.chosen_claims.remove(&volume.name);
        }
        for claim in &plan.provision {
            self.chosen_nodes.remove(&claim.key);
        }
    }

    /// Counts a pod's claims as used (`sign` 1) or no more.
    pub(crate) fn count_claims(&mut self, class: &Class, sign: isize) {
        for claim in class.claims.iter().filter(|claim| !claim.ephemeral) {
            let key = Key::new(&*class.namespace, &*claim.name);
            let uses = self.used.entry(key.clone()).or_default();
            *uses = uses.saturating_add_signed(sign);
            if *uses == 0 {
                self.used.remove(&key);
            }
        }
    }
}

fn replace<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}
