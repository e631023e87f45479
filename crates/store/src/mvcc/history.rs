//! The newest events, for watchers that resume or fall behind.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{Event, Key};

/// How much history a store keeps. Whatever is reached first cuts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLimits {
    /// How long: upstream compacts every five minutes, and clients' watches count on that.
    pub age: Duration,
    /// Events kept, at most.
    pub events: usize,
    /// Bytes of superseded keys and values that are only kept for the history, at most.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { age: Duration::from_secs(300), events: 2_000_000, bytes: 256 << 20 }
    }
}

/// Time stamps on revisions are this far apart.
const MARK_MILLIS: u64 = 1000;

/// A queue of events in revision order.
pub(crate) struct History {
    events: VecDeque<Event>,
    bytes: usize,
    /// (Unix milliseconds, newest revision then), oldest first.
    marks: VecDeque<(u64, u64)>,
    limits: HistoryLimits,
}

impl History {
    pub(crate) fn new(limits: HistoryLimits) -> Self {
        Self { events: VecDeque::new(), bytes: 0, marks: VecDeque::new(), limits }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        self.events.push_back(event);
    }

    /// Notes that the revisions so far existed at `now`.
    pub(crate) fn mark(&mut self, revision: u64, now: u64) {
        match self.marks.back_mut() {
            Some((time, newest)) if now < time.saturating_add(MARK_MILLIS) => *newest = revision,
            _ => self.marks.push_back((now, revision)),
        }
    }

    /// Events of `revision` and later.
    pub(crate) fn since(&self, revision: u64) -> impl Iterator<Item = &Event> {
        let start = self.events.partition_point(|event| event.revision() < revision);
        self.events.range(start..)
    }

    /// The revision up to which the limits want it cut.
    pub(crate) fn due(&self, now: u64) -> Option<u64> {
        let age = u64::try_from(self.limits.age.as_millis()).unwrap_or(u64::MAX);
        let aged = self.marks.iter().take_while(|(time, _)| time.saturating_add(age) <= now).last();
        let mut due = aged.map(|(_, revision)| *revision);
        let excess = self.events.len().saturating_sub(self.limits.events);
        if excess > 0 {
            due = due.max(self.events.get(excess - 1).map(Event::revision));
        }
        if self.bytes > self.limits.bytes {
            let mut left = self.bytes;
            let cut = self.events.iter().find(|event| {
                left -= event.bytes();
                left <= self.limits.bytes
            });
            due = due.max(cut.map(Event::revision));
        }
        due
    }

    /// When age will next ask for a cut.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let age = u64::try_from(self.limits.age.as_millis()).unwrap_or(u64::MAX);
        self.marks.front().map(|(time, _)| time.saturating_add(age))
    }

    /// Cuts up to `revision`, whole revisions only, stopping soon after `events_max` events. Returns how far it
    /// came and pushes the keys concerned.
    pub(crate) fn cut(&mut self, revision: u64, events_max: usize, keys: &mut Vec<Key>) -> u64 {
        let mut last = 0;
        let reached = loop {
            match self.events.front() {
                Some(event) if event.revision() <= revision => {
                    if keys.len() >= events_max && event.revision() != last {
                        break last;
                    }
                    last = event.revision();
                    self.bytes -= event.bytes();
                    keys.push(event.key().clone());
                    self.events.pop_front();
                }
                _ => break revision,
            }
        };
        while self.marks.front().is_some_and(|(_, newest)| *newest <= reached) {
            self.marks.pop_front();
        }
        reached
    }
}
