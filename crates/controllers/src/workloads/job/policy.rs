//! When pods' failures fail a Job, or are forgiven; when some successes are enough. Facts and texts:
//! `pkg/controller/job/{pod_failure_policy,success_policy}.go`, KEP-3329, KEP-3998.

use super::indexes::Indexes;
use api::Object;
use api::batch::v1::{JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use api::core::v1::{ContainerStatus, Pod, PodStatus};

/// What a failed pod means to its Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts against the limit.
    Count,
    /// It does not count.
    Ignore,
    /// It counts, and its index has failed.
    FailIndex,
    /// It counts, and the Job has failed: why.
    FailJob(String),
}

impl Verdict {
    /// Whether the failure counts.
    pub(super) fn counts(&self) -> bool {
        *self != Self::Ignore
    }
}

/// Judges a failed pod: by the first rule that fits.
pub(super) fn judge(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    let verdicts = rules.enumerate().filter_map(|(place, rule)| apply(rule, place, pod));
    verdicts.into_iter().next().unwrap_or(Verdict::Count)
}

fn apply(rule: &PodFailurePolicyRule, place: usize, pod: &Pod) -> Option<Verdict> {
    let status = pod.status.as_ref()?;
    let why = if let Some(requirement) = &rule.on_exit_codes {
        let (container, code) = exited(status, requirement)?;
        format!(
            "Container {} for pod {} failed with exit code {code} matching {} rule at index {place}",
            container.name,
            pod.key(),
            rule.action
        )
    } else {
        let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
        let met = status.conditions.iter().flatten().find(|condition| {
            patterns.iter().any(|pattern| {
                // The API server defaults the status to "True".
                let wanted = pattern.status.as_deref().unwrap_or("True");
                pattern.type_ == condition.type_ && wanted == condition.status
            })
        })?;
        format!(
            "Pod {} has condition {} matching {} rule at index {place}",
            pod.key(),
            met.type_,
            rule.action
        )
    };
    match rule.action.as_str() {
        "Ignore" => Some(Verdict::Ignore),
        "FailIndex" => Some(Verdict::FailIndex),
        "FailJob" => Some(Verdict::FailJob(why)),
        "Count" => Some(Verdict::Count),
        _ => None,
    }
}

/// The first container that failed as the rule says.
fn exited<'a>(
    status: &'a PodStatus,
    rule: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(&'a ContainerStatus, i32)> {
    let containers = status.container_statuses.iter().flatten();
    containers.chain(status.init_container_statuses.iter().flatten()).find_map(|container| {
        let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
        let named = rule.container_name.as_ref().is_none_or(|name| *name == container.name);
        let listed = rule.values.contains(&code);
        let fits = match rule.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && code != 0 && fits).then_some((container, code))
    })
}

/// Whether the indexes that succeeded are enough, and by which rule.
pub(super) fn enough(spec: &JobSpec, succeeded: &Indexes) -> Option<String> {
    let completions = spec.completions.unwrap_or_default();
    if succeeded.count() == 0 {
        return None;
    }
    let rules = spec.success_policy.iter().flat_map(|policy| &policy.rules);
    let met = rules.enumerate().find(|(_, rule)| match (&rule.succeeded_indexes, rule.succeeded_count) {
        (Some(text), count) => {
            let required = Indexes::parse(text, completions);
            let found = required.overlap(succeeded);
            required.count() > 0 && (found == required.count() || count.is_some_and(|count| found >= count))
        }
        (None, Some(count)) => succeeded.count() >= count,
        (None, None) => false,
    });
    met.map(|(place, _)| format!("Matched rules at index {place}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{at, pod};
    use super::*;
    use api::core::v1::{ContainerState, ContainerStateTerminated};
    use serde_json::json;

    fn spec(part: serde_json::Value) -> JobSpec {
        let mut spec = json!({ "template": {}, "completions": 10 });
        spec.as_object_mut().expect("a map").extend(part.as_object().expect("a map").clone());
        serde_json::from_value(spec).expect("a spec")
    }

    #[test]
    fn failures_are_judged_by_the_first_rule_that_fits() {
        let spec = spec(json!({ "podFailurePolicy": { "rules": [
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            { "action": "FailJob", "onExitCodes": { "containerName": "main", "operator": "In", "values": [42] } },
            { "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [43] } },
            { "action": "Count", "onExitCodes": { "operator": "NotIn", "values": [1] } },
            { "action": "Ignore", "onExitCodes": { "operator": "In", "values": [1] } },
        ] } }));
        let exit = |code: i32| {
            pod("p").phase("Failed").change(|pod| {
                let terminated = ContainerStateTerminated { exit_code: code, ..Default::default() };
                let state = ContainerState { terminated: Some(terminated), ..Default::default() };
                let status =
                    ContainerStatus { name: "main".into(), state: Some(state), ..Default::default() };
                pod.status.get_or_insert_default().container_statuses = Some(vec![status]);
            })
        };
        let why =
            "Container main for pod default/p failed with exit code 42 matching FailJob rule at index 1";
        for (pod, verdict) in [
            (exit(42).condition("DisruptionTarget", "True", at(0)), Verdict::Ignore),
            (exit(42), Verdict::FailJob(why.into())),
            (exit(43), Verdict::FailIndex),
            (exit(7), Verdict::Count),
            (exit(1), Verdict::Ignore),
            (exit(0), Verdict::Count),
        ] {
            assert_eq!(judge(&spec, &pod.build()), verdict);
        }
    }

    #[test]
    fn some_successes_are_enough() {
        let spec = spec(json!({ "successPolicy": { "rules": [
            { "succeededIndexes": "0-2,7" },
            { "succeededIndexes": "3-6", "succeededCount": 2 },
            { "succeededCount": 8 },
        ] } }));
        for (succeeded, rule) in [
            ("", None),
            ("0-2", None),
            ("0-2,7", Some("Matched rules at index 0")),
            ("3", None),
            ("3,6", Some("Matched rules at index 1")),
            ("1-2,5,7-9", None),
            ("0-1,3-9", Some("Matched rules at index 1")),
        ] {
            assert_eq!(enough(&spec, &Indexes::parse(succeeded, 10)).as_deref(), rule, "{succeeded}");
        }
    }
}
