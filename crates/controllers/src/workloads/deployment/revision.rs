//! Revisions of a Deployment: which ReplicaSet is the new one, and the annotations that keep the history. Facts:
//! `pkg/controller/deployment/util/deployment_util.go`.

use crate::workloads::hash;
use api::apps::v1::{Deployment, ReplicaSet};
use api::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";

/// The longest history in the annotation of past revisions.
const HISTORY_CHARACTERS_MAX: usize = 2_000;

/// Annotations that belong to one object and are not handed on.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    ROLLBACK_TO,
];

/// The value of an annotation.
pub(super) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Sets an annotation; whether that changed it.
pub(super) fn annotate(meta: &mut ObjectMeta, key: &str, value: &str) -> bool {
    if annotation(meta, key) == Some(value) {
        return false;
    }
    meta.annotations.get_or_insert_default().insert(key.to_owned(), value.to_owned());
    true
}

/// The revision of a set: 0 without one, nothing if it is no number.
pub(super) fn revision(set: &ReplicaSet) -> Option<i64> {
    annotation(&set.metadata, REVISION).map_or(Some(0), |text| text.parse().ok())
}

/// The revision before the last, to roll back to.
pub(super) fn last_revision<'a>(sets: impl Iterator<Item = &'a ReplicaSet>) -> i64 {
    let mut revisions: Vec<i64> = sets.filter_map(revision).collect();
    revisions.sort_unstable();
    revisions.iter().rev().nth(1).copied().unwrap_or_default()
}

/// Whether a set is of the Deployment's template.
pub(super) fn is_of(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let wanted = deployment.spec.as_ref().map(|spec| &spec.template);
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    matches!((wanted, template), (Some(one), Some(other)) if hash::same_template(one, other))
}

/// Brings the Deployment's annotations and the revision to its new set; whether anything changed. A set that is
/// new again (after a rollback) remembers the revisions that it was.
pub(super) fn annotate_new(deployment: &Deployment, set: &mut ReplicaSet, revision: i64) -> bool {
    let mut changed = false;
    for (key, value) in copied(&deployment.metadata) {
        changed |= annotate(&mut set.metadata, key, value);
    }
    let old = annotation(&set.metadata, REVISION).map(str::to_owned);
    let number = match old.as_deref().map(str::parse::<i64>) {
        Some(Ok(number)) => number,
        None => 0,
        // Somebody wrote what is no revision: it is left alone.
        Some(Err(_)) => return changed,
    };
    if number >= revision {
        return changed;
    }
    annotate(&mut set.metadata, REVISION, &revision.to_string());
    if let Some(old) = old {
        let history = annotation(&set.metadata, REVISION_HISTORY).unwrap_or_default();
        if let Some(longer) = remember(history, &old) {
            annotate(&mut set.metadata, REVISION_HISTORY, &longer);
        }
    }
    true
}

/// The history with one more revision, without its oldest where it would grow too long.
fn remember(history: &str, revision: &str) -> Option<String> {
    let mut past: Vec<&str> = history.split(',').filter(|text| !text.is_empty()).collect();
    past.push(revision);
    while past.iter().map(|text| text.len() + 1).sum::<usize>() > HISTORY_CHARACTERS_MAX + 1 {
        past.remove(0);
    }
    (!past.is_empty()).then(|| past.join(","))
}

fn copied(meta: &ObjectMeta) -> impl Iterator<Item = (&String, &String)> {
    meta.annotations.iter().flatten().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str()))
}

/// The annotations of a Deployment that goes back to what `set` was.
pub(super) fn annotations_after_rollback(
    deployment: &ObjectMeta,
    set: &ObjectMeta,
) -> BTreeMap<String, String> {
    let own = deployment.annotations.iter().flatten();
    let kept = own.filter(|(key, _)| NOT_COPIED.contains(&key.as_str()) && *key != ROLLBACK_TO);
    kept.chain(copied(set)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Notes on a set the size of the whole that it was scaled for; whether that changed anything.
pub(super) fn annotate_size(set: &mut ReplicaSet, desired: i32, most: i32) -> bool {
    let desired = annotate(&mut set.metadata, DESIRED_REPLICAS, &desired.to_string());
    annotate(&mut set.metadata, MAX_REPLICAS, &most.to_string()) || desired
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deployment, set};
    use super::*;

    #[test]
    fn annotations_are_handed_on() {
        let mut deployment = deployment(1, "1", "0");
        for (key, value) in [("team", "a"), (NOT_COPIED[0], "x"), (REVISION, "9")] {
            annotate(&mut deployment.metadata, key, value);
        }
        let mut set = set("a", 1, "web:1");
        assert!(annotate_new(&deployment, &mut set, 1));
        assert!(!annotate_new(&deployment, &mut set, 1));
        assert_eq!(annotation(&set.metadata, "team"), Some("a"));
        assert_eq!(annotation(&set.metadata, NOT_COPIED[0]), None);
        assert_eq!(annotation(&set.metadata, REVISION), Some("1"));
        assert_eq!(annotation(&set.metadata, REVISION_HISTORY), None);
        assert!(annotate_new(&deployment, &mut set, 4));
        assert!(annotate_new(&deployment, &mut set, 7));
        assert_eq!(annotation(&set.metadata, REVISION_HISTORY), Some("1,4"));
    }

    #[test]
    fn the_history_is_bounded() {
        let mut history = String::new();
        for revision in 0..1_000 {
            history = remember(&history, &revision.to_string()).expect("a history");
            assert!(history.len() <= HISTORY_CHARACTERS_MAX);
        }
        assert!(history.ends_with("998,999"));
    }

    #[test]
    fn revisions() {
        let sets = [("a", Some("1")), ("b", Some("3")), ("c", Some("x")), ("d", None), ("e", Some("2"))];
        let sets: Vec<ReplicaSet> = sets
            .iter()
            .map(|(name, text)| {
                let mut set = set(name, 0, name);
                text.map(|text| annotate(&mut set.metadata, REVISION, text));
                set
            })
            .collect();
        assert_eq!(sets.iter().map(revision).collect::<Vec<_>>(), [Some(1), Some(3), None, Some(0), Some(2)]);
        assert_eq!(last_revision(sets.iter()), 2);
        assert_eq!(last_revision(sets[..1].iter()), 0);
    }
}
