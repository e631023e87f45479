//! The domains of a topology key: nodes whose label has the same value are one.

use super::{NodeId, set};
use std::collections::HashMap;

/// The domain of a node that lacks the label.
pub const NO_DOMAIN: u32 = u32::MAX;

/// Which domain each node is in.
#[derive(Debug, Default)]
pub struct Domains {
    /// By node, one more than the domain: 0 is none, as new places of the table are.
    of: Vec<u32>,
    values: HashMap<Box<str>, u32>,
    /// By domain: its value and how many nodes it has.
    domains: Vec<(Box<str>, u32)>,
    free: Vec<u32>,
}

impl Domains {
    /// The domain of a node, or [`NO_DOMAIN`].
    pub fn of(&self, node: NodeId) -> u32 {
        self.of.get(node as usize).copied().unwrap_or_default().wrapping_sub(1)
    }

    /// One more than the largest domain.
    pub fn len(&self) -> usize {
        self.domains.len()
    }

    /// Whether no node has the label.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Takes over a node's label.
    pub(super) fn set(&mut self, node: NodeId, value: Option<&str>) {
        let before = self.of(node);
        if before != NO_DOMAIN {
            let (known, nodes) = &mut self.domains[before as usize];
            if value == Some(&**known) {
                return;
            }
            *nodes -= 1;
            if *nodes == 0 {
                self.values.remove(&**known);
                self.free.push(before);
            }
        }
        let domain = value.map_or(NO_DOMAIN, |value| self.enter(value));
        set(&mut self.of, node, domain.wrapping_add(1));
    }

    fn enter(&mut self, value: &str) -> u32 {
        let known = self.values.get(value).copied();
        let domain = known.unwrap_or_else(|| {
            let domain = self.free.pop().unwrap_or_else(|| {
                self.domains.push(Default::default());
                (self.domains.len() - 1) as u32
            });
            self.domains[domain as usize] = (value.into(), 0);
            self.values.insert(value.into(), domain);
            domain
        });
        self.domains[domain as usize].1 += 1;
        domain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_come_and_go_with_their_nodes() {
        let mut domains = Domains::default();
        domains.set(0, Some("a"));
        domains.set(3, Some("b"));
        domains.set(1, Some("a"));
        assert_eq!((domains.of(0), domains.of(1), domains.of(2), domains.of(3)), (0, 0, NO_DOMAIN, 1));
        domains.set(0, None);
        domains.set(1, Some("c"));
        // The place of "a" is free and taken by who comes next.
        assert_eq!(domains.of(1), 0);
        domains.set(2, Some("d"));
        assert_eq!((domains.of(0), domains.of(2), domains.len()), (NO_DOMAIN, 2, 3));
    }
}
