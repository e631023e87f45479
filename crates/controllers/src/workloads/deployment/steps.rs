//! The steps of a rollout: scaling, replacing bit by bit or at once, cleaning up, going back.

use super::plan::{Action, Rollout};
use super::revision::{self, ROLLBACK_TO, is_of};
use super::scaling::{self, desired_replicas, is_recreate};
use super::status;
use crate::workloads::hash::drop_hash;
use crate::workloads::replicaset;
use api::Object;
use api::apps::v1::ReplicaSet;
use std::sync::Arc;

impl Rollout {
    /// Whether somebody changed the Deployment's size since its sets were last scaled.
    pub(super) fn was_scaled(&self) -> bool {
        (0..self.sets.len()).filter(|place| self.size(*place) > 0).any(|place| {
            desired_replicas(&self.sets[place].wanted).is_some_and(|size| size != self.limits.replicas)
        })
    }

    /// Follows the Deployment's size: by the only set that has pods, or by all in proportion.
    pub(super) fn scale(&mut self) {
        let mut active: Vec<usize> = (0..self.sets.len()).filter(|place| self.size(*place) > 0).collect();
        let latest = || self.new.or_else(|| self.old().last());
        let only = match active[..] {
            [] => latest(),
            [one] => Some(one),
            _ => None,
        };
        if active.len() < 2 {
            if let Some(place) = only.filter(|place| self.size(*place) != self.limits.replicas) {
                self.resize(place, self.limits.replicas);
            }
            return;
        }
        if self.new.is_some_and(|place| self.is_saturated(place)) {
            for place in self.old().filter(|place| active.contains(place)).collect::<Vec<_>>() {
                self.resize(place, 0);
            }
            return;
        }
        if is_recreate(&self.deployment) {
            return;
        }
        let allowed = if self.limits.replicas > 0 { self.limits.most() } else { 0 };
        let to_add = allowed - active.iter().map(|place| self.size(*place)).sum::<i32>();
        // What is left over by rounding goes to the largest; among equals to the newest when growing, taken
        // from the oldest when shrinking.
        if to_add > 0 {
            active.reverse();
        }
        active.sort_by_key(|place| std::cmp::Reverse(self.size(*place)));
        let status_replicas = self.status_or_default().replicas.unwrap_or_default();
        let mut added = 0;
        let mut sizes = Vec::new();
        for place in active {
            let set = &self.sets[place].wanted;
            let share = scaling::proportion(self.limits, set, status_replicas, to_add, added);
            sizes.push((place, self.size(place) + share));
            added += share;
        }
        if let Some((_, size)) = sizes.first_mut().filter(|_| to_add != 0) {
            *size = (*size + to_add - added).max(0);
        }
        for (place, size) in sizes {
            self.note_size(place);
            self.resize(place, size);
        }
    }

    pub(super) fn is_saturated(&self, place: usize) -> bool {
        let wanted = self.limits.replicas;
        self.size(place) == wanted
            && desired_replicas(&self.sets[place].wanted) == Some(wanted)
            && self.available(place) == wanted
    }

    /// One step of a rolling update: first up, then down.
    pub(super) fn roll(&mut self) {
        self.create_new();
        let Some(new) = self.new else { return };
        let size = self.size(new);
        let wanted = if size > self.limits.replicas {
            self.limits.replicas
        } else {
            self.limits.new_size(size, self.total_size())
        };
        if size != self.limits.replicas && self.resize(new, wanted) {
            return;
        }
        if self.shrink_old(new) {
            return;
        }
        self.clean_up_when_complete();
    }

    /// Takes pods off old sets, so many that enough stay available: first those that are not available anyway.
    /// While a set has yet to follow its last change, nobody knows how many are (upstream does not wait, and can
    /// take away too many).
    pub(super) fn shrink_old(&mut self, new: usize) -> bool {
        if (0..self.sets.len()).any(|place| !self.is_observed(place)) {
            return false;
        }
        let old: Vec<usize> = self.old().filter(|place| self.size(*place) > 0).collect();
        let fewest = self.limits.fewest_available();
        let new_unavailable = self.size(new) - self.available(new);
        let mut to_clean = self.total_size() - fewest - new_unavailable;
        if old.is_empty() || to_clean <= 0 {
            return false;
        }
        let mut shrunk = false;
        for &place in &old {
            let unhealthy = (self.size(place) - self.available(place)).clamp(0, to_clean);
            if unhealthy > 0 {
                shrunk |= self.resize(place, self.size(place) - unhealthy);
                to_clean -= unhealthy;
            }
        }
        let mut to_shrink = (0..self.sets.len())
            .filter(|place| *place == new || old.contains(place))
            .map(|place| self.available(place))
            .sum::<i32>()
            - fewest;
        for &place in &old {
            let count = self.size(place).min(to_shrink);
            if count > 0 {
                shrunk |= self.resize(place, self.size(place) - count);
                to_shrink -= count;
            }
        }
        shrunk
    }

    /// One step of replacing all at once: old pods first have to be gone.
    pub(super) fn recreate(&mut self) {
        let mut shrunk = false;
        for place in self.old().filter(|place| self.size(*place) > 0).collect::<Vec<_>>() {
            shrunk |= self.resize(place, 0);
        }
        if shrunk || self.old_pods_run() {
            return;
        }
        self.create_new();
        if let Some(new) = self.new.filter(|new| self.size(*new) != self.limits.replicas) {
            self.resize(new, self.limits.replicas);
        }
        self.clean_up_when_complete();
    }

    pub(super) fn old_pods_run(&self) -> bool {
        self.old().any(|place| {
            let set = &self.sets[place].wanted;
            set.status.as_ref().is_some_and(|status| status.replicas > 0)
                || self.pods.get(set.uid()).into_iter().flatten().any(|pod| !api::pods::is_terminal(pod))
        })
    }

    pub(super) fn clean_up_when_complete(&mut self) {
        if status::is_complete(&self.deployment, &self.status_or_default()) {
            self.clean_up();
        }
    }

    /// Deletes the oldest sets beyond the history's limit, if they are empty and known to be.
    pub(super) fn clean_up(&mut self) {
        let limit = self.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return };
        let mut old: Vec<Arc<ReplicaSet>> =
            self.old().filter_map(|place| self.sets[place].read.clone()).filter(|set| !goes(set)).collect();
        // Stable: the sets are by age, which decides where revisions do not.
        old.sort_by_key(|set| revision::revision(set).unwrap_or_default());
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or_default());
        for set in old.into_iter().take(surplus).filter(|set| is_empty(set)) {
            self.actions.push(Action::Delete(set));
        }
    }

    /// Goes back to an earlier revision (0: the one before). Only what wrote `extensions/v1beta1` asks for it so;
    /// `kubectl rollout undo` patches the template itself.
    pub(super) fn roll_back(&mut self, to: i64) {
        self.sync_revision();
        let mut wanted = self.deployment.clone();
        wanted.metadata.annotations.get_or_insert_default().remove(ROLLBACK_TO);
        let name = self.deployment.name().to_owned();
        let sets = || self.sets.iter().map(|set| &set.wanted);
        let to = if to == 0 { revision::last_revision(sets()) } else { to };
        let found = sets().find(|set| to != 0 && revision::revision(set) == Some(to));
        let event = match found {
            None if to == 0 => {
                (true, "DeploymentRollbackRevisionNotFound", "Unable to find last revision.".to_owned())
            }
            None => {
                let text = "Unable to find the revision to rollback to.";
                (true, "DeploymentRollbackRevisionNotFound", text.to_owned())
            }
            Some(set) if is_of(&self.deployment, set) => {
                let text = format!(
                    "The rollback revision contains the same template as current deployment {name:?}"
                );
                (true, "DeploymentRollbackTemplateUnchanged", text)
            }
            Some(set) => {
                let mut template =
                    set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
                if let Some(meta) = &mut template.metadata {
                    meta.labels = meta.labels.take().map(drop_hash);
                }
                wanted.spec.get_or_insert_default().template = template;
                wanted.metadata.annotations =
                    Some(revision::annotations_after_rollback(&wanted.metadata, &set.metadata));
                (false, "DeploymentRollback", format!("Rolled back deployment {name:?} to revision {to}"))
            }
        };
        self.actions.push(Action::Replace(Box::new(wanted)));
        self.actions.push(Action::Event(event.0, event.1, event.2));
    }
}

fn goes(set: &ReplicaSet) -> bool {
    set.metadata.deletion_timestamp.is_some()
}

fn is_empty(set: &ReplicaSet) -> bool {
    let status = set.status.clone().unwrap_or_default();
    replicaset::replicas(set) == 0
        && status.replicas == 0
        && status.observed_generation.unwrap_or_default() >= set.metadata.generation.unwrap_or_default()
}
