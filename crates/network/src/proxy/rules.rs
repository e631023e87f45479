//! The rules of all objects together, and what changes when one of them does. Two objects may want the same
//! element (two Services with one external IP): the first by name has it, and when it goes, the next.

use super::element::{Backend, Frontend, Key, Value};
use super::plan::RuleSet;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Who wants rules: a Service, or a part of the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    Node,
    Redirects,
    HostPorts,
    ServiceRanges,
    Service(api::Key),
}

/// What changes: what is removed, then what is added. A changed value is both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) removed: BTreeMap<Key, Value>,
    pub(crate) added: BTreeMap<Key, Value>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// Whether connections of UDP may be bound to what is no more.
    pub(crate) fn concern_udp(&self) -> bool {
        self.removed.keys().chain(self.added.keys()).any(Key::concerns_udp)
    }

    /// Appends what happened later: what counts is what was before all, and what is after.
    pub(crate) fn append(&mut self, later: &Self) {
        let keys: BTreeSet<Key> = later.removed.keys().chain(later.added.keys()).copied().collect();
        for key in keys {
            let touched = self.removed.contains_key(&key) || self.added.contains_key(&key);
            let source = if touched { &*self } else { later };
            let before = source.removed.get(&key).copied();
            let after = later.added.get(&key).copied();
            self.removed.remove(&key);
            self.added.remove(&key);
            self.note(key, before, after);
        }
    }

    /// Notes that an element had a value (or none) and has another.
    fn note(&mut self, key: Key, before: Option<Value>, after: Option<Value>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.removed.insert(key, before);
        }
        if let Some(after) = after {
            self.added.insert(key, after);
        }
    }
}

impl std::fmt::Display for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (key, value) in &self.removed {
            writeln!(f, "- {key}{value}")?;
        }
        for (key, value) in &self.added {
            writeln!(f, "+ {key}{value}")?;
        }
        Ok(())
    }
}

/// The rules of all.
#[derive(Default)]
pub(crate) struct Rules {
    sets: BTreeMap<Owner, RuleSet>,
    /// Who wants an element; most have one owner.
    owners: HashMap<Key, BTreeSet<Owner>>,
}

impl Rules {
    /// Sets an owner's rules; empty ones forget it.
    pub(crate) fn set(&mut self, owner: &Owner, rules: RuleSet) -> Changes {
        let mut changes = Changes::default();
        let old = self.sets.remove(owner).unwrap_or_default();
        let keys: BTreeSet<Key> = old.elements.keys().chain(rules.elements.keys()).copied().collect();
        let unchanged = |key: &Key| old.elements.get(key) == rules.elements.get(key);
        let keys: Vec<Key> = keys.into_iter().filter(|key| !unchanged(key)).collect();
        let before: Vec<Option<Value>> = keys.iter().map(|key| self.value_with(*key, owner, &old)).collect();
        for key in &keys {
            if rules.elements.contains_key(key) {
                self.owners.entry(*key).or_default().insert(owner.clone());
            } else if let Some(owners) = self.owners.get_mut(key) {
                owners.remove(owner);
                if owners.is_empty() {
                    self.owners.remove(key);
                }
            }
        }
        for (key, before) in keys.into_iter().zip(before) {
            changes.note(key, before, self.value_with(key, owner, &rules));
        }
        if rules != RuleSet::default() {
            self.sets.insert(owner.clone(), rules);
        }
        changes
    }

    /// The owners that have rules.
    pub(crate) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.sets.keys()
    }

    /// All elements as they should be.
    pub(crate) fn elements(&self) -> impl Iterator<Item = (Key, Value)> {
        self.owners.keys().filter_map(|key| {
            let first = self.owners.get(key)?.first()?;
            Some((*key, *self.sets.get(first)?.elements.get(key)?))
        })
    }

    /// The endpoints to which UDP connections of a frontend may be bound. What is served on the node comes
    /// first, as in the rules.
    pub(crate) fn udp(&self) -> HashMap<Frontend, BTreeSet<Backend>> {
        let mut all: HashMap<Frontend, BTreeSet<Backend>> = HashMap::new();
        for rules in self.sets.values() {
            for (frontend, backends) in &rules.udp {
                all.entry(*frontend).or_insert_with(|| backends.iter().copied().collect());
            }
        }
        all
    }

    /// The ports of health checks, and how many endpoints are ready on this node.
    pub(crate) fn health_checks(&self) -> BTreeMap<api::Key, (u16, usize)> {
        self.sets
            .iter()
            .filter_map(|(owner, rules)| match owner {
                Owner::Service(key) => Some((key.clone(), rules.health_check?)),
                _ => None,
            })
            .collect()
    }

    /// The value of an element, if `owner` had these rules.
    fn value_with(&self, key: Key, owner: &Owner, rules: &RuleSet) -> Option<Value> {
        let first = self.owners.get(&key)?.first()?;
        let rules = if first == owner { rules } else { self.sets.get(first)? };
        rules.elements.get(&key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::proxy::element::Action;
    use expect_test::{Expect, expect};

    fn rules(elements: &[(u16, Action)]) -> RuleSet {
        let elements = elements.iter().map(|(port, action)| {
            let address = "203.0.113.1".parse().unwrap();
            let frontend = Frontend { address, protocol: Protocol::Udp, port: *port };
            (Key::NoEndpoints(frontend), Value::Action(*action))
        });
        RuleSet { elements: elements.collect(), ..RuleSet::default() }
    }

    fn owner(name: &str) -> Owner {
        Owner::Service(api::Key::new("default", name))
    }

    #[test]
    fn changes_are_what_differs() {
        let mut all = Rules::default();
        let mut step = |name, set: RuleSet, expected: Expect| {
            expected.assert_eq(&all.set(&owner(name), set).to_string());
        };
        step(
            "b",
            rules(&[(1, Action::Drop), (2, Action::Drop)]),
            expect![[r#"
            + no-endpoints 203.0.113.1 udp 1: drop
            + no-endpoints 203.0.113.1 udp 2: drop
        "#]],
        );
        step(
            "b",
            rules(&[(1, Action::Drop), (2, Action::Reject)]),
            expect![[r#"
            - no-endpoints 203.0.113.1 udp 2: drop
            + no-endpoints 203.0.113.1 udp 2: reject
        "#]],
        );
        step(
            "a",
            rules(&[(1, Action::Reject)]),
            expect![[r#"
            - no-endpoints 203.0.113.1 udp 1: drop
            + no-endpoints 203.0.113.1 udp 1: reject
        "#]],
        );
        step(
            "b",
            rules(&[(1, Action::Drop)]),
            expect![[r#"
            - no-endpoints 203.0.113.1 udp 2: reject
        "#]],
        );
        step(
            "a",
            rules(&[]),
            expect![[r#"
            - no-endpoints 203.0.113.1 udp 1: reject
            + no-endpoints 203.0.113.1 udp 1: drop
        "#]],
        );
        step(
            "b",
            rules(&[]),
            expect![[r#"
            - no-endpoints 203.0.113.1 udp 1: drop
        "#]],
        );
        assert_eq!(all.elements().count(), 0);
        assert_eq!(all.owners().count(), 0);
    }
}
