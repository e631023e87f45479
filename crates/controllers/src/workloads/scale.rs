//! The size of objects of any kind: their `scale` subresource, found by discovery.

use client::{Client, Error};
use http::Method;
use serde_json::Value;

/// A resource that an API version has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The path of the API version: `/apis/apps/v1`.
    pub(crate) base: String,
    /// Its name and group, as in texts: `deployments.apps`.
    pub(crate) group_resource: String,
    /// Its name: `deployments`.
    pub(crate) name: String,
    /// Whether it has a size.
    pub(crate) is_scalable: bool,
}

/// The resource of a kind; nothing if the API version has none.
pub(crate) async fn resource(client: &Client, version: &str, kind: &str) -> Result<Option<Resource>, Error> {
    let base = match version.split_once('/') {
        Some(_) => format!("/apis/{version}"),
        None => format!("/api/{version}"),
    };
    let Some(found) = read(client, &base).await? else { return Ok(None) };
    let all = found["resources"].as_array().cloned().unwrap_or_default();
    let of_kind = |one: &&Value| one["kind"] == kind && !one["name"].as_str().unwrap_or("/").contains('/');
    let Some(name) = all.iter().find(of_kind).and_then(|one| one["name"].as_str()) else { return Ok(None) };
    let group = version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    Ok(Some(Resource {
        base,
        group_resource: format!("{name}{group}"),
        name: name.to_owned(),
        is_scalable: all.iter().any(|one| one["name"] == format!("{name}/scale")),
    }))
}

impl Resource {
    /// The path of an object's size.
    pub(crate) fn scale_path(&self, namespace: &str, object: &str) -> String {
        format!("{}/namespaces/{namespace}/{}/{object}/scale", self.base, self.name)
    }
}

/// Reads what is at a path; nothing if nothing is.
pub(crate) async fn read(client: &Client, path: &str) -> Result<Option<Value>, Error> {
    match client.raw(Method::GET, path, None).await {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Decode(error.to_string()))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The pods wanted, as a scale says.
pub(crate) fn replicas(scale: &Value) -> i32 {
    number(&scale["spec"]["replicas"])
}

/// A number of pods; absent is 0.
pub(crate) fn number(value: &Value) -> i32 {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default()
}
