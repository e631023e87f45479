//! Which node a pod runs on: kube-scheduler of v1.36.
//!
//! | what | where |
//! |---|---|
//! | one decision: filters, scores, the best node | [`schedule`], [`plugins`], [`placement`] |
//! | evictions for a more important pod | [`preemption`] |
//! | nodes and pods, and what is counted along | [`cluster`] |
//! | who is next, who waits for what | [`queue`], [`hints`] |
//! | all of it, told of changes, saying what to do | [`engine::Engine`] |
//! | threads, caches, requests | [`run`], `act.rs` |
//! | which plugins, with which weights | [`profile::Profile`], [`Config`] |
//!
//! Invariants: all but `run.rs` and `act.rs` does no I/O and reads no clock: a run is repeated from its seed. The
//! cluster has one owner and no lock. Texts and reasons that users see are upstream's. Not there: claims of
//! devices (pods with `spec.resourceClaims` are rejected), pod groups, HTTP extenders, translation of in-tree
//! volumes, features that nodes declare.

mod act;
pub mod action;
pub mod cluster;
mod config;
pub mod engine;
pub mod hints;
pub mod labels;
pub mod node;
pub mod nominated;
pub mod placement;
pub mod plugins;
pub mod pod;
pub mod preemption;
pub mod profile;
pub mod queue;
pub mod random;
pub mod resources;
mod run;
pub mod schedule;
pub mod status;
pub mod volumes;

pub use config::{Config, Error};
pub use run::run;

/// The name of the scheduler that pods get if they name none.
pub const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";
