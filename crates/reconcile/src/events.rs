//! Events that people see in `kubectl describe`: `client-go/tools/record`, `core/v1` Events.
//!
//! The same event of the same object is counted up, not written anew; events that differ in their message
//! only become one when there are many of them; an object that makes too many is not listened to for a while
//! (`events_cache.go`).

use crate::Clock;
use api::core::v1::{Event, EventSource, ObjectReference};
use api::meta::v1::{ObjectMeta, Time};
use client::{Client, Patch};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::sync::mpsc;

/// How many events wait to be written; further ones are lost, as is said in the log.
const QUEUE_EVENTS_MAX: usize = 1_000;
/// How many different events are remembered, to count their repetitions: upstream's cache size.
const REMEMBERED_EVENTS_MAX: usize = 4_096;
/// How many events an object may make at once, and how long one more takes: upstream's spam filter.
const BURST_EVENTS: f64 = 25.0;
const SECONDS_PER_EVENT: f64 = 300.0;
/// With how many different messages similar events become one, and how long after the last of them they are
/// forgotten: upstream's `EventAggregator`.
const SIMILAR_EVENTS_MAX: usize = 10;
const SIMILAR_EVENTS_LAST: SignedDuration = SignedDuration::from_secs(600);
/// What precedes the newest message of events that became one.
const COMBINED: &str = "(combined from similar events): ";
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

#[derive(Clone)]
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
        let message = shortened(message.into());
        let at = self.clock.now();
        let happening = Happening { about: about.clone(), kind, reason: reason.to_owned(), message, at };
        if self.queue.try_send(happening).is_err() {
            tracing::warn!(reason, "an event is lost: too many wait to be written");
        }
    }
}

fn shortened(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
    message
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

/// The messages (hashed) of similar events that have events of their own, and when the last similar event was.
struct Similar {
    messages: HashSet<u64>,
    at: Timestamp,
}

#[derive(Default)]
struct Memory {
    written: HashMap<u64, Written>,
    order: VecDeque<u64>,
    similar: HashMap<u64, Similar>,
    allowances: HashMap<String, Allowance>,
}

impl Memory {
    /// What is to be written of it, and as which event: its own, or the one of all that are similar.
    fn combine(&mut self, happening: Happening) -> (u64, Happening) {
        if self.similar.len() > REMEMBERED_EVENTS_MAX {
            self.similar.clear();
        }
        let group = likeness(&happening);
        let similar = self
            .similar
            .entry(group)
            .or_insert_with(|| Similar { messages: HashSet::new(), at: happening.at });
        if happening.at.duration_since(similar.at) > SIMILAR_EVENTS_LAST {
            similar.messages.clear();
        }
        similar.at = happening.at;
        let mut hasher = DefaultHasher::new();
        happening.message.hash(&mut hasher);
        let message = hasher.finish();
        if similar.messages.contains(&message) {
            return (identity(&happening), happening);
        }
        // Upstream drops any of the ten; without the newest, events that were written go on being counted.
        if similar.messages.len() + 1 < SIMILAR_EVENTS_MAX {
            similar.messages.insert(message);
            return (identity(&happening), happening);
        }
        let message = shortened(format!("{COMBINED}{}", happening.message));
        (group, Happening { message, ..happening })
    }

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

/// What is the same for similar events: all but the message and the part of the object.
fn likeness(happening: &Happening) -> u64 {
    let mut hasher = DefaultHasher::new();
    let about = &happening.about;
    (&about.api_version, &about.kind, &about.namespace, &about.name, &about.uid).hash(&mut hasher);
    (happening.kind.text(), &happening.reason).hash(&mut hasher);
    hasher.finish()
}

async fn write(client: Client, source: EventSource, mut queue: mpsc::Receiver<Happening>) {
    let mut memory = Memory::default();
    while let Some(happening) = queue.recv().await {
        let (id, happening) = memory.combine(happening);
        if !memory.allows(&happening) {
            continue;
        }
        if let Some(known) = memory.written.get_mut(&id) {
            known.count += 1;
            let patch = json!({
                "count": known.count,
                "lastTimestamp": Time(happening.at),
                "message": happening.message,
            });
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
    fn the_tenth_message_within_ten_minutes_combines() {
        /// Nine messages, one each so many seconds, and then the one asked for after so many.
        fn after_nine(each: i64, wait: i64, last: &Happening) -> (bool, String) {
            let mut memory = Memory::default();
            for number in 0..9 {
                let one = happening(number * each, &format!("m{number}"));
                let own = identity(&one);
                assert_eq!(memory.combine(one).0, own, "m{number}");
            }
            let at = Timestamp::from_second(8 * each + wait).expect("a time");
            let (own, group) = (identity(last), likeness(last));
            let (id, written) = memory.combine(Happening { at, ..last.clone() });
            assert!(id == own || id == group);
            (id == group, written.message)
        }
        let plain = happening(0, "new");
        let other = |change: fn(&mut Happening)| {
            let mut other = plain.clone();
            change(&mut other);
            other
        };
        let combined = "(combined from similar events): new";
        let cases = [
            ("at once", 0, 0, plain.clone(), combined),
            ("ten minutes after the last", 1, 600, plain.clone(), combined),
            ("later", 1, 601, plain.clone(), "new"),
            ("each within ten minutes of the one before", 600, 600, plain.clone(), combined),
            ("known", 0, 0, happening(0, "m0"), "m0"),
            ("another part", 0, 0, other(|h| h.about.field_path = Some("spec".into())), combined),
            ("another object", 0, 0, other(|h| h.about.name = Some("q".into())), "new"),
            ("another life", 0, 0, other(|h| h.about.uid = Some("u".into())), "new"),
            ("another reason", 0, 0, other(|h| h.reason = "Killed".into()), "new"),
            ("another kind", 0, 0, other(|h| h.kind = EventKind::Warning), "new"),
        ];
        for (case, each, wait, last, message) in cases {
            let expected = (message == combined, message.to_owned());
            assert_eq!(after_nine(each, wait, &last), expected, "{case}");
        }
    }

    #[test]
    fn combined_events_are_one_whose_message_is_the_newest() {
        let mut memory = Memory::default();
        let written: Vec<_> =
            (0..12).map(|number| memory.combine(happening(0, &format!("m{number}")))).collect();
        let ids: HashSet<u64> = written.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids.len(), 10);
        let messages: Vec<&str> = written.iter().skip(8).map(|(_, h)| h.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "m8",
                "(combined from similar events): m9",
                "(combined from similar events): m10",
                "(combined from similar events): m11"
            ]
        );
        let (_, long) = memory.combine(happening(0, &"ä".repeat(MESSAGE_BYTES_MAX / 2)));
        assert_eq!(long.message.len(), MESSAGE_BYTES_MAX);
    }

    #[test]
    fn what_is_remembered_of_similar_events_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..=2 * REMEMBERED_EVENTS_MAX {
            let mut one = happening(0, "x");
            one.reason = number.to_string();
            memory.combine(one);
            assert!(memory.similar.len() <= REMEMBERED_EVENTS_MAX + 1);
        }
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
