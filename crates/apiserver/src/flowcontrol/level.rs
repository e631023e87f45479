//! A priority level: its seats, and who waits for them.
//!
//! `state` holds the seats in use (low half) and the number of those who wait (high half), so that one
//! exchange both sees that nobody waits and takes seats. Whoever is about to wait counts itself first and
//! looks for free seats then; whoever gives seats back sees the count and wakes. So nobody is forgotten.

use super::alloc;
use super::config::{LevelSpec, Response};
use super::dump::{Detail, LevelState};
use super::metrics::{Counters, Why};
use super::queueset::{QueueSet, Queueing, Work};
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use value::Str;

/// One who waits, in `state`.
const WAITER: u64 = 1 << 32;
/// How much of the smoothed demand stays in each period, as upstream.
const SMOOTHING: f64 = 0.977;
/// The part of a level's seats that one request may take, as upstream.
const WIDEST_PART: f64 = 0.15;

/// A priority level.
pub(super) struct Level {
    name: Str,
    uid: ArcSwap<HeaderValue>,
    exempt: AtomicBool,
    queues: AtomicBool,
    limit: AtomicU32,
    widest: AtomicU32,
    state: AtomicU64,
    slow: Mutex<Slow>,
    demand: Mutex<alloc::Demand>,
    /// Seats times nanoseconds since the demand was looked at.
    used: AtomicU64,
    watermark: AtomicU32,
    running: AtomicU32,
    pub(super) totals: Totals,
    began: Instant,
}

/// What has happened to requests.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) dispatched: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) cancelled: AtomicU64,
}

struct Slow {
    set: QueueSet<Waiter>,
    /// Seats of requests that have been answered but still cost something: until when, and how many.
    lingering: BinaryHeap<Reverse<(u64, u32)>>,
    /// Whether a task is waiting for the first of them.
    timed: bool,
    next_id: u64,
}

struct Waiter {
    wake: oneshot::Sender<Seat>,
    detail: Detail,
    counters: Arc<Counters>,
}

/// Seats that were taken. Dropping it gives them back.
pub(super) struct Seat {
    level: Arc<Level>,
    work: Work,
    seats: u32,
    /// The queue that it came from.
    queue: Option<usize>,
    pub(super) began: Instant,
    pub(super) lasted: Option<Duration>,
    /// Whether it has been given back already.
    void: bool,
}

impl Seat {
    /// Seats that [`Level::try_enter`] has given.
    pub(super) fn free(level: Arc<Level>, work: Work, began: Instant) -> Self {
        level.totals.dispatched.fetch_add(1, Relaxed);
        level.running.fetch_add(1, Relaxed);
        Self { seats: work.max_seats(), level, work, queue: None, began, lasted: None, void: false }
    }

    pub(super) const fn seats(&self) -> u32 {
        self.seats
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.void {
            return;
        }
        let lasted = self.lasted.unwrap_or_else(|| self.began.elapsed());
        let nanoseconds = u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        let level = &self.level;
        level.running.fetch_sub(1, Relaxed);
        level.used.fetch_add(nanoseconds.saturating_mul(self.seats.into()), Relaxed);
        let lingers = self.work.last_nanoseconds > 0 && !level.exempt.load(Relaxed);
        if !lingers && self.queue.is_none() {
            if level.give_back(self.seats) {
                level.settle();
            }
            return;
        }
        let now = level.now();
        let mut slow = level.slow.lock();
        if let Some(queue) = self.queue {
            slow.set.finish(now, queue, self.work, self.seats, nanoseconds);
        }
        level.settle_lingering(&mut slow, now);
        if lingers {
            slow.lingering.push(Reverse((now + self.work.last_nanoseconds, self.seats)));
            level.time(&mut slow);
        } else {
            level.give_back(self.seats);
        }
        level.dispatch(&mut slow, now);
    }
}

impl Level {
    pub(super) fn new(spec: &LevelSpec, began: Instant) -> Self {
        let queueing = spec.response.queueing();
        Self {
            name: spec.name.clone(),
            uid: ArcSwap::from_pointee(spec.uid.clone()),
            exempt: AtomicBool::new(spec.exempt),
            queues: AtomicBool::new(spec.response != Response::Reject),
            limit: AtomicU32::new(0),
            widest: AtomicU32::new(0),
            state: AtomicU64::new(0),
            slow: Mutex::new(Slow {
                set: QueueSet::new(queueing, 0),
                lingering: BinaryHeap::new(),
                timed: false,
                next_id: 0,
            }),
            demand: Mutex::default(),
            used: AtomicU64::new(0),
            watermark: AtomicU32::new(0),
            running: AtomicU32::new(0),
            totals: Totals::default(),
            began,
        }
    }

    /// Takes over what its object says, and what follows from it.
    pub(super) fn configure(self: &Arc<Self>, spec: &LevelSpec, nominal: u32, low: u32, high: u32) {
        self.uid.store(Arc::new(spec.uid.clone()));
        self.exempt.store(spec.exempt, Relaxed);
        self.queues.store(spec.response != Response::Reject, Relaxed);
        let widest = match spec.response {
            Response::Queue(q) => {
                let part = (f64::from(nominal) * WIDEST_PART).ceil() as u32;
                part.min(nominal / u32::try_from(q.hand.max(1)).unwrap_or(1)).max(1)
            }
            Response::Reject => 0,
        };
        self.widest.store(widest, Relaxed);
        let mut demand = self.demand.lock();
        if demand.nominal == 0 && demand.current == 0 {
            demand.current = nominal - (nominal - low) / 2;
        }
        *demand = alloc::Demand { exempt: spec.exempt, nominal, low, high, ..*demand };
        let current = demand.current;
        drop(demand);
        self.set_limit(current, Some(spec.response.queueing()));
    }

    /// What was wanted since the last time, which ends here.
    pub(super) fn demand(&self, period: Duration) -> alloc::Demand {
        let mut slow = self.slow.lock();
        self.settle_lingering(&mut slow, self.now());
        let wanted = self.in_use() + u32::try_from(slow.set.seats_waiting()).unwrap_or(u32::MAX);
        drop(slow);
        let used = self.used.swap(0, AcqRel) as f64;
        let watermark = self.watermark.swap(wanted, AcqRel);
        let mut demand = self.demand.lock();
        demand.watermark = watermark;
        let nanoseconds = period.as_nanos() as f64;
        if nanoseconds > 0.0 {
            let average = used / nanoseconds;
            // Of independent arrivals, the number at one time has the deviation of a Poisson distribution.
            let envelope = average + average.sqrt();
            demand.smoothed = envelope.max(SMOOTHING * demand.smoothed + (1.0 - SMOOTHING) * envelope);
        }
        *demand
    }

    /// The demand as it was seen last.
    pub(super) fn last_demand(&self) -> alloc::Demand {
        *self.demand.lock()
    }

    /// Another limit.
    pub(super) fn set_limit(self: &Arc<Self>, limit: u32, queueing: Option<Queueing>) {
        self.demand.lock().current = limit;
        let now = self.now();
        let mut slow = self.slow.lock();
        self.limit.store(limit, Relaxed);
        let queueing = queueing.unwrap_or(slow.set.queueing());
        slow.set.configure(now, queueing, limit);
        self.dispatch(&mut slow, now);
    }

    pub(super) fn name(&self) -> &Str {
        &self.name
    }

    pub(super) fn uid(&self) -> HeaderValue {
        (**self.uid.load()).clone()
    }

    /// The most seats that a request may ask for; 0 if nothing is said.
    pub(super) fn widest(&self) -> u32 {
        self.widest.load(Relaxed)
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    pub(super) fn in_use(&self) -> u32 {
        self.state.load(Acquire) as u32
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes seats if they are free and nobody waits.
    pub(super) fn try_enter(&self, seats: u32) -> bool {
        if self.exempt.load(Relaxed) {
            let before = self.state.fetch_add(seats.into(), AcqRel);
            self.note(before as u32 + seats);
            return true;
        }
        self.reserve(seats, false)
    }

    /// Takes seats. `waited` is whether the taker is the one whose turn it is.
    fn reserve(&self, seats: u32, waited: bool) -> bool {
        let limit = self.limit.load(Relaxed);
        let mut state = self.state.load(Acquire);
        loop {
            let in_use = state as u32;
            // A request that is wider than the level runs alone.
            let fits = if seats > limit { in_use == 0 && limit > 0 } else { in_use + seats <= limit };
            if !fits || (!waited && state >= WAITER) {
                return false;
            }
            match self.state.compare_exchange_weak(state, state + u64::from(seats), AcqRel, Acquire) {
                Ok(_) => {
                    self.note(in_use + seats);
                    return true;
                }
                Err(now) => state = now,
            }
        }
    }

    fn note(&self, wanted: u32) {
        if self.watermark.load(Relaxed) < wanted {
            self.watermark.fetch_max(wanted, Relaxed);
        }
    }

    /// Whether somebody waits for them.
    fn give_back(&self, seats: u32) -> bool {
        self.state.fetch_sub(seats.into(), AcqRel) >= WAITER
    }

    /// Waits for seats, at most so long.
    pub(super) async fn wait(
        self: Arc<Self>,
        hash: u64,
        work: Work,
        detail: Detail,
        counters: &Arc<Counters>,
        patience: Duration,
    ) -> Result<Seat, Why> {
        let (wake, mut woken) = oneshot::channel();
        let id = {
            let now = self.now();
            let mut slow = self.slow.lock();
            self.settle_lingering(&mut slow, now);
            if !self.queues.load(Relaxed) {
                if self.reserve(work.max_seats(), false) {
                    return Ok(Seat::free(self.clone(), work, Instant::now()));
                }
                self.totals.rejected.fetch_add(1, Relaxed);
                return Err(Why::ConcurrencyLimit);
            }
            let before = self.state.fetch_add(WAITER, AcqRel);
            let full = before as u32 >= self.limit();
            let id = slow.next_id;
            slow.next_id += 1;
            let waiter = Waiter { wake, detail, counters: counters.clone() };
            if slow.set.enqueue(now, hash, id, work, full, waiter).is_err() {
                self.state.fetch_sub(WAITER, AcqRel);
                self.totals.rejected.fetch_add(1, Relaxed);
                return Err(Why::QueueFull);
            }
            counters.queued(1, work.max_seats());
            let waiting = u32::try_from(slow.set.seats_waiting()).unwrap_or(u32::MAX);
            self.note(self.in_use().saturating_add(waiting));
            self.dispatch(&mut slow, now);
            self.time(&mut slow);
            id
        };
        let mut waiting = InQueue { level: &self, id, work, counters, done: false };
        match tokio::time::timeout(patience, &mut woken).await {
            Ok(Ok(seat)) => {
                waiting.done = true;
                Ok(seat)
            }
            _ => {
                if waiting.leave() {
                    self.totals.rejected.fetch_add(1, Relaxed);
                    self.totals.timed_out.fetch_add(1, Relaxed);
                    return Err(Why::TimeOut);
                }
                // Its turn came in the last moment.
                woken.try_recv().map_err(|_| Why::TimeOut)
            }
        }
    }

    /// Lets in who can be let in.
    fn settle(self: &Arc<Self>) {
        let now = self.now();
        let mut slow = self.slow.lock();
        self.settle_lingering(&mut slow, now);
        self.dispatch(&mut slow, now);
    }

    /// Wakes those whose turn it is while there are seats for them.
    fn dispatch(self: &Arc<Self>, slow: &mut Slow, now: u64) {
        while let Some(next) = slow.set.dispatch(now, |seats| self.reserve(seats, true)) {
            self.state.fetch_sub(WAITER, AcqRel);
            self.totals.dispatched.fetch_add(1, Relaxed);
            self.running.fetch_add(1, Relaxed);
            let Waiter { wake, counters, .. } = next.payload;
            counters.queued(-1, next.seats);
            let seat = Seat {
                level: self.clone(),
                work: next.work,
                seats: next.seats,
                queue: Some(next.queue),
                began: Instant::now(),
                lasted: None,
                void: false,
            };
            if let Err(mut seat) = wake.send(seat) {
                // Nobody is there any more. Its own way of giving back would want the lock.
                seat.void = true;
                self.running.fetch_sub(1, Relaxed);
                slow.set.finish(now, next.queue, next.work, next.seats, 0);
                self.give_back(next.seats);
            }
        }
    }

    /// Sees to it that those who wait get lingering seats when they are free.
    fn time(self: &Arc<Self>, slow: &mut Slow) {
        let Some(Reverse((mut until, _))) = slow.lingering.peek().copied() else { return };
        if slow.timed || slow.set.waiting() == 0 {
            return;
        }
        slow.timed = true;
        let level = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep_until((level.began + Duration::from_nanos(until)).into()).await;
                let now = level.now();
                let mut slow = level.slow.lock();
                level.settle_lingering(&mut slow, now);
                level.dispatch(&mut slow, now);
                match slow.lingering.peek() {
                    Some(Reverse((next, _))) if slow.set.waiting() > 0 => until = *next,
                    _ => {
                        slow.timed = false;
                        return;
                    }
                }
            }
        });
    }

    /// What the dumps show.
    pub(super) fn state(&self) -> LevelState {
        let slow = self.slow.lock();
        let get = |n: &AtomicU64| n.load(Relaxed);
        LevelState {
            running: self.running.load(Relaxed),
            dispatched: get(&self.totals.dispatched),
            rejected: get(&self.totals.rejected),
            timed_out: get(&self.totals.timed_out),
            cancelled: get(&self.totals.cancelled),
            has_queues: self.queues.load(Relaxed) && !self.exempt.load(Relaxed),
            waiting: slow.set.waiting(),
            queues: slow.set.states().map(|queue| super::dump::queue(&queue, |w| &w.detail)).collect(),
        }
    }

    fn settle_lingering(&self, slow: &mut Slow, now: u64) {
        while let Some(Reverse((until, seats))) = slow.lingering.peek().copied()
            && until <= now
        {
            slow.lingering.pop();
            self.give_back(seats);
        }
    }
}

/// Somebody in a queue; leaves it when the client goes away.
struct InQueue<'a> {
    level: &'a Arc<Level>,
    id: u64,
    work: Work,
    counters: &'a Arc<Counters>,
    done: bool,
}

impl InQueue<'_> {
    /// False if its turn has come already.
    fn leave(&mut self) -> bool {
        self.done = true;
        let now = self.level.now();
        let mut slow = self.level.slow.lock();
        let left = slow.set.cancel(now, self.id);
        if left {
            self.level.state.fetch_sub(WAITER, AcqRel);
            self.counters.queued(-1, self.work.max_seats());
            // It may have been the wide one that held up the others.
            self.level.dispatch(&mut slow, now);
        }
        left
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        if !self.done && self.leave() {
            self.level.totals.cancelled.fetch_add(1, Relaxed);
        }
    }
}
