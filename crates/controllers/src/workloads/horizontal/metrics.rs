//! Reads what is measured, from the APIs that a metrics server and adapters serve.

use super::calculate::{Sample, Samples};
use crate::workloads::scale;
use api::autoscaling::v2::{CrossVersionObjectReference, MetricIdentifier};
use api::{Quantity, Selector, milli_amount};
use client::{Client, Error};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::fmt::Write as _;

const RESOURCE: &str = "resource metrics API";
const CUSTOM: &str = "custom metrics API";
const EXTERNAL: &str = "external metrics API";

const CUSTOM_PREFIX: &str = "/apis/custom.metrics.k8s.io/";

/// The window of metrics that name none (`metricServerDefaultMetricWindow`).
const WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// Versions of the custom metrics API, the newest first.
const CUSTOM_VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// Where to ask.
pub(super) struct Metrics<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
}

impl Metrics<'_> {
    /// The use of a resource, by pod: of one container, if it is named.
    pub(super) async fn of_resource(
        &self,
        resource: &str,
        container: Option<&str>,
        pods: &str,
    ) -> Result<Samples, String> {
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={}",
            self.namespace,
            escape(pods)
        );
        let items = items(self.read(&path, RESOURCE).await?, RESOURCE)?;
        Ok(items.iter().filter_map(|item| of_containers(item, resource, container)).collect())
    }

    /// A metric of each pod.
    pub(super) async fn of_pods(&self, metric: &MetricIdentifier, pods: &str) -> Result<Samples, String> {
        let path = format!("namespaces/{}/pods/*/{}", self.namespace, metric.name);
        let query = format!("labelSelector={}&{}", escape(pods), selector(metric, "metricLabelSelector"));
        let items = items(self.custom(&path, &query).await?, CUSTOM)?;
        Ok(items.iter().filter_map(of_item).collect())
    }

    /// A metric of an object.
    pub(super) async fn of_object(
        &self,
        object: &CrossVersionObjectReference,
        metric: &MetricIdentifier,
    ) -> Result<i64, String> {
        let version = object.api_version.as_deref().unwrap_or("v1");
        let path = if object.kind == "Namespace" && version == "v1" {
            format!("namespaces/{}/metrics/{}", self.namespace, metric.name)
        } else {
            let resource = scale::resource(self.client, version, &object.kind).await.map_err(told)?;
            let resource = resource.ok_or_else(|| format!("no matches for kind {:?}", object.kind))?;
            let (name, kind) = (&object.name, &resource.group_resource);
            format!("namespaces/{}/{kind}/{name}/{}", self.namespace, metric.name)
        };
        let found = items(self.custom(&path, &selector(metric, "metricLabelSelector")).await?, CUSTOM)?;
        found.first().map(value).ok_or_else(|| format!("no metrics returned from {CUSTOM}"))
    }

    /// A metric from outside, summed up.
    pub(super) async fn external(&self, metric: &MetricIdentifier) -> Result<i64, String> {
        let query = selector(metric, "labelSelector");
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{}?{query}",
            self.namespace, metric.name
        );
        let items = items(self.read(&path, EXTERNAL).await?, EXTERNAL)?;
        Ok(items.iter().map(value).fold(0, i64::saturating_add))
    }

    async fn custom(&self, path: &str, query: &str) -> Result<Value, String> {
        let mut failure = String::new();
        for version in CUSTOM_VERSIONS {
            match self.read(&format!("{CUSTOM_PREFIX}{version}/{path}?{query}"), CUSTOM).await {
                Ok(found) => return Ok(found),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    async fn read(&self, path: &str, api: &str) -> Result<Value, String> {
        let failed = |why: &str| format!("unable to fetch metrics from {api}: {why}");
        match self.client.raw(Method::GET, path, None).await {
            Ok(found) => serde_json::from_slice(&found).map_err(|error| failed(&error.to_string())),
            Err(error) => Err(failed(&told_of(path, &error))),
        }
    }
}

/// Why nothing was read, as upstream's clients say it: what the server says, or else what was read in vain. (An adapter
/// says of a metric that it does not have; of an API that nobody serves there is no such word.)
fn told_of(path: &str, error: &Error) -> String {
    match error.unexpected() {
        Some(_) if error.is_not_found() && path.starts_with(CUSTOM_PREFIX) => {
            "no custom metrics API (custom.metrics.k8s.io) registered".to_owned()
        }
        Some(_) => format!("{error} (get {})", resource(path)),
        None => error.to_string(),
    }
}

/// What a path reads, as `pods.metrics.k8s.io`.
fn resource(path: &str) -> String {
    let mut parts = path.split(['/', '?']).skip(2);
    let (group, resource) = (parts.next().unwrap_or_default(), parts.nth(3).unwrap_or_default());
    format!("{resource}.{group}")
}

fn items(list: Value, api: &str) -> Result<Vec<Value>, String> {
    match list {
        Value::Object(mut list) => match list.remove("items") {
            Some(Value::Array(items)) if !items.is_empty() => Ok(items),
            _ => Err(format!("no metrics returned from {api}")),
        },
        _ => Err(format!("no metrics returned from {api}")),
    }
}

/// Of `PodMetrics`: nothing if a container that counts was not measured.
fn of_containers(item: &Value, resource: &str, container: Option<&str>) -> Option<(String, Sample)> {
    let all = item["containers"].as_array().filter(|all| !all.is_empty())?;
    let usage = |container: &Value| container["usage"][resource].as_str().map(amount);
    let value = match container {
        None => all.iter().map(usage).sum::<Option<i64>>()?,
        Some(name) => all.iter().find(|container| container["name"] == name).and_then(usage)?,
    };
    let window = item["window"].as_str().and_then(|text| text.parse().ok()).unwrap_or(WINDOW);
    sample(item, item["metadata"]["name"].as_str()?, value, window)
}

/// Of `MetricValue`.
fn of_item(item: &Value) -> Option<(String, Sample)> {
    let window = item["windowSeconds"].as_i64().map_or(WINDOW, SignedDuration::from_secs);
    sample(item, item["describedObject"]["name"].as_str()?, value(item), window)
}

fn sample(item: &Value, name: &str, value: i64, window: SignedDuration) -> Option<(String, Sample)> {
    let at: Timestamp = item["timestamp"].as_str()?.parse().ok()?;
    Some((name.to_owned(), Sample { value, at, window }))
}

fn value(item: &Value) -> i64 {
    item["value"].as_str().map(amount).unwrap_or_default()
}

fn amount(text: &str) -> i64 {
    milli_amount(&Quantity(text.to_owned()))
}

fn told(error: Error) -> String {
    error.to_string()
}

fn selector(metric: &MetricIdentifier, name: &str) -> String {
    let selector = metric.selector.as_ref().and_then(|selector| Selector::try_from(selector).ok());
    selector.map(|selector| format!("{name}={}", escape(&selector.to_string()))).unwrap_or_default()
}

/// For a query (RFC 3986).
fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;
    use serde_json::json;

    #[test]
    fn pods_are_measured_by_their_containers() {
        let item = json!({ "metadata": { "name": "a" }, "timestamp": "1970-01-01T00:01:00Z", "window": "15s",
            "containers": [
                { "name": "x", "usage": { "cpu": "250m", "memory": "1Mi" } },
                { "name": "y", "usage": { "cpu": "1500000n" } },
            ] });
        let window = SignedDuration::from_secs(15);
        let sample = |value| Some(("a".to_owned(), Sample { value, at: at(60), window }));
        assert_eq!(of_containers(&item, "cpu", None), sample(252));
        assert_eq!(of_containers(&item, "cpu", Some("x")), sample(250));
        assert_eq!(of_containers(&item, "memory", None), None);
        assert_eq!(of_containers(&item, "cpu", Some("z")), None);
        assert!(items(json!({ "items": [] }), RESOURCE).is_err());
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escape("app=web,tier in (a)"), "app%3Dweb%2Ctier%20in%20%28a%29");
    }

    #[test]
    fn why_nothing_was_read() {
        let not_found = |status: Value| Error::Status(Box::new(serde_json::from_value(status).unwrap()));
        let said =
            not_found(json!({ "code": 404, "message": "the server could not find the metric b for pods" }));
        // As the client makes it of an answer that is no `Status`.
        let unsaid = not_found(
            json!({ "code": 404, "message": "the server could not find the requested resource",
            "details": { "causes": [{ "reason": "UnexpectedServerResponse", "message": "404 page not found" }] } }),
        );
        let pods = "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods?labelSelector=b";
        let queue = "/apis/external.metrics.k8s.io/v1beta1/namespaces/a/queue?";
        let custom = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/pods/*/b?";
        let not_there = "the server could not find the requested resource";
        for (path, error, told) in [
            (pods, &unsaid, format!("{not_there} (get pods.metrics.k8s.io)")),
            (queue, &unsaid, format!("{not_there} (get queue.external.metrics.k8s.io)")),
            (custom, &unsaid, "no custom metrics API (custom.metrics.k8s.io) registered".to_owned()),
            (custom, &said, "the server could not find the metric b for pods".to_owned()),
        ] {
            assert_eq!(told_of(path, error), told);
        }
    }
}
