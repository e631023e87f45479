//! Pods carry the zone and region of their node.
//!
//! Upstream: `plugin/pkg/admission/podtopologylabels`.

use super::{Attributes, Operation, Plugin};
use crate::call::Call;
use meta::status::Status;
use value::Value;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn handles(&self, a: &Attributes) -> bool {
        a.operation == Operation::Create
            && a.resource.group.is_empty()
            && a.resource.resource == "pods"
            && matches!(a.subresource.as_str(), "" | "binding")
    }

    fn admit(
        &self,
        call: &Call,
        a: &mut Attributes,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let node = if a.subresource.is_empty() {
            object.at("spec").at("nodeName").str()
        } else {
            let target = object.at("target");
            if target.at("kind").str() == "Node" { target.at("name").str() } else { "" }
        };
        if node.is_empty() {
            return Ok(());
        }
        let Some(hub) = call.api.hub("", "nodes") else { return Ok(()) };
        let Some(node) = hub.cache.get(node) else { return Ok(()) };
        for key in LABELS {
            if let Some(value) = node.head.label(key)
                && let Some(labels) = object.object_at("metadata").and_then(|m| m.object_at("labels"))
            {
                labels.set(key, value);
            }
        }
        Ok(())
    }
}
