//! Who owns whom, as far as watches and references tell.
//!
//! An owner that was only named, never seen, is a virtual node: its coordinates are a claim of whoever named
//! it, and several dependents may claim different ones for one UID. Pure: changes go in, work comes out.
//! Upstream: `pkg/controller/garbagecollector/graph_builder.go`, KEP-2336 for owners in other namespaces.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// A UID; one allocation for all who name it.
pub(super) type Uid = Arc<str>;

/// How many owners that do not exist are remembered, as upstream: it spares a lookup per dependent.
const ABSENT_OWNERS_MAX: usize = 500;

/// Where an object is, or is said to be. The order of fields is the order of alternatives upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) kind: String,
    pub(super) api_version: String,
    /// Empty for what belongs to the cluster.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Uid,
}

/// An owner as a dependent names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: Uid,
    /// Whether the owner's foreground deletion waits for the dependent.
    pub(super) blocking: bool,
}

impl Owner {
    /// What the reference points to for a dependent in `namespace`.
    pub(super) fn identity(&self, namespace: &str) -> Identity {
        Identity {
            kind: self.kind.clone(),
            api_version: self.api_version.clone(),
            namespace: namespace.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
        }
    }

    fn agrees_with(&self, identity: &Identity) -> bool {
        self.uid == identity.uid
            && self.name == identity.name
            && self.kind == identity.kind
            && self.api_version == identity.api_version
    }
}

/// What a deletion that has begun waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Deletion {
    /// Not deleted.
    #[default]
    No,
    /// For finalizers that are not ours.
    Other,
    /// For its dependents to be let go: finalizer `orphan`.
    Orphan,
    /// For its dependents to be deleted: finalizer `foregroundDeletion`.
    Foreground,
}

/// An object as a watch shows it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) identity: Identity,
    pub(super) owners: Vec<Owner>,
    pub(super) deletion: Deletion,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A watch showed the object, new or changed.
    Seen(Seen),
    /// A watch saw it go.
    Deleted(Identity),
    /// A lookup did not find it under these coordinates, or found another UID there.
    Absent(Identity),
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// See whether the object is to be deleted.
    Delete(Uid),
    /// Let go of the object's dependents.
    Orphan(Uid),
    /// Tell that an object names an owner that lives in another namespace.
    ForeignOwner(Box<ForeignOwner>),
}

/// An owner in another namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ForeignOwner {
    pub(super) dependent: Identity,
    /// As the dependent names it.
    pub(super) owner: Identity,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) owners: Vec<Owner>,
    pub(super) dependents: BTreeSet<Uid>,
    /// Whether a watch has shown it.
    pub(super) observed: bool,
    pub(super) deletion: Deletion,
    /// How often a virtual node was looked up in vain.
    pub(super) lookups: u32,
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
    absent: HashSet<Identity>,
    absent_order: VecDeque<Identity>,
}

impl Graph {
    pub(super) fn node(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub(super) fn node_mut(&mut self, uid: &str) -> Option<&mut Node> {
        self.nodes.get_mut(uid)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Dependents that keep a foreground deletion of `node` waiting, and whether each is itself in one.
    pub(super) fn blocking(&self, node: &Node) -> Vec<(Uid, bool)> {
        let blocks = |dependent: &&Node| {
            dependent.owners.iter().any(|owner| owner.uid == node.identity.uid && owner.blocking)
        };
        self.dependents(node)
            .filter(blocks)
            .map(|d| (d.identity.uid.clone(), d.deletion == Deletion::Foreground))
            .collect()
    }

    pub(super) fn dependents<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        node.dependents.iter().filter_map(|uid| self.nodes.get(uid))
    }

    /// Whether a lookup has shown that nothing is there; a UID never comes back.
    pub(super) fn is_absent(&self, identity: &Identity) -> bool {
        self.absent.contains(identity)
    }

    /// Remembers that nothing is there.
    pub(super) fn remember_absent(&mut self, identity: Identity) {
        if !self.absent.insert(identity.clone()) {
            return;
        }
        self.absent_order.push_back(identity);
        if self.absent_order.len() > ABSENT_OWNERS_MAX
            && let Some(oldest) = self.absent_order.pop_front()
        {
            self.absent.remove(&oldest);
        }
    }

    /// Takes a change in and says what there is to do now.
    pub(super) fn apply(&mut self, change: Change) -> Vec<Work> {
        let mut work = Vec::new();
        match change {
            Change::Seen(seen) => self.seen(seen, &mut work),
            Change::Deleted(identity) => self.remove(&identity, &mut work),
            Change::Absent(identity) => self.absent(&identity, &mut work),
        }
        work
    }

    fn seen(&mut self, seen: Seen, work: &mut Vec<Work>) {
        let uid = seen.identity.uid.clone();
        let Some(node) = self.nodes.get(&uid) else {
            let node = Node {
                identity: seen.identity,
                owners: seen.owners.clone(),
                dependents: BTreeSet::new(),
                observed: true,
                deletion: seen.deletion,
                lookups: 0,
            };
            self.nodes.insert(uid.clone(), node);
            self.link(&uid, &seen.owners, work);
            self.deletion_begins(&uid, Deletion::No, seen.deletion, work);
            return;
        };
        let was_observed = node.observed;
        if !was_observed && node.identity != seen.identity {
            self.claims_refuted(&seen.identity, work);
        }
        let Some(node) = self.nodes.get_mut(&uid) else { return };
        if !was_observed {
            node.identity = seen.identity;
            node.observed = true;
        }
        let before = if was_observed { node.deletion } else { Deletion::No };
        node.deletion = seen.deletion;
        if node.owners != seen.owners {
            let old = std::mem::replace(&mut node.owners, seen.owners.clone());
            self.owners_changed(&uid, &old, &seen.owners, work);
        }
        self.deletion_begins(&uid, before, seen.deletion, work);
    }

    /// A virtual node turned out to be somewhere else than its dependents claimed: each that claimed wrongly
    /// is looked at again.
    fn claims_refuted(&self, identity: &Identity, work: &mut Vec<Work>) {
        let Some(node) = self.nodes.get(&identity.uid) else { return };
        for dependent in self.dependents(node) {
            if !claims(dependent, identity).mismatch {
                continue;
            }
            if !identity.namespace.is_empty() && dependent.identity.namespace != identity.namespace {
                foreign_owner(dependent, &identity.uid, work);
            }
            work.push(Work::Delete(dependent.identity.uid.clone()));
        }
    }

    fn owners_changed(&mut self, uid: &Uid, old: &[Owner], new: &[Owner], work: &mut Vec<Work>) {
        let find = |owners: &[Owner], uid: &Uid| owners.iter().rfind(|o| o.uid == *uid).cloned();
        let mut unblocked = BTreeSet::new();
        let mut removed = BTreeSet::new();
        for owner in old {
            let now = find(new, &owner.uid);
            if owner.blocking && !now.as_ref().is_some_and(|now| now.blocking) {
                unblocked.insert(owner.uid.clone());
            }
            if now.is_none() {
                removed.insert(owner.uid.clone());
            }
        }
        let known = unblocked.into_iter().filter(|owner| self.nodes.contains_key(owner));
        work.extend(known.map(Work::Delete));
        let added: Vec<Owner> = new.iter().filter(|o| find(old, &o.uid).is_none()).cloned().collect();
        self.link(uid, &added, work);
        for owner in removed {
            if let Some(owner) = self.nodes.get_mut(&owner) {
                owner.dependents.remove(uid);
            }
        }
    }

    /// Puts a node among the dependents of its owners; those that are not known become virtual nodes.
    fn link(&mut self, uid: &Uid, owners: &[Owner], work: &mut Vec<Work>) {
        let Some(namespace) = self.nodes.get(uid).map(|node| node.identity.namespace.clone()) else { return };
        let mut doubtful = false;
        for owner in owners {
            if let Some(node) = self.nodes.get_mut(&owner.uid) {
                node.dependents.insert(uid.clone());
                let namespaced = !node.identity.namespace.is_empty();
                if node.identity.namespace == namespace || (!namespaced && node.observed) {
                    doubtful |= !owner.agrees_with(&node.identity);
                    continue;
                }
                doubtful = true;
                let foreign = namespaced && node.observed;
                if foreign && let Some(dependent) = self.nodes.get(uid) {
                    foreign_owner(dependent, &owner.uid, work);
                }
                continue;
            }
            let node = Node {
                identity: owner.identity(&namespace),
                owners: Vec::new(),
                dependents: BTreeSet::from([uid.clone()]),
                observed: false,
                deletion: Deletion::No,
                lookups: 0,
            };
            self.nodes.insert(owner.uid.clone(), node);
            work.push(Work::Delete(owner.uid.clone()));
        }
        if doubtful {
            work.push(Work::Delete(uid.clone()));
        }
    }

    fn deletion_begins(&self, uid: &Uid, before: Deletion, now: Deletion, work: &mut Vec<Work>) {
        if before == now {
            return;
        }
        match now {
            Deletion::Orphan => work.push(Work::Orphan(uid.clone())),
            Deletion::Foreground => {
                if let Some(node) = self.nodes.get(uid) {
                    work.extend(node.dependents.iter().cloned().map(Work::Delete));
                }
                work.push(Work::Delete(uid.clone()));
            }
            Deletion::No | Deletion::Other => {}
        }
    }

    fn remove(&mut self, identity: &Identity, work: &mut Vec<Work>) {
        let Some(node) = self.nodes.remove(&identity.uid) else { return };
        for owner in &node.owners {
            if let Some(owner) = self.nodes.get_mut(&owner.uid) {
                owner.dependents.remove(&identity.uid);
                if owner.deletion == Deletion::Foreground {
                    work.push(Work::Delete(owner.identity.uid.clone()));
                }
            }
        }
        if !node.dependents.is_empty() {
            self.remember_absent(identity.clone());
        }
        work.extend(node.dependents.into_iter().map(Work::Delete));
    }

    fn absent(&mut self, identity: &Identity, work: &mut Vec<Work>) {
        let Some(node) = self.nodes.get(&identity.uid) else { return };
        if node.observed && node.identity == *identity {
            return self.remove(identity, work);
        }
        let mut right = BTreeSet::new();
        let mut alternatives = BTreeMap::new();
        for dependent in self.dependents(node) {
            let claims = claims(dependent, identity);
            if claims.matches {
                right.insert(dependent.identity.uid.clone());
            }
            if claims.mismatch {
                for owner in dependent.owners.iter().filter(|o| o.uid == identity.uid) {
                    let mut other = owner.identity(&dependent.identity.namespace);
                    let same_kind = other.kind == identity.kind && other.api_version == identity.api_version;
                    if identity.namespace.is_empty() && same_kind {
                        other.namespace.clear();
                    }
                    if other != *identity {
                        alternatives.insert(other, ());
                    }
                }
            }
        }
        if !node.observed && alternatives.is_empty() {
            return self.remove(identity, work);
        }
        let replace = !node.observed && node.identity == *identity;
        if !right.is_empty() {
            self.remember_absent(identity.clone());
            work.extend(right.into_iter().map(Work::Delete));
        }
        if !replace {
            return;
        }
        let next = alternatives.range(identity.clone()..).next().or_else(|| alternatives.iter().next());
        if let Some((next, ())) = next
            && let Some(node) = self.nodes.get_mut(&identity.uid)
        {
            node.identity = next.clone();
            work.push(Work::Delete(identity.uid.clone()));
        }
    }
}

struct Claims {
    matches: bool,
    mismatch: bool,
}

/// Whether `dependent` names `owner` by its coordinates, or its UID by others; it may do both.
fn claims(dependent: &Node, owner: &Identity) -> Claims {
    let mut claims = Claims { matches: false, mismatch: false };
    if !owner.namespace.is_empty() && owner.namespace != dependent.identity.namespace {
        claims.mismatch = true;
        return claims;
    }
    for reference in dependent.owners.iter().filter(|reference| reference.uid == owner.uid) {
        if reference.agrees_with(owner) {
            claims.matches = true;
        } else {
            claims.mismatch = true;
        }
    }
    claims
}

fn foreign_owner(dependent: &Node, uid: &Uid, work: &mut Vec<Work>) {
    if let Some(owner) = dependent.owners.iter().find(|owner| owner.uid == *uid) {
        let owner = owner.identity(&dependent.identity.namespace);
        let foreign = ForeignOwner { dependent: dependent.identity.clone(), owner };
        work.push(Work::ForeignOwner(Box::new(foreign)));
    }
}
