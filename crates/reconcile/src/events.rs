//! Events that people see in `kubectl describe`: `client-go/tools/record`, `core/v1` Events.
//!
//! The same event of the same object is counted up, not written anew (`events_cache.go`); an object that
//! makes too many is not listened to for a while.

use crate::Clock;
use api::core::v1::{Event, EventSource, ObjectReference};
use api::meta::v1::{ObjectMeta, Time};
use client::{Client, Patch};
use jiff::Timestamp;
use serde_json::json;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::sync::mpsc;

/// How many events wait to be written; further ones are lost, as is said in the log.
const QUEUE_EVENTS_MAX: usize = 1_000;
/// How many different events are remembered, to count their repetitions: upstream's cache size.
const REMEMBERED_EVENTS_MAX: usize = 4_096;
/// How many events an object may make at once, and how long one more takes: upstream's spam filter.
const BURST_EVENTS: f64 = 25.0;
const SECONDS_PER_EVENT: f64 = 300.0;
/// The longest message, in bytes: upstream's limit for `events.k8s.io`.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// Whether it is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

impl EventKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

struct Happening {
    about: ObjectReference,
    kind: EventKind,
    reason: String,
    message: String,
    at: Timestamp,
}

/// Writes events for one component. Clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Happening>,
    clock: Clock,
}

impl Recorder {
    /// For a component (`kubelet`) on a host (empty if it is on none in particular). It must be made within
    /// an async runtime.
    pub fn new(client: Client, component: &str, host: &str, clock: Clock) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE_EVENTS_MAX);
        let source = EventSource {
            component: Some(component.to_owned()),
            host: (!host.is_empty()).then(|| host.to_owned()),
        };
        tokio::spawn(write(client, source, receiver));
        Self { queue, clock }
    }

    /// Says what happened to an object. It does not wait.
    pub fn event(&self, about: &ObjectReference, kind: EventKind, reason: &str, message: impl Into<String>) {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        let at = self.clock.now();
        let happening = Happening { about: about.clone(), kind, reason: reason.to_owned(), message, at };
        if self.queue.try_send(happening).is_err() {
            tracing::warn!(reason, "an event is lost: too many wait to be written");
        }
    }
}

/// What has been written of one event.
struct Written {
    namespace: String,
    name: String,
    count: i32,
}

/// How many events an object may still make.
struct Allowance {
    tokens: f64,
    at: Timestamp,
}

#[derive(Default)]
struct Memory {
    written: HashMap<u64, Written>,
    order: VecDeque<u64>,
    allowances: HashMap<String, Allowance>,
}

impl Memory {
    fn allows(&mut self, happening: &Happening) -> bool {
        if self.allowances.len() > REMEMBERED_EVENTS_MAX {
            self.allowances.clear();
        }
        let about = &happening.about;
        let id = format!(
            "{}/{}/{}/{}",
            about.kind.as_deref().unwrap_or_default(),
            about.namespace.as_deref().unwrap_or_default(),
            about.name.as_deref().unwrap_or_default(),
            about.uid.as_deref().unwrap_or_default()
        );
        let fresh = Allowance { tokens: BURST_EVENTS, at: happening.at };
        let allowance = self.allowances.entry(id).or_insert(fresh);
        let passed = happening.at.duration_since(allowance.at).as_secs_f64().max(0.0);
        allowance.tokens = (allowance.tokens + passed / SECONDS_PER_EVENT).min(BURST_EVENTS);
        allowance.at = happening.at;
        let allowed = allowance.tokens >= 1.0;
        if allowed {
            allowance.tokens -= 1.0;
        }
        allowed
    }

    fn remember(&mut self, id: u64, written: Written) {
        if self.written.insert(id, written).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED_EVENTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.written.remove(&oldest);
        }
    }
}

fn identity(happening: &Happening) -> u64 {
    let mut hasher = DefaultHasher::new();
    let about = &happening.about;
    (&about.kind, &about.namespace, &about.name, &about.uid, &about.field_path).hash(&mut hasher);
    (happening.kind.text(), &happening.reason, &happening.message).hash(&mut hasher);
    hasher.finish()
}

async fn write(client: Client, source: EventSource, mut queue: mpsc::Receiver<Happening>) {
    let mut memory = Memory::default();
    while let Some(happening) = queue.recv().await {
        if !memory.allows(&happening) {
            continue;
        }
        let id = identity(&happening);
        if let Some(known) = memory.written.get_mut(&id) {
            known.count += 1;
            let patch = json!({ "count": known.count, "lastTimestamp": Time(happening.at) });
            match client.patch::<Event>(&known.namespace, &known.name, &Patch::Merge(patch)).await {
                Ok(_) => continue,
                // It has expired: it is written anew.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    tracing::debug!(%error, "an event could not be counted up");
                    continue;
                }
            }
        }
        let event = new_event(&source, &happening);
        let written = Written {
            namespace: text(&event.metadata.namespace),
            name: text(&event.metadata.name),
            count: 1,
        };
        match client.create(&event).await {
            Ok(_) => memory.remember(id, written),
            Err(error) => tracing::debug!(%error, reason = happening.reason, "an event could not be written"),
        }
    }
}

fn text(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn new_event(source: &EventSource, happening: &Happening) -> Event {
    // Events of what belongs to the cluster are in namespace "default".
    let namespace = happening.about.namespace.clone().unwrap_or_else(|| "default".into());
    let about = happening.about.name.as_deref().unwrap_or("unknown");
    let time = Some(Time(happening.at));
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{about}.{:x}", happening.at.as_nanosecond())),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: happening.about.clone(),
        reason: Some(happening.reason.clone()),
        message: Some(happening.message.clone()),
        source: Some(source.clone()),
        first_timestamp: time.clone(),
        last_timestamp: time,
        count: Some(1),
        type_: Some(happening.kind.text().to_owned()),
        reporting_component: source.component.clone(),
        reporting_instance: source.host.clone(),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(seconds: i64, message: &str) -> Happening {
        Happening {
            about: ObjectReference {
                name: Some("p".into()),
                namespace: Some("n".into()),
                ..Default::default()
            },
            kind: EventKind::Normal,
            reason: "Started".into(),
            message: message.into(),
            at: Timestamp::from_second(seconds).expect("a time"),
        }
    }

    #[test]
    fn an_object_may_make_a_burst_and_then_one_in_five_minutes() {
        let mut memory = Memory::default();
        let allowed = (0..100).filter(|_| memory.allows(&happening(0, "x"))).count();
        assert_eq!(allowed, 25);
        assert!(!memory.allows(&happening(200, "x")));
        assert!(memory.allows(&happening(300, "x")));
    }

    #[test]
    fn events_are_the_same_if_all_but_their_time_is() {
        assert_eq!(identity(&happening(0, "x")), identity(&happening(9, "x")));
        assert_ne!(identity(&happening(0, "x")), identity(&happening(0, "y")));
    }

    #[test]
    fn an_event_is_named_after_what_it_is_about() {
        let source = EventSource { component: Some("kubelet".into()), host: Some("h".into()) };
        let event = new_event(&source, &happening(1, "x"));
        assert_eq!(event.metadata.name.as_deref(), Some("p.3b9aca00"));
        assert_eq!(event.metadata.namespace.as_deref(), Some("n"));
        assert_eq!(event.reporting_instance.as_deref(), Some("h"));
    }
}
