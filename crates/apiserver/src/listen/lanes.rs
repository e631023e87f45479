//! The threads that serve connections.

use super::pace;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that serve connections, each by itself: a connection stays where it began.
///
/// Threads that take work off each other wake each other for it, and a thread that is woken for a request or two
/// costs more than they do. What takes long leaves a connection's thread anyway.
#[derive(Clone, Debug)]
pub struct Lanes {
    handles: Arc<[Handle]>,
    next: Arc<AtomicUsize>,
    _own: Arc<Own>,
}

/// The runtimes that end with the lanes.
#[derive(Debug, Default)]
struct Own(Vec<Runtime>);

impl Drop for Own {
    fn drop(&mut self) {
        // Without waiting, for it may be a task that lets go of them.
        self.0.drain(..).for_each(Runtime::shutdown_background);
    }
}

impl Lanes {
    /// So many threads of their own, with room for so many bytes on each one's stack. They end when the last clone
    /// is gone, and with them their connections.
    ///
    /// # Errors
    /// The system has no more threads or files.
    pub fn start(count: usize, stack_bytes: usize) -> io::Result<Self> {
        // Each of the kind that may have several threads: what blocks in one all the same hands the lane to another.
        let start_one = |_| {
            let mut lane = Builder::new_multi_thread();
            lane.worker_threads(1)
                .thread_name("connections")
                .thread_stack_size(stack_bytes)
                .on_thread_park(pace::rest)
                .enable_all()
                .build()
        };
        let own = Own((0..count.max(1)).map(start_one).collect::<io::Result<_>>()?);
        let handles = own.0.iter().map(|lane| lane.handle().clone()).collect();
        Ok(Self { handles, next: Arc::default(), _own: Arc::new(own) })
    }

    /// The runtime that asks, for all connections.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn here() -> Self {
        Self { handles: Arc::new([Handle::current()]), next: Arc::default(), _own: Arc::default() }
    }

    /// The lane of the next connection: they take turns.
    pub(crate) fn next(&self) -> &Handle {
        // There is at least one.
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::collections::HashSet;
    use std::thread;

    #[test]
    fn lanes_take_turns_and_end_with_the_last_clone() {
        let lanes = Lanes::start(3, 1 << 20).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        for _ in 0..6 {
            let sender = sender.clone();
            lanes.next().spawn(async move { sender.send(thread::current().id()).unwrap() });
        }
        let ran: Vec<_> = receiver.iter().take(6).collect();
        assert_eq!(ran.iter().collect::<HashSet<_>>().len(), 3);
        assert!(!ran.contains(&thread::current().id()));

        // What a lane holds goes with it.
        lanes.next().spawn(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        drop(lanes.clone());
        assert!(receiver.try_recv().is_err_and(|error| error == std::sync::mpsc::TryRecvError::Empty));
        drop(lanes);
        assert!(receiver.recv().is_err());
    }
}
