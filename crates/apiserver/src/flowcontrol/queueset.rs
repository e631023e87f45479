//! Fair queueing, as a state machine without clock, lock or requests.
//!
//! Work is measured in seats times time. `r` is the work that an always busy queue would have been given so
//! far; each queue knows the `r` at which its next request would begin if all were fair, and the queue whose
//! next request would end first is served first (KEP-1040, after Demers' fair queueing).
//!
//! Seats are counted by the caller, who says through `reserve` whether there are enough.
//!
//! Upstream: `k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset`.

use super::shuffle::{self, HAND_MAX};
use std::collections::VecDeque;

/// How long a request is taken to last before it has ended.
const ESTIMATED_NANOSECONDS: i128 = 3_000_000;

/// What a request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Seats while it runs.
    pub(super) initial: u32,
    /// Seats that it still needs when it has been answered, and for how long.
    pub(super) last: u32,
    pub(super) last_nanoseconds: u64,
}

impl Work {
    pub(super) fn seats(n: u32) -> Self {
        Self { initial: n, ..Self::default() }
    }

    pub(super) fn max_seats(self) -> u32 {
        self.initial.max(self.last)
    }

    fn total(self) -> i128 {
        i128::from(self.initial) * ESTIMATED_NANOSECONDS
            + i128::from(self.last) * i128::from(self.last_nanoseconds)
    }
}

/// How a level queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queueing {
    pub(super) queues: usize,
    pub(super) hand: usize,
    pub(super) length_max: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    id: u64,
    work: Work,
    arrival_r: i128,
    payload: T,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    /// Requests from here that run, and their seats.
    running: usize,
    seats: u32,
    next_r: i128,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), running: 0, seats: 0, next_r: 0 }
    }
}

impl<T> Queue<T> {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }

    /// A queue cannot save up for later what it did not use.
    fn bound(&mut self) {
        if let Some(oldest) = self.waiting.front() {
            self.next_r = self.next_r.max(oldest.arrival_r);
        }
    }
}

/// The queues of a level. `T` is what the caller keeps with a request that waits.
#[derive(Debug)]
pub(super) struct QueueSet<T> {
    queueing: Queueing,
    limit: u32,
    queues: Vec<Queue<T>>,
    r: i128,
    now: u64,
    robin: usize,
    enqueues: usize,
    waiting: usize,
    seats_waiting: u64,
}

/// A request that may run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dispatched<T> {
    pub(super) id: u64,
    /// The place of its queue, for [`QueueSet::finish`].
    pub(super) queue: usize,
    pub(super) work: Work,
    /// The seats that were reserved.
    pub(super) seats: u32,
    pub(super) payload: T,
}

/// What a queue shows of itself.
#[derive(Debug)]
pub(super) struct QueueState<'a, T> {
    pub(super) waiting: Vec<(Work, &'a T)>,
    pub(super) running: usize,
    pub(super) seats: u32,
    pub(super) next_r: i128,
}

impl<T> QueueSet<T> {
    pub(super) fn new(queueing: Queueing, limit: u32) -> Self {
        let mut set = Self {
            queueing,
            limit,
            queues: Vec::new(),
            r: 0,
            now: 0,
            robin: 0,
            enqueues: 0,
            waiting: 0,
            seats_waiting: 0,
        };
        set.configure(0, queueing, limit);
        set
    }

    /// Other settings. Queues that are too many get no new requests, and go when they have none left.
    pub(super) fn configure(&mut self, now: u64, queueing: Queueing, limit: u32) {
        self.advance(now);
        self.queueing = queueing;
        self.limit = limit;
        while self.queues.len() < queueing.queues.max(1) {
            self.queues.push(Queue::default());
        }
        while self.queues.len() > queueing.queues.max(1) && self.queues.last().is_some_and(Queue::is_idle) {
            self.queues.pop();
        }
        self.robin = self.robin.min(self.queues.len() - 1);
    }

    pub(super) const fn queueing(&self) -> Queueing {
        self.queueing
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) const fn seats_waiting(&self) -> u64 {
        self.seats_waiting
    }

    /// Moves `r` to now: by how fast a busy queue is served at the moment.
    fn advance(&mut self, now: u64) {
        let passed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        let active = self.queues.iter().filter(|q| !q.is_idle()).count() as i128;
        if active == 0 || passed == 0 {
            return;
        }
        let wanted: u64 = self.queues.iter().map(|q| u64::from(q.seats)).sum::<u64>() + self.seats_waiting;
        let served = i128::from(wanted.min(self.limit.into()));
        self.r += i128::from(passed) * served / active;
    }

    /// Puts a request into the shortest queue of its flow's hand. Gives the payload back if that is full
    /// and no seat is free.
    pub(super) fn enqueue(
        &mut self,
        now: u64,
        hash: u64,
        id: u64,
        work: Work,
        full: bool,
        payload: T,
    ) -> Result<(), T> {
        self.advance(now);
        let mut hand = [0; HAND_MAX];
        let n = shuffle::deal(hash, self.queueing.queues.max(1), self.queueing.hand.max(1), &mut hand);
        let offset = self.enqueues % n.max(1);
        self.enqueues = self.enqueues.wrapping_add(1);
        let dealt = (0..n).map(|i| hand[(offset + i) % n]);
        let work_of = |q: &usize| self.queues[*q].waiting.iter().map(|w| w.work.total()).sum::<i128>();
        let best = dealt.min_by_key(work_of).unwrap_or(0);
        let (r, length_max) = (self.r, self.queueing.length_max);
        let queue = &mut self.queues[best];
        if full && queue.waiting.len() >= length_max {
            return Err(payload);
        }
        if queue.is_idle() {
            queue.next_r = r;
        }
        queue.waiting.push_back(Waiting { id, work, arrival_r: r, payload });
        queue.bound();
        self.waiting += 1;
        self.seats_waiting += u64::from(work.max_seats());
        Ok(())
    }

    /// The next request that may run, if `reserve` gives it its seats. When it does not, nobody else is
    /// tried, so that wide requests have their turn.
    pub(super) fn dispatch(&mut self, now: u64, reserve: impl FnOnce(u32) -> bool) -> Option<Dispatched<T>> {
        self.advance(now);
        let n = self.queues.len();
        let order = (1..=n).map(|i| (self.robin + i) % n);
        let ends = order.filter_map(|i| {
            let queue = &self.queues[i];
            let oldest = queue.waiting.front()?;
            Some((queue.next_r + oldest.work.total(), i))
        });
        // The first of several that end at the same time, from the one behind the last on.
        let (_, chosen) = ends.reduce(|best, next| if next.0 < best.0 { next } else { best })?;
        let queue = &mut self.queues[chosen];
        let seats = queue.waiting.front()?.work.max_seats();
        if !reserve(seats) {
            return None;
        }
        self.robin = chosen;
        let Waiting { id, mut work, payload, .. } = queue.waiting.pop_front()?;
        self.waiting -= 1;
        self.seats_waiting -= u64::from(seats);
        if work.last > self.limit && self.limit > 0 {
            // The same work in a narrower and longer shape.
            work.last_nanoseconds = work.last_nanoseconds * u64::from(work.last) / u64::from(self.limit);
            work.last = self.limit;
        }
        queue.running += 1;
        queue.seats += seats;
        queue.next_r += work.total();
        queue.bound();
        Some(Dispatched { id, queue: chosen, work, seats, payload })
    }

    /// A request has ended: its queue is charged for what it took and not for what it was taken for.
    pub(super) fn finish(&mut self, now: u64, queue: usize, work: Work, seats: u32, lasted: u64) {
        self.advance(now);
        let Some(queue) = self.queues.get_mut(queue) else { return };
        queue.running = queue.running.saturating_sub(1);
        queue.seats = queue.seats.saturating_sub(seats);
        queue.next_r -= i128::from(work.initial) * (ESTIMATED_NANOSECONDS - i128::from(lasted));
        queue.bound();
    }

    /// Takes a request out that waits no longer. False if it has been dispatched.
    pub(super) fn cancel(&mut self, now: u64, id: u64) -> bool {
        self.advance(now);
        for queue in &mut self.queues {
            if let Some(i) = queue.waiting.iter().position(|w| w.id == id)
                && let Some(gone) = queue.waiting.remove(i)
            {
                queue.bound();
                self.waiting -= 1;
                self.seats_waiting -= u64::from(gone.work.max_seats());
                return true;
            }
        }
        false
    }

    /// The queues as they are.
    pub(super) fn states(&self) -> impl Iterator<Item = QueueState<'_, T>> {
        self.queues.iter().map(|queue| QueueState {
            waiting: queue.waiting.iter().map(|w| (w.work, &w.payload)).collect(),
            running: queue.running,
            seats: queue.seats,
            next_r: queue.next_r,
        })
    }
}
