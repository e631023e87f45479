//! What a namespace's conditions say of its deletion. Pure.
//! Upstream: `pkg/controller/namespace/deletion/status_condition_utils.go`.

use crate::cluster::discovery::{Meta, Resource};
use api::core::v1::NamespaceCondition;
use api::meta::v1::Time;
use client::Error;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What emptying one resource left.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) estimate_seconds: i64,
    items: usize,
    finalizers: BTreeMap<String, usize>,
    error: Option<String>,
}

impl Left {
    pub(super) fn failed(mut self, error: &Error) -> Self {
        self.error = Some(error.to_string());
        self
    }

    /// With the objects that are still there.
    pub(super) fn items(
        mut self,
        resource: &Resource,
        namespace: &str,
        items: &[Meta],
        finalizers_estimate_seconds: i64,
    ) -> Self {
        self.items = items.len();
        for finalizer in items.iter().flat_map(Meta::finalizers) {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        if items.is_empty() {
            self.estimate_seconds = 0;
        } else if self.estimate_seconds == 0 && !self.finalizers.is_empty() {
            self.estimate_seconds = finalizers_estimate_seconds;
        } else if self.estimate_seconds == 0 {
            self.error = Some(format!(
                "unexpected items still remain in namespace: {namespace} for gvr: {}/{}, Resource={}",
                resource.group, resource.version, resource.plural
            ));
        }
        self
    }
}

/// What emptying the namespace left.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) discovery: Option<String>,
    pub(super) estimate_seconds: i64,
    /// How many objects of each resource.
    pub(super) remaining: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    errors: Vec<String>,
}

impl Outcome {
    pub(super) fn add(&mut self, resource: &Resource, left: Left) {
        self.estimate_seconds = self.estimate_seconds.max(left.estimate_seconds);
        self.errors.extend(left.error);
        if left.items > 0 {
            self.remaining.insert(format!("{}.{}", resource.plural, resource.group), left.items);
        }
        for (finalizer, count) in left.finalizers {
            *self.finalizers.entry(finalizer).or_default() += count;
        }
    }

    /// Everything that went wrong.
    pub(super) fn error(&self) -> Option<String> {
        let all: Vec<&str> = self.discovery.iter().chain(&self.errors).map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    fn findings(&self) -> [Finding; 5] {
        let list = |entries: &BTreeMap<String, usize>, word: &str| {
            let texts: Vec<String> = entries
                .iter()
                .map(|(name, count)| format!("{name} {word} {count} resource instances"))
                .collect();
            texts.join(", ")
        };
        let mut errors = self.errors.clone();
        errors.sort();
        [
            Finding {
                kind: "NamespaceDeletionDiscoveryFailure",
                bad: self.discovery.clone().map(|text| ("DiscoveryFailed", text)),
                good: ("ResourcesDiscovered", "All resources successfully discovered"),
            },
            Finding {
                kind: "NamespaceDeletionGroupVersionParsingFailure",
                bad: None,
                good: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
            },
            Finding {
                kind: "NamespaceDeletionContentFailure",
                bad: (!errors.is_empty()).then(|| {
                    let text = errors.join(", ");
                    let count = errors.len();
                    let message = format!("Failed to delete all resource types, {count} remaining: {text}");
                    ("ContentDeletionFailed", message)
                }),
                good: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            },
            Finding {
                kind: "NamespaceContentRemaining",
                bad: (!self.remaining.is_empty()).then(|| {
                    let text = list(&self.remaining, "has");
                    ("SomeResourcesRemain", format!("Some resources are remaining: {text}"))
                }),
                good: ("ContentRemoved", "All content successfully removed"),
            },
            Finding {
                kind: "NamespaceFinalizersRemaining",
                bad: (!self.finalizers.is_empty()).then(|| {
                    let text = list(&self.finalizers, "in");
                    let message = format!("Some content in the namespace has finalizers remaining: {text}");
                    ("SomeFinalizersRemain", message)
                }),
                good: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
            },
        ]
    }
}

struct Finding {
    kind: &'static str,
    bad: Option<(&'static str, String)>,
    good: (&'static str, &'static str),
}

/// The namespace's conditions as they are to be; nothing if they are so already.
pub(super) fn plan(
    now: Timestamp,
    old: &[NamespaceCondition],
    outcome: &Outcome,
) -> Option<Vec<NamespaceCondition>> {
    let mut conditions = old.to_vec();
    for finding in outcome.findings() {
        let (status, reason, message) = match finding.bad {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", finding.good.0, finding.good.1.to_owned()),
        };
        let (reason, message) = (Some(reason.to_owned()), Some(message));
        match conditions.iter_mut().find(|condition| condition.type_ == finding.kind) {
            Some(condition) => {
                if condition.status != status {
                    condition.last_transition_time = Some(Time(now));
                }
                condition.status = status.to_owned();
                condition.reason = reason;
                condition.message = message;
            }
            None => conditions.push(NamespaceCondition {
                type_: finding.kind.to_owned(),
                status: status.to_owned(),
                last_transition_time: Some(Time(now)),
                reason,
                message,
            }),
        }
    }
    (conditions != old).then_some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, plural: &str) -> Resource {
        Resource {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            kind: "X".into(),
            namespaced: true,
            verbs: vec![],
            preferred: true,
        }
    }

    fn items(finalizers: &[&[&str]]) -> Vec<Meta> {
        let meta =
            |f: &&[&str]| serde_json::from_value(serde_json::json!({ "finalizers": f })).expect("metadata");
        finalizers.iter().map(meta).collect()
    }

    #[test]
    fn what_is_left_gives_an_estimate_or_an_error() {
        type Case<'a> = (i64, &'a [&'a [&'a str]], i64, Option<&'a str>);
        let cases: [Case<'_>; 4] = [
            (30, &[], 0, None),
            (30, &[&[]], 30, None),
            (0, &[&["x"], &[]], 15, None),
            (
                0,
                &[&[]],
                0,
                Some("unexpected items still remain in namespace: a for gvr: apps/v1, Resource=sets"),
            ),
        ];
        for (estimate_seconds, finalizers, expected, error) in cases {
            let left = Left { estimate_seconds, ..Left::default() };
            let left = left.items(&resource("apps", "sets"), "a", &items(finalizers), 15);
            assert_eq!((left.estimate_seconds, left.error.as_deref()), (expected, error), "{finalizers:?}");
        }
    }

    #[test]
    fn conditions_tell_what_is_left() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut outcome = Outcome::default();
        let left = Left::default().items(&resource("", "pods"), "a", &items(&[&["x/y"], &["x/y"]]), 15);
        outcome.add(&resource("", "pods"), left);
        let first = plan(at(1), &[], &outcome).expect("new conditions");
        let texts: Vec<_> = first
            .iter()
            .map(|c| format!("{}={} {}", c.type_, c.status, c.message.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(
            texts,
            [
                "NamespaceDeletionDiscoveryFailure=False All resources successfully discovered",
                "NamespaceDeletionGroupVersionParsingFailure=False All legacy kube types successfully parsed",
                "NamespaceDeletionContentFailure=False All content successfully deleted, may be waiting on \
                 finalization",
                "NamespaceContentRemaining=True Some resources are remaining: pods. has 2 resource instances",
                "NamespaceFinalizersRemaining=True Some content in the namespace has finalizers remaining: \
                 x/y in 2 resource instances",
            ]
        );
        assert_eq!(plan(at(2), &first, &outcome), None);
        let second = plan(at(3), &first, &Outcome::default()).expect("changed conditions");
        assert_eq!(second[0].last_transition_time, Some(Time(at(1))));
        assert_eq!(
            (second[3].status.as_str(), &second[3].last_transition_time),
            ("False", &Some(Time(at(3))))
        );
    }
}
