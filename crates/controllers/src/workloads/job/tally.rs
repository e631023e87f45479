//! What is known of a Job's pods.

use super::backoff::finished;
use super::indexes::{Indexes, index_of};
use super::plan::World;
use super::pods::{all_failures, fails_index, is_failed, is_in_range, is_indexed, is_tracked};
use super::policy::judge;
use crate::workloads::pods;
use api::Object;
use api::batch::v1::{JobSpec, JobStatus};
use api::core::v1::Pod;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// What is known of the pods.
pub(super) struct Tally<'a> {
    pub(super) spec: &'a JobSpec,
    pub(super) status: JobStatus,
    pub(super) active: Vec<Arc<Pod>>,
    pub(super) terminating: Vec<Arc<Pod>>,
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    pub(super) succeeded_before: Indexes,
    pub(super) succeeded_indexes: Indexes,
    pub(super) failed_indexes: Option<Indexes>,
    /// The last failed pod of each index that is to be tried again.
    pub(super) to_replace: BTreeMap<i32, Arc<Pod>>,
    pub(super) new_succeeded: Vec<Arc<Pod>>,
    pub(super) new_failed: Vec<Arc<Pod>>,
}

impl<'a> World<'a> {
    /// Counts.
    pub(super) fn tally(&self, spec: &'a JobSpec) -> Tally<'a> {
        let status = self.job.status.clone().unwrap_or_default();
        let (uncounted_succeeded, uncounted_failed) = uncounted(&status);
        let fresh = |known: &HashSet<String>, test: &dyn Fn(&Pod) -> bool| -> Vec<Arc<Pod>> {
            let mine = self.pods.iter().filter(|pod| is_tracked(pod) && !known.contains(pod.uid()));
            mine.filter(|pod| is_in_range(spec, pod) && test(pod)).cloned().collect()
        };
        let new_succeeded = fresh(&uncounted_succeeded, &|pod| api::pods::phase(pod) == "Succeeded");
        let new_failed = fresh(&uncounted_failed, &|pod| is_failed(spec, pod));
        let counted = new_failed.iter().filter(|pod| judge(spec, pod).counts()).count();
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let active: Vec<_> = self.pods.iter().filter(|pod| api::pods::is_active(pod)).cloned().collect();
        let mut tally = Tally {
            spec,
            succeeded: status.succeeded.unwrap_or_default()
                + number(new_succeeded.len() + uncounted_succeeded.len()),
            failed: status.failed.unwrap_or_default() + number(counted + uncounted_failed.len()),
            status,
            active,
            terminating: self.pods.iter().filter(|pod| pods::is_terminating(pod)).cloned().collect(),
            succeeded_before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            to_replace: BTreeMap::new(),
            new_succeeded,
            new_failed,
        };
        if is_indexed(spec) {
            tally.count_indexes(self.pods);
        }
        tally
    }
}

impl Tally<'_> {
    fn count_indexes(&mut self, pods: &[Arc<Pod>]) {
        let completions = self.spec.completions.unwrap_or_default();
        let before = |text: &Option<String>| Indexes::parse(text.as_deref().unwrap_or_default(), completions);
        let of = |test: &dyn Fn(&Pod) -> bool| -> Indexes {
            let mine = pods.iter().filter(|pod| is_tracked(pod) && is_in_range(self.spec, pod) && test(pod));
            mine.filter_map(|pod| index_of(pod)).collect::<BTreeSet<i32>>().into()
        };
        self.succeeded_before = before(&self.status.completed_indexes);
        self.succeeded_indexes =
            self.succeeded_before.union(&of(&|pod| api::pods::phase(pod) == "Succeeded"));
        self.succeeded = self.succeeded_indexes.count();
        if let Some(limit) = self.spec.backoff_limit_per_index {
            let failed = of(&|pod| fails_index(self.spec, pod, limit));
            let failed = before(&self.status.failed_indexes).union(&failed);
            let active: HashSet<i32> = self.active.iter().filter_map(|pod| index_of(pod)).collect();
            let tracked = pods.iter().filter(|pod| is_tracked(pod) && is_in_range(self.spec, pod));
            for pod in tracked.filter(|pod| is_failed(self.spec, pod)) {
                let Some(index) = index_of(pod) else { continue };
                if self.succeeded_indexes.has(index) || failed.has(index) || active.contains(&index) {
                    continue;
                }
                let later = self.to_replace.get(&index).is_none_or(|last| {
                    all_failures(last) <= all_failures(pod) && finished(pod) >= finished(last)
                });
                if later {
                    self.to_replace.insert(index, pod.clone());
                }
            }
            self.failed_indexes = Some(failed);
        }
    }
}

/// The UIDs of pods that are noted as ended and not counted yet: those that succeeded, and those that failed.
pub(super) fn uncounted(status: &JobStatus) -> (HashSet<String>, HashSet<String>) {
    let pods = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let set = |list: Option<Vec<String>>| list.into_iter().flatten().collect();
    (set(pods.succeeded), set(pods.failed))
}
