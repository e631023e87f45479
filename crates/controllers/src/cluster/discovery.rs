//! What the API server serves, for controllers that handle every kind alike: which resources there are, and
//! objects of any of them as metadata only.
//!
//! No kind is named here. Upstream: `k8s.io/client-go/discovery`, `k8s.io/client-go/metadata`.

use api::meta::v1::OwnerReference;
use bytes::Bytes;
use client::{Client, Error};
use http::Method;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// How many objects one page of a list holds, as client-go's pager.
const PAGE_OBJECTS: usize = 500;

/// A resource that is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    /// Whether this is the group's first version that has the resource: who handles every object looks at it
    /// through this one only.
    pub(crate) preferred: bool,
}

impl Resource {
    pub(crate) fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Its path: of the collection, or of an object if `name` is not empty.
    pub(crate) fn path(&self, namespace: &str, name: &str) -> String {
        let mut path =
            if self.group.is_empty() { "/api/".to_owned() } else { format!("/apis/{}/", self.group) };
        path += &self.version;
        if self.namespaced && !namespace.is_empty() {
            path += "/namespaces/";
            path += namespace;
        }
        path += "/";
        path += &self.plural;
        if !name.is_empty() {
            path += "/";
            path += name;
        }
        path
    }
}

/// What is served now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) resources: Vec<Resource>,
    /// Groups and versions whose server does not answer; what they serve is not known.
    pub(crate) stale: Vec<String>,
}

impl Catalog {
    /// The resource whose objects are of a kind.
    pub(crate) fn find(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.resources.iter().find(|r| r.kind == kind && r.version == version && r.group == group)
    }

    /// Each resource once.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|resource| resource.preferred)
    }

    /// The text of what could not be asked, as client-go's `ErrGroupDiscoveryFailed`.
    pub(crate) fn failure(&self) -> Option<String> {
        if self.stale.is_empty() {
            return None;
        }
        let mut groups: Vec<String> =
            self.stale.iter().map(|gv| format!("{gv}: stale GroupVersion discovery: {gv}")).collect();
        groups.sort_unstable();
        Some(format!("unable to retrieve the complete list of server APIs: {}", groups.join(", ")))
    }
}

/// Asks what is served.
pub(crate) async fn discover(client: &Client) -> Result<Catalog, Error> {
    let mut catalog = Catalog::default();
    for path in ["/api", "/apis"] {
        let answer = client.raw_accept(Method::GET, path, None, AGGREGATED).await?;
        let list: GroupList = decode(&answer)?;
        list.add_to(&mut catalog);
    }
    Ok(catalog)
}

#[derive(Deserialize)]
struct GroupList {
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Entry>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    resource: String,
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl GroupList {
    fn add_to(self, catalog: &mut Catalog) {
        for group in self.items {
            let first = catalog.resources.len();
            for version in group.versions {
                if version.freshness == "Stale" {
                    catalog.stale.push(if group.metadata.name.is_empty() {
                        version.version.clone()
                    } else {
                        format!("{}/{}", group.metadata.name, version.version)
                    });
                }
                for entry in version.resources {
                    let Some(kind) = entry.response_kind else { continue };
                    let seen = catalog.resources[first..].iter().any(|r| r.plural == entry.resource);
                    catalog.resources.push(Resource {
                        group: group.metadata.name.clone(),
                        version: version.version.clone(),
                        plural: entry.resource,
                        kind: kind.kind,
                        namespaced: entry.scope == "Namespaced",
                        verbs: entry.verbs,
                        preferred: !seen,
                    });
                }
            }
        }
    }
}

/// The metadata that controllers of every kind look at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
    deletion_timestamp: Option<IgnoredAny>,
}

impl Meta {
    pub(crate) fn owners(&self) -> &[OwnerReference] {
        self.owner_references.as_deref().unwrap_or_default()
    }

    pub(crate) fn finalizers(&self) -> &[String] {
        self.finalizers.as_deref().unwrap_or_default()
    }

    pub(crate) const fn is_deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    pub(crate) fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers().iter().any(|finalizer| finalizer == name)
    }
}

#[derive(Deserialize)]
struct Partial {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct PartialList {
    #[serde(default)]
    metadata: ListMeta,
    items: Option<Vec<Partial>>,
}

/// The metadata of an object.
pub(crate) async fn get(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
) -> Result<Meta, Error> {
    let path = resource.path(namespace, name);
    let partial: Partial = decode(&client.raw_accept(Method::GET, &path, None, PARTIAL).await?)?;
    Ok(partial.metadata)
}

/// The metadata of all objects, of a namespace if it is not empty.
pub(crate) async fn list(client: &Client, resource: &Resource, namespace: &str) -> Result<Vec<Meta>, Error> {
    let base = resource.path(namespace, "");
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let path = if next.is_empty() {
            format!("{base}?limit={PAGE_OBJECTS}")
        } else {
            format!("{base}?limit={PAGE_OBJECTS}&continue={next}")
        };
        let answer = client.raw_accept(Method::GET, &path, None, PARTIAL_LIST).await?;
        let page: PartialList = decode(&answer)?;
        all.extend(page.items.into_iter().flatten().map(|partial| partial.metadata));
        next = page.metadata.next;
        if next.is_empty() {
            return Ok(all);
        }
    }
}

/// Deletes an object; `uid` and `resource_version` are preconditions if not empty.
pub(crate) async fn delete(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    policy: &str,
    preconditions: (&str, &str),
) -> Result<(), Error> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    for (field, text) in [("uid", preconditions.0), ("resourceVersion", preconditions.1)] {
        if !text.is_empty() {
            options["preconditions"][field] = text.into();
        }
    }
    let body = Some(("application/json", encode(&options)));
    client.raw_accept(Method::DELETE, &resource.path(namespace, name), body, PARTIAL).await.map(drop)
}

/// Changes an object; `content_type` says what sort of patch it is.
pub(crate) async fn patch(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    content_type: &str,
    patch: &Value,
) -> Result<(), Error> {
    let body = Some((content_type, encode(patch)));
    client.raw_accept(Method::PATCH, &resource.path(namespace, name), body, PARTIAL).await.map(drop)
}

pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

pub(crate) fn encode(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|e| Error::Decode(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_prefers_the_first_version_of_each_resource() {
        let json = json!({"items": [
            {"metadata": {"name": "autoscaling"}, "versions": [
                {"version": "v2", "freshness": "Current", "resources": [
                    {"resource": "hpas", "responseKind": {"kind": "HPA"}, "scope": "Namespaced", "verbs": ["get"]}]},
                {"version": "v1", "resources": [
                    {"resource": "hpas", "responseKind": {"kind": "HPA"}, "scope": "Namespaced"},
                    {"resource": "olds", "responseKind": {"kind": "Old"}, "scope": "Cluster"}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]},
            {"metadata": {"name": "a.example"}, "versions": [{"version": "v1", "freshness": "Stale"}]},
        ]});
        let list: GroupList = serde_json::from_value(json).expect("a list");
        let mut catalog = Catalog::default();
        list.add_to(&mut catalog);
        let preferred: Vec<String> = catalog.preferred().map(|r| r.path("x", "n")).collect();
        assert_eq!(preferred, ["/apis/autoscaling/v2/namespaces/x/hpas/n", "/apis/autoscaling/v1/olds/n"]);
        assert_eq!(catalog.find("autoscaling/v1", "HPA").map(|r| r.preferred), Some(false));
        assert_eq!(catalog.find("v1", "HPA"), None);
        let text = "unable to retrieve the complete list of server APIs: a.example/v1: \
                    stale GroupVersion discovery: a.example/v1, metrics.k8s.io/v1beta1: \
                    stale GroupVersion discovery: metrics.k8s.io/v1beta1";
        assert_eq!(catalog.failure().as_deref(), Some(text));
    }
}
