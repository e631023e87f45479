//! Whether a node has what a pod asks for, and how full it would be:
//! `pkg/scheduler/framework/plugins/noderesources/{fit,least_allocated,most_allocated,requested_to_capacity_ratio,
//! resource_allocation}.go`.

use super::MAX_NODE_SCORE;
use crate::cluster::Slot;
use crate::node::Node;
use crate::resources::{Requests, Resources, is_extended};
use crate::status::{Plugin, Reason, Reasons, Status};
use std::sync::Arc;

/// What a pod asks for, ready to be held against many nodes.
#[derive(Debug)]
pub struct Asked {
    resources: Resources,
    /// What is said if a scalar resource is short, in their order.
    insufficient: Vec<Reason>,
}

impl Asked {
    /// Without resources that the profile ignores.
    pub fn new(resources: &Resources, ignored: &Ignored) -> Self {
        let mut resources = resources.clone();
        resources.scalars.retain(|(name, amount)| *amount != 0 && !ignored.has(name));
        let texts =
            resources.scalars.iter().map(|(name, _)| Reason::Text(format!("Insufficient {name}").into()));
        Self { insufficient: texts.collect(), resources }
    }

    /// Whether a node has enough if it is empty.
    pub fn fits_empty(&self, node: &Node) -> bool {
        let (asked, has) = (&self.resources, &node.allocatable);
        has.pods > 0
            && asked.milli_cpu <= has.milli_cpu
            && asked.memory <= has.memory
            && asked.ephemeral_storage <= has.ephemeral_storage
            && asked.scalars.iter().all(|(name, amount)| *amount <= has.scalar(name))
    }

    /// What a node lacks.
    pub fn filter(&self, slot: &Slot) -> Option<Status> {
        let Some(node) = &slot.node else { return None };
        let (asked, has, used) = (&self.resources, &node.allocatable, &slot.requested);
        let crowded = slot.pods.len() as i64 + 1 > has.pods;
        let cpu = asked.milli_cpu > 0 && asked.milli_cpu > has.milli_cpu - used.milli_cpu;
        let memory = asked.memory > 0 && asked.memory > has.memory - used.memory;
        let storage = asked.ephemeral_storage > 0
            && asked.ephemeral_storage > has.ephemeral_storage - used.ephemeral_storage;
        let short = |name: &str, amount: i64| amount > has.scalar(name) - used.scalar(name);
        let scalars = asked.scalars.iter().any(|(name, amount)| short(name, *amount));
        if !(crowded || cpu || memory || storage || scalars) {
            return None;
        }
        let mut reasons = Vec::new();
        let mut resolvable = true;
        let mut lacks = |lacks: bool, reason: Reason, asked: i64, has: i64| {
            if lacks {
                reasons.push(reason);
                // If the empty node lacks it, evicting pods cannot help.
                resolvable &= asked <= has;
            }
        };
        lacks(crowded, Reason::Fixed("Too many pods"), 0, 0);
        lacks(cpu, Reason::Fixed("Insufficient cpu"), asked.milli_cpu, has.milli_cpu);
        lacks(memory, Reason::Fixed("Insufficient memory"), asked.memory, has.memory);
        let text = Reason::Fixed("Insufficient ephemeral-storage");
        lacks(storage, text, asked.ephemeral_storage, has.ephemeral_storage);
        for ((name, amount), text) in asked.scalars.iter().zip(&self.insufficient) {
            lacks(short(name, *amount), text.clone(), *amount, has.scalar(name));
        }
        let reasons = match reasons.pop() {
            Some(reason) if reasons.is_empty() => Reasons::One(reason),
            last => {
                reasons.extend(last);
                Reasons::Many(reasons)
            }
        };
        Some(Status { plugin: Plugin::NodeResourcesFit, resolvable, reasons })
    }
}

/// Extended resources that are not held against nodes: someone else sees to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// By name.
    pub resources: Vec<String>,
    /// By what comes before the slash.
    pub groups: Vec<String>,
}

impl Ignored {
    fn has(&self, name: &str) -> bool {
        let group = name.split('/').next().unwrap_or_default();
        is_extended(name)
            && (self.resources.iter().any(|ignored| ignored == name)
                || self.groups.iter().any(|known| known == group))
    }
}

/// A resource that nodes are scored by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// The name.
    pub resource: Arc<str>,
    /// How much it counts.
    pub weight: i64,
}

/// What makes a node good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// To be empty: load is spread.
    LeastAllocated,
    /// To be full: load is packed.
    MostAllocated,
    /// A broken line of points (utilization in percent, score), in which the score is at most 100.
    RequestedToCapacityRatio(Vec<(i64, i64)>),
}

/// The amounts of a node's resources that count: what it has, what its pods and the new one ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amounts {
    pub(super) allocatable: i64,
    pub(super) allocated: i64,
    pub(super) requested: i64,
}

/// The amounts of a resource; none if the node does not have it, or the pod does not ask for it and need not.
/// `defaulted`: whether pods that do not say what they need count as something.
pub(super) fn amounts(slot: &Slot, asked: &Requests, resource: &str, defaulted: bool) -> Option<Amounts> {
    let node = slot.node.as_ref()?;
    let (allocatable, allocated, pod) = match (resource, defaulted) {
        ("cpu", true) => (node.allocatable.milli_cpu, slot.non_zero.0, asked.scored.0),
        ("cpu", false) => (node.allocatable.milli_cpu, slot.requested.milli_cpu, asked.total.milli_cpu),
        ("memory", true) => (node.allocatable.memory, slot.non_zero.1, asked.scored.1),
        ("memory", false) => (node.allocatable.memory, slot.requested.memory, asked.total.memory),
        ("ephemeral-storage", _) => (
            node.allocatable.ephemeral_storage,
            slot.requested.ephemeral_storage,
            asked.total.ephemeral_storage,
        ),
        (name, _) => match asked.total.scalar(name) {
            0 => return None,
            pod => (node.allocatable.scalar(name), slot.requested.scalar(name), pod),
        },
    };
    (allocatable != 0).then_some(Amounts { allocatable, allocated, requested: allocated + pod })
}

/// How good a node is.
pub fn score(slot: &Slot, asked: &Requests, strategy: &Strategy, resources: &[Weighted]) -> i64 {
    let (mut sum, mut weights) = (0, 0);
    for Weighted { resource, weight } in resources {
        let Some(Amounts { allocatable, requested, .. }) = amounts(slot, asked, resource, true) else {
            continue;
        };
        let score = match strategy {
            Strategy::LeastAllocated if requested > allocatable => 0,
            Strategy::LeastAllocated => (allocatable - requested) * MAX_NODE_SCORE / allocatable,
            Strategy::MostAllocated => requested.min(allocatable) * MAX_NODE_SCORE / allocatable,
            Strategy::RequestedToCapacityRatio(line) => {
                let full = requested > allocatable;
                let score = on_line(line, if full { 100 } else { requested * 100 / allocatable });
                if score <= 0 {
                    continue;
                }
                score
            }
        };
        sum += score * weight;
        weights += weight;
    }
    match strategy {
        _ if weights == 0 => 0,
        Strategy::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
        _ => sum / weights,
    }
}

fn on_line(line: &[(i64, i64)], at: i64) -> i64 {
    let Some(next) = line.iter().position(|(utilization, _)| at <= *utilization) else {
        return line.last().map_or(0, |(_, score)| *score);
    };
    let (right, high) = line[next];
    match next.checked_sub(1).map(|before| line[before]) {
        Some((left, low)) if right > left => low + (high - low) * (at - left) / (right - left),
        _ => high,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(cpu: (i64, i64), memory: (i64, i64), pods: i64) -> Slot {
        let allocatable = Resources { milli_cpu: cpu.0, memory: memory.0, pods, ..Resources::default() };
        Slot {
            node: Some(Arc::new(Node { allocatable, ..Node::default() })),
            requested: Resources { milli_cpu: cpu.1, memory: memory.1, ..Resources::default() },
            non_zero: (cpu.1, memory.1),
            ..Slot::default()
        }
    }

    fn asked(milli_cpu: i64, memory: i64) -> Requests {
        let total = Resources { milli_cpu, memory, ..Resources::default() };
        Requests { total, non_zero: (milli_cpu, memory), scored: (milli_cpu, memory) }
    }

    #[test]
    fn fitting() {
        // Cases of upstream's fit_test.go: asked, used of 10 and 20, wanted reasons, resolvable.
        for (cpu, memory, used, texts, resolvable) in [
            (0, 0, (10, 20), &[][..], true),
            (1, 1, (10, 20), &["Insufficient cpu", "Insufficient memory"], true),
            (1, 1, (9, 19), &[], true),
            (3, 1, (8, 19), &["Insufficient cpu"], true),
            (1, 2, (5, 19), &["Insufficient memory"], true),
            (5, 1, (5, 19), &[], true),
            (11, 1, (0, 0), &["Insufficient cpu"], false),
        ] {
            let filter = Asked::new(&asked(cpu, memory).total, &Ignored::default());
            let status = filter.filter(&slot((10, used.0), (20, used.1), 32));
            let told: Vec<_> = status.iter().flat_map(|status| status.reasons().to_vec()).collect();
            assert_eq!(
                told,
                texts.iter().map(|text| Reason::Fixed(text)).collect::<Vec<_>>(),
                "{cpu} {memory}"
            );
            assert!(status.is_none_or(|status| status.resolvable == resolvable), "{cpu} {memory}");
        }
        let filter = Asked::new(&asked(0, 0).total, &Ignored::default());
        assert_eq!(filter.filter(&slot((10, 0), (20, 0), 0)).map(|status| status.resolvable), Some(true));
    }

    #[test]
    fn extended_resources() {
        let mut wanted = asked(1, 1).total;
        wanted.scalars = vec![("example.com/aaa".into(), 2)];
        let mut node = slot((10, 0), (20, 0), 32);
        let status = Asked::new(&wanted, &Ignored::default()).filter(&node);
        assert_eq!(status.as_ref().map(|status| status.resolvable), Some(false));
        let ignored = Ignored { groups: vec!["example.com".into()], ..Ignored::default() };
        assert!(Asked::new(&wanted, &ignored).filter(&node).is_none());
        let mut has = Node::clone(node.node.as_ref().expect("a node"));
        has.allocatable.scalars = vec![("example.com/aaa".into(), 5)];
        node.node = Some(Arc::new(has));
        assert!(Asked::new(&wanted, &Ignored::default()).filter(&node).is_none());
        node.requested.scalars = vec![("example.com/aaa".into(), 4)];
        let status = Asked::new(&wanted, &Ignored::default()).filter(&node);
        assert_eq!(status.map(|status| status.resolvable), Some(true));
    }

    #[test]
    fn scores() {
        let both = [("cpu", 1), ("memory", 1)];
        let resources = both.map(|(resource, weight)| Weighted { resource: resource.into(), weight });
        let score = |slot: &Slot, asked: &Requests, strategy: &Strategy| {
            super::score(slot, asked, strategy, &resources)
        };
        // Cases of upstream's least_allocated_test.go and most_allocated_test.go.
        for (node, pod, least, most) in [
            (slot((4000, 0), (10000, 0), 9), asked(0, 0), 100, 0),
            (slot((4000, 0), (10000, 0), 9), asked(3000, 5000), 37, 62),
            (slot((6000, 0), (10000, 0), 9), asked(3000, 5000), 50, 50),
            (slot((10000, 6000), (20000, 5000), 9), asked(3000, 5000), 30, 70),
            (slot((4000, 6000), (10000, 0), 9), asked(0, 0), 50, 50),
        ] {
            assert_eq!(score(&node, &pod, &Strategy::LeastAllocated), least);
            assert_eq!(score(&node, &pod, &Strategy::MostAllocated), most);
        }
        let line = Strategy::RequestedToCapacityRatio(vec![(0, 100), (100, 0)]);
        assert_eq!(score(&slot((4000, 0), (10000, 0), 9), &asked(3000, 5000), &line), 38);
    }
}
