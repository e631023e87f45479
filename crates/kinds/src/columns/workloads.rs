//! Workloads: what runs pods, scales them and protects them.

use super::format::{age, containers, labels, name, selector, since};
use meta::time::{Time, human_duration};
use value::Value;

/// Whether a selector is a label selector or a plain set.
#[derive(Clone, Copy)]
pub(super) enum Selector {
    Label,
    Set,
}

fn template(object: &Value) -> &Value {
    object.at("spec").at("template").at("spec")
}

pub(super) fn pod_template(o: &Value) -> Vec<Value> {
    let [names, images] = containers(o.at("template").at("spec"));
    vec![name(o), names, images, labels(o.at("template").at("metadata").at("labels"))]
}

pub(super) fn replica_set(o: &Value, now: Time, form: Selector) -> Vec<Value> {
    let status = o.at("status");
    let [names, images] = containers(template(o));
    let wanted = o.at("spec").at("selector");
    vec![
        name(o),
        o.at("spec").at("replicas").int().into(),
        status.at("replicas").int().into(),
        status.at("readyReplicas").int().into(),
        age(o, now),
        names,
        images,
        match form {
            Selector::Label => selector(wanted),
            Selector::Set => labels(wanted),
        },
    ]
}

pub(super) fn daemon_set(o: &Value, now: Time) -> Vec<Value> {
    let status = |field: &str| Value::from(o.at("status").at(field).int());
    let [names, images] = containers(template(o));
    vec![
        name(o),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        labels(template(o).at("nodeSelector")),
        age(o, now),
        names,
        images,
        selector(o.at("spec").at("selector")),
    ]
}

pub(super) fn deployment(o: &Value, now: Time) -> Vec<Value> {
    let status = |field: &str| o.at("status").at(field).int();
    let [names, images] = containers(template(o));
    vec![
        name(o),
        format!("{}/{}", status("readyReplicas"), o.at("spec").at("replicas").int()).into(),
        status("updatedReplicas").into(),
        status("availableReplicas").into(),
        age(o, now),
        names,
        images,
        match meta::labels::Selector::from_label_selector(o.at("spec").at("selector")) {
            Ok(selector) => selector.to_string().into(),
            Err(_) => "<invalid>".into(),
        },
    ]
}

pub(super) fn stateful_set(o: &Value, now: Time) -> Vec<Value> {
    let ready = o.at("status").at("readyReplicas").int();
    let [names, images] = containers(template(o));
    vec![name(o), format!("{ready}/{}", o.at("spec").at("replicas").int()).into(), age(o, now), names, images]
}

pub(super) fn controller_revision(o: &Value, now: Time) -> Vec<Value> {
    let owners = o.at("metadata").at("ownerReferences").items();
    let controller = match owners.iter().find(|r| r.at("controller").bool()) {
        Some(owner) => {
            let kind = owner.at("kind").str().to_lowercase();
            let group = owner.at("apiVersion").str().split_once('/').map_or("", |(group, _)| group);
            let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
            format!("{kind}/{}", owner.at("name").str())
        }
        None => "<none>".into(),
    };
    vec![name(o), controller.into(), o.at("revision").int().into(), age(o, now)]
}

pub(super) fn job(o: &Value, now: Time) -> Vec<Value> {
    let (spec, status) = (o.at("spec"), o.at("status"));
    let succeeded = status.at("succeeded").int();
    let completions = match (spec.at("completions").as_i64(), spec.at("parallelism").int()) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration =
        match (Time::parse(status.at("startTime").str()), Time::parse(status.at("completionTime").str())) {
            (Ok(start), Ok(end)) => human_duration(end.since(start)),
            (Ok(start), Err(_)) => human_duration(now.since(start)),
            (Err(_), _) => String::new(),
        };
    let has = |ty: &str| {
        let conditions = status.at("conditions").items();
        conditions.iter().any(|c| c.at("type").str() == ty && c.at("status").str() == "True")
    };
    let state = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !o.at("metadata").at("deletionTimestamp").is_null() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let [names, images] = containers(template(o));
    vec![
        name(o),
        state.into(),
        completions.into(),
        duration.into(),
        age(o, now),
        names,
        images,
        selector(spec.at("selector")),
    ]
}

pub(super) fn cron_job(o: &Value, now: Time) -> Vec<Value> {
    let (spec, status) = (o.at("spec"), o.at("status"));
    let last = status.at("lastScheduleTime");
    let suspend = match spec.at("suspend").as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let job = spec.at("jobTemplate").at("spec");
    let [names, images] = containers(job.at("template").at("spec"));
    vec![
        name(o),
        spec.at("schedule").str().into(),
        spec.at("timeZone").as_str().unwrap_or("<none>").into(),
        suspend.into(),
        super::format::number(status.at("active").items().len()),
        if last.is_null() { "<none>".into() } else { since(last, now).into() },
        age(o, now),
        names,
        images,
        selector(job.at("selector")),
    ]
}

pub(super) fn disruption_budget(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    let bound = |field: &str| match spec.at(field) {
        Value::Null => "N/A".into(),
        Value::Number(n) => n.to_string().into(),
        other => Value::from(other.str()),
    };
    let allowed = o.at("status").at("disruptionsAllowed").int();
    vec![name(o), bound("minAvailable"), bound("maxUnavailable"), allowed.into(), age(o, now)]
}

pub(super) fn autoscaler(o: &Value, now: Time) -> Vec<Value> {
    let (spec, status) = (o.at("spec"), o.at("status"));
    let target = spec.at("scaleTargetRef");
    let min = spec.at("minReplicas").as_i64().map_or_else(|| "<unset>".into(), |n| n.to_string());
    vec![
        name(o),
        format!("{}/{}", target.at("kind").str(), target.at("name").str()).into(),
        metrics(spec.at("metrics").items(), status.at("currentMetrics").items()).into(),
        min.into(),
        spec.at("maxReplicas").int().into(),
        status.at("currentReplicas").int().into(),
        age(o, now),
    ]
}

fn metrics(specs: &[Value], statuses: &[Value]) -> String {
    const SHOWN: usize = 2;
    if specs.is_empty() {
        return "<none>".into();
    }
    let shown: Vec<String> = specs
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(i, spec)| metric(spec, statuses.get(i).unwrap_or(&Value::Null)))
        .collect();
    let list = shown.join(", ");
    if specs.len() > SHOWN { format!("{list} + {} more...", specs.len() - SHOWN) } else { list }
}

fn metric(spec: &Value, status: &Value) -> String {
    let field = match spec.at("type").str() {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".into(),
    };
    let (source, current) = (spec.at(field), status.at(field).at("current"));
    let target = source.at("target");
    let quantity = |v: &Value| if v.is_null() { "<unknown>".to_owned() } else { v.str().to_owned() };
    let percent = |v: &Value, otherwise: &str| match v.as_i64() {
        Some(n) => format!("{n}%"),
        None => otherwise.to_owned(),
    };
    match field {
        "external" | "object" if !target.at("averageValue").is_null() => {
            format!("{}/{} (avg)", quantity(current.at("averageValue")), target.at("averageValue").str())
        }
        "external" | "object" => format!("{}/{}", quantity(current.at("value")), target.at("value").str()),
        "pods" => format!("{}/{}", quantity(current.at("averageValue")), target.at("averageValue").str()),
        _ => {
            let resource = source.at("name").str();
            if !target.at("averageValue").is_null() {
                let now = quantity(current.at("averageValue"));
                return format!("{resource}: {now}/{}", target.at("averageValue").str());
            }
            let now = percent(current.at("averageUtilization"), "<unknown>");
            format!("{resource}: {now}/{}", percent(target.at("averageUtilization"), "<auto>"))
        }
    }
}
