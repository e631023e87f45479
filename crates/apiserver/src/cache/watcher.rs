//! One follower of a resource.
//!
//! Who keeps up has a short queue, whose events are encoded once for all that are shown them. Who does not (or
//! begins in the past) has a place in the history instead, which all share: it costs nothing to be slow, and
//! whom the history has forgotten is ended.

use super::{Event, EventKind, Scope, Selection, State};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use value::Str;

/// How many events may wait in a follower's queue: as many as come while those on other connections are served.
const QUEUED_EVENTS_MAX: usize = 256;

/// How many events of the history a follower looks at in one go, before others have their turn.
const LOOKED_AT_ONCE: usize = 1_024;

/// How many events are taken at once.
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
    frames: Mutex<Vec<(EventKind, Form, Bytes)>>,
}

impl Offer {
    /// The one that is on its way already, or else a new one.
    pub(super) fn of(event: &Arc<Event>) -> Arc<Self> {
        let mut offered = event.offered.lock();
        offered.upgrade().unwrap_or_else(|| {
            let offer = Arc::new(Self { event: event.clone(), frames: Mutex::default() });
            *offered = Arc::downgrade(&offer);
            offer
        })
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

/// What a follower has not been given yet.
#[derive(Debug)]
enum Backlog {
    /// These events, and none else up to `seen`, from where on it is offered what happens.
    Queued { items: VecDeque<Item>, seen: u64 },
    /// What the history has behind this revision.
    Behind(u64),
}

impl Default for Backlog {
    fn default() -> Self {
        Self::Queued { items: VecDeque::new(), seen: 0 }
    }
}

impl Backlog {
    /// Whether the history has forgotten what is next: all events up to `forgotten`.
    fn lags(&self, forgotten: u64) -> bool {
        match self {
            Self::Queued { items, .. } => {
                items.front().is_some_and(|next| next.event().revision <= forgotten)
            }
            Self::Behind(after) => *after < forgotten,
        }
    }
}

#[derive(Debug, Default)]
struct Place {
    backlog: Backlog,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Place {
    /// Ends a follower that reads too slowly. It has been given everything up to where it is.
    fn cut(&mut self) {
        self.end = Some(End::TooSlow);
        self.backlog = Backlog::default();
    }

    /// Ends it if what it is to be given next is forgotten.
    fn keeps_up(&mut self, forgotten: u64, effects: &mut Effects) -> bool {
        if self.end.is_none() && self.backlog.lags(forgotten) {
            self.cut();
            effects.wake.extend(self.waker.take());
            effects.cut += 1;
        }
        self.end.is_none()
    }
}

/// What one go takes.
struct Taking<'a> {
    into: &'a mut Vec<Item>,
    room: usize,
    bytes: usize,
    /// Whether something goes before it.
    before: bool,
}

impl Taking<'_> {
    /// Whether there is room for an event. A large one comes alone.
    fn has_room_for(&mut self, event: &Event) -> bool {
        self.bytes += event.entry.stored.len();
        let fits = self.bytes <= self.room || self.into.is_empty() && !self.before;
        fits && self.into.len() < EVENTS_AT_ONCE
    }
}

/// A follower: its place, and what it has not been given yet.
#[derive(Debug)]
pub struct Watcher {
    selection: Selection,
    /// What is to be asked of what it is offered: what is of its scope.
    of_offers: Selection,
    place: Mutex<Place>,
    /// Locked within `place` only.
    past: Arc<RwLock<State>>,
    dropped: AtomicBool,
}

impl Watcher {
    /// One that is given what happens from now on, or behind a revision that the history has not forgotten.
    pub(super) fn new(
        selection: Selection,
        scope: &Scope,
        past: Arc<RwLock<State>>,
        after: Option<u64>,
    ) -> Self {
        let of_offers = selection.within(scope);
        let place =
            Place { backlog: after.map_or_else(Backlog::default, Backlog::Behind), ..Place::default() };
        Self { selection, of_offers, place: Mutex::new(place), past, dropped: AtomicBool::new(false) }
    }

    /// What it follows.
    pub const fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Queues a new event; false when the follower has ended and is to be forgotten. Who is to be woken for it
    /// is left to the caller: first all are to have it, so that those on one connection are served in one turn. The
    /// history has `forgotten` all up to there.
    pub(super) fn offer(&self, offer: &Arc<Offer>, forgotten: u64, effects: &mut Effects) -> bool {
        if self.is_ended() {
            return false;
        }
        let Some(kind) = view(&self.of_offers, &offer.event) else { return true };
        let mut place = self.place.lock();
        if !place.keeps_up(forgotten, effects) {
            return false;
        }
        let queue = &mut place.backlog;
        match queue {
            Backlog::Queued { seen, .. } if offer.event.revision <= *seen => return true,
            Backlog::Queued { items, .. } if items.len() < QUEUED_EVENTS_MAX => {
                items.push_back(Item { kind, offer: offer.clone() });
            }
            Backlog::Queued { items, .. } => {
                let next = items.front().map_or(offer.event.revision, |next| next.event().revision);
                *queue = Backlog::Behind(next - 1);
            }
            Backlog::Behind(_) => {}
        }
        effects.wake.extend(place.waker.take());
        true
    }

    /// Looks at a follower whom nothing concerned lately; false when it has ended, by this or before.
    pub(super) fn keeps_up(&self, forgotten: u64, effects: &mut Effects) -> bool {
        self.place.lock().keeps_up(forgotten, effects) && !self.is_ended()
    }

    /// Ends the follower once it has been given what has happened.
    pub(super) fn end(&self, end: End) {
        let mut place = self.place.lock();
        place.end.get_or_insert(end);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }

    /// Says that nobody reads any more.
    pub fn stop(&self) {
        self.dropped.store(true, Ordering::Relaxed);
        self.place.lock().backlog = Backlog::default();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes items of together `room` bytes into `into`, one at least if nothing was there `before`; pending
    /// when everything that happened has been taken, ready with the reason when the follower has ended as well.
    /// Large ones come alone, so that they can be shown as they are. Ready with nothing when what is next is
    /// large, or not found yet: then the task is woken to go on.
    pub fn poll(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        before: bool,
        into: &mut Vec<Item>,
    ) -> Poll<Option<End>> {
        let mut taking = Taking { into, room, bytes: 0, before };
        let mut place = self.place.lock();
        match &mut place.backlog {
            Backlog::Queued { items, .. } if !items.is_empty() => {
                while items.front().is_some_and(|next| taking.has_room_for(next.event())) {
                    taking.into.extend(items.pop_front());
                }
                return Poll::Ready(None);
            }
            Backlog::Queued { .. } => {}
            Backlog::Behind(after) => {
                let past = self.past.read();
                if *after < past.forgotten {
                    past.cut.fetch_add(1, Ordering::Relaxed);
                    drop(past);
                    place.cut();
                } else {
                    let stopped = self.catch_up(after, &past, &mut taking);
                    if stopped == Stopped::AtTheEnd {
                        let seen = past.applied.max(*after);
                        place.backlog = Backlog::Queued { items: VecDeque::new(), seen };
                    } else if stopped == Stopped::ForOthers && taking.into.is_empty() {
                        cx.waker().wake_by_ref();
                    }
                    if stopped != Stopped::AtTheEnd || !taking.into.is_empty() {
                        return Poll::Ready(None);
                    }
                }
            }
        }
        if let Some(end) = place.end {
            return Poll::Ready(Some(end));
        }
        match &place.waker {
            Some(w) if w.will_wake(cx.waker()) => {}
            _ => place.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes what the history has behind `after`, which moves on.
    fn catch_up(&self, after: &mut u64, past: &State, taking: &mut Taking<'_>) -> Stopped {
        let first = past.history.partition_point(|event| event.revision <= *after);
        for (looked, event) in past.history.range(first..).enumerate() {
            if looked == LOOKED_AT_ONCE {
                return Stopped::ForOthers;
            }
            let kind = view(&self.selection, event);
            if kind.is_some() && !taking.has_room_for(event) {
                return Stopped::Full;
            }
            if let Some(kind) = kind {
                taking.into.push(Item { kind, offer: Offer::of(event) });
            }
            *after = event.revision;
        }
        Stopped::AtTheEnd
    }
}

/// How who selects so sees the event; `None` if it does not concern him.
fn view(selection: &Selection, event: &Event) -> Option<EventKind> {
    if selection.is_everything() {
        return Some(event.kind);
    }
    let Ok(seen) = event.seen(|e| Ok::<_, Infallible>(selection.matches(e)));
    seen
}

/// Why a follower takes no more of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// It has all.
    AtTheEnd,
    /// There is no room.
    Full,
    /// It has looked at many events: others have their turn.
    ForOthers,
}
