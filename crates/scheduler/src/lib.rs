//! Which node a pod runs on.

pub mod cluster;
pub mod labels;
pub mod node;
pub mod nominated;
pub mod placement;
pub mod plugins;
pub mod pod;
pub mod preemption;
pub mod profile;
pub mod random;
pub mod resources;
pub mod schedule;
pub mod status;
pub mod volumes;

/// The name of the scheduler that pods get if they name none.
pub const DEFAULT_SCHEDULER_NAME: &str = "default-scheduler";
