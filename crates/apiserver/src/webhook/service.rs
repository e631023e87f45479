//! From a Service to the address of one of its ready endpoints.
//!
//! Upstream: `ResolveEndpoint` in `k8s.io/apiserver/pkg/util/proxy`.

use crate::api::Api;
use crate::cache::{Query, Selection};
use meta::labels::Selector;
use meta::quote::Quoted;
use value::Value;

/// `host:port` to connect to; any one of several.
///
/// # Errors
/// There is no such service or port, or nobody is behind it.
pub(crate) fn resolve(api: &Api, namespace: &str, name: &str, port: i64) -> Result<String, String> {
    let service = find(api, "services", namespace, name)
        .ok_or_else(|| format!("service {} not found", Quoted(name)))?;
    let spec = service.at("spec");
    if spec.at("type").str() == "ExternalName" {
        return Ok(join(spec.at("externalName").str(), port));
    }
    let service_port = spec
        .at("ports")
        .items()
        .iter()
        .find(|p| p.at("port").as_i64() == Some(port))
        .ok_or_else(|| format!("no service port {port} found for service {}", Quoted(name)))?;
    let port_name = service_port.at("name").str();
    let mut found = endpoint_slices(api, namespace, name, port_name);
    if found.is_empty() {
        found = endpoints(api, namespace, name, port_name);
    }
    if found.is_empty() {
        return Err(format!("no endpoints available for service {}", Quoted(name)));
    }
    let chosen = usize::try_from(api.dice(found.len() as u64)).unwrap_or_default();
    Ok(found.swap_remove(chosen.min(found.len() - 1)))
}

fn find(api: &Api, resource: &str, namespace: &str, name: &str) -> Option<Value> {
    let hub = api.hub("", resource)?;
    let entry = hub.get(namespace, name)?;
    Some(hub.tree(&entry))
}

fn join(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn endpoint_slices(api: &Api, namespace: &str, service: &str, port_name: &str) -> Vec<String> {
    let Some(hub) = api.hub("discovery.k8s.io", "endpointslices") else { return Vec::new() };
    let label = format!("kubernetes.io/service-name={service}");
    let Ok(labels) = Selector::parse(&label) else { return Vec::new() };
    let selection = Selection { labels: Some(labels), ..Selection::default() };
    let page = hub.cache.list(Query { namespace, selection: Some(&selection), ..Query::default() });
    let mut found = Vec::new();
    for slice in page.entries.iter().map(|entry| hub.tree(entry)) {
        let port = slice.at("ports").items().iter().find(|p| p.at("name").str() == port_name);
        let Some(port) = port.and_then(|p| p.at("port").as_i64()) else { continue };
        for endpoint in slice.at("endpoints").items() {
            // Not said counts as ready.
            if endpoint.at("conditions").at("ready").as_bool() == Some(false) {
                continue;
            }
            found.extend(endpoint.at("addresses").items().iter().take(1).map(|a| join(a.str(), port)));
        }
    }
    found
}

fn endpoints(api: &Api, namespace: &str, service: &str, port_name: &str) -> Vec<String> {
    let Some(endpoints) = find(api, "endpoints", namespace, service) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for subset in endpoints.at("subsets").items() {
        let port = subset.at("ports").items().iter().find(|p| p.at("name").str() == port_name);
        let Some(port) = port.and_then(|p: &Value| p.at("port").as_i64()) else { continue };
        found.extend(subset.at("addresses").items().iter().map(|a| join(a.at("ip").str(), port)));
    }
    found
}
