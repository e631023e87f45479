//! What the supervisor writes down for `status`, for `down` and for its successor.

use crate::layout::Layout;
use crate::processes::Identity;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The file's contents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The supervisor.
    pub supervisor: Identity,
    /// Corten's version.
    pub version: String,
    /// Made from the executable and all command lines: an `up` with another one replaces the supervisor.
    pub fingerprint: String,
    /// What came up, in that order.
    pub stages: Vec<Stage>,
    /// From the supervisor's start until all was up.
    pub ready_after_seconds: Option<f64>,
    /// It was told to end.
    #[serde(default)]
    pub ending: bool,
    /// The processes.
    pub processes: Vec<Process>,
}

/// A step of the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// What came up.
    pub name: String,
    /// In how long.
    pub seconds: f64,
    /// How.
    pub detail: String,
}

/// One process under the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its name, as in its log's.
    pub name: String,
    /// The process, while there is one.
    pub identity: Option<Identity>,
    /// Whether it said that it is ready.
    pub ready: bool,
    /// Times that it was started again since the last long run.
    pub restarts: u32,
    /// It outlives the supervisor.
    pub outlives: bool,
    /// The last thing it said about itself.
    pub said: String,
}

impl State {
    /// What the last supervisor wrote, whether or not it lives.
    pub fn read(layout: &Layout) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(&layout.supervisor_state).ok()?).ok()
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self, layout: &Layout) -> Result<()> {
        let path = &layout.supervisor_state;
        let new = path.with_extension("new");
        let bytes = serde_json::to_vec_pretty(self).context("cannot encode the supervisor's state")?;
        let write = || std::fs::write(&new, &bytes).and_then(|()| std::fs::rename(&new, path));
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}
