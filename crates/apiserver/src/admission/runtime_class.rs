//! What a pod's runtime costs and where it runs.
//!
//! Upstream: `plugin/pkg/admission/runtimeclass`, `pkg/util/tolerations`.

use super::{AsyncPlugin, Attributes, objects};
use crate::call::Call;
use futures_util::future::BoxFuture;
use meta::quote::Quoted;
use meta::status::Status;
use quota::amounts::amounts;
use value::Value;

pub(super) struct RuntimeClass;

impl AsyncPlugin for RuntimeClass {
    fn handles(&self, _call: &Call, a: &Attributes) -> bool {
        a.creates("", "pods")
    }

    fn admit<'a>(
        &'a self,
        call: &'a Call,
        a: &'a mut Attributes,
        pod: &'a mut Value,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(class) = class(call, a, pod).await? else { return Ok(()) };
            set_overhead(a, pod, &class)?;
            set_scheduling(a, pod, &class)
        })
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        pod: Option<&'a Value>,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(pod) = pod else { return Ok(()) };
            let class = class(call, a, pod).await?;
            let overhead = class.as_ref().map_or(&Value::Null, |c| c.at("overhead"));
            let own = pod.at("spec").at("overhead");
            if overhead.is_null() {
                return if own.is_null() { Ok(()) } else { Err(a.forbidden(WITHOUT)) };
            }
            if amounts(own) == amounts(overhead.at("podFixed")) { Ok(()) } else { Err(a.forbidden(DIFFERS)) }
        })
    }
}

const DIFFERS: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const WITHOUT: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

async fn class(call: &Call, a: &Attributes, pod: &Value) -> Result<Option<Value>, Status> {
    let Some(name) = pod.at("spec").at("runtimeClassName").as_str() else { return Ok(None) };
    // Upstream's client refuses to ask for what no name can be.
    if name.is_empty() {
        return Err(Status::plain_error("resource name may not be empty"));
    }
    let wrong = meta::names::content::path_segment_name(name);
    if !wrong.is_empty() {
        let name = Quoted(name);
        return Err(Status::plain_error(format!("invalid resource name {name}: [{}]", wrong.join(" "))));
    }
    let found = objects::find_live(call, "node.k8s.io", "runtimeclasses", "", name).await?;
    match found {
        Some(class) => Ok(Some(class)),
        None => Err(a.forbidden(format!("pod rejected: RuntimeClass {} not found", Quoted(name)))),
    }
}

fn set_overhead(a: &Attributes, pod: &mut Value, class: &Value) -> Result<(), Status> {
    let overhead = class.at("overhead");
    if overhead.is_null() {
        return Ok(());
    }
    let fixed = overhead.at("podFixed");
    let own = pod.at("spec").at("overhead");
    if !own.is_empty() && amounts(own) != amounts(fixed) {
        return Err(a.forbidden(DIFFERS));
    }
    if let Some(spec) = pod.object_at("spec").filter(|_| !fixed.is_empty()) {
        spec.set("overhead", fixed.clone());
    }
    Ok(())
}

fn set_scheduling(a: &Attributes, pod: &mut Value, class: &Value) -> Result<(), Status> {
    let scheduling = class.at("scheduling");
    let Some(spec) = pod.object_at("spec").filter(|_| !scheduling.is_null()) else { return Ok(()) };
    for (key, wanted) in scheduling.at("nodeSelector").entries() {
        if let Some(own) = spec.at("nodeSelector").get(key)
            && own != wanted
        {
            return Err(a.forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                wanted.str(),
                own.str()
            )));
        }
        if let Some(selector) = spec.object_at("nodeSelector") {
            selector.set(key, wanted.clone());
        }
    }
    let merged = merge(spec.at("tolerations").items(), scheduling.at("tolerations").items());
    if !merged.is_empty() {
        spec.set("tolerations", Value::Array(merged));
    }
    Ok(())
}

/// Both lists without what another toleration covers.
fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (i, t) in all.iter().enumerate() {
        let covered = merged.iter().any(|m| covers(m, t))
            || all.iter().skip(i + 1).any(|later| later != t && covers(later, t));
        if !covered {
            merged.push((*t).clone());
        }
    }
    merged
}

/// Whether `wide` tolerates all that `t` does.
fn covers(wide: &Value, t: &Value) -> bool {
    if wide == t {
        return true;
    }
    let (key, operator, effect) = (wide.at("key").str(), wide.at("operator").str(), wide.at("effect").str());
    if t.at("key").str() != key && !(key.is_empty() && operator == "Exists") {
        return false;
    }
    if !effect.is_empty() && t.at("effect").str() != effect {
        return false;
    }
    if effect == "NoExecute"
        && let Some(seconds) = wide.at("tolerationSeconds").as_i64()
        && t.at("tolerationSeconds").as_i64().is_none_or(|own| own > seconds)
    {
        return false;
    }
    match operator {
        "" | "Equal" => t.at("operator").str() == "Equal" && t.at("value").str() == wide.at("value").str(),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
