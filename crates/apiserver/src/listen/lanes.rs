//! The threads that serve connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Threads that serve connections, each by itself: a connection stays where it began.
///
/// Threads that take work off each other wake each other for it, and a thread that is woken for a request or two
/// costs more than they do. What takes long leaves a connection's thread anyway.
#[derive(Clone, Debug)]
pub struct Lanes {
    handles: Arc<[Handle]>,
    next: Arc<AtomicUsize>,
    /// The threads end with it.
    _running: Arc<watch::Sender<()>>,
}

impl Lanes {
    /// So many threads of their own, with room for so many bytes on each one's stack. They end when the last clone
    /// is gone, and with them their connections.
    ///
    /// # Errors
    /// The system has no more threads or files.
    pub fn start(count: usize, stack_bytes: usize) -> io::Result<Self> {
        let running = watch::Sender::new(());
        let start_one = |_| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let mut ending = running.subscribe();
            let serve = move || runtime.block_on(async move { while ending.changed().await.is_ok() {} });
            let thread = std::thread::Builder::new().name("connections".into()).stack_size(stack_bytes);
            thread.spawn(serve).map(|_| handle)
        };
        let handles = (0..count.max(1)).map(start_one).collect::<io::Result<_>>()?;
        Ok(Self { handles, next: Arc::default(), _running: Arc::new(running) })
    }

    /// The runtime that asks, for all connections.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn here() -> Self {
        let running = Arc::new(watch::Sender::new(()));
        Self { handles: Arc::new([Handle::current()]), next: Arc::default(), _running: running }
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
