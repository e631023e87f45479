//! What follows the objects: takes changes over, lends seats every ten seconds, and says of each FlowSchema
//! whether its level is there.

use super::{FlowControl, GROUP};
use crate::api::Api;
use crate::bootstrap::loopback;
use crate::cache::Query;
use bytes::Bytes;
use http::{Method, Request, header};
use std::sync::Arc;
use std::time::Duration;
use value::{Value, json};

/// How often seats are shared out anew, as upstream.
const BORROWING_PERIOD: Duration = Duration::from_secs(10);
/// How long changes gather before they are taken over. Clients that make a schema look for its condition at once.
const GATHER: Duration = Duration::from_millis(2);
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Takes the objects over and follows them until the server stops.
pub(crate) async fn follow(api: Arc<Api>, flow: Arc<FlowControl>) {
    write_all(&api, load(&api, &flow)).await;
    let mut stopping = api.shutdown_signal();
    let mut period = tokio::time::interval(BORROWING_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = tokio::time::Instant::now();
    loop {
        tokio::select! {
            () = &mut stopping => return,
            () = flow.changed.notified() => {
                tokio::time::sleep(GATHER).await;
                write_all(&api, load(&api, &flow)).await;
            }
            now = period.tick() => {
                flow.borrow(now.duration_since(last));
                last = now;
            }
        }
    }
}

fn objects(api: &Api, resource: &str) -> Vec<Value> {
    let Some(hub) = api.hub(GROUP, resource) else { return Vec::new() };
    hub.cache.list(Query::default()).entries.iter().map(|entry| hub.tree(entry)).collect()
}

/// Takes over what is in the caches; gives back the conditions that are to be written.
fn load(api: &Api, flow: &FlowControl) -> Vec<(String, Value)> {
    let (levels, schemas) = (objects(api, "prioritylevelconfigurations"), objects(api, "flowschemas"));
    flow.digest(&levels, &schemas);
    let now = api.now().to_string();
    let name = |object: &Value| object.at("metadata").at("name").str().to_owned();
    let names: Vec<String> = levels.iter().map(name).collect();
    schemas.iter().filter_map(|schema| Some((name(schema), condition(schema, &names, &now)?))).collect()
}

/// The condition of a schema, if it does not have it already.
fn condition(schema: &Value, levels: &[String], now: &str) -> Option<Value> {
    let level = schema.at("spec").at("priorityLevelConfiguration").at("name").str();
    let exists = levels.iter().any(|name| name == level);
    let (status, reason, message) = if exists {
        let text = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists"
        );
        ("False", "Found", text)
    } else {
        let text = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level:?} but there is no such object"
        );
        ("True", "NotFound", text)
    };
    let conditions = schema.at("status").at("conditions").items();
    let same = |c: &Value| {
        c.at("type").str() == "Dangling"
            && c.at("status").str() == status
            && c.at("reason").str() == reason
            && c.at("message").str() == message
    };
    if conditions.iter().any(same) {
        return None;
    }
    let mut condition = Value::object();
    condition.set("type", "Dangling");
    condition.set("status", status);
    condition.set("lastTransitionTime", now);
    condition.set("reason", reason);
    condition.set("message", message);
    Some(condition)
}

async fn write_all(api: &Arc<Api>, conditions: Vec<(String, Value)>) {
    let writes = conditions.into_iter().map(|(name, condition)| write(api, name, condition));
    futures_util::future::join_all(writes).await;
}

async fn write(api: &Arc<Api>, name: String, condition: Value) {
    let mut metadata = Value::object();
    metadata.set("name", name.as_str());
    let mut status = Value::object();
    status.set("conditions", vec![condition]);
    let mut schema = Value::object();
    schema.set("apiVersion", format!("{GROUP}/v1"));
    schema.set("kind", "FlowSchema");
    schema.set("metadata", metadata);
    schema.set("status", status);
    let path = format!("/apis/{GROUP}/v1/flowschemas/{name}/status?fieldManager={MANAGER}&force=true");
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(Bytes::from(json::to_vec(&schema)));
    let Ok(request) = request else { return };
    let code = api.call(loopback(), request).await.status().as_u16();
    // Gone meanwhile, or changed, which brings it here again.
    if !matches!(code, 200 | 201 | 404 | 409) {
        tracing::error!(name, code, "cannot write the condition of a FlowSchema");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn conditions() {
        let schema = json::parse(br#"{"spec":{"priorityLevelConfiguration":{"name":"x"}}}"#).unwrap();
        let found = condition(&schema, &["x".into()], "now").unwrap();
        assert_eq!((found.at("status").str(), found.at("reason").str()), ("False", "Found"));
        let missing = condition(&schema, &[], "now").unwrap();
        assert_eq!((missing.at("status").str(), missing.at("reason").str()), ("True", "NotFound"));
        let mut status = Value::object();
        status.set("conditions", vec![missing]);
        let mut schema = schema;
        schema.set("status", status);
        assert!(condition(&schema, &[], "later").is_none());
        assert!(condition(&schema, &["x".into()], "later").is_some());
    }
}
