//! Pods that others were evicted for, by the node where: `pkg/scheduler/backend/queue/nominator.go`. Others of
//! the same importance leave them their place.

use crate::pod::Pod;
use std::collections::HashMap;
use std::sync::Arc;

/// Nominated pods.
#[derive(Debug, Default)]
pub struct Nominated {
    by_node: HashMap<Arc<str>, Vec<Arc<Pod>>>,
    nodes: HashMap<Arc<str>, Arc<str>>,
}

impl Nominated {
    /// The pods that are nominated to a node.
    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        match self.by_node.is_empty() {
            true => &[],
            false => self.by_node.get(node).map(Vec::as_slice).unwrap_or_default(),
        }
    }

    /// The node that a pod is nominated to.
    pub fn node_of(&self, uid: &str) -> Option<&Arc<str>> {
        self.nodes.get(uid)
    }

    /// Nominates a pod to a node, and to no other; an empty name to none.
    pub fn set(&mut self, pod: &Arc<Pod>, node: &Arc<str>) {
        self.remove(&pod.uid);
        if !node.is_empty() {
            self.nodes.insert(pod.uid.clone(), node.clone());
            self.by_node.entry(node.clone()).or_default().push(pod.clone());
        }
    }

    /// Nominates a pod no more; the pod and the node that it was nominated to.
    pub fn remove(&mut self, uid: &str) -> Option<(Arc<Pod>, Arc<str>)> {
        let node = self.nodes.remove(uid)?;
        let pods = self.by_node.get_mut(&node)?;
        let at = pods.iter().position(|pod| *pod.uid == *uid)?;
        let pod = pods.remove(at);
        if pods.is_empty() {
            self.by_node.remove(&node);
        }
        Some((pod, node))
    }
}
