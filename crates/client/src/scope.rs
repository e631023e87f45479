//! For how long caches are read.

use std::future::pending;
use tokio::sync::watch;

/// Somebody who reads caches. Dropped, it is told of no change any more, and what only it had is followed no more.
#[derive(Debug)]
pub struct Reading(#[expect(dead_code, reason = "receivers see that it is gone")] watch::Sender<()>);

/// What belongs to a [`Reading`]; by default to none, and so does not end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope(Option<watch::Receiver<()>>);

impl Scope {
    pub(crate) fn new() -> (Reading, Self) {
        let (sender, receiver) = watch::channel(());
        (Reading(sender), Self(Some(receiver)))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(|reading| reading.has_changed().is_err())
    }

    /// Waits for [`Self::has_ended`].
    pub(crate) async fn ended(&self) {
        match self.0.clone() {
            Some(mut reading) => while reading.changed().await.is_ok() {},
            None => pending().await,
        }
    }
}
