//! The order in which nodes are looked at: one of each zone in turn, so that a part of the nodes is a fair
//! part of the zones. Upstream: `pkg/scheduler/backend/cache/node_tree.go`.

use super::NodeId;
use std::sync::Arc;

type Zone = (Box<str>, Box<str>);

/// Nodes by region and zone.
#[derive(Debug, Default)]
pub(super) struct Order {
    zones: Vec<(Zone, Vec<NodeId>)>,
    /// The order, until a node comes or goes.
    nodes: Option<Arc<[NodeId]>>,
    len: usize,
}

impl Order {
    pub(super) fn add(&mut self, id: NodeId, zone: (&str, &str)) {
        self.nodes = None;
        self.len += 1;
        match self.zones.iter_mut().find(|(known, _)| (&*known.0, &*known.1) == zone) {
            Some((_, nodes)) => nodes.push(id),
            None => self.zones.push(((zone.0.into(), zone.1.into()), vec![id])),
        }
    }

    pub(super) fn remove(&mut self, id: NodeId, zone: (&str, &str)) {
        let Some(at) = self.zones.iter().position(|(known, _)| (&*known.0, &*known.1) == zone) else {
            return;
        };
        let nodes = &mut self.zones[at].1;
        let Some(place) = nodes.iter().position(|known| *known == id) else { return };
        nodes.remove(place);
        if nodes.is_empty() {
            self.zones.remove(at);
        }
        self.nodes = None;
        self.len -= 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn nodes(&mut self) -> Arc<[NodeId]> {
        let zones = &self.zones;
        let nodes = self.nodes.get_or_insert_with(|| {
            let rounds = zones.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or_default();
            let turn = |round: usize| zones.iter().filter_map(move |(_, nodes)| nodes.get(round).copied());
            (0..rounds).flat_map(turn).collect()
        });
        nodes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_take_turns() {
        let mut order = Order::default();
        for (id, zone) in [(0, "a"), (1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "c")] {
            order.add(id, ("", zone));
        }
        assert_eq!(*order.nodes(), [0, 3, 4, 1, 5, 2]);
        order.remove(3, ("", "b"));
        order.remove(0, ("", "a"));
        assert_eq!(*order.nodes(), [1, 4, 2, 5]);
        assert_eq!(order.len(), 4);
    }
}
