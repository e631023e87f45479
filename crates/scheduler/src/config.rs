//! What the scheduler is told at its start.

mod file;

use crate::profile::Profile;
use crate::queue::Backoff;
use reconcile::lease::Elector;
use std::collections::BTreeSet;

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

    /// With what a `KubeSchedulerConfiguration` (`kubescheduler.config.k8s.io/v1`) says about profiles, backoff and
    /// leader election. What it says about connections and threads is for another program.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn from_configuration(identity: &str, configuration: &serde_json::Value) -> Result<Self, Error> {
        let file: file::Configuration = serde_json::from_value(configuration.clone())
            .map_err(|error| Error::Config(error.to_string()))?;
        let config = file.apply(Self::new(identity)).map_err(Error::Config)?;
        let names: BTreeSet<_> = config.profiles.iter().map(|profile| &profile.name).collect();
        if names.len() < config.profiles.len() {
            return Err(Error::Config("two profiles have the same schedulerName".to_owned()));
        }
        Ok(config)
    }
}

/// Why the scheduler ended, or did not start.
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
