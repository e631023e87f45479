//! A watch as its reader holds it.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::{Batch, Error};

/// Delivers batches in revision order without gaps until it ends with an error. Drop it to stop watching.
pub struct Watch(Box<dyn WatchSource>);

/// What a back end gives for a watch.
pub trait WatchSource: Send {
    /// The next batch; after an error it is not polled again.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>>;
}

impl Watch {
    /// A watch of a back end.
    pub fn new(source: impl WatchSource + 'static) -> Self {
        Self(Box::new(source))
    }

    /// The next batch. Cancel safe.
    ///
    /// # Errors
    /// The watch is over. `Compacted`: read anew; `Unavailable`: watch again from the revision after the last
    /// batch's; `Fatal`.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Watch::next`], for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
