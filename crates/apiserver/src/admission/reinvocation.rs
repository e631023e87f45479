//! Mutation runs a second time when a policy or webhook changed the object; then those that asked for it
//! look at it again.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/reinvocation.go` and the contexts of the plugins.

use std::collections::HashSet;
use value::Value;

/// What the second round of mutation must know of the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reinvocation {
    /// Whether this is the second round.
    pub(super) again: bool,
    /// Whether there is to be one.
    pub(super) wanted: bool,
    pub(super) policies: Round,
    pub(super) webhooks: Round,
}

/// What one plugin keeps.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// The object as the plugin left it.
    last: Option<Value>,
    /// Who was asked and wants to be asked again after changes.
    asked: HashSet<String>,
    /// Who is to be asked again: something changed after them.
    due: HashSet<String>,
}

impl Round {
    /// The second round begins: what others changed since counts.
    pub(super) fn resume(&mut self, object: &Value) {
        if self.last.as_ref() != Some(object) {
            self.changed();
        }
    }

    /// The plugin is done with the object.
    pub(super) fn leave(&mut self, object: &Value) {
        self.last = Some(object.clone());
    }

    /// Somebody was asked who wants to be asked again.
    pub(super) fn asked(&mut self, uid: &str) {
        self.asked.insert(uid.to_owned());
    }

    /// Somebody changed the object.
    pub(super) fn changed(&mut self) {
        self.due.extend(self.asked.drain());
    }

    /// Whether this one is asked in the second round.
    pub(super) fn is_due(&self, uid: &str) -> bool {
        self.due.contains(uid)
    }
}
