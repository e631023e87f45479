//! The pace of a thread that serves connections.
//!
//! A burst of events for hundreds of watches is answered by hundreds of packets that say no more than that they were
//! taken (`WINDOW_UPDATE`), one after the other, each of which wakes the thread. When it finds that nothing else woke
//! it, it rests a little before it waits again: what comes meanwhile is read at once, as network cards do with their
//! interrupts. A request that comes then waits as long.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How many pieces of watches are a burst, from one time that a thread has nothing to do to the next.
const BURST_PIECES: u32 = 64;
/// For how long after a burst its acknowledgements are expected.
const BURST_TIME: Duration = Duration::from_millis(20);
/// For how long a thread rests that was woken by acknowledgements alone.
const REST: Duration = Duration::from_micros(200);

thread_local! {
    static PACE: Pace = const { Pace::new() };
}

/// What a thread knows of it.
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

/// To be called by a thread of connections before it waits for something to do.
pub(super) fn rest() {
    if let Some(rest) = PACE.with(|pace| pace.rest(Instant::now)) {
        std::thread::sleep(rest);
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
    use super::*;

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
}
