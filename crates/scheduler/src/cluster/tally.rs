//! How many pods of a kind each node has, kept up as pods come and go. Spreading and affinity ask this in each
//! decision; upstream counts over all pods of all nodes each time.

use super::NodeId;
use super::memo::Memo;
use crate::labels::{Labels, Selector};
use crate::pod::{Pod, Scope};
use std::sync::Arc;

/// Tallies that are kept: each costs a number per node, and a look per pod that comes or goes.
const TALLIES_MAX: usize = 1024;

/// The pods that a tally counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Pods of a namespace that a selector selects and that are not being deleted (spreading).
    Selected(Arc<str>, Selector),
    /// Pods that all scopes are about (affinity).
    InScopes(Box<[Scope]>),
}

impl Counted {
    fn has(&self, pod: &Pod, namespace: &Labels) -> bool {
        match self {
            Self::Selected(name, selector) => {
                !pod.terminating && *name == pod.class.namespace && selector.matches(&pod.class.labels)
            }
            Self::InScopes(scopes) => {
                !scopes.is_empty() && scopes.iter().all(|scope| scope.has(&pod.class, namespace))
            }
        }
    }

    fn selects_by_namespace(&self) -> bool {
        match self {
            Self::Selected(..) => false,
            Self::InScopes(scopes) => scopes.iter().any(|scope| !scope.namespace_selector.is_nothing()),
        }
    }
}

/// Numbers of pods by node.
#[derive(Debug)]
pub struct Tally {
    counted: Counted,
    by_node: Vec<u32>,
}

impl Tally {
    pub(super) fn new(counted: Counted) -> Self {
        Self { counted, by_node: Vec::new() }
    }

    /// How many pods a node has.
    pub fn of(&self, node: NodeId) -> i64 {
        self.by_node.get(node as usize).copied().unwrap_or_default().into()
    }

    /// Whether it counts a pod, whose namespace has some labels.
    pub fn counts(&self, pod: &Pod, namespace: &Labels) -> bool {
        self.counted.has(pod, namespace)
    }

    pub(super) fn count(&mut self, pod: &Pod, namespace: &Labels, node: NodeId, sign: i32) {
        if self.counted.has(pod, namespace) {
            if self.by_node.len() <= node as usize {
                self.by_node.resize(node as usize + 1, 0);
            }
            let count = &mut self.by_node[node as usize];
            *count = count.saturating_add_signed(sign);
        }
    }
}

/// All tallies.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    all: Memo<Counted, Tally>,
}

impl Tallies {
    pub(super) fn ensure(&mut self, counted: &Counted, make: impl FnOnce() -> Tally) -> usize {
        self.all.ensure(counted, TALLIES_MAX, make)
    }

    pub(super) fn get(&self, id: usize) -> &Tally {
        self.all.get(id)
    }

    pub(super) fn count(&mut self, pod: &Pod, namespace: &Labels, node: NodeId, sign: i32) {
        self.all.each(|_, tally| tally.count(pod, namespace, node, sign));
    }

    /// The labels of a namespace changed: what depends on them is counted anew when it is needed.
    pub(super) fn forget_selected_by_namespace(&mut self) {
        self.all.retain(|counted| !counted.selects_by_namespace());
    }
}
