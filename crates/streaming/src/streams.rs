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
/// How long a side that is told of the end may take to go.
pub(crate) const PARTING_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Tells a side that nothing more comes, and takes what it still sends until it goes as well: a connection that is
/// closed with something unread in it is reset, and what was sent last (how a command ended) is lost with it.
pub(crate) async fn part(mut read: impl AsyncRead + Unpin, mut write: impl AsyncWrite + Unpin) {
    let parting = async {
        write.shutdown().await?;
        let mut rest = vec![0; COPY_BYTES];
        while read.read(&mut rest).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whoever has left already is told in vain.
    let _ = tokio::time::timeout(PARTING_TIMEOUT, parting).await;
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
    let (result, a_is_left) = tokio::select! {
        result = copy(&mut a_read, &mut b_write, &activity) => (result, false),
        result = copy(&mut b_read, &mut a_write, &activity) => (result, true),
        () = activity.idle() => (Ok(()), false),
    };
    if a_is_left {
        part(a_read, a_write).await;
    } else {
        part(b_read, b_write).await;
    }
    result
}

/// Copies until there is no more. What the other side does not take is dropped: it may still have something to say.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    activity: &Activity,
) -> Result<(), Error> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut takes = true;
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        activity.touch();
        if takes {
            takes = to.write_all(&buffer[..n]).await.is_ok() && to.flush().await.is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn the_last_word_arrives_though_nobody_listens_any_more() {
        let (mut client, client_side) = duplex(64);
        let (mut backend, backend_side) = duplex(64);
        let joined = tokio::spawn(join(client_side, backend_side));
        // The client sends more than anybody takes; the backend says how it ended, and goes.
        let sending = tokio::spawn(async move {
            let _ = client.write_all(&[b'x'; 1_000]).await;
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.unwrap();
            told
        });
        backend.write_all(b"done").await.unwrap();
        drop(backend);
        assert_eq!(sending.await.unwrap(), b"done");
        joined.await.unwrap().unwrap();
    }
}
