//! The cluster as decisions see it: nodes, the pods on them (bound, or assumed to be bound soon), and what is
//! counted along so that a decision need not look at every pod.
//!
//! It has one owner, who changes it between decisions and never during one. So there is no lock and no
//! snapshot to copy: upstream's `cache.UpdateSnapshot` has no counterpart here. Upstream:
//! `pkg/scheduler/backend/cache`.

mod domains;
mod held;
mod images;
mod memo;
mod order;
mod owners;
mod tally;

pub use domains::{Domains, NO_DOMAIN};
pub use held::{HeldTerm, TermKind};
pub use owners::{Controller, Owners};
pub use tally::{Counted, Tally};

use crate::labels::Labels;
use crate::node::Node;
use crate::placement::{Facts, Placement};
use crate::pod::{Class, HostPort, Pod};
use crate::resources::Resources;
use crate::volumes::Volumes;
use held::HeldTerms;
use images::Images;
use memo::Memo;
use order::Order;
use std::collections::HashMap;
use std::sync::Arc;
use tally::Tallies;

/// The place of a node in the table; it is given anew after the node is gone.
pub type NodeId = u32;

/// Placements whose answers are kept: one table of all nodes each.
const PLACEMENTS_MAX: usize = 256;
/// Topology keys whose domains are kept: few are in use anywhere.
const TOPOLOGIES_MAX: usize = 64;

/// A node and what runs on it.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// The name.
    pub name: Arc<str>,
    /// The node; absent if pods are bound to a name of which no node is known.
    pub node: Option<Arc<Node>>,
    /// What its pods ask for.
    pub requested: Resources,
    /// CPU and memory that its pods count as (`Requests::non_zero`).
    pub non_zero: (i64, i64),
    /// The pods.
    pub pods: Vec<Arc<Pod>>,
    /// The ports that they take.
    pub ports: Vec<HostPort>,
}

impl Slot {
    /// Counts a pod in.
    pub fn add(&mut self, pod: Arc<Pod>) {
        self.count(&pod.class, 1);
        self.ports.extend(pod.class.ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Counts a pod out.
    pub fn remove(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let at = self.pods.iter().position(|pod| *pod.uid == *uid)?;
        let pod = self.pods.swap_remove(at);
        self.count(&pod.class, -1);
        for port in &pod.class.ports {
            if let Some(at) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(at);
            }
        }
        Some(pod)
    }

    fn count(&mut self, class: &Class, sign: i64) {
        self.requested.add(&class.requests.total, sign);
        self.non_zero.0 += sign * class.requests.non_zero.0;
        self.non_zero.1 += sign * class.requests.non_zero.1;
    }
}

/// Where a pod is counted.
#[derive(Clone, Debug)]
struct Counting {
    pod: Arc<Pod>,
    node: NodeId,
    /// Whether it was placed here and the API server has not said so yet.
    assumed: bool,
}

/// Nodes and pods.
#[derive(Debug, Default)]
pub struct Cluster {
    slots: Vec<Slot>,
    free: Vec<NodeId>,
    by_name: HashMap<Arc<str>, NodeId>,
    order: Order,
    pods: HashMap<Arc<str>, Counting>,
    namespaces: HashMap<Arc<str>, Labels>,
    placements: Memo<Arc<Placement>, Vec<Facts>>,
    topologies: Memo<String, Domains>,
    tallies: Tallies,
    held: HeldTerms,
    images: Images,
    /// What default spreading goes by.
    pub owners: Owners,
    /// Claims, volumes and what they are made by.
    pub volumes: Volumes,
}

impl Cluster {
    /// The nodes in the order in which they are looked at: zones take turns.
    pub fn nodes(&mut self) -> Arc<[NodeId]> {
        self.order.nodes()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.order.len()
    }

    /// A node by its place.
    pub fn slot(&self, node: NodeId) -> &Slot {
        &self.slots[node as usize]
    }

    /// A node by its name, if there is one.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        let id = *self.by_name.get(name)?;
        self.slot(id).node.is_some().then_some(id)
    }

    /// Takes over a node; the former state, if any.
    pub fn set_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let id = self.place(&node.name);
        let before = self.slots[id as usize].node.replace(node.clone());
        match &before {
            None => self.order.add(id, node.zone()),
            Some(before) if before.zone() != node.zone() => {
                self.order.remove(id, before.zone());
                self.order.add(id, node.zone());
            }
            Some(_) => {}
        }
        self.images.set(id, &node.images);
        self.placements.each(|placement, facts| set(facts, id, placement.facts(&node)));
        self.topologies.each(|key, domains| domains.set(id, node.labels.get(key)));
        before
    }

    /// Forgets a node; its former state. Its pods stay counted until they are gone themselves.
    pub fn remove_node(&mut self, name: &str) -> Option<Arc<Node>> {
        let id = *self.by_name.get(name)?;
        let before = self.slots[id as usize].node.take()?;
        self.order.remove(id, before.zone());
        self.images.set(id, &[]);
        self.topologies.each(|_, domains| domains.set(id, None));
        self.release(id);
        Some(before)
    }

    /// Takes over a namespace's labels, which terms may select by.
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        let changed = match labels {
            Some(labels) => self.namespaces.insert(name.into(), labels.clone()) != Some(labels),
            None => self.namespaces.remove(name).is_some(),
        };
        if changed {
            self.tallies.forget_selected_by_namespace();
        }
    }

    /// A namespace's labels; none if it is not known.
    pub fn namespace(&self, name: &str) -> &Labels {
        static NONE: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::default);
        self.namespaces.get(name).unwrap_or(&NONE)
    }

    /// A pod that is counted.
    pub fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.pods.get(uid).map(|counting| &counting.pod)
    }

    /// Whether a pod was placed here and the API server has not said so yet.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|counting| counting.assumed)
    }

    /// How many pods are counted.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// Counts a pod as on a node, before the API server says so.
    pub fn assume(&mut self, pod: &Arc<Pod>, node: NodeId) {
        let mut assumed = Pod::clone(pod);
        assumed.node = self.slot(node).name.clone();
        self.count(Arc::new(assumed), node, true);
    }

    /// Takes over a pod that has a node, or its new state; the former state, if any.
    pub fn set_pod(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let before = self.uncount(&pod.uid);
        let node = self.place(&pod.node);
        self.count(pod, node, false);
        before
    }

    /// Forgets a pod; its former state.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<Pod>> {
        self.uncount(uid)
    }

    /// What each node answers to a placement.
    pub fn facts(&mut self, placement: &Arc<Placement>) -> usize {
        let slots = &self.slots;
        let ask = |slot: &Slot| slot.node.as_ref().map_or_else(Facts::default, |node| placement.facts(node));
        self.placements.ensure(placement, PLACEMENTS_MAX, || slots.iter().map(ask).collect())
    }

    /// What [`Cluster::facts`] found.
    pub fn known_facts(&self, id: usize) -> &[Facts] {
        self.placements.get(id)
    }

    /// The domains of a topology key.
    pub fn domains(&mut self, key: &str) -> usize {
        let slots = &self.slots;
        self.topologies.ensure(key, TOPOLOGIES_MAX, || {
            let mut domains = Domains::default();
            for (id, slot) in slots.iter().enumerate() {
                domains.set(id as NodeId, slot.node.as_ref().and_then(|node| node.labels.get(key)));
            }
            domains
        })
    }

    /// What [`Cluster::domains`] found.
    pub fn known_domains(&self, id: usize) -> &Domains {
        self.topologies.get(id)
    }

    /// How many pods of a kind each node has.
    pub fn tally(&mut self, counted: &Counted) -> usize {
        let (slots, namespaces) = (&self.slots, &self.namespaces);
        let nothing = Labels::default();
        self.tallies.ensure(counted, || {
            let mut tally = Tally::new(counted.clone());
            for (id, slot) in slots.iter().enumerate() {
                for pod in &slot.pods {
                    tally.count(
                        pod,
                        namespaces.get(&pod.class.namespace).unwrap_or(&nothing),
                        id as NodeId,
                        1,
                    );
                }
            }
            tally
        })
    }

    /// What [`Cluster::tally`] found.
    pub fn known_tally(&self, id: usize) -> &Tally {
        self.tallies.get(id)
    }

    /// Terms that pods on nodes have and that are about a class of pods.
    pub fn held_terms(&self, class: &Class) -> impl Iterator<Item = (&HeldTerm, &HashMap<NodeId, u32>)> {
        let namespace = self.namespace(&class.namespace);
        self.held.about(&class.namespace).filter(move |(held, _)| held.term.scope.has(class, namespace))
    }

    /// The images that nodes have.
    pub fn image(&self, name: &str) -> Option<&images::Image> {
        self.images.get(name)
    }

    fn count(&mut self, pod: Arc<Pod>, node: NodeId, assumed: bool) {
        self.tally_pod(&pod, node, 1);
        self.volumes.count_claims(&pod.class, 1);
        self.slots[node as usize].add(pod.clone());
        self.pods.insert(pod.uid.clone(), Counting { pod, node, assumed });
    }

    fn uncount(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let Counting { pod, node, .. } = self.pods.remove(uid)?;
        self.slots[node as usize].remove(uid);
        self.volumes.count_claims(&pod.class, -1);
        self.tally_pod(&pod, node, -1);
        self.release(node);
        Some(pod)
    }

    fn tally_pod(&mut self, pod: &Pod, node: NodeId, sign: i32) {
        static NONE: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::default);
        let namespace = self.namespaces.get(&pod.class.namespace).unwrap_or(&NONE);
        self.tallies.count(pod, namespace, node, sign);
        self.held.count(&pod.class, node, sign);
    }

    /// The place of a name, made if there is none.
    fn place(&mut self, name: &Arc<str>) -> NodeId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as NodeId
        });
        self.slots[id as usize] = Slot { name: name.clone(), ..Slot::default() };
        self.by_name.insert(name.clone(), id);
        id
    }

    /// Frees a place of which neither node nor pods are known.
    fn release(&mut self, id: NodeId) {
        let slot = &mut self.slots[id as usize];
        if slot.node.is_none() && slot.pods.is_empty() {
            self.by_name.remove(&slot.name);
            *slot = Slot::default();
            self.free.push(id);
        }
    }
}

/// Writes into a table of nodes that grows with them.
fn set<T: Clone + Default>(table: &mut Vec<T>, id: NodeId, value: T) {
    if table.len() <= id as usize {
        table.resize(id as usize + 1, T::default());
    }
    table[id as usize] = value;
}
