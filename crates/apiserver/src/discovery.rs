//! What is served: the legacy documents of each group and version, and the aggregated one (KEP-3352).
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/discovery`. Everything is derived from the registry's rows.

use crate::aggregation::{self, Merged, Place, Ties, ordered};
use crate::body::ResponseBody;
use crate::call::Call;
use crate::codec;
use crate::negotiate::{Accepted, Allows, Encoding, negotiate, route_accepts};
use crate::reply::Reply;
use crate::resource::Registry;
use crate::route::{method_not_allowed, not_found};
use http::{HeaderValue, Method, header};
use kinds::Row;
use kinds::table::Subresource;
use meta::status::Status;
use value::{Str, Value};

const META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1";
const AGGREGATED_TYPE: &str = "k8s.io/api/apidiscovery/v2.APIGroupDiscoveryList";

/// Answers `/api`, `/apis` and what is below them short of a resource; `None` if the path is something else.
pub(crate) fn answer(call: &Call) -> Option<Result<Reply, Status>> {
    let path = call.path.trim_end_matches('/');
    let registry = call.api.registry.load();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["api"] => Some(only_get(call).and_then(|()| {
            if let Some(aggregated) = aggregated(call, &registry, Core::Only) {
                return aggregated;
            }
            route_accepts(call.accept(), false)?;
            reply(call, "APIVersions", &versions(call))
        })),
        ["apis"] => Some(aggregated(call, &registry, Core::Not).unwrap_or_else(|| {
            let merged = Merged::of(&call.api);
            let groups = groups(&registry, merged.as_ref(), Ties::ApiServices);
            reply(call, "APIGroupList", &group_list(&groups))
        })),
        ["api", version] => Some(version_list(call, &registry, "", version)),
        ["apis", name] => {
            let merged = Merged::of(&call.api);
            let groups = groups(&registry, merged.as_ref(), Ties::ApiServices);
            groups.iter().find(|(group, _)| group == name).map(|(_, versions)| {
                let mut document = group(name, versions);
                document.set("kind", "APIGroup");
                document.set("apiVersion", "v1");
                reply(call, "APIGroup", &document)
            })
        }
        ["apis", group, version] => registry
            .has_builtin_group(group)
            .then_some(())
            .or_else(|| registry.has_version(group, version).then_some(()))
            .map(|()| version_list(call, &registry, group, version)),
        _ => None,
    }
}

fn only_get(call: &Call) -> Result<(), Status> {
    if call.method == Method::GET { Ok(()) } else { Err(method_not_allowed()) }
}

fn reply(call: &Call, go_type: &str, document: &Value) -> Result<Reply, Status> {
    let mut accepted = negotiate(call.accept(), Allows::Plain, &Encoding::ALL)
        .ok_or_else(|| Status::not_acceptable(&Encoding::ALL.map(Encoding::media_type)))?;
    accepted.pretty |= call.pretty();
    if accepted.encoding == Encoding::Protobuf {
        let body = codec::meta_protobuf(document)
            .ok_or_else(|| Status::internal_error("discovery has no protobuf form"))?;
        return Ok(Reply::bytes(200, Encoding::Protobuf.media_type(), body));
    }
    Ok(Reply::json(200, accepted, codec::typed_json(&format!("{META}.{go_type}"), document)))
}

fn versions(call: &Call) -> Value {
    let config = &call.api.config;
    let address = std::net::SocketAddr::new(config.advertise_address, config.port);
    let mut server = Value::object();
    server.set("clientCIDR", "0.0.0.0/0");
    server.set("serverAddress", address.to_string());
    let mut document = Value::object();
    document.set("kind", "APIVersions");
    document.set("versions", vec!["v1"]);
    document.set("serverAddressByClientCIDRs", vec![server]);
    document
}

/// The groups but core, with their versions, in the order of discovery.
fn groups(registry: &Registry, merged: Option<&Merged>, ties: Ties) -> Vec<(Str, Vec<Str>)> {
    let mut places: Vec<Place> = Vec::new();
    let own = registry.discoverable().filter_map(|served| {
        let (group, version) = (served.row.group.clone(), served.row.version.clone());
        let (group_priority, version_priority) =
            aggregation::priorities(&group, &version, served.codec.custom().is_some())?;
        Some(Place { group, version, group_priority, version_priority })
    });
    for place in own.chain(merged.iter().flat_map(|m| m.places())) {
        let there = |p: &Place| p.group == place.group && p.version == place.version;
        if !place.group.is_empty() && !places.iter().any(there) {
            places.push(place);
        }
    }
    ordered(places, ties)
}

fn group(name: &str, versions: &[Str]) -> Value {
    let entries: Vec<Value> = versions
        .iter()
        .map(|version| {
            let mut entry = Value::object();
            entry.set("groupVersion", format!("{name}/{version}"));
            entry.set("version", version.clone());
            entry
        })
        .collect();
    let mut document = Value::object();
    document.set("name", name);
    document.set("preferredVersion", entries.first().cloned().unwrap_or_default());
    document.set("versions", entries);
    document
}

fn group_list(groups: &[(Str, Vec<Str>)]) -> Value {
    let mut document = Value::object();
    document.set("kind", "APIGroupList");
    document.set("apiVersion", "v1");
    let groups = groups.iter().map(|(name, versions)| group(name, versions));
    document.set("groups", groups.collect::<Vec<_>>());
    document
}

fn version_list(call: &Call, registry: &Registry, group: &str, version: &str) -> Result<Reply, Status> {
    if !registry.has_version(group, version) {
        return Err(not_found());
    }
    only_get(call)?;
    if registry.has_builtin_group(group) {
        route_accepts(call.accept(), false)?;
    }
    let rows = registry.discoverable().map(|s| &s.row).filter(|r| r.group == group && r.version == version);
    let mut resources = Vec::new();
    for row in rows {
        if !row.verbs.is_empty() {
            resources.push(api_resource(row));
        }
        resources.extend(row.subresources.iter().map(|sub| api_subresource(row, sub)));
    }
    let mut document = Value::object();
    document.set("kind", "APIResourceList");
    if !group.is_empty() {
        document.set("apiVersion", "v1");
    }
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    document.set("groupVersion", name);
    document.set("resources", resources);
    reply(call, "APIResourceList", &document)
}

fn api_resource(row: &Row) -> Value {
    let mut resource = Value::object();
    resource.set("name", row.plural.clone());
    resource.set("singularName", row.singular.clone());
    resource.set("namespaced", row.namespaced);
    resource.set("kind", row.kind.clone());
    resource.set("verbs", row.verbs.clone());
    set_list(&mut resource, "shortNames", &row.short_names);
    set_list(&mut resource, "categories", &row.categories);
    if !row.storage_version_hash.is_empty() {
        resource.set("storageVersionHash", row.storage_version_hash.clone());
    }
    resource
}

fn api_subresource(row: &Row, sub: &Subresource) -> Value {
    let mut resource = Value::object();
    resource.set("name", format!("{}/{}", row.plural, sub.name));
    resource.set("singularName", "");
    resource.set("namespaced", row.namespaced);
    resource.set("kind", sub.kind.clone());
    resource.set("verbs", sub.verbs.clone());
    for (key, text) in [("group", &sub.group), ("version", &sub.version)] {
        if !text.is_empty() {
            resource.set(key, text.clone());
        }
    }
    resource
}

fn set_list(object: &mut Value, key: &str, list: &[Str]) {
    if !list.is_empty() {
        object.set(key, list.to_vec());
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Core {
    Only,
    Not,
}

/// The aggregated document, if any clause of what the client accepts asks for it; `None` if not. The others do
/// not count, whatever their weight.
fn aggregated(call: &Call, registry: &Registry, core: Core) -> Option<Result<Reply, Status>> {
    // "/apis/" is not the place.
    if call.path.ends_with('/') && core == Core::Not {
        return None;
    }
    let mut accepted = negotiate(call.accept(), Allows::Discovery, &Encoding::ALL)?;
    accepted.pretty |= call.pretty();
    Some(aggregated_reply(call, registry, core, accepted))
}

fn aggregated_reply(
    call: &Call,
    registry: &Registry,
    core: Core,
    accepted: Accepted,
) -> Result<Reply, Status> {
    let merged = if core == Core::Only { None } else { Merged::of(&call.api) };
    let merged = merged.as_ref();
    let groups = match core {
        Core::Only => vec![(Str::default(), vec!["v1".into()])],
        Core::Not => groups(registry, merged, Ties::Groups),
    };
    let items = groups.iter().map(|(group, versions)| {
        let versions = versions.iter().map(|version| {
            if let Some(remote) = merged.and_then(|m| m.version(group, version)) {
                return remote;
            }
            let rows = registry.discoverable().map(|s| &s.row);
            let mut rows: Vec<_> = rows.filter(|r| r.group == *group && r.version == *version).collect();
            rows.sort_by(|a, b| a.plural.cmp(&b.plural));
            let mut entry = Value::object();
            entry.set("resources", rows.into_iter().map(|r| aggregated_resource(r)).collect::<Vec<_>>());
            entry.set("version", version.clone());
            entry.set("freshness", "Current");
            entry
        });
        let mut metadata = Value::object();
        if !group.is_empty() {
            metadata.set("name", group.clone());
        }
        let mut item = Value::object();
        item.set("metadata", metadata);
        item.set("versions", versions.collect::<Vec<_>>());
        item
    });
    let mut document = Value::object();
    document.set("metadata", Value::object());
    document.set("items", items.collect::<Vec<_>>());
    // Upstream's tag: that of the document before it has a kind, whatever the encoding.
    let untyped = codec::typed_json(AGGREGATED_TYPE, &document);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &untyped);
    let digest: String = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    let tag = format!("\"{digest}\"");
    let mut reply = if call.header(header::IF_NONE_MATCH) == Some(tag.as_str()) {
        Reply { code: 304, content_type: "", body: ResponseBody::empty(), headers: Vec::new() }
    } else {
        document.set("kind", "APIGroupDiscoveryList");
        document.set("apiVersion", "apidiscovery.k8s.io/v2");
        let reply = match accepted.encoding {
            Encoding::Protobuf => {
                let body = codec::typed_protobuf(AGGREGATED_TYPE, &document)
                    .ok_or_else(|| Status::internal_error("discovery has no protobuf form"))?;
                Reply::bytes(200, "", body)
            }
            Encoding::Json | Encoding::Yaml => {
                Reply::json(200, accepted, codec::typed_json(AGGREGATED_TYPE, &document))
            }
        };
        Reply { content_type: aggregated_media_type(accepted.encoding), ..reply }
    };
    reply.headers.push((header::VARY, HeaderValue::from_static("Accept")));
    reply.headers.push((header::CACHE_CONTROL, HeaderValue::from_static("public")));
    reply.headers.extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    Ok(reply)
}

const fn aggregated_media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        Encoding::Yaml => "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        Encoding::Protobuf => {
            "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        }
    }
}

fn aggregated_resource(row: &Row) -> Value {
    let mut resource = Value::object();
    resource.set("resource", row.plural.clone());
    // Upstream's discovery of custom kinds names what that of built-in kinds leaves to the place.
    let (group, version) = if row.is_custom() { (&*row.group, &*row.version) } else { ("", "") };
    resource.set("responseKind", response_kind(group, version, &row.kind));
    resource.set("scope", if row.namespaced { "Namespaced" } else { "Cluster" });
    resource.set("singularResource", row.singular.clone());
    resource.set("verbs", row.verbs.clone());
    set_list(&mut resource, "shortNames", &row.short_names);
    set_list(&mut resource, "categories", &row.categories);
    if !row.subresources.is_empty() {
        let subs = row.subresources.iter().map(|sub| {
            let mut entry = Value::object();
            entry.set("subresource", sub.name.clone());
            let of_row = sub.group.is_empty() && sub.version.is_empty();
            let (group, version) = if of_row { (group, version) } else { (&*sub.group, &*sub.version) };
            entry.set("responseKind", response_kind(group, version, &sub.kind));
            entry.set("verbs", sub.verbs.clone());
            entry
        });
        resource.set("subresources", subs.collect::<Vec<_>>());
    }
    resource
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    let mut object = Value::object();
    object.set("group", group);
    object.set("version", version);
    object.set("kind", kind);
    object
}
