//! What the scheduler is told at its start.

use crate::profile::Profile;
use crate::queue::Backoff;
use reconcile::lease::Elector;

/// What the scheduler is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The profiles, one per scheduler name.
    pub profiles: Vec<Profile>,
    /// How long pods back off that no node took.
    pub backoff: Backoff,
    /// The lease to hold; none if there is no other scheduler.
    pub leader_election: Option<Elector>,
    /// What the dice start from that decide between equals.
    pub seed: u64,
}

impl Config {
    /// Upstream's defaults; `identity` is unique among those that want to lead.
    pub fn new(identity: &str) -> Self {
        Self {
            profiles: vec![Profile::default()],
            backoff: Backoff::default(),
            leader_election: Some(Elector::new("kube-scheduler", identity)),
            seed: 0,
        }
    }
}

/// Why the scheduler ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its thread could not be had.
    #[error("cannot start the scheduler's thread: {0}")]
    Thread(std::io::Error),
    /// Its thread ended by itself.
    #[error("the scheduler's thread ended by itself")]
    Ended,
    /// The configuration cannot be used.
    #[error("cannot use the scheduler's configuration: {0}")]
    Config(String),
}
