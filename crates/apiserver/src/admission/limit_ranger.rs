//! What a namespace's LimitRanges give to containers that ask for nothing, and what they forbid.
//!
//! Upstream: `plugin/pkg/admission/limitranger`.

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::quantity::Quantity;
use meta::status::Status;
use quota::amounts::{Amounts, PodLevel, amounts, of_pod, quantity};
use value::{Str, Value};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// The largest amount whose thousandths fit into an `int64`.
const MILLI_VALUE_MAX: i64 = i64::MAX / 1000;

pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    fn handles(&self, a: &Attributes) -> bool {
        if !a.resource.group.is_empty() {
            return false;
        }
        matches!(
            (a.resource.resource.as_str(), a.subresource.as_str(), a.operation),
            ("pods", "", Operation::Create)
                | ("pods", "resize", Operation::Update)
                | ("persistentvolumeclaims", "", Operation::Create | Operation::Update)
        )
    }

    fn admit(
        &self,
        call: &Call,
        a: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if a.resource.resource == "pods" {
            for range in ranges(call, a, old) {
                set_defaults(object, &range);
            }
        }
        Ok(())
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        for range in ranges(call, a, old) {
            let mut errors = Vec::new();
            for limit in range.at("spec").at("limits").items() {
                match a.resource.resource.as_str() {
                    "pods" => check_pod(limit, object.at("spec"), &mut errors),
                    _ => check_claim(limit, object.at("spec"), &mut errors),
                }
            }
            if let Some(all) = meta::field::aggregate(errors) {
                return Err(a.forbidden(all));
            }
        }
        Ok(())
    }
}

fn ranges(call: &Call, a: &Attributes, old: Option<&Value>) -> Vec<Value> {
    if old.is_some_and(|old| !old.at("metadata").at("deletionTimestamp").is_null()) {
        return Vec::new();
    }
    let Some(hub) = call.api.hub("", "limitranges").filter(|hub| !hub.cache.is_empty()) else {
        return Vec::new();
    };
    objects::list(&hub, &a.namespace)
}

fn set_defaults(pod: &mut Value, range: &Value) {
    let (mut requests, mut limits) = (value::Map::new(), value::Map::new());
    for limit in range.at("spec").at("limits").items().iter().filter(|l| l.at("type").str() == "Container") {
        for (from, to) in [("defaultRequest", &mut requests), ("default", &mut limits)] {
            for (name, amount) in limit.at(from).entries() {
                to.insert(name.clone(), amount.clone());
            }
        }
    }
    let mut told = Vec::new();
    for (list, kind) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.get_mut("spec").and_then(|s| s.get_mut(list)).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container.at("name").str().to_owned();
            for (field, defaults, what) in [("requests", &requests, "request"), ("limits", &limits, "limit")]
            {
                let set = fill(container, field, defaults);
                if !set.is_empty() {
                    told.push(format!("{} {what} for {kind} {name}", set.join(", ")));
                }
            }
        }
    }
    if !told.is_empty()
        && let Some(annotations) = pod.object_at("metadata").and_then(|m| m.object_at("annotations"))
    {
        annotations.set(ANNOTATION, format!("LimitRanger plugin set: {}", told.join("; ")));
    }
}

/// Adds what is not there; answers with the names, sorted.
fn fill(container: &mut Value, field: &str, defaults: &value::Map) -> Vec<Str> {
    let mut set = Vec::new();
    for (name, amount) in defaults.iter() {
        if container.at("resources").at(field).get(name).is_some() {
            continue;
        }
        if let Some(list) = container.object_at("resources").and_then(|r| r.object_at(field)) {
            list.set(name, amount.clone());
            set.push(name.clone());
        }
    }
    set
}

fn check_pod(limit: &Value, spec: &Value, errors: &mut Vec<String>) {
    match limit.at("type").str() {
        "Container" => {
            for list in ["containers", "initContainers"] {
                for container in spec.at(list).items() {
                    let own = |field: &str| amounts(container.at("resources").at(field));
                    check(limit, "Container", &own("requests"), &own("limits"), errors);
                }
            }
        }
        "Pod" => {
            let sum = |list: &str| of_pod(spec, list, PodLevel::Compute);
            check(limit, "Pod", &sum("requests"), &sum("limits"), errors);
        }
        _ => {}
    }
}

fn check(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts, errors: &mut Vec<String>) {
    for (name, bound) in limit.at("min").entries() {
        errors.extend(below_min(kind, name, &quantity(bound), requests.get(name), limits.get(name)));
    }
    for (name, bound) in limit.at("max").entries() {
        errors.extend(above_max(kind, name, &quantity(bound), requests.get(name), limits.get(name)));
    }
    for (name, bound) in limit.at("maxLimitRequestRatio").entries() {
        errors.extend(ratio(kind, name, &quantity(bound), requests.get(name), limits.get(name)));
    }
}

fn check_claim(limit: &Value, spec: &Value, errors: &mut Vec<String>) {
    const KIND: &str = "PersistentVolumeClaim";
    if limit.at("type").str() != KIND {
        return;
    }
    let requests = amounts(spec.at("resources").at("requests"));
    for (name, bound) in limit.at("min").entries() {
        errors.extend(below_min(KIND, name, &quantity(bound), requests.get(name), None));
    }
    for (name, bound) in limit.at("max").entries() {
        let bound = quantity(bound);
        let head = format!("maximum {name} usage per {KIND} is {bound}");
        match requests.get(name) {
            None => errors.push(format!("{head}.  No request is specified")),
            Some(request) if exceeds(request, &bound) => {
                errors.push(format!("{head}, but request is {request}"));
            }
            Some(_) => {}
        }
    }
}

/// The three at one precision: thousandths if all can be told in them.
fn common(request: Option<&Quantity>, limit: Option<&Quantity>, bound: &Quantity) -> (i64, i64, i64) {
    let whole = |q: Option<&Quantity>| q.map_or(0, Quantity::value);
    let all = (whole(request), whole(limit), bound.value());
    if all.0 <= MILLI_VALUE_MAX && all.1 <= MILLI_VALUE_MAX && all.2 <= MILLI_VALUE_MAX {
        let milli = |q: Option<&Quantity>| q.map_or(0, Quantity::milli_value);
        return (milli(request), milli(limit), bound.milli_value());
    }
    all
}

fn exceeds(amount: &Quantity, bound: &Quantity) -> bool {
    let (amount, _, bound) = common(Some(amount), None, bound);
    amount > bound
}

fn below_min(
    kind: &str,
    name: &str,
    bound: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("minimum {name} usage per {kind} is {bound}");
    let (asked, most, least) = common(request, limit, bound);
    let Some(request) = request else { return Some(format!("{head}.  No request is specified")) };
    if asked < least {
        return Some(format!("{head}, but request is {request}"));
    }
    limit.filter(|_| most < least).map(|limit| format!("{head}, but limit is {limit}"))
}

fn above_max(
    kind: &str,
    name: &str,
    bound: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("maximum {name} usage per {kind} is {bound}");
    let (asked, most, max) = common(request, limit, bound);
    let Some(limit) = limit else { return Some(format!("{head}.  No limit is specified")) };
    if most > max {
        return Some(format!("{head}, but limit is {limit}"));
    }
    request.filter(|_| asked > max).map(|request| format!("{head}, but request is {request}"))
}

fn ratio(
    kind: &str,
    name: &str,
    bound: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let head = format!("{name} max limit to request ratio per {kind} is {bound}, but");
    let (asked, most, _) = common(request, limit, bound);
    if request.is_none() || asked == 0 {
        return Some(format!("{head} no request is specified or request is 0"));
    }
    if limit.is_none() || most == 0 {
        return Some(format!("{head} no limit is specified or limit is 0"));
    }
    let shown = most as f64 / asked as f64;
    let (observed, max) = if bound.value() <= MILLI_VALUE_MAX {
        (shown * 1000.0, bound.milli_value() as f64)
    } else {
        (shown, bound.value() as f64)
    };
    (observed > max).then(|| format!("{head} provided ratio is {shown:.6}"))
}

#[cfg(test)]
mod tests;
