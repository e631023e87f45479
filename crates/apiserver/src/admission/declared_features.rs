//! NodeDeclaredFeatureValidator: a bound pod is not changed to what its node does not say it can do.
//!
//! Upstream: `plugin/pkg/admission/nodedeclaredfeatures`; which changes need which features:
//! `k8s.io/component-helpers/nodedeclaredfeatures/features` (KEP-5328).

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::quote::Quoted;
use meta::status::Status;
use value::Value;

pub(super) struct DeclaredFeatures;

/// A feature, and whether a change of a pod's spec needs it.
type Feature = (&'static str, fn(&Value, &Value) -> bool);

/// Those that changes may need, in the order in which they are named to clients.
const FEATURES: [Feature; 2] = [
    ("InPlacePodLevelResourcesVerticalScaling", |old, new| old.at("resources") != new.at("resources")),
    ("InPlacePodVerticalScalingInitContainers", resizes_init_containers),
];

fn resizes_init_containers(old: &Value, new: &Value) -> bool {
    let pairs = old.at("initContainers").items().iter().zip(new.at("initContainers").items());
    // A sidecar is resized like any container.
    pairs
        .filter(|(old, _)| old.at("restartPolicy").str() != "Always")
        .any(|(old, new)| old.at("resources") != new.at("resources"))
}

impl Plugin for DeclaredFeatures {
    fn handles(&self, a: &Attributes) -> bool {
        a.operation == Operation::Update
            && matches!(a.subresource.as_str(), "" | "resize")
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
        let (old, new) = (old.at("spec"), pod.at("spec"));
        let mut wanted = FEATURES.iter().filter(|(_, needs)| needs(old, new)).map(|(f, _)| *f).peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        let Some(node) = objects::find(call, "", "nodes", "", name) else {
            return Err(a.forbidden(format!("node {} not found", Quoted(name))));
        };
        let declared = node.at("status").at("declaredFeatures").items();
        let missing: Vec<&str> = wanted.filter(|f| declared.iter().all(|d| d.str() != *f)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(a.forbidden(format!(
            "pod update requires features {} which are not available on node {}",
            missing.join(", "),
            Quoted(name)
        )))
    }
}
