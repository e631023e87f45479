//! One follower of a resource.

use super::{Event, EventKind, Selection};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use value::Str;

/// How many events may wait for a follower that does not read. The events are shared; a waiting one costs
/// a pointer here, so that 1,000 stalled followers hold 24 MiB at most.
const PENDING_EVENTS_MAX: usize = 1_000;

/// Why a follower ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It read too slowly.
    TooSlow,
    /// The resource is no longer served.
    Closed,
}

/// The form in which followers are shown an object: equal forms are equal bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Group and version.
    pub api_version: Str,
    /// Protobuf, else JSON.
    pub protobuf: bool,
}

/// An event on its way to its followers, encoded once for all that are shown it in the same form.
#[derive(Debug)]
pub(super) struct Offer {
    event: Arc<Event>,
    frames: Mutex<Vec<(EventKind, Form, Bytes)>>,
}

impl Offer {
    pub(super) fn new(event: Arc<Event>) -> Arc<Self> {
        Arc::new(Self { event, frames: Mutex::default() })
    }
}

/// What a follower is to be shown.
#[derive(Clone, Debug)]
pub struct Item {
    /// The event as this follower's selection sees it.
    pub kind: EventKind,
    offer: Arc<Offer>,
}

impl Item {
    /// What has happened.
    pub fn event(&self) -> &Event {
        &self.offer.event
    }

    /// The event as bytes: as an event of `kind` about an object in `form`, which `make` encodes if nobody has
    /// been shown it before.
    pub fn frame(&self, kind: EventKind, form: &Form, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        let mut frames = self.offer.frames.lock();
        if let Some((_, _, frame)) = frames.iter().find(|(k, f, _)| *k == kind && f == form) {
            return frame.clone();
        }
        let frame = Bytes::from(make());
        frames.push((kind, form.clone(), frame.clone()));
        frame
    }
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    end: Option<End>,
    waker: Option<Waker>,
}

/// A follower: a bounded queue that the feed fills and one response drains.
#[derive(Debug)]
pub struct Watcher {
    selection: Selection,
    queue: Mutex<Queue>,
    dropped: AtomicBool,
}

impl Watcher {
    pub(super) fn new(selection: Selection) -> Self {
        Self { selection, queue: Mutex::default(), dropped: AtomicBool::new(false) }
    }

    pub(super) const fn selection(&self) -> &Selection {
        &self.selection
    }

    /// How this follower sees the event; `None` if it does not concern it.
    fn view(&self, offer: &Arc<Offer>) -> Option<Item> {
        let event = &offer.event;
        let kind = if self.selection.is_everything() {
            event.kind
        } else {
            let Ok(seen) = event.seen(|e| Ok::<_, Infallible>(self.selection.matches(e)));
            seen?
        };
        Some(Item { kind, offer: offer.clone() })
    }

    /// Queues an event of the history. The history is bounded, so these do not count against the limit.
    pub(super) fn offer_past(&self, event: &Arc<Event>) {
        if let Some(item) = self.view(&Offer::new(event.clone())) {
            self.queue.lock().items.push_back(item);
        }
    }

    /// Queues a new event; false when the follower has ended and is to be forgotten. Who is to be woken for it
    /// is left to the caller: first all are to have it, so that those on one connection are served in one turn.
    pub(super) fn offer(&self, offer: &Arc<Offer>, wake: &mut Vec<Waker>) -> bool {
        if self.dropped.load(Ordering::Relaxed) {
            return false;
        }
        let Some(item) = self.view(offer) else { return true };
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return false;
        }
        let keep = queue.items.len() < PENDING_EVENTS_MAX;
        if keep {
            queue.items.push_back(item);
        } else {
            queue.end = Some(End::TooSlow);
        }
        wake.extend(queue.waker.take());
        keep
    }

    /// Ends the follower once it has read what is queued.
    pub(super) fn end(&self, end: End) {
        let mut queue = self.queue.lock();
        queue.end.get_or_insert(end);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }

    /// Says that nobody reads any more.
    pub fn stop(&self) {
        self.dropped.store(true, Ordering::Relaxed);
        self.queue.lock().items.clear();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes up to `max` items into `into`; pending when there is none yet, ready with the reason when the
    /// follower has ended and everything queued before has been taken.
    pub fn poll(&self, cx: &mut Context<'_>, max: usize, into: &mut Vec<Item>) -> Poll<Option<End>> {
        let mut queue = self.queue.lock();
        let n = queue.items.len().min(max);
        if n > 0 {
            into.extend(queue.items.drain(..n));
            return Poll::Ready(None);
        }
        if let Some(end) = queue.end {
            return Poll::Ready(Some(end));
        }
        match &queue.waker {
            Some(w) if w.will_wake(cx.waker()) => {}
            _ => queue.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
