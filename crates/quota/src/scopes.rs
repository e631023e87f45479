//! Which objects a quota is about.

use crate::amounts::quantity;
use crate::usage::{Evaluator, Kind, is_terminating};
use meta::labels::{Labels, Operator, Requirement};
use value::{Str, Value};

/// Whether all scopes of the quota hold for the object.
pub fn matches(evaluator: &Evaluator, quota: &Value, object: &Value) -> bool {
    let spec = quota.at("spec");
    let holds = |scope: &str, operator: &str, values: &[Value]| match evaluator.kind {
        Kind::Pods => pod(object, scope, operator, values),
        Kind::Claims if scope == "VolumeAttributesClass" => {
            let names = attributes_classes(object);
            if operator == "Exists" {
                return !names.is_empty();
            }
            if names.is_empty() {
                return selects(scope, operator, values, None);
            }
            names.iter().any(|name| selects(scope, operator, values, Some(name)))
        }
        _ => false,
    };
    spec.at("scopes").items().iter().all(|scope| holds(scope.str(), "Exists", &[]))
        && spec
            .at("scopeSelector")
            .at("matchExpressions")
            .items()
            .iter()
            .all(|e| holds(e.at("scopeName").str(), e.at("operator").str(), e.at("values").items()))
}

fn pod(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    match scope {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = Some(pod.at("spec").at("priorityClassName").str()).filter(|c| !c.is_empty());
            if operator == "Exists" { class.is_some() } else { selects(scope, operator, values, class) }
        }
        "CrossNamespacePodAffinity" => reaches_out(pod.at("spec").at("affinity")),
        _ => false,
    }
}

struct One<'a>(&'a str, Option<&'a str>);

impl Labels for One<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.1.filter(|_| key == self.0)
    }
}

/// The expression as a label selector over one label.
fn selects(scope: &str, operator: &str, values: &[Value], value: Option<&str>) -> bool {
    let operator = match operator {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        _ => return false,
    };
    let values: Vec<Str> = values.iter().map(|v| v.str().into()).collect();
    let path = meta::field::Path::new("values");
    Requirement::new(&path, scope, operator, values).is_ok_and(|r| r.matches(&One(scope, value)))
}

fn is_best_effort(pod: &Value) -> bool {
    let class = pod.at("status").at("qosClass").str();
    if !class.is_empty() {
        return class == "BestEffort";
    }
    let spec = pod.at("spec");
    let asks = |resources: &Value| {
        ["requests", "limits"].iter().any(|list| {
            resources.at(list).entries().any(|(name, amount)| {
                matches!(name.as_str(), "cpu" | "memory") && !quantity(amount).is_zero()
            })
        })
    };
    let containers = ["containers", "initContainers"].iter().flat_map(|l| spec.at(l).items());
    !asks(spec.at("resources")) && !containers.into_iter().any(|c| asks(c.at("resources")))
}

/// Whether a term of affinity looks into other namespaces.
fn reaches_out(affinity: &Value) -> bool {
    let term = |t: &Value| !t.at("namespaces").items().is_empty() || !t.at("namespaceSelector").is_null();
    ["podAffinity", "podAntiAffinity"].iter().map(|kind| affinity.at(kind)).any(|a| {
        a.at("requiredDuringSchedulingIgnoredDuringExecution").items().iter().any(term)
            || a.at("preferredDuringSchedulingIgnoredDuringExecution")
                .items()
                .iter()
                .any(|w| term(w.at("podAffinityTerm")))
    })
}

/// The classes that a claim has, wants or is moving to.
fn attributes_classes(claim: &Value) -> Vec<&str> {
    let status = claim.at("status");
    let names = [
        claim.at("spec").at("volumeAttributesClassName").str(),
        status.at("currentVolumeAttributesClassName").str(),
        status.at("modifyVolumeStatus").at("targetVolumeAttributesClassName").str(),
    ];
    names.into_iter().filter(|n| !n.is_empty()).collect()
}
