//! Takes keys from a queue and has a controller look at them.

use crate::Queue;
use api::Key;
use client::Error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is to happen with a key that was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until something changes.
    Done,
    /// It is looked at again after a while, changed or not.
    After(Duration),
}

/// What came of looking at a key.
pub type Result<T = Next> = std::result::Result<T, Error>;

/// A controller.
pub trait Reconcile: Send + Sync + 'static {
    /// Its name in logs: `replicaset`.
    fn name(&self) -> &'static str;

    /// Brings about what the object at `key` asks for, as far as can be done now. An error means: again
    /// later.
    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result>;
}

/// How many failures in a row are no news: of any kind, and refusals.
const QUIET_FAILURES: u32 = 2;
const QUIET_REFUSALS: u32 = 5;

/// Whether an error after so many failures is no news.
fn is_ordinary(error: &Error, failures: u32) -> bool {
    // A lost race is the normal way of things; a namespace that is going away, or a role that is not there
    // yet, passes by itself.
    error.is_conflict() || failures < if error.is_forbidden() { QUIET_REFUSALS } else { QUIET_FAILURES }
}

/// Looks at the keys of `queue`, `workers` at a time, until `stop` is true; what is begun then is ended first.
pub async fn run(queue: Queue, controller: Arc<dyn Reconcile>, workers: usize, stop: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    for _ in 0..workers.max(1) {
        tasks.spawn(work(queue.clone(), controller.clone(), stop.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

async fn work(queue: Queue, controller: Arc<dyn Reconcile>, mut stop: watch::Receiver<bool>) {
    loop {
        let key = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            key = queue.next() => key,
        };
        // A panic is about one object; the others must not suffer from it. The hook has logged it.
        let looked = AssertUnwindSafe(controller.reconcile(key.clone())).catch_unwind().await;
        match looked {
            Ok(Ok(next)) => {
                queue.forget(&key);
                if let Next::After(wait) = next {
                    queue.add_after(key.clone(), wait);
                }
            }
            Ok(Err(error)) => {
                let failures = queue.failures(&key);
                if is_ordinary(&error, failures) {
                    tracing::debug!(controller = controller.name(), %key, %error, "trying again");
                } else {
                    tracing::warn!(controller = controller.name(), %key, failures, %error, "trying again");
                }
                queue.add_failed(key.clone());
            }
            Err(_) => queue.add_failed(key.clone()),
        }
        queue.done(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn what_passes_by_itself_is_no_news() {
        let status = |reason: &str| {
            let status = api::meta::v1::Status { reason: Some(reason.into()), ..Default::default() };
            Error::Status(Box::new(status))
        };
        let cases = [
            (status("Conflict"), 1_000, true),
            (status("Forbidden"), 0, true),
            (status("Forbidden"), 4, true),
            (status("Forbidden"), 5, false),
            (status("Invalid"), 1, true),
            (status("Invalid"), 2, false),
            (Error::Transport("broken off".into()), 2, false),
        ];
        for (error, failures, ordinary) in cases {
            assert_eq!(is_ordinary(&error, failures), ordinary, "{error} after {failures}");
        }
    }

    #[derive(Default)]
    struct Third(AtomicU32);

    impl Reconcile for Third {
        fn name(&self) -> &'static str {
            "third"
        }

        fn reconcile(&self, _: Key) -> BoxFuture<'_, Result> {
            Box::pin(async {
                match self.0.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(Error::Other("not yet".into())),
                    1 => panic!("a fault"),
                    _ => Ok(Next::Done),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn errors_and_panics_are_tried_again() {
        let (stop, stopped) = watch::channel(false);
        let (queue, third) = (Queue::new(), Arc::new(Third::default()));
        queue.add(Key::new("", "a"));
        let running = tokio::spawn(run(queue.clone(), third.clone(), 1, stopped));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(third.0.load(Ordering::Relaxed), 3);
        assert_eq!(queue.failures(&Key::new("", "a")), 0);
        stop.send_replace(true);
        running.await.expect("an end");
    }
}
