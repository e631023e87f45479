//! The pods of a Job: how they are made, and what their ends mean. Facts: `pkg/controller/job`.

use super::TRACKING;
use super::indexes::{COMPLETION_INDEX, index_of};
use super::policy::{Verdict, judge};
use crate::workloads::pods::from_template;
use api::batch::v1::{Job, JobSpec};
use api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use api::{Object, owners};

/// The longest beginning of a name that the API server ends (`MaxGeneratedNameLength`).
const GENERATED_NAME_CHARACTERS_MAX: usize = 58;

const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// Whether the pod is yet to be counted.
pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Whether the pod's index is one of the Job's, where it has indexes.
pub(super) fn is_in_range(spec: &JobSpec, pod: &Pod) -> bool {
    !is_indexed(spec) || index_of(pod).is_some_and(|index| index < spec.completions.unwrap_or_default())
}

pub(super) fn replaces_failed_only(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

/// A pod that is deleted counts as failed, unless only those that have come to their end do.
pub(super) fn is_failed(spec: &JobSpec, pod: &Pod) -> bool {
    match api::pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => api::pods::is_terminating(pod) && !replaces_failed_only(spec),
    }
}

pub(super) fn fails_index(spec: &JobSpec, pod: &Pod, limit: i32) -> bool {
    is_failed(spec, pod)
        && match judge(spec, pod) {
            Verdict::FailIndex => true,
            Verdict::Ignore => false,
            Verdict::Count | Verdict::FailJob(_) => failures(pod, FAILURES) >= limit,
        }
}

fn failures(pod: &Pod, annotation: &str) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|all| all.get(annotation));
    text.and_then(|text| text.parse().ok()).filter(|count| *count >= 0).unwrap_or_default()
}

pub(super) fn all_failures(pod: &Pod) -> i32 {
    failures(pod, FAILURES).saturating_add(failures(pod, IGNORED_FAILURES))
}

pub(super) fn plain_pod(job: &Job) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let mut pod = from_template(&template, job, owners::controller_reference(job));
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == TRACKING) {
        finalizers.push(TRACKING.to_owned());
    }
    pod
}

pub(super) fn indexed_pod(job: &Job, index: i32, last: Option<&Pod>) -> Pod {
    let mut pod = plain_pod(job);
    let spec = job.spec.clone().unwrap_or_default();
    let text = index.to_string();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(COMPLETION_INDEX.to_owned(), text.clone());
    if spec.backoff_limit_per_index.is_some() {
        let (mut counted, mut ignored) = (0, 0);
        if let Some(last) = last {
            counted = failures(last, FAILURES);
            ignored = failures(last, IGNORED_FAILURES);
            if judge(&spec, last).counts() { counted += 1 } else { ignored += 1 }
        }
        annotations.insert(FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED_FAILURES.to_owned(), ignored.to_string());
        }
    }
    pod.metadata.labels.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), text);
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(format!("{}-{index}", job.name()));
    pod_spec.init_containers.iter_mut().flatten().for_each(tell_index);
    pod_spec.containers.iter_mut().for_each(tell_index);
    let ending = format!("-{index}-");
    let name = job.name();
    let room = GENERATED_NAME_CHARACTERS_MAX - ending.len();
    pod.metadata.generate_name = Some(format!("{}{ending}", name.get(..room).unwrap_or(name)));
    pod
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|variable| variable.name == "JOB_COMPLETION_INDEX") {
        return;
    }
    env.push(EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.labels['{COMPLETION_INDEX}']"),
                api_version: None,
            }),
            ..Default::default()
        }),
    });
}
