//! The parent of Corten's processes: starts them in order, says how long each took, restarts what ends.
//!
//! It has no async runtime and no threads that outlive a start: one poll waits for signals, for the ends of
//! children and for what they tell. If it is killed, the kernel ends its children with it; containers and
//! containerd run on, and the next `up` finds them.
//!
//! Signals: SIGTERM, SIGINT and SIGHUP end Corten and leave containers and containerd; SIGUSR1 is `down`: the
//! children that drain get [`DRAIN`] and stop their pods before they end.

mod children;
mod lock;
pub(crate) mod logs;
mod machine;
mod report;
mod run;
mod state;

pub use lock::holder;
pub(crate) use lock::{Lock, is_ending, name, take, told};
pub use report::Report;
pub use run::{Make, run};
pub use state::{Process, Stage, State};

use crate::containerd;
use crate::doctor;
use crate::notify::Notifier;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Tells the supervisor, and by it the children that drain, that pods are to be stopped before the end.
pub const DRAIN: rustix::process::Signal = rustix::process::Signal::USR1;
/// The container runtime's name in [`Child::needs`].
pub const RUNTIME: &str = "runtime";

/// A first start on a slow machine takes well below a minute; who waits longer is told where to look.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// What is to be run.
#[derive(Debug)]
pub struct Config {
    /// What the machine must have and leave free: looked at before the start.
    pub needs: doctor::Needs,
    /// Corten's version, for `status`.
    pub version: String,
    /// The executable of all children: this one.
    pub executable: PathBuf,
    /// The processes.
    pub children: Vec<Child>,
    /// How long a child may drain at `down`; pods' grace periods count.
    pub drain_patience: Duration,
    /// Told when all is up, if systemd started the supervisor.
    pub systemd: Notifier,
}

/// The container runtime.
#[derive(Clone, Debug)]
pub enum Runtime {
    /// A containerd of Corten's own.
    Own(containerd::Options),
    /// Somebody else's, such as `unix:///run/crio/crio.sock`.
    Endpoint(String),
    /// Nothing runs containers here.
    None,
}

impl Runtime {
    /// Whether Corten starts and ends it.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// A process under the supervisor.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its name: its log is `NAME.log`, its notification socket is called so.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its command line without the executable.
    pub arguments: Vec<OsString>,
    /// Names of those that must have been ready before it starts; [`RUNTIME`] is one.
    pub needs: Vec<String>,
    /// Whether it takes [`DRAIN`].
    pub drains: bool,
}
