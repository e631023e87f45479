//! A future that is often ready from the start.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::Error;

/// What a call of a [`Store`](crate::Store) returns: `.await` it. No allocation where the answer is known at
/// once or comes from the committer.
#[must_use = "an answer does nothing unless awaited"]
pub struct Answer<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    Ready(Option<Result<T, Error>>),
    Waiting(oneshot::Receiver<Result<T, Error>>),
    Future(Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>),
}

impl<'a, T> Answer<'a, T> {
    /// An answer that is there.
    pub fn ready(result: Result<T, Error>) -> Self {
        Self(Inner::Ready(Some(result)))
    }

    /// An answer to be computed.
    pub fn future(future: impl Future<Output = Result<T, Error>> + Send + 'a) -> Self {
        Self(Inner::Future(Box::pin(future)))
    }

    /// An answer that another thread will send; a dropped sender means the store has stopped.
    pub fn waiting(receiver: oneshot::Receiver<Result<T, Error>>) -> Self {
        Self(Inner::Waiting(receiver))
    }

    /// The result, if it needs no waiting; back ends in memory always have it for reads.
    ///
    /// # Errors
    /// The answer itself when it is not there yet.
    pub fn now(self) -> Result<Result<T, Error>, Self> {
        match self.0 {
            Inner::Ready(Some(result)) => Ok(result),
            other => Err(Self(other)),
        }
    }
}

impl<T: Unpin> Future for Answer<'_, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Ready(result) => {
                Poll::Ready(result.take().expect("an answer is polled once after completion"))
            }
            Inner::Waiting(receiver) => Pin::new(receiver).poll(cx).map(|sent| match sent {
                Ok(result) => result,
                Err(_) => Err(Error::Fatal("the committer is gone".into())),
            }),
            Inner::Future(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for Answer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Ready(_) => "Answer::Ready",
            _ => "Answer::Pending",
        })
    }
}
