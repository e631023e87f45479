//! Changes what running containers may use, in place (KEP-1287).
//!
//! Upstream counterparts: `computePodResizeAction` and `doPodResizeAction` of `pkg/kubelet/kuberuntime`,
//! `pkg/kubelet/allocation`, `pkg/kubelet/events/resize.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::core::v1::{Container, Pod, PodCondition, ResourceRequirements};
use api::meta::v1::Time;
use api::{Quantity, amount, milli_amount};
use jiff::Timestamp;
use reconcile::EventKind;
use serde_json::{Value, json};

use super::{Worker, allocation};
use crate::resources::{self, List};
use crate::spec;
use crate::state::Run;

/// What running containers have been given, by their ids.
pub(crate) type Actuated = BTreeMap<String, ResourceRequirements>;

/// What can be changed while a container runs.
pub(super) const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// What a change of resources asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resize {
    None,
    InPlace,
    Restart,
}

/// Whether a running container has what it was granted, and what is to be done if not.
pub(crate) fn judge(container: &Container, run: &Run, actuated: &Actuated) -> Resize {
    let Some(given) = actuated.get(&run.id) else { return Resize::None };
    let wanted = container.resources.clone().unwrap_or_default();
    let value = |list: &Option<List>, name: &str| {
        list.as_ref().and_then(|list| list.get(name)).map(|quantity| in_units(name, quantity))
    };
    let mut found = Resize::None;
    for name in RESIZABLE {
        let is_same = value(&wanted.requests, name) == value(&given.requests, name)
            && value(&wanted.limits, name) == value(&given.limits, name);
        if is_same {
            continue;
        }
        let mut policies = container.resize_policy.iter().flatten();
        let policy = policies.find(|policy| policy.resource_name == name);
        if policy.is_some_and(|policy| policy.restart_policy == "RestartContainer") {
            return Resize::Restart;
        }
        found = Resize::InPlace;
    }
    found
}

fn in_units(name: &str, quantity: &Quantity) -> i64 {
    if name == "cpu" { milli_amount(quantity) } else { amount(quantity) }
}

/// That a change of resources is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    kind: &'static str,
    reason: &'static str,
    message: String,
}

impl Trouble {
    fn failed(message: String) -> Self {
        Self { kind: IN_PROGRESS, reason: "Error", message }
    }

    /// As a condition of the pod.
    pub(super) fn condition(
        &self,
        generation: Option<i64>,
        old: Option<&PodCondition>,
        now: Time,
    ) -> PodCondition {
        let since = old.filter(|old| old.status == "True").and_then(|old| old.last_transition_time.clone());
        PodCondition {
            type_: self.kind.to_owned(),
            status: "True".into(),
            reason: Some(self.reason.to_owned()),
            message: Some(self.message.clone()),
            last_transition_time: since.or(Some(now)),
            observed_generation: generation,
            last_probe_time: None,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }
}

const PENDING: &str = "PodResizePending";
const IN_PROGRESS: &str = "PodResizeInProgress";

/// Whether the node has what the pod asks for now. `used` is what the other pods ask for.
fn fits(pod: &Pod, allocatable: &List, used: &BTreeMap<&str, i64>) -> Result<(), Trouble> {
    for name in RESIZABLE {
        let wanted = resources::pod_amount(pod, false, name).unwrap_or(0);
        let capacity = allocatable.get(name).map_or(0, |quantity| in_units(name, quantity));
        let used = used.get(name).copied().unwrap_or(0);
        if wanted > capacity {
            let message = format!(
                "Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}"
            );
            return Err(Trouble { kind: PENDING, reason: "Infeasible", message });
        }
        if wanted + used > capacity {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            return Err(Trouble { kind: PENDING, reason: "Deferred", message });
        }
    }
    Ok(())
}

fn used(pods: &[Arc<Pod>]) -> BTreeMap<&'static str, i64> {
    let sum = |name| pods.iter().filter_map(|pod| resources::pod_amount(pod, false, name)).sum();
    RESIZABLE.into_iter().map(|name| (name, sum(name))).collect()
}

impl Worker {
    /// Notes what containers have that run from before, as their pod's status tells.
    pub(super) fn adopt_resources(&mut self) {
        let old = [&self.status.container_statuses, &self.status.init_container_statuses];
        for run in self.state.runs.iter().filter(|run| run.is_running()) {
            if self.actuated.contains_key(&run.id) {
                continue;
            }
            let is_own = |id: &Option<String>| id.as_deref().is_some_and(|id| id.ends_with(&run.id));
            let known = old.iter().copied().flatten().flatten().find(|status| is_own(&status.container_id));
            let given = known.and_then(|status| status.resources.clone());
            let wanted = spec::find(&self.pod, &run.name).and_then(|(_, container)| container.resources);
            self.actuated.insert(run.id.clone(), given.or(wanted).unwrap_or_default());
        }
        let runs = &self.state.runs;
        self.actuated.retain(|id, _| runs.iter().any(|run| run.id == *id && run.is_running()));
    }

    /// Grants what the pod asks for by now, if the node has it; returns when to look again if it has not.
    pub(super) fn allocate(&mut self, now: Timestamp) -> Option<Timestamp> {
        let is_pending = |trouble: &Trouble| trouble.kind == PENDING;
        if allocation::is_same(&self.asked, &self.pod) {
            self.trouble.take_if(|trouble| is_pending(trouble));
            return None;
        }
        if let Some(after) = self.resize_after.filter(|after| now < *after) {
            return Some(after);
        }
        let context = self.context.clone();
        let allocatable = context.machine.allocatable(&context.config);
        let admission = context.pods.admit();
        if let Err(trouble) = fits(&self.asked, &allocatable, &used(&admission.others(&self.asked))) {
            self.note(trouble);
            return self.resize_after;
        }
        self.pod = self.asked.clone();
        self.share();
        drop(admission);
        self.is_resizing = true;
        self.resize_after = None;
        self.trouble = None;
        let started = format!("Pod resize started: {}", summary(&self.pod, ""));
        context.event(&self.pod, EventKind::Normal, "ResizeStarted", started);
        None
    }

    /// Gives the pod and these of its containers what they were granted.
    pub(super) async fn resize(&mut self, names: &[String]) {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        // More for the pod comes before more for its containers, and less after less: the first of the two
        // writes is refused by the kernel where the second is the one that counts.
        let _ = context.cgroups.update(&pod);
        for name in names {
            let Some((_, container)) = spec::find(&pod, name) else { continue };
            let Some(run) = self.state.run(name).filter(|run| run.is_running()) else { continue };
            let unified = context.cgroups.is_unified();
            let wanted = resources::container_resources(&pod, &container, context.machine.memory, unified);
            if let Err(error) = context.runtime.update_container_resources(&run.id, wanted).await {
                self.note(Trouble::failed(error.message));
                return;
            }
            self.actuated.insert(run.id.clone(), container.resources.clone().unwrap_or_default());
        }
        if let Err(error) = context.cgroups.update(&pod) {
            self.note(Trouble::failed(format!("cannot change the limits of the pod: {error}")));
            return;
        }
        self.is_resizing = false;
        self.trouble = None;
        let completed = format!("Pod resize completed: {}", summary(&pod, ""));
        context.event(&pod, EventKind::Normal, "ResizeCompleted", completed);
    }

    /// A change that failed and was taken back is no trouble any more.
    pub(super) fn forget_trouble(&mut self) {
        if self.trouble.as_ref().is_none_or(|trouble| trouble.kind != IN_PROGRESS) {
            return;
        }
        let is_settled = self.state.runs.iter().filter(|run| run.is_running()).all(|run| {
            let container = spec::find(&self.pod, &run.name).map(|(_, container)| container);
            container.is_none_or(|container| judge(&container, run, &self.actuated) == Resize::None)
        });
        if is_settled {
            self.trouble = None;
        }
    }

    fn note(&mut self, trouble: Trouble) {
        if self.trouble.as_ref() != Some(&trouble) {
            let text = summary(&self.asked, &trouble.message);
            let (reason, text) = match trouble.reason {
                "Infeasible" => ("ResizeInfeasible", format!("Pod resize Infeasible: {text}")),
                "Deferred" => ("ResizeDeferred", format!("Pod resize Deferred: {text}")),
                _ => ("ResizeError", format!("Pod resize error: {text}")),
            };
            self.context.event(&self.asked, EventKind::Warning, reason, text);
        }
        self.trouble = Some(trouble);
        let now = self.context.clock.now();
        self.resize_after = now.checked_add(super::RETRY).ok();
    }
}

/// What is wanted, for events.
fn summary(pod: &Pod, error: &str) -> String {
    let list = |containers: &[Container]| -> Vec<Value> {
        containers
            .iter()
            .map(|container| {
                json!({"name": container.name, "resources": container.resources.clone().unwrap_or_default()})
            })
            .collect()
    };
    let mut all = json!({});
    let init = list(spec::init_containers(pod));
    if !init.is_empty() {
        all["initContainers"] = json!(init);
    }
    all["containers"] = json!(list(spec::containers(pod)));
    all["generation"] = json!(pod.metadata.generation.unwrap_or(0));
    if !error.is_empty() {
        all["error"] = json!(error);
    }
    all.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Runs, pod};

    #[test]
    fn changes_by_policy() {
        let resources =
            |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu}, "limits": {"memory": memory}});
        let of = |cpu: &str, memory: &str| {
            let pod = pod(json!({"containers": [{"name": "a", "resources": resources(cpu, memory),
                "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}]}));
            let state = Runs::ready().running("a").state(&pod);
            let given = serde_json::from_value(resources("100m", "1Gi")).unwrap();
            judge(&spec::containers(&pod)[0], &state.runs[0], &[("a-0".to_owned(), given)].into())
        };
        assert_eq!(of("0.1", "1024Mi"), Resize::None);
        assert_eq!(of("200m", "1Gi"), Resize::InPlace);
        assert_eq!(of("100m", "2Gi"), Resize::Restart);
        assert_eq!(of("200m", "2Gi"), Resize::Restart);
    }

    #[test]
    fn room_on_the_node() {
        let pod = pod(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "3"}}}]}));
        let allocatable = |cpu: &str| {
            List::from([
                ("cpu".to_owned(), Quantity(cpu.into())),
                ("memory".to_owned(), Quantity("1Gi".into())),
            ])
        };
        let used = BTreeMap::from([("cpu", 2000)]);
        let reason = |cpu: &str| {
            fits(&pod, &allocatable(cpu), &used).err().map(|trouble| (trouble.reason, trouble.message))
        };
        assert_eq!(reason("5"), None);
        let text = "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000";
        assert_eq!(reason("4"), Some(("Deferred", text.into())));
        let text = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000";
        assert_eq!(reason("2"), Some(("Infeasible", text.into())));
    }
}
