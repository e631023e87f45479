//! What the engine wants done, and by whom it is told what came of it. Nothing here does anything.

use crate::pod::Pod;
use crate::volumes::Plan;
use std::sync::Arc;

/// A pod, as requests and events name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// The UID.
    pub uid: Arc<str>,
}

impl From<&Pod> for PodRef {
    fn from(pod: &Pod) -> Self {
        Self { namespace: pod.class.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
    }
}

impl std::fmt::Display for PodRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Bind a pod to a node, then say so (`Engine::bound`).
    Bind {
        /// The pod.
        pod: PodRef,
        /// The node.
        node: Arc<str>,
        /// Its scheduler name, under which events come.
        scheduler: Arc<str>,
    },
    /// Write what binds a pod's volumes, then say so (`Engine::volumes_written`).
    BindVolumes {
        /// The pod.
        pod: PodRef,
        /// The node, to which the pod is nominated meanwhile.
        node: Arc<str>,
        /// What to write.
        plan: Plan,
    },
    /// Tell that a pod goes nowhere for now: an event, and condition `PodScheduled`.
    Reject {
        /// The pod.
        pod: PodRef,
        /// Its scheduler name, under which events come.
        scheduler: Arc<str>,
        /// The condition's reason.
        reason: &'static str,
        /// Why.
        message: String,
        /// What `status.nominatedNodeName` becomes, if it changes: empty is none.
        nominated: Option<Arc<str>>,
    },
    /// Tell that a pod is not looked at because it is being deleted.
    SkipDeleting {
        /// The pod.
        pod: PodRef,
        /// Its scheduler name, under which events come.
        scheduler: Arc<str>,
    },
    /// Evict pods for another, then say so (`Engine::evicted`).
    Evict {
        /// The pod that needs their place.
        preemptor: PodRef,
        /// Its scheduler name, under which events come.
        scheduler: Arc<str>,
        /// The node.
        node: Arc<str>,
        /// The pods to go, the most important first.
        victims: Vec<PodRef>,
    },
    /// A pod is nominated to no node any more: a more important one is.
    ClearNomination(PodRef),
}

/// The condition's reason if nodes or constraints say no.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// The condition's reason if something went wrong.
pub const SCHEDULER_ERROR: &str = "SchedulerError";
