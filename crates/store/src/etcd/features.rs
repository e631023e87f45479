//! Which etcd this is and what it can be trusted with.
//!
//! Upstream counterpart: `storage/feature/feature_support_checker.go`.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::client::{Client, call};
use super::proto::{Empty, StatusResponse};
use crate::Error;

/// Members that could not be asked are asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A version as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u64, u64, u64);

/// The oldest etcd that is supported.
const OLDEST: Version = Version(3, 4, 0);

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next()?;
        let mut parts = core.split('.').map(|part| part.parse().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }

    /// Before these, a progress notification could overtake events: etcd issues 15220 and 17507.
    pub(super) fn tells_true_progress(self) -> bool {
        self >= Self(3, 5, 13) || (self >= Self(3, 4, 31) && self < Self(3, 5, 0))
    }
}

/// Whether progress notifications can be trusted; the answer of the weakest member.
#[derive(Default)]
pub(super) struct Features(Mutex<(Option<bool>, Option<Instant>)>);

impl Features {
    /// Asks all members; returns the id of the cluster.
    pub(super) async fn probe(&self, client: &Client) -> Result<u64, Error> {
        self.0.lock().1 = Some(Instant::now());
        let mut trusted = Some(true);
        let mut cluster = None;
        let mut last = None;
        for (url, channel) in &client.members {
            match call::<Empty, StatusResponse>(channel.clone(), super::STATUS, Empty {}).await {
                Ok(status) => {
                    client.observe(status.header);
                    cluster = status.header.map(|header| header.cluster_id);
                    let version = Version::parse(&status.version);
                    if version.is_some_and(|version| version < OLDEST) {
                        let text = format!("etcd {} at {url}: 3.4 is the oldest supported", status.version);
                        return Err(Error::Unsupported(text));
                    }
                    if !version.is_some_and(Version::tells_true_progress) {
                        tracing::info!(
                            url,
                            version = status.version,
                            "progress notifications are not trusted"
                        );
                        trusted = Some(false);
                    }
                }
                Err(status) => {
                    tracing::warn!(url, %status, "cannot ask etcd for its version");
                    last = Some(client.error(&status, false));
                    trusted = trusted.filter(|trusted| !trusted);
                }
            }
        }
        self.0.lock().0 = trusted;
        match (cluster, last) {
            (Some(cluster), _) => Ok(cluster),
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::unavailable("etcd did not tell its cluster id")),
        }
    }

    pub(super) fn progress(&self) -> bool {
        self.0.lock().0 == Some(true)
    }

    /// Whether members were silent and enough time has passed to ask them again.
    pub(super) fn should_ask(&self) -> bool {
        let state = self.0.lock();
        state.0.is_none() && state.1.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_trusted_where_upstream_trusts_it() {
        let cases = [
            ("3.4.30", false),
            ("3.4.31", true),
            ("3.4.99", true),
            ("3.5.0", false),
            ("3.5.12", false),
            ("3.5.13", true),
            ("3.5.13-rc.1", true),
            ("3.6.0", true),
            ("4.0.0", true),
            ("3.3.27", false),
        ];
        for (text, trusted) in cases {
            assert_eq!(Version::parse(text).unwrap().tells_true_progress(), trusted, "{text}");
        }
        for wrong in ["", "3", "3.5", "3.5.x", "3.5.1.2", "not decided"] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }
}
