//! The connections that are passed on now: how many there may be, and their common end.

use crate::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How many upgraded connections one process passes on at once: each costs two sockets and 64 KiB.
pub const STREAMS_MAX: usize = 4_000;
/// How long a connection may be silent, as upstream's `streamingConnectionIdleTimeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4 * 3_600);
/// What is read at once in one direction.
const COPY_BYTES: usize = 32 << 10;

/// Counts connections and ends them with the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Streams {
    permits: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Streams {
    /// Connections that end when `stop` becomes true.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self { permits: Arc::new(Semaphore::new(STREAMS_MAX)), stop }
    }

    /// Room for one more.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub(crate) fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.permits.clone().try_acquire_owned().map_err(|_| Error::TooMany)
    }

    /// Runs what passes a connection on, until it ends or the process is to stop.
    pub(crate) fn spawn(
        &self,
        permit: OwnedSemaphorePermit,
        work: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = work => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a streaming connection broke");
                    }
                }
                _ = stop.wait_for(|s| *s) => {}
            }
            drop(permit);
        });
    }
}

/// Whether anything moved.
#[derive(Debug, Default)]
pub(crate) struct Activity(AtomicU64);

impl Activity {
    pub(crate) fn touch(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Completes when nothing moved for a long time.
    pub(crate) async fn idle(&self) {
        loop {
            let seen = self.0.load(Ordering::Relaxed);
            tokio::time::sleep(IDLE_TIMEOUT).await;
            if self.0.load(Ordering::Relaxed) == seen {
                return;
            }
        }
    }
}

/// Copies in both directions until one side ends: then the other has nobody to talk to.
pub(crate) async fn join<A, B>(a: A, b: B) -> Result<(), Error>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut a_read, mut a_write) = tokio::io::split(a);
    let (mut b_read, mut b_write) = tokio::io::split(b);
    let activity = Activity::default();
    let result = tokio::select! {
        result = copy(&mut a_read, &mut b_write, &activity) => result,
        result = copy(&mut b_read, &mut a_write, &activity) => result,
        () = activity.idle() => Ok(()),
    };
    // What was written must arrive: TLS tells its end, TCP sends what it holds.
    let _ = tokio::join!(a_write.shutdown(), b_write.shutdown());
    result
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
) -> Result<(), Error> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        activity.touch();
        to.write_all(&buffer[..n]).await?;
        to.flush().await?;
    }
}
