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
/// a pointer here, so that 1,000 stalled followers hold 24 MiB at most. They must also be in the history
/// still: what all followers together keep from being forgotten is bounded by it.
const PENDING_EVENTS_MAX: usize = 1_000;

/// How many events are taken from the queue at once.
const EVENTS_AT_ONCE: usize = 64;

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
    /// Up to where the history is forgotten.
    forgotten: u64,
    frames: Mutex<Vec<(EventKind, Form, Bytes)>>,
}

impl Offer {
    pub(super) fn new(event: Arc<Event>, forgotten: u64) -> Arc<Self> {
        Arc::new(Self { event, forgotten, frames: Mutex::default() })
    }
}

/// What comes of an offer.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Who is to be woken.
    pub(super) wake: Vec<Waker>,
    /// How many followers were cut.
    pub(super) cut: u64,
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

impl Queue {
    /// Whether what waits is forgotten by all but this follower.
    fn lags(&self, forgotten: u64) -> bool {
        self.items.front().is_some_and(|first| first.event().revision <= forgotten)
    }

    /// Ends a follower that reads too slowly: with what it has been given, and what waits is let go. It has been
    /// given everything up to there.
    fn cut(&mut self, effects: &mut Effects) {
        self.end = Some(End::TooSlow);
        self.items = VecDeque::new();
        effects.wake.extend(self.waker.take());
        effects.cut += 1;
    }
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
        if let Some(item) = self.view(&Offer::new(event.clone(), 0)) {
            self.queue.lock().items.push_back(item);
        }
    }

    /// Queues a new event; false when the follower has ended and is to be forgotten. Who is to be woken for it
    /// is left to the caller: first all are to have it, so that those on one connection are served in one turn.
    pub(super) fn offer(&self, offer: &Arc<Offer>, effects: &mut Effects) -> bool {
        if self.dropped.load(Ordering::Relaxed) {
            return false;
        }
        let Some(item) = self.view(offer) else { return true };
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return false;
        }
        if queue.items.len() >= PENDING_EVENTS_MAX || queue.lags(offer.forgotten) {
            queue.cut(effects);
            return false;
        }
        queue.items.push_back(item);
        effects.wake.extend(queue.waker.take());
        true
    }

    /// Looks at a follower whom nothing concerned lately; false when it has ended, by this or before.
    pub(super) fn keeps_up(&self, forgotten: u64, effects: &mut Effects) -> bool {
        let mut queue = self.queue.lock();
        if queue.end.is_none() && queue.lags(forgotten) {
            queue.cut(effects);
        }
        queue.end.is_none() && !self.is_ended()
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

    /// Takes items of together `room` bytes into `into`, one at least if nothing was there `before`; pending
    /// when there is none yet, ready with the reason when the follower has ended and everything queued before
    /// has been taken. Large ones come alone, so that they can be shown as they are.
    pub fn poll(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        before: bool,
        into: &mut Vec<Item>,
    ) -> Poll<Option<End>> {
        let mut queue = self.queue.lock();
        if !queue.items.is_empty() {
            let mut bytes = 0;
            while let Some(item) = queue.items.front() {
                bytes += item.event().entry.stored.len();
                let fits = bytes <= room || into.is_empty() && !before;
                if into.len() == EVENTS_AT_ONCE || !fits {
                    break;
                }
                into.extend(queue.items.pop_front());
            }
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
