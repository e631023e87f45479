//! What other servers say of themselves, and its place among our own documents.
//!
//! Upstream: `kube-aggregator/pkg/apiserver/handler_{apis,discovery}.go`,
//! `pkg/controllers/openapiv3/aggregator`.

use super::{Place, Remote};
use crate::api::Api;
use bytes::Bytes;
use std::sync::Arc;
use value::{Str, Value, json};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The documents of a remote.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Its version in aggregated discovery; null if it is not known.
    discovery: Value,
    /// The URL of its OpenAPI v3 document; empty if there is none.
    openapi: String,
    /// Its part of its OpenAPI v2 document; null if there is none.
    v2: Value,
    /// The index of its OpenAPI v3 documents: while that is the same, the others are.
    index: Bytes,
}

impl Documents {
    pub(super) async fn fetch(remote: &Remote, api: &Api) -> Self {
        let parse = |body: &[u8]| json::parse(body).unwrap_or_default();
        let discovery = match remote.read(api, "/apis", AGGREGATED).await {
            Ok((200, kind, body)) if kind.contains("as=APIGroupDiscoveryList") => {
                version(&parse(&body), &remote.group, &remote.version)
            }
            _ => Value::Null,
        };
        let discovery = match discovery {
            Value::Null => match remote.read(api, &remote.path(), "application/json").await {
                Ok((200, _, body)) => converted(&parse(&body), &remote.group, &remote.version),
                _ => Value::Null,
            },
            found => found,
        };
        let index = match remote.read(api, "/openapi/v3", "application/json").await {
            Ok((200, _, body)) => body,
            _ => Bytes::new(),
        };
        let known = remote.documents.load();
        let v2 = if index == known.index && !known.v2.is_null() {
            known.v2.clone()
        } else {
            match remote.read(api, "/openapi/v2", "application/json").await {
                Ok((200, _, body)) => own_part(&parse(&body), &remote.path()),
                _ => Value::Null,
            }
        };
        let entry = parse(&index).at("paths").at(remote.path().trim_start_matches('/')).clone();
        Self { discovery, openapi: entry.at("serverRelativeURL").str().to_owned(), v2, index }
    }
}

/// The sections of an OpenAPI v2 document whose entries are referred to.
const SHARED: [&str; 2] = ["definitions", "parameters"];

/// What an OpenAPI v2 document says of the paths below `path`: they, and what they refer to.
fn own_part(document: &Value, path: &str) -> Value {
    let below =
        |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut paths = Value::object();
    let mut wanted = Vec::new();
    for (key, item) in document.at("paths").entries().filter(|(key, _)| below(key)) {
        references(item, &mut wanted);
        paths.set(key, item.clone());
    }
    if paths.entries().next().is_none() {
        return Value::Null;
    }
    let mut part = Value::object();
    part.set("paths", paths);
    while let Some((section, name)) = wanted.pop() {
        let shared = document.at(section).at(&name);
        if !shared.is_null()
            && part.at(section).at(&name).is_null()
            && let Some(into) = part.object_at(section)
        {
            into.set(&name, shared.clone());
            references(shared, &mut wanted);
        }
    }
    part
}

/// The sections and names that a part of a document refers to.
fn references(part: &Value, names: &mut Vec<(&'static str, String)>) {
    // Documents of others nest as deep as they like.
    let mut open = vec![part];
    while let Some(value) = open.pop() {
        let target = value.at("$ref").str().strip_prefix("#/").and_then(|rest| rest.split_once('/'));
        if let Some((section, name)) = target
            && let Some(section) = SHARED.into_iter().find(|s| *s == section)
        {
            names.push((section, name.to_owned()));
        }
        open.extend(value.items());
        open.extend(value.entries().map(|(_, v)| v));
    }
}

/// The version of a remote in its list of groups.
fn version(list: &Value, group: &str, version: &str) -> Value {
    let mut items = list.at("items").items().iter();
    let item = items.find(|i| i.at("metadata").at("name").str() == group);
    let versions = item.map(|i| i.at("versions").items()).unwrap_or_default();
    versions.iter().find(|v| v.at("version").str() == version).cloned().unwrap_or_default()
}

/// For fuzzing: a document of another server's. What is taken of its OpenAPI is whole.
pub(crate) fn fuzz(data: &[u8]) {
    let Ok(document) = json::parse(data) else { return };
    let found = version(&document, "a.example", "v1");
    assert!(found.is_null() || found.at("version").str() == "v1");
    let resources = converted(&document, "a.example", "v1");
    assert!(resources.at("resources").items().len() <= document.at("resources").items().len());
    let part = own_part(&document, "/apis/a.example/v1");
    let mut names = Vec::new();
    references(&part, &mut names);
    for (section, name) in names {
        let (theirs, ours) = (document.at(section).at(&name), part.at(section).at(&name));
        assert!(theirs == ours, "{name} is needed");
    }
}

/// A legacy APIResourceList in the form of aggregated discovery.
fn converted(list: &Value, group: &str, version: &str) -> Value {
    let resources = list.at("resources").items();
    let kind = |resource: &Value| {
        let or = |key: &str, own: &str| {
            let said = resource.at(key).str();
            Str::from(if said.is_empty() { own } else { said })
        };
        let mut kind = Value::object();
        kind.set("group", or("group", group));
        kind.set("version", or("version", version));
        kind.set("kind", resource.at("kind").str());
        kind
    };
    let mut all = Vec::new();
    for resource in resources.iter().filter(|r| !r.at("name").str().contains('/')) {
        let name = resource.at("name").str();
        let mut entry = Value::object();
        entry.set("resource", name);
        entry.set("responseKind", kind(resource));
        entry.set("scope", if resource.at("namespaced").bool() { "Namespaced" } else { "Cluster" });
        entry.set("singularResource", resource.at("singularName").str());
        for key in ["verbs", "shortNames", "categories"] {
            if !resource.at(key).items().is_empty() {
                entry.set(key, resource.at(key).clone());
            }
        }
        let subresources = resources.iter().filter_map(|sub| {
            let (of, short) = sub.at("name").str().split_once('/')?;
            let mut entry = Value::object();
            entry.set("subresource", short);
            entry.set("responseKind", kind(sub));
            entry.set("verbs", sub.at("verbs").clone());
            (of == name).then_some(entry)
        });
        let subresources: Vec<Value> = subresources.collect();
        if !subresources.is_empty() {
            entry.set("subresources", subresources);
        }
        all.push(entry);
    }
    let mut document = Value::object();
    document.set("version", version);
    document.set("resources", all);
    document
}

/// The remotes, as documents need them.
pub(crate) struct Merged(Vec<Arc<Remote>>);

impl Merged {
    /// `None` while there is no remote.
    pub(crate) fn of(api: &Api) -> Option<Self> {
        let remotes = api.aggregation.remotes.load();
        if remotes.is_empty() {
            return None;
        }
        Some(Self(remotes.to_vec()))
    }

    fn versions(&self, group: &str) -> impl Iterator<Item = &Arc<Remote>> {
        self.0.iter().filter(move |r| r.group == group)
    }

    /// The others' versions and their priorities.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.0.iter().map(|remote| Place {
            group: remote.group.clone(),
            version: remote.version.clone(),
            group_priority: remote.group_priority,
            version_priority: remote.version_priority,
        })
    }

    /// A version of the aggregated document; `None` if it is ours.
    pub(crate) fn version(&self, group: &str, version: &str) -> Option<Value> {
        let remote = self.versions(group).find(|r| r.version == version)?;
        let documents = remote.documents.load();
        let mut entry = documents.discovery.clone();
        if entry.is_null() {
            entry = Value::object();
            entry.set("version", version);
        }
        let fresh = remote.is_available() && !documents.discovery.is_null();
        entry.set("freshness", if fresh { "Current" } else { "Stale" });
        Some(entry)
    }

    /// The OpenAPI v3 documents of the others: names and URLs.
    pub(crate) fn openapi(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().filter_map(|remote| {
            let url = remote.documents.load().openapi.clone();
            (!url.is_empty()).then(|| (remote.path().trim_start_matches('/').to_owned(), url))
        })
    }
}

/// The others' parts of the OpenAPI v2 document.
pub(crate) struct Parts(Vec<Arc<Documents>>);

impl Parts {
    /// Adds them; what is ours under the same name stays.
    pub(crate) fn merge(&self, document: &mut Value) {
        for part in &self.0 {
            for key in ["paths"].into_iter().chain(SHARED) {
                let Some(into) = document.object_at(key) else { continue };
                for (name, value) in part.v2.at(key).entries() {
                    if into.at(name).is_null() {
                        into.set(name, value.clone());
                    }
                }
            }
        }
    }
}

impl Merged {
    /// The others' parts of the OpenAPI v2 document, and a name for what they are now; `None` if there are
    /// none.
    pub(crate) fn openapi_v2(&self) -> Option<(String, Parts)> {
        let parts: Vec<Arc<Documents>> = self.0.iter().map(|r| r.documents.load_full()).collect();
        let parts: Vec<Arc<Documents>> = parts.into_iter().filter(|d| !d.v2.is_null()).collect();
        if parts.is_empty() {
            return None;
        }
        let mut text = Vec::new();
        parts.iter().for_each(|part| json::write(&part.v2, &mut text));
        let name = pki::sha256_hex(&text)[..16].to_owned();
        Some((name, Parts(parts)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn legacy_lists_are_converted() {
        let list = json::parse(
            br#"{"resources":[{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]},{"name":"pods/x","kind":"Scale","group":"autoscaling","version":"v1","verbs":["get"]}]}"#,
        )
        .unwrap();
        let got = converted(&list, "metrics.k8s.io", "v1beta1");
        let want = json::parse(
            br#"{"version":"v1beta1","resources":[{"resource":"pods","responseKind":{"group":"metrics.k8s.io","version":"v1beta1","kind":"PodMetrics"},"scope":"Namespaced","singularResource":"","verbs":["get","list"],"subresources":[{"subresource":"x","responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},"verbs":["get"]}]}]}"#,
        )
        .unwrap();
        assert_eq!(got, want);
    }

    #[test]
    fn parts_have_what_they_need() {
        let document = json::parse(
            br##"{"paths":{"/apis/a/v1/":{"x":{"$ref":"#/definitions/A"},"parameters":[{"$ref":"#/parameters/body-1"}]},"/apis/a/v11/":{},"/apis/b/v1/":{"x":{"$ref":"#/definitions/D"}}},"definitions":{"A":{"p":[{"$ref":"#/definitions/B"}]},"B":{"$ref":"#/definitions/A"},"C":{},"D":{},"E":{}},"parameters":{"body-1":{"schema":{"$ref":"#/definitions/E"}},"limit-2":{}}}"##,
        )
        .unwrap();
        let part = own_part(&document, "/apis/a/v1");
        let keys = |key: &str| part.at(key).entries().map(|(k, _)| k.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (keys("paths"), keys("definitions"), keys("parameters")),
            (vec!["/apis/a/v1/".into()], vec!["A".into(), "B".into(), "E".into()], vec!["body-1".into()])
        );
        assert!(own_part(&document, "/apis/c/v1").is_null());
        let mut ours = json::parse(br#"{"paths":{"/version/":{}},"definitions":{"A":{"ours":1}}}"#).unwrap();
        Parts(vec![Arc::new(Documents { v2: part, ..Documents::default() })]).merge(&mut ours);
        assert_eq!(ours.at("definitions").at("A").at("ours").int(), 1);
        assert_eq!((ours.at("paths").entries().count(), ours.at("parameters").entries().count()), (2, 1));
    }
}
