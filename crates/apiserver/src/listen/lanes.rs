//! The threads that serve connections.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
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
                .on_thread_park(|| {
                    if let Some(rest) = PACE.with(|pace| pace.rest(Instant::now)) {
                        thread::sleep(rest);
                    }
                })
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

/// How many pieces of watches are a burst, from one time that a lane has nothing to do to the next.
const BURST_PIECES: u32 = 64;
/// For how long after a burst its acknowledgements are expected.
const BURST_TIME: Duration = Duration::from_millis(20);
/// For how long a lane rests that was woken by acknowledgements alone.
const REST: Duration = Duration::from_micros(200);

thread_local! {
    static PACE: Pace = const { Pace::new() };
}

/// The pace of a thread that serves connections.
///
/// A burst of events for hundreds of watches is answered by hundreds of packets that say no more than that they were
/// taken (`WINDOW_UPDATE`), one after the other, each of which wakes the thread. When it finds that nothing else woke
/// it, it rests a little before it waits again: what comes meanwhile is read at once.
struct Pace {
    /// What was sent since the thread last had nothing to do.
    pieces: Cell<u32>,
    /// What connections were woken for since then.
    woken: Cell<Woken>,
    /// The end of the last burst.
    burst: Cell<Option<Instant>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Woken {
    Nobody,
    ForAcknowledgements,
    ForWork,
}

impl Pace {
    const fn new() -> Self {
        Self { pieces: Cell::new(0), woken: Cell::new(Woken::Nobody), burst: Cell::new(None) }
    }

    /// For how long the thread rests, before it waits for something to do.
    fn rest(&self, now: impl Fn() -> Instant) -> Option<Duration> {
        let woken = self.woken.replace(Woken::Nobody);
        if self.pieces.replace(0) >= BURST_PIECES {
            self.burst.set(Some(now()));
            return None;
        }
        let burst = self.burst.get().filter(|_| woken == Woken::ForAcknowledgements)?;
        if now().saturating_duration_since(burst) < BURST_TIME {
            return Some(REST);
        }
        self.burst.set(None);
        None
    }

    /// A connection has its turn.
    fn wakes(&self) {
        if self.woken.get() == Woken::Nobody {
            self.woken.set(Woken::ForAcknowledgements);
        }
    }

    /// A request or its answer goes on.
    fn works(&self) {
        self.woken.set(Woken::ForWork);
    }

    /// A piece of what comes over time was sent.
    fn sends(&self) {
        self.pieces.set(self.pieces.get().saturating_add(1));
    }
}

/// A connection of this thread has its turn.
pub(super) fn wakes() {
    PACE.with(Pace::wakes);
}

/// A request of this thread, or its answer, goes on.
pub(super) fn works() {
    PACE.with(Pace::works);
}

/// This thread sent a piece of what comes over time.
pub(super) fn sends() {
    PACE.with(Pace::sends);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::collections::HashSet;

    #[test]
    fn only_acknowledgements_of_a_burst_make_a_thread_rest() {
        let pace = Pace::new();
        let began = Instant::now();
        let rest = |after| pace.rest(|| began + after);
        let send = |pieces| (0..pieces).for_each(|_| pace.sends());
        pace.wakes();
        assert_eq!(rest(Duration::ZERO), None, "nothing was sent");
        send(BURST_PIECES - 1);
        assert_eq!(rest(Duration::ZERO), None, "too little was sent");
        pace.wakes();
        assert_eq!(rest(Duration::ZERO), None);
        pace.wakes();
        pace.works();
        send(BURST_PIECES);
        assert_eq!(rest(Duration::ZERO), None, "what is sent goes first");
        pace.wakes();
        assert_eq!(rest(BURST_TIME / 2), Some(REST));
        assert_eq!(rest(BURST_TIME / 2), None, "nobody was woken");
        pace.wakes();
        pace.works();
        pace.wakes();
        assert_eq!(rest(BURST_TIME / 2), None, "a request came");
        pace.wakes();
        assert_eq!(rest(BURST_TIME), None, "the burst is over");
        pace.wakes();
        assert_eq!(rest(BURST_TIME / 2), None);
    }

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
