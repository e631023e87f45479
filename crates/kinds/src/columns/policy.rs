//! Events, quotas, bindings, certificates, flow control, claims of devices.

use super::format::{age, name, none, since};
use meta::time::{Duration, Time, human_duration};
use value::Value;

pub(super) fn event(o: &Value, now: Time) -> Vec<Value> {
    let at = |field: &str| o.at(field);
    let is_zero = |v: &Value| v.str().is_empty();
    let first = if is_zero(at("firstTimestamp")) {
        since(at("eventTime"), now)
    } else {
        since(at("firstTimestamp"), now)
    };
    let mut last = if is_zero(at("lastTimestamp")) { first.clone() } else { since(at("lastTimestamp"), now) };
    let mut count = at("count").int();
    let series = at("series");
    if !series.is_null() {
        last = since(series.at("lastObservedTime"), now);
        count = series.at("count").int();
    } else if count == 0 {
        count = 1;
    }
    let about = at("involvedObject");
    let kind = about.at("kind").str().to_lowercase();
    let target = match about.at("name").str() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let or = |a: &Value, b: &Value| if a.str().is_empty() { b.str().to_owned() } else { a.str().to_owned() };
    let source = at("source");
    let component = or(source.at("component"), at("reportingComponent"));
    let host = or(source.at("host"), at("reportingInstance"));
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    vec![
        last.into(),
        at("type").str().into(),
        at("reason").str().into(),
        target.into(),
        about.at("fieldPath").str().into(),
        source.into(),
        at("message").str().trim().into(),
        first.into(),
        count.into(),
        name(o),
    ]
}

pub(super) fn resource_quota(o: &Value, now: Time) -> Vec<Value> {
    let used = o.at("status").at("used");
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in o.at("status").at("hard").entries() {
        let amount = match used.at(resource) {
            Value::Null => "0",
            v => v.str(),
        };
        let text = format!("{resource}: {amount}/{}", hard.str());
        if resource.starts_with("limits.") { limits.push(text) } else { requests.push(text) }
    }
    vec![name(o), requests.join(", ").into(), limits.join(", ").into(), age(o, now)]
}

pub(super) fn role_binding(o: &Value, now: Time) -> Vec<Value> {
    let role = o.at("roleRef");
    let subjects = |kind: &str| {
        let of_kind = o.at("subjects").items().iter().filter(|s| s.at("kind").str() == kind);
        let names = of_kind.map(|s| {
            let (namespace, name) = (s.at("namespace").str(), s.at("name").str());
            if kind == "ServiceAccount" { format!("{namespace}/{name}") } else { name.to_owned() }
        });
        Value::from(names.collect::<Vec<_>>().join(", "))
    };
    vec![
        name(o),
        format!("{}/{}", role.at("kind").str(), role.at("name").str()).into(),
        age(o, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) fn signing_request(o: &Value, now: Time) -> Vec<Value> {
    let (spec, status) = (o.at("spec"), o.at("status"));
    let has = |ty: &str| status.at("conditions").items().iter().any(|c| c.at("type").str() == ty);
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !status.at("certificate").str().is_empty() {
        state.push_str(",Issued");
    }
    let duration = match spec.at("expirationSeconds").as_i64() {
        Some(seconds) => human_duration(Duration::from_seconds(seconds)),
        None => "<none>".into(),
    };
    vec![
        name(o),
        age(o, now),
        none(spec.at("signerName").str()),
        spec.at("username").str().into(),
        duration.into(),
        state.into(),
    ]
}

pub(super) fn flow_schema(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    let conditions = o.at("status").at("conditions").items();
    let dangling = conditions.iter().find(|c| c.at("type").str() == "Dangling");
    vec![
        name(o),
        spec.at("priorityLevelConfiguration").at("name").str().into(),
        spec.at("matchingPrecedence").int().into(),
        none(spec.at("distinguisherMethod").at("type").str()),
        age(o, now),
        dangling.map_or("?", |c| c.at("status").str()).into(),
    ]
}

pub(super) fn priority_level(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    let limited = spec.at("limited");
    let queuing = limited.at("limitResponse").at("queuing");
    let number = |of: &Value, field: &str| match (of.is_null(), of.at(field)) {
        (true, _) => "<none>".into(),
        (false, n) => Value::from(n.int()),
    };
    vec![
        name(o),
        spec.at("type").str().into(),
        number(limited, "nominalConcurrencyShares"),
        number(queuing, "queues"),
        number(queuing, "handSize"),
        number(queuing, "queueLengthLimit"),
        age(o, now),
    ]
}

pub(super) fn resource_claim(o: &Value, now: Time) -> Vec<Value> {
    let deleted = !o.at("metadata").at("deletionTimestamp").is_null();
    let status = o.at("status");
    let allocated = !status.at("allocation").is_null();
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    if allocated {
        states.push("allocated");
        if !status.at("reservedFor").items().is_empty() {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    vec![name(o), states.join(",").into(), age(o, now)]
}

pub(super) fn component_status(o: &Value) -> Vec<Value> {
    let healthy = o.at("conditions").items().iter().find(|c| c.at("type").str() == "Healthy");
    let (status, message, error) = match healthy {
        Some(c) if c.at("status").str() == "True" => ("Healthy", c.at("message").str(), c.at("error").str()),
        Some(c) => ("Unhealthy", c.at("message").str(), c.at("error").str()),
        None => ("Unknown", "", ""),
    };
    vec![name(o), status.into(), message.into(), error.into()]
}

pub(super) fn api_service(o: &Value, now: Time) -> Vec<Value> {
    let service = o.at("spec").at("service");
    let reference = if service.is_null() {
        "Local".to_owned()
    } else {
        format!("{}/{}", service.at("namespace").str(), service.at("name").str())
    };
    let conditions = o.at("status").at("conditions").items();
    let available = match conditions.iter().find(|c| c.at("type").str() == "Available") {
        Some(c) if c.at("status").str() == "True" => "True".to_owned(),
        Some(c) => format!("{} ({})", c.at("status").str(), c.at("reason").str()),
        None => "Unknown".to_owned(),
    };
    vec![name(o), reference.into(), available.into(), age(o, now)]
}
