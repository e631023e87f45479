//! A running pod is resized only on Linux, and not beyond what its node can give.
//!
//! Upstream: `plugin/pkg/admission/podresize`.

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::quote::Quoted;
use meta::status::{Cause, Status};
use quota::amounts::{of_pod_with_overhead, quantity};
use value::Value;

pub(super) struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn handles(&self, a: &Attributes) -> bool {
        a.operation == Operation::Update
            && a.subresource == "resize"
            && a.resource.resource == "pods"
            && a.resource.group.is_empty()
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        pod: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let (Some(pod), Some(old)) = (pod, old) else { return Ok(()) };
        let name = pod.at("spec").at("nodeName").str();
        let generation = |p: &Value| p.at("metadata").at("generation").int();
        if name.is_empty() || generation(pod) == generation(old) {
            return Ok(());
        }
        let Some(node) = objects::find(call, "", "nodes", "", name) else {
            return Err(a.forbidden(format!("node {} not found", Quoted(name))));
        };
        let refuse = |text: String, reason: &str| Err(a.forbidden(text).with_cause(Cause::new(reason, "")));
        if let Some(os) = node.at("metadata").at("labels").get("kubernetes.io/os")
            && os.str() != "linux"
        {
            let text = format!(
                "pod resize is only supported on linux nodes, node {} is {}",
                Quoted(name),
                Quoted(os.str())
            );
            return refuse(text, "UnsupportedPlatform");
        }
        let requests = of_pod_with_overhead(pod.at("spec"), &Value::Null, "requests");
        let allocatable = node.at("status").at("allocatable");
        let mut over = Vec::new();
        let (cpu, cpu_max) =
            (requests.get("cpu").cloned().unwrap_or_default(), quantity(allocatable.at("cpu")));
        if cpu > cpu_max {
            let (asked, there) = (cpu.milli_value(), cpu_max.milli_value());
            over.push(format!("cpu, requested: {asked}, allocatable: {there}"));
        }
        let memory = requests.get("memory").cloned().unwrap_or_default();
        let memory_max = quantity(allocatable.at("memory"));
        if memory > memory_max {
            let (asked, there) = (memory.value(), memory_max.value());
            over.push(format!("memory, requested: {asked}, allocatable: {there}"));
        }
        if over.is_empty() {
            return Ok(());
        }
        let text = format!("node didn't have enough allocatable resources: {}", over.join("; "));
        refuse(text, "NodeCapacity")
    }
}
