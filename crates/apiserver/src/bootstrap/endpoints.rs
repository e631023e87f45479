//! The endpoints of the Service `kubernetes`: all servers that hold a lease in the store.
//!
//! Upstream: `pkg/controlplane/reconcilers/lease.go`, `endpointsadapter.go`. Leases lie under upstream's keys in
//! its form, so that its servers and ours see each other.

use super::{call, find, map, object};
use crate::api::Api;
use bytes::Bytes;
use http::Method;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use store::{Expect, Range, Txn};
use value::Value;

/// A key of each API server that runs, with its address.
pub const LEASES: &str = "/registry/masterleases/";
/// How long it lasts: upstream's `DefaultEndpointReconcilerTTL`.
pub const LEASE_TIME: Duration = Duration::from_secs(15);
const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";

/// Whether this server is one of the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// It serves.
    Yes,
    /// It stops.
    No,
}

/// Renews or gives back the lease, then writes the endpoints if they are others than before.
///
/// # Errors
/// What failed.
pub(super) async fn reconcile(api: &Arc<Api>, here: Here) -> Result<(), String> {
    let ip = api.config.advertise_address;
    let key = format!("{LEASES}{ip}");
    let txn = match here {
        Here::Yes => Txn::put(key.as_bytes(), lease(api, &key, ip)?).ttl(LEASE_TIME),
        Here::No => Txn::delete(key.as_bytes(), Expect::Any),
    };
    api.store.txn(txn).await.map_err(|e| format!("cannot write the lease {key}: {e}"))?;
    let range = Range::prefix(LEASES.as_bytes());
    let leases = api.store.range(range).await.map_err(|e| format!("cannot read the leases: {e}"))?;
    let mut addresses: Vec<IpAddr> = leases
        .kvs
        .iter()
        .filter_map(|kv| std::str::from_utf8(kv.key().as_ref()).ok()?.strip_prefix(LEASES)?.parse().ok())
        .collect();
    addresses.sort();
    write(api, &addresses).await
}

/// A lease as upstream's servers read it: an Endpoints of one address.
fn lease(api: &Api, key: &str, ip: IpAddr) -> Result<Bytes, String> {
    let hub = api.hub("", "endpoints").ok_or("no endpoints are served")?;
    let mut lease = object("v1", "Endpoints", "", "");
    lease.set("metadata", Value::object());
    let address = Value::Array(vec![map([("ip", ip.to_string().into())])]);
    lease.set("subsets", Value::Array(vec![map([("addresses", address)])]));
    hub.codec.normalize(&mut lease);
    hub.codec.stored_form(&mut lease);
    let plain = Bytes::from(hub.codec.to_stored(&lease));
    hub.transform.seal(key, plain).map_err(|e| format!("cannot encrypt the lease {key}: {e}"))
}

async fn write(api: &Arc<Api>, addresses: &[IpAddr]) -> Result<(), String> {
    let port = i64::from(api.config.port);
    let endpoints = endpoints(addresses, port);
    put(api, "", "endpoints", "/api/v1/namespaces/default/endpoints", &endpoints, &["subsets"]).await?;
    let slice = slice(addresses, port);
    let collection = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    put(api, "discovery.k8s.io", "endpointslices", collection, &slice, &["endpoints", "ports"]).await
}

fn endpoints(addresses: &[IpAddr], port: i64) -> Value {
    let mut endpoints = object("v1", "Endpoints", "default", "kubernetes");
    if let Some(metadata) = endpoints.object_at("metadata") {
        metadata.set("labels", map([(SKIP_MIRROR, "true".into())]));
    }
    if !addresses.is_empty() {
        let all = addresses.iter().map(|a| map([("ip", a.to_string().into())])).collect();
        let port = map([("name", "https".into()), ("port", port.into()), ("protocol", "TCP".into())]);
        let subset = map([("addresses", Value::Array(all)), ("ports", Value::Array(vec![port]))]);
        endpoints.set("subsets", Value::Array(vec![subset]));
    }
    endpoints
}

fn slice(addresses: &[IpAddr], port: i64) -> Value {
    let is_v6 = !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv6);
    let mut slice = object("discovery.k8s.io/v1", "EndpointSlice", "default", "kubernetes");
    if let Some(metadata) = slice.object_at("metadata") {
        metadata.set("labels", map([("kubernetes.io/service-name", "kubernetes".into())]));
    }
    let endpoint = |a: &IpAddr| {
        let address = Value::Array(vec![a.to_string().into()]);
        map([("addresses", address), ("conditions", map([("ready", true.into())]))])
    };
    let all: Vec<Value> = addresses.iter().filter(|a| a.is_ipv6() == is_v6).map(endpoint).collect();
    slice.set("addressType", if is_v6 { "IPv6" } else { "IPv4" });
    if !all.is_empty() {
        let port = map([("name", "https".into()), ("port", port.into()), ("protocol", "TCP".into())]);
        slice.set("ports", Value::Array(vec![port]));
    }
    slice.set("endpoints", Value::Array(all));
    slice
}

/// Makes an object, or brings `fields` of the one that is there to what they are to be.
async fn put(
    api: &Arc<Api>,
    group: &str,
    resource: &str,
    collection: &str,
    wanted: &Value,
    fields: &[&str],
) -> Result<(), String> {
    let found = find(api, group, resource, "default", "kubernetes");
    let (method, path, body) = match found {
        None if fields.iter().all(|field| wanted.at(field).items().is_empty()) => return Ok(()),
        None => (Method::POST, collection.to_owned(), wanted.clone()),
        Some(mut object) => {
            let same = |field: &&str| {
                let (old, new) = (object.at(field), wanted.at(field));
                old == new || (old.items().is_empty() && new.items().is_empty())
            };
            let has_labels = wanted
                .at("metadata")
                .at("labels")
                .entries()
                .all(|(key, value)| object.at("metadata").at("labels").at(key) == value);
            if has_labels && fields.iter().all(same) {
                return Ok(());
            }
            for field in fields {
                object.set(field, wanted.at(field).clone());
            }
            if let Some(metadata) = object.object_at("metadata") {
                metadata.set("labels", wanted.at("metadata").at("labels").clone());
            }
            object.set("apiVersion", wanted.at("apiVersion").clone());
            object.set("kind", wanted.at("kind").clone());
            (Method::PUT, format!("{collection}/kubernetes"), object)
        }
    };
    match call(api, method, &path, Some(&body)).await {
        // Somebody else wrote it meanwhile: the next round looks again.
        Ok((200 | 201 | 409, _)) => Ok(()),
        Ok((code, answer)) => Err(format!("{path}: {code}: {}", answer.at("message").str())),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use value::json;

    #[test]
    fn documents() {
        let text = |v: &Value| String::from_utf8_lossy(&json::to_vec(v)).into_owned();
        let all: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        assert_eq!(
            text(endpoints(&all, 6443).at("subsets")),
            r#"[{"addresses":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]}]"#
        );
        assert_eq!(
            text(slice(&all[..1], 6443).at("endpoints")),
            r#"[{"addresses":["10.0.0.1"],"conditions":{"ready":true}}]"#
        );
        assert_eq!(text(slice(&["fd00::1".parse().unwrap()], 1).at("addressType")), r#""IPv6""#);
        assert!(endpoints(&[], 1).at("subsets").is_null());
        assert_eq!(text(slice(&[], 1).at("endpoints")), "[]");
    }
}
