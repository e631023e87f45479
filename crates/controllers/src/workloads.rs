//! Controllers of workloads: they make pods, and see to it that as many run as are wanted.
//!
//! Shared parts: [`claim`] says whose an object is, [`written`] shows a controller what it wrote, [`control`]
//! makes and deletes pods, [`pods`] ranks them, [`patch`] says only what changes, [`history`] keeps past templates,
//! [`hash`] names them, [`nodes`] says where a pod may run, [`scale`] asks any kind for its size.

mod amounts;
mod claim;
mod control;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod hash;
mod history;
mod horizontal;
mod job;
pub(crate) mod patch;
mod podgc;
mod pods;
mod replicas;
mod replicaset;
mod replicationcontroller;
mod scale;
mod statefulset;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod ttl;
pub(crate) mod written;

use crate::context::Row;
use api::apps::v1::ReplicaSet;
use api::core::v1::ReplicationController;

/// All controllers of this folder.
pub const fn controllers() -> &'static [Row] {
    &[
        Row { name: "replicaset-controller", start: replicas::start::<ReplicaSet> },
        Row { name: "deployment-controller", start: deployment::start },
        Row { name: "job-controller", start: job::start },
        Row { name: "daemonset-controller", start: daemonset::start },
        Row { name: "statefulset-controller", start: statefulset::start },
        Row { name: "cronjob-controller", start: cronjob::start },
        Row { name: "pod-garbage-collector-controller", start: podgc::start },
        Row { name: "ttl-after-finished-controller", start: ttl::start },
        Row { name: "disruption-controller", start: disruption::start },
        Row { name: "horizontal-pod-autoscaler-controller", start: horizontal::start },
        Row { name: "replicationcontroller-controller", start: replicas::start::<ReplicationController> },
    ]
}
