//! The container runtime that Corten supervises: a containerd with a root and a socket of its own.
//!
//! It outlives Corten: it has its own session and cgroup, is found again by its socket, told from a differently
//! configured one by the configuration it was started with, and ended only by `down` and `reset`.

mod config;
mod probe;
mod process;

pub use config::{Settings, Snapshotter, render};
pub use probe::{Programs, lowers_oom_score, overlay_works, parse_version};
pub use process::{Containerd, Origin, leftover_shims, running};

use std::fmt;
use std::path::PathBuf;

/// What may be chosen; the rest is found out.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// containerd's executable, if not the first on the usual path.
    pub program: Option<PathBuf>,
    /// runc or crun, if not the first on the usual path.
    pub runtime: Option<PathBuf>,
    /// A snapshotter by name, if not overlayfs or, where that does not work, native.
    pub snapshotter: Option<String>,
    /// Whether runc asks systemd for cgroups. The kubelet must be told the same.
    pub systemd_cgroup: bool,
}

/// A version of containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
