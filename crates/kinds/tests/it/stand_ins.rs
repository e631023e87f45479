//! What admission and allocation add to an object between its defaults and its validation, as far as
//! recorded cases need it to be compared.

use kinds::Row;
use kinds::core::service_ips;
use meta::field::ErrorList;
use value::{Value, json};

/// Changes a decoded and defaulted object as the server would; `old` is the one that stands.
///
/// # Errors
/// What allocation finds wrong, which the server answers before it validates.
pub(crate) fn admit(
    row: &Row,
    subresource: &str,
    new: &mut Value,
    old: Option<&Value>,
    response: &Value,
) -> Result<(), ErrorList> {
    if !row.group.is_empty() || !subresource.is_empty() {
        return Ok(());
    }
    match row.plural.as_str() {
        "pods" if old.is_none() => pod(new),
        "nodes" if old.is_none() => node(new),
        "services" => return service(new, old, response),
        _ => {}
    }
    Ok(())
}

fn parse(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("valid JSON")
}

/// ServiceAccount, DefaultTolerationSeconds, Priority.
fn pod(pod: &mut Value) {
    let Some(spec) = pod.object_at("spec") else { return };
    if spec.at("serviceAccountName").str().is_empty() {
        spec.set("serviceAccountName", "default");
        spec.set("serviceAccount", "default");
    }
    let mut tolerations = spec.at("tolerations").items().to_vec();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = |t: &Value| {
            matches!(t.at("effect").str(), "" | "NoExecute")
                && matches!(t.at("key").str(), k if k == key || k.is_empty())
        };
        if !tolerations.iter().any(tolerated) {
            tolerations.push(parse(&format!(
                r#"{{"key":"{key}","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}"#
            )));
        }
    }
    spec.set("tolerations", tolerations);
    let (class, priority) = match spec.at("priorityClassName").str() {
        "system-node-critical" => (true, 2_000_001_000),
        "system-cluster-critical" => (true, 2_000_000_000),
        class => (!class.is_empty(), 0),
    };
    if !class || priority != 0 {
        spec.set("priority", priority);
        if spec.at("preemptionPolicy").is_null() {
            spec.set("preemptionPolicy", "PreemptLowerPriority");
        }
    }
}

/// TaintNodesByCondition.
fn node(node: &mut Value) {
    let Some(spec) = node.object_at("spec") else { return };
    let mut taints = spec.at("taints").items().to_vec();
    let taint = parse(r#"{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}"#);
    if !taints.contains(&taint) {
        taints.push(taint);
    }
    spec.set("taints", taints);
}

/// Addresses and ports as they were allocated then.
fn service(new: &mut Value, old: Option<&Value>, response: &Value) -> Result<(), ErrorList> {
    if let Some(old) = old {
        service_ips::patch_allocated(new, old);
    }
    service_ips::normalize(new, old);
    service_ips::init_families(new, old, &["IPv4"])?;
    let given = response.at("body").at("spec");
    if response.at("body").at("kind").str() != "Service" {
        return Ok(());
    }
    let Some(spec) = new.object_at("spec") else { return Ok(()) };
    for name in ["clusterIP", "clusterIPs", "healthCheckNodePort"] {
        let own = spec.at(name);
        let unset = own.str().is_empty() && own.items().is_empty() && own.int() == 0;
        if let Some(v) = given.get(name).filter(|_| unset) {
            spec.set(name, v.clone());
        }
    }
    let ports = given.at("ports").items();
    if let Some(own) = spec.get_mut("ports").and_then(Value::as_array_mut) {
        for (own, given) in own.iter_mut().zip(ports) {
            if own.at("nodePort").int() == 0 && given.at("nodePort").int() != 0 {
                own.set("nodePort", given.at("nodePort").clone());
            }
        }
    }
    Ok(())
}
