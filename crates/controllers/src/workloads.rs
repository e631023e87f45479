//! Controllers of workloads: they make pods, and see to it that as many run as are wanted.
//!
//! Shared parts: [`claim`] says whose an object is, [`written`] shows a controller what it wrote, [`control`]
//! makes and deletes pods, [`patch`] says only what changes.

mod amounts;
mod claim;
mod control;
mod daemonset;
mod deployment;
mod hash;
mod history;
mod job;
mod nodes;
pub(crate) mod patch;
mod pods;
mod replicas;
mod replicaset;
mod replicationcontroller;
#[cfg(test)]
pub(crate) mod testing;
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
        Row { name: "replicationcontroller-controller", start: replicas::start::<ReplicationController> },
    ]
}
