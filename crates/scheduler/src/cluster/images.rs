//! Which nodes have an image: `pkg/scheduler/backend/cache/cache.go`, `addNodeImageStates`.

use super::NodeId;
use std::collections::{HashMap, HashSet};

/// An image that nodes have.
#[derive(Debug)]
pub struct Image {
    /// Its size in bytes, as the first node said.
    pub size: i64,
    /// The nodes that have it.
    pub nodes: HashSet<NodeId>,
}

/// A node's images: names and sizes.
type OfNode = Box<[(Box<str>, i64)]>;

/// Images by name.
#[derive(Debug, Default)]
pub(super) struct Images {
    by_name: HashMap<Box<str>, Image>,
    of_node: HashMap<NodeId, OfNode>,
}

impl Images {
    pub(super) fn get(&self, name: &str) -> Option<&Image> {
        self.by_name.get(name)
    }

    /// Takes over a node's images.
    pub(super) fn set(&mut self, node: NodeId, images: &[(Box<str>, i64)]) {
        if self.of_node.get(&node).map(|known| &**known).unwrap_or_default() == images {
            return;
        }
        for (name, _) in self.of_node.remove(&node).into_iter().flatten() {
            if let Some(image) = self.by_name.get_mut(&name) {
                image.nodes.remove(&node);
                if image.nodes.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        for (name, size) in images {
            let image = self.by_name.entry(name.clone());
            image.or_insert_with(|| Image { size: *size, nodes: HashSet::new() }).nodes.insert(node);
        }
        if !images.is_empty() {
            self.of_node.insert(node, images.into());
        }
    }
}
