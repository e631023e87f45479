//! Nodes that have a pod's images: `pkg/scheduler/framework/plugins/imagelocality`.

use super::MAX_NODE_SCORE;
use crate::cluster::{Cluster, NodeId};
use crate::pod::Class;

const MEBIBYTE: i64 = 1024 * 1024;
/// Images that are smaller in sum count for nothing, in bytes.
const MIN_THRESHOLD: i64 = 23 * MEBIBYTE;
/// More than that per container counts for no more, in bytes.
const MAX_CONTAINER_THRESHOLD: i64 = 1000 * MEBIBYTE;

/// Scores nodes; nothing if no node has any of the images.
pub fn score(cluster: &Cluster, class: &Class, feasible: &[NodeId]) -> Option<Vec<i64>> {
    let names = class.images.iter().chain(&class.image_volumes);
    let images: Vec<_> = names.filter_map(|name| cluster.image(name)).collect();
    if images.is_empty() || class.images.is_empty() {
        return None;
    }
    let total = cluster.node_count() as f64;
    let most = MAX_CONTAINER_THRESHOLD * class.images.len() as i64;
    let score = |node: &NodeId| {
        let here = images.iter().filter(|image| image.nodes.contains(node));
        // An image that few nodes have counts little, or all pods would gather on them.
        let sum: i64 =
            here.map(|image| (image.size as f64 * (image.nodes.len() as f64 / total)) as i64).sum();
        MAX_NODE_SCORE * (sum.clamp(MIN_THRESHOLD, most) - MIN_THRESHOLD) / (most - MIN_THRESHOLD)
    };
    Some(feasible.iter().map(score).collect())
}
