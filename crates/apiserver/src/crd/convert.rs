//! Conversion between the versions of a custom kind.
//!
//! Upstream: `pkg/apiserver/conversion`. Objects are converted where they are needed, in the middle of code
//! that does not wait; a webhook is therefore asked from a thread that may block.

use crate::api::Api;
use crate::webhook::Endpoint;
use bytes::Bytes;
use meta::field::Path;
use meta::quote::quote;
use std::sync::{Arc, Weak};
use std::time::Duration;
use value::{Str, Value, json};

/// How long a webhook may take, as upstream.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `spec.conversion`
#[derive(Debug)]
pub(crate) enum Converter {
    /// Only `apiVersion` changes.
    None,
    /// A webhook converts.
    Webhook(Box<Webhook>),
}

/// A webhook that converts.
#[derive(Debug)]
pub(crate) struct Webhook {
    api: WeakApi,
    endpoint: Result<Endpoint, String>,
    /// The first version of ConversionReview that is understood.
    review: Option<Str>,
}

struct WeakApi(Weak<Api>);

impl std::fmt::Debug for WeakApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WeakApi")
    }
}

impl Converter {
    /// Reads a definition's conversion.
    pub(crate) fn new(api: &Arc<Api>, conversion: &Value) -> Self {
        if conversion.at("strategy").str() != "Webhook" {
            return Self::None;
        }
        let webhook = conversion.at("webhook");
        let mut versions = webhook.at("conversionReviewVersions").items().iter().map(Value::str);
        Self::Webhook(Box::new(Webhook {
            api: WeakApi(Arc::downgrade(api)),
            endpoint: Endpoint::new(webhook.at("clientConfig")),
            review: versions.find(|v| matches!(*v, "v1" | "v1beta1")).map(Str::from),
        }))
    }

    pub(crate) const fn is_webhook(&self) -> bool {
        matches!(self, Self::Webhook(_))
    }

    /// Converts an object to `api_version`.
    pub(crate) fn convert(&self, object: &mut Value, api_version: &str) -> Result<(), String> {
        match self {
            Self::None => {
                object.set("apiVersion", api_version);
                Ok(())
            }
            // An empty object has nothing to convert.
            Self::Webhook(_) if object.entries().count() <= 2 => {
                object.set("apiVersion", api_version);
                Ok(())
            }
            Self::Webhook(webhook) => {
                let shown = shown_kind(object);
                let converted = webhook.ask(object, api_version, &shown)?;
                *object = restored(object, converted, api_version, &shown)?;
                Ok(())
            }
        }
    }
}

/// `group/version, Kind=Kind`
fn shown_kind(object: &Value) -> String {
    format!("{}, Kind={}", object.at("apiVersion").str(), object.at("kind").str())
}

impl Webhook {
    fn ask(&self, object: &Value, api_version: &str, shown: &str) -> Result<Value, String> {
        let failed = |why: String| format!("conversion webhook for {shown} failed: {why}");
        let api = self.api.0.upgrade().ok_or("the server is stopping")?;
        let review = self.review.as_deref().ok_or("no supported conversion review versions")?;
        let uid = api.new_uid();
        let mut request = Value::object();
        request.set("uid", uid.clone());
        request.set("desiredAPIVersion", api_version);
        request.set("objects", vec![object.clone()]);
        let mut body = Value::object();
        body.set("kind", "ConversionReview");
        body.set("apiVersion", format!("apiextensions.k8s.io/{review}"));
        body.set("request", request);
        let answer = self.post(&api, json::to_vec(&body).into()).map_err(failed)?;
        converted(&answer, review, &uid, shown)
    }

    fn post(&self, api: &Api, body: Bytes) -> Result<Bytes, String> {
        let endpoint = self.endpoint.as_ref().map_err(Clone::clone)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| e.to_string())?;
        if runtime.runtime_flavor() != tokio::runtime::RuntimeFlavor::MultiThread {
            return Err("webhooks need a runtime of several threads".into());
        }
        let asked = tokio::task::block_in_place(|| runtime.block_on(endpoint.ask(api, body, TIMEOUT, None)));
        asked.map_err(|failure| failure.why)
    }
}

/// The one object in a webhook's answer.
pub(super) fn converted(answer: &[u8], review: &str, uid: &str, shown: &str) -> Result<Value, String> {
    let failed = |why: String| format!("conversion webhook for {shown} failed: {why}");
    let answer = json::parse(answer).map_err(|e| failed(e.to_string()))?;
    let response = answer.at("response");
    if review == "v1" {
        let found = shown_kind(&answer);
        let wanted = "apiextensions.k8s.io/v1, Kind=ConversionReview";
        if found != wanted {
            return Err(failed(format!("expected webhook response of {wanted}, got {found}")));
        }
    }
    if response.is_null() {
        return Err(failed("no response provided".into()));
    }
    let given = response.at("uid").str();
    if review == "v1" && given != uid {
        return Err(failed(format!("expected response.uid={}, got {}", quote(uid), quote(given))));
    }
    let result = response.at("result");
    let status = result.at("status").str();
    if status != "Success" {
        let message = result.at("message").str();
        return Err(failed(if message.is_empty() {
            format!("response.result.status was '{status}', not 'Success'")
        } else {
            message.to_owned()
        }));
    }
    match response.at("convertedObjects").items() {
        [one] => Ok(one.clone()),
        many => Err(format!("conversion webhook for {shown} returned {} objects, expected 1", many.len())),
    }
}

/// A converted object with the metadata of the original: a webhook may change labels and annotations only.
pub(super) fn restored(
    original: &Value,
    mut converted: Value,
    wanted: &str,
    shown: &str,
) -> Result<Value, String> {
    let at_zero =
        |why: String| format!("conversion webhook for {shown} returned invalid object at index 0: {why}");
    let (version, kind) = (converted.at("apiVersion").str(), converted.at("kind").str());
    if version != wanted {
        return Err(at_zero(format!("invalid groupVersion (expected {wanted}, received {version})")));
    }
    if kind != original.at("kind").str() {
        let expected = original.at("kind").str();
        return Err(at_zero(format!("invalid kind (expected {expected}, received {kind})")));
    }
    let (before, after) = (original.at("metadata"), converted.at("metadata"));
    for (field, name) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let (before, after) = (before.at(field).str(), after.at(field).str());
        if before != after {
            return Err(format!(
                "conversion webhook for {shown} returned invalid object: must have the same {name}: {before} != {after}"
            ));
        }
    }
    let wrong = |why: String| format!("conversion webhook for {shown} returned invalid metadata: {why}");
    if converted.get("metadata").is_none() {
        return Err(wrong("missing metadata in converted object".into()));
    }
    if after.as_object().is_none() {
        let ty = crd::metadata::go_type(after);
        return Err(wrong(format!("invalid metadata of type {ty} in converted object")));
    }
    let mut metadata = if before.is_null() { Value::object() } else { before.clone() };
    for field in ["labels", "annotations"] {
        let given = after.at(field);
        if given.is_null() {
            metadata.remove(field);
            continue;
        }
        if given.as_object().is_none() {
            let ty = crd::metadata::go_type(given);
            return Err(wrong(format!("invalid metadata.{field} of type {ty} in converted object")));
        }
        if let Some((k, v)) = given.entries().find(|(_, v)| v.as_str().is_none()) {
            let ty = crd::metadata::go_type(v);
            return Err(wrong(format!(
                "metadata.{field}[{k}] must be a string, but is {ty} in converted object"
            )));
        }
        if given != before.at(field) {
            let path = Path::new("metadata");
            let errors = if field == "labels" {
                meta::labels::validate_labels(given, &path.child("labels"))
            } else {
                meta::object_meta::validate_annotations(given, &path.child("annotation"))
            };
            if let Some(text) = meta::field::to_aggregate(&errors) {
                return Err(wrong(text));
            }
        }
        metadata.set(field, given.clone());
    }
    converted.set("metadata", metadata);
    Ok(converted)
}
