//! Whether a pod makes the use of a node's resources more even or less:
//! `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go`.

use super::MAX_NODE_SCORE;
use super::node_resources_fit::{Weighted, amounts};
use crate::cluster::Slot;
use crate::resources::Requests;

/// Resources beyond these do not count: none of the configurations that make sense have as many.
const RESOURCES_MAX: usize = 16;

/// Whether a pod asks for any of the resources; one that asks for none is not scored, or all such pods would
/// gather on one node.
pub fn applies(asked: &Requests, resources: &[Weighted]) -> bool {
    resources.iter().any(|Weighted { resource, .. }| match &**resource {
        "cpu" => asked.total.milli_cpu != 0,
        "memory" => asked.total.memory != 0,
        "ephemeral-storage" => asked.total.ephemeral_storage != 0,
        name => asked.total.scalar(name) != 0,
    })
}

/// How good a node is: 75 if the pod changes nothing, towards 100 if it evens out, towards 50 if it does not.
pub fn score(slot: &Slot, asked: &Requests, resources: &[Weighted]) -> i64 {
    let mut with = Fractions::default();
    let mut without = Fractions::default();
    for Weighted { resource, .. } in resources.iter().take(RESOURCES_MAX) {
        if let Some(amounts) = amounts(slot, asked, resource, false) {
            with.add(amounts.requested, amounts.allocatable);
            without.add(amounts.allocated, amounts.allocatable);
        }
    }
    let half = MAX_NODE_SCORE / 2;
    half + (half + with.score() - without.score()) / 2
}

#[derive(Default)]
struct Fractions {
    values: [f64; RESOURCES_MAX],
    len: usize,
}

impl Fractions {
    fn add(&mut self, used: i64, of: i64) {
        self.values[self.len] = (used as f64 / of as f64).min(1.0);
        self.len += 1;
    }

    fn score(&self) -> i64 {
        let values = &self.values[..self.len];
        let deviation = match values {
            [] | [_] => 0.0,
            [one, other] => ((one - other) / 2.0).abs(),
            _ => {
                let count = values.len() as f64;
                let mean = values.iter().sum::<f64>() / count;
                (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt()
            }
        };
        ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;
    use crate::resources::Resources;
    use std::sync::Arc;

    #[test]
    fn scores() {
        let resources = [("cpu", 1), ("memory", 1)]
            .map(|(resource, weight)| Weighted { resource: resource.into(), weight });
        // Cases of upstream's balanced_allocation_test.go: of the node, used, asked.
        for (of, used, asks, wanted) in [
            ((4000, 10000), (0, 0), (3000, 5000), 68),
            ((6000, 10000), (0, 0), (3000, 5000), 75),
            ((10000, 20000), (3000, 0), (3000, 5000), 73),
            ((10000, 20000), (3000, 5000), (3000, 5000), 74),
            ((10000, 50000), (3000, 5000), (3000, 5000), 70),
            ((3000, 5000), (3000, 0), (0, 5000), 100),
            ((3000, 5000), (0, 0), (0, 5000), 50),
            ((6000, 10000), (3000, 5000), (3000, 0), 62),
        ] {
            let amount =
                |(milli_cpu, memory): (i64, i64)| Resources { milli_cpu, memory, ..Resources::default() };
            let node = Node { allocatable: amount(of), ..Node::default() };
            let slot = Slot { node: Some(Arc::new(node)), requested: amount(used), ..Slot::default() };
            let asked = Requests { total: amount(asks), ..Requests::default() };
            assert_eq!(score(&slot, &asked, &resources), wanted, "{of:?} {used:?} {asks:?}");
            assert!(applies(&asked, &resources));
        }
        assert!(!applies(&Requests::default(), &resources));
    }
}
