//! Where writers wait for the committer.

use std::sync::OnceLock;
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Error, Outcome, Size, Txn};

/// Transactions that may wait: far more than the API server lets in at once; beyond it the disk has stalled.
const QUEUE_REQUESTS_MAX: usize = 65_536;
/// Bytes that may wait, for the same reason.
const QUEUE_BYTES_MAX: usize = 256 << 20;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Something for the committer to do.
pub(super) enum Request {
    Txn(Txn, Reply<Outcome>),
    Compact(u64, Reply<()>),
    Advance(u64, Reply<()>),
    Size(Reply<Size>),
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Txn(txn, _) => txn.bytes(),
            _ => 0,
        }
    }

    pub(super) fn refuse(self, error: Error) {
        // A waiter that has gone does not need to know.
        match self {
            Self::Txn(_, reply) => drop(reply.send(Err(error))),
            Self::Compact(_, reply) | Self::Advance(_, reply) => drop(reply.send(Err(error))),
            Self::Size(reply) => drop(reply.send(Err(error))),
        }
    }
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    bytes: usize,
    /// The committer sleeps and must be woken.
    sleeping: bool,
    /// Somebody rang: look at the clock.
    rung: bool,
    finishing: bool,
    closed: Option<Error>,
}

/// Many writers, one committer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    consumer: OnceLock<Thread>,
}

impl Queue {
    /// Who is to be woken.
    pub(super) fn set_consumer(&self, thread: Thread) {
        let _ = self.consumer.set(thread);
        self.ring();
    }

    pub(super) fn push(&self, request: Request) -> Result<(), Error> {
        let mut state = self.state.lock();
        if let Some(error) = &state.closed {
            return Err(error.clone());
        }
        if state.finishing {
            return Err(Error::Fatal("the store is closed".into()));
        }
        if state.requests.len() >= QUEUE_REQUESTS_MAX || state.bytes >= QUEUE_BYTES_MAX {
            return Err(Error::unavailable("too many writes wait for the disk"));
        }
        state.bytes += request.bytes();
        state.requests.push(request);
        let wake = std::mem::take(&mut state.sleeping);
        drop(state);
        if wake {
            self.wake();
        }
        Ok(())
    }

    /// Makes the committer look at the clock.
    pub(super) fn ring(&self) {
        self.state.lock().rung = true;
        self.wake();
    }

    /// Lets the committer end once it has done what is queued.
    pub(super) fn finish(&self) {
        self.state.lock().finishing = true;
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.consumer.get() {
            thread.unpark();
        }
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().requests.len()
    }

    /// Swaps what waits into `requests`, which is empty; sleeps up to `timeout` if there is nothing. Returns
    /// whether to go on.
    pub(super) fn take(&self, requests: &mut Vec<Request>, timeout: Option<Duration>) -> bool {
        {
            let mut state = self.state.lock();
            if !state.requests.is_empty() {
                std::mem::swap(&mut state.requests, requests);
                state.bytes = 0;
                return true;
            }
            if state.finishing {
                return false;
            }
            if std::mem::take(&mut state.rung) || timeout.is_some_and(|timeout| timeout.is_zero()) {
                return true;
            }
            state.sleeping = true;
        }
        match timeout {
            Some(timeout) => std::thread::park_timeout(timeout),
            None => std::thread::park(),
        }
        let mut state = self.state.lock();
        state.sleeping = false;
        std::mem::swap(&mut state.requests, requests);
        state.bytes = 0;
        true
    }

    /// Why everything is refused, if it is.
    pub(super) fn closed(&self) -> Option<Error> {
        self.state.lock().closed.clone()
    }

    /// Refuses everything from now on, and what waits.
    pub(super) fn close(&self, error: &Error) {
        let waiting = {
            let mut state = self.state.lock();
            state.closed.get_or_insert_with(|| error.clone());
            std::mem::take(&mut state.requests)
        };
        waiting.into_iter().for_each(|request| request.refuse(error.clone()));
    }
}
