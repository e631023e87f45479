//! What to do with one object, once the API server has been asked about it and its owners. Pure.
//! Upstream: `attemptToDeleteItem` and `processDeletingDependentsItem` in
//! `pkg/controller/garbagecollector/garbagecollector.go`.

use super::graph::{Deletion, Graph, Identity, Node, Uid};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What the graph knows of an object when a worker takes it up.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) identity: Identity,
    pub(super) observed: bool,
    pub(super) deletion: Deletion,
    pub(super) lookups: u32,
    pub(super) has_dependents: bool,
    /// Whether a dependent is itself in a foreground deletion: perhaps a circle.
    pub(super) dependent_in_foreground: bool,
    /// Dependents that the foreground deletion waits for, and whether each is itself in one.
    pub(super) blocking: Vec<(Uid, bool)>,
}

impl Item {
    pub(super) fn of(graph: &Graph, node: &Node) -> Self {
        Self {
            identity: node.identity.clone(),
            observed: node.observed,
            deletion: node.deletion,
            lookups: node.lookups,
            has_dependents: !node.dependents.is_empty(),
            dependent_in_foreground: graph
                .dependents(node)
                .any(|dependent| dependent.deletion == Deletion::Foreground),
            blocking: graph.blocking(node),
        }
    }

    /// A deletion that waits for others ends without us.
    pub(super) fn is_left_alone(&self) -> bool {
        matches!(self.deletion, Deletion::Other | Deletion::Orphan)
    }
}

/// What a look at an owner gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there and stays.
    Solid,
    /// It is not there.
    Dangling,
    /// It is in a foreground deletion: its dependents are to go.
    Waiting,
}

/// How a deletion treats dependents: the values of `propagationPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

impl Policy {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Nothing,
    /// Take the references to these owners away: they are gone or about to go, another owner stays.
    Release(Vec<Uid>),
    /// Delete it, and its own dependents first. `unblock`: first let no owner wait for it, as owners and
    /// dependents may wait for each other in a circle.
    DeleteForeground {
        unblock: bool,
    },
    /// Delete it.
    Delete(Policy),
    /// Its foreground deletion waits for nobody any more: take the finalizer away.
    FinishForeground,
    /// Its foreground deletion waits for these.
    Attempt(Vec<Uid>),
}

/// For an object in a foreground deletion.
pub(super) fn waiting(item: &Item) -> Decision {
    if item.blocking.is_empty() {
        return Decision::FinishForeground;
    }
    let not_yet = item.blocking.iter().filter(|(_, in_foreground)| !in_foreground);
    Decision::Attempt(not_yet.map(|(uid, _)| uid.clone()).collect())
}

/// For any other, by its owners as they are now; `finalizers` are the object's own.
pub(super) fn owned(item: &Item, finalizers: &[String], owners: &[(Uid, OwnerState)]) -> Decision {
    if owners.is_empty() {
        return Decision::Nothing;
    }
    let any = |state: OwnerState| owners.iter().any(|(_, s)| *s == state);
    if any(OwnerState::Solid) {
        let going: Vec<Uid> =
            owners.iter().filter(|(_, s)| *s != OwnerState::Solid).map(|(uid, _)| uid.clone()).collect();
        return if going.is_empty() { Decision::Nothing } else { Decision::Release(going) };
    }
    if any(OwnerState::Waiting) && item.has_dependents {
        return Decision::DeleteForeground { unblock: item.dependent_in_foreground };
    }
    let has = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    Decision::Delete(if has(ORPHAN) {
        Policy::Orphan
    } else if has(FOREGROUND) {
        Policy::Foreground
    } else {
        Policy::Background
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(has_dependents: bool, dependent_in_foreground: bool) -> Item {
        Item {
            identity: Identity {
                kind: "Pod".into(),
                api_version: "v1".into(),
                namespace: "a".into(),
                name: "b".into(),
                uid: "u".into(),
            },
            observed: true,
            deletion: Deletion::No,
            lookups: 0,
            has_dependents,
            dependent_in_foreground,
            blocking: Vec::new(),
        }
    }

    #[test]
    fn owners_decide() {
        use Decision::{Delete, DeleteForeground, Nothing, Release};
        use OwnerState::{Dangling, Solid, Waiting};
        let plain = || item(false, false);
        let cases: Vec<(Item, &[&str], &[OwnerState], Decision)> = vec![
            (plain(), &[], &[], Nothing),
            (plain(), &[], &[Solid], Nothing),
            (plain(), &[], &[Solid, Dangling], Release(vec!["1".into()])),
            (plain(), &[], &[Waiting, Solid, Dangling], Release(vec!["0".into(), "2".into()])),
            (plain(), &[], &[Dangling, Dangling], Delete(Policy::Background)),
            (plain(), &[], &[Waiting], Delete(Policy::Background)),
            (item(true, false), &[], &[Waiting, Dangling], DeleteForeground { unblock: false }),
            (item(true, true), &[], &[Waiting], DeleteForeground { unblock: true }),
            (item(true, true), &[], &[Dangling], Delete(Policy::Background)),
            (plain(), &[ORPHAN, FOREGROUND], &[Dangling], Delete(Policy::Orphan)),
            (plain(), &["x", FOREGROUND], &[Dangling], Delete(Policy::Foreground)),
        ];
        for (item, finalizers, states, expected) in cases {
            let finalizers: Vec<String> = finalizers.iter().map(|f| (*f).to_owned()).collect();
            let owners: Vec<(Uid, OwnerState)> =
                states.iter().enumerate().map(|(i, s)| (i.to_string().into(), *s)).collect();
            assert_eq!(owned(&item, &finalizers, &owners), expected, "{finalizers:?} {states:?}");
        }
    }

    #[test]
    fn a_foreground_deletion_waits_for_those_that_block_it() {
        let mut item = item(true, false);
        assert_eq!(waiting(&item), Decision::FinishForeground);
        item.blocking = vec![("a".into(), false), ("b".into(), true)];
        assert_eq!(waiting(&item), Decision::Attempt(vec!["a".into()]));
    }
}
