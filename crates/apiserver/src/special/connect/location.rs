//! Whither: the container, the node's kubelet, the address behind `scheme:name:port`.
//!
//! Upstream: `pkg/registry/core/pod/strategy.go`, `pkg/registry/core/service/storage/storage.go`,
//! `pkg/registry/core/node/strategy.go`.

use crate::call::Call;
use crate::nodes::{self, Verify};
use crate::resource::Hub;
use crate::verbs::get;
use meta::gvk::GroupResource;
use meta::quote::Quoted;
use meta::status::Status;
use std::net::IpAddr;
use streaming::Backend;
use value::{Str, Value};

/// An object of the core group by name; read again from the store's newest if the cache does not know it.
pub(super) async fn object(call: &Call, resource: &str, name: &str) -> Result<Value, Status> {
    let namespace = if resource == "nodes" { "" } else { call.info.namespace.as_str() };
    // What is not there is named as the request names it: a Service without endpoints.
    let missing = || Status::not_found(&GroupResource::new("", call.info.resource.as_str()), name);
    let hub = call.api.hub("", resource).ok_or_else(missing)?;
    get::check_key(&hub.row, namespace, name)?;
    let find = |hub: &Hub| hub.get(namespace, name).map(|entry| hub.tree(&entry));
    if let Some(found) = find(&hub) {
        return Ok(found);
    }
    call.fresh(None).await?;
    find(&hub).ok_or_else(missing)
}

/// The container that is meant: the one that is named, or the only one.
pub(super) fn container(pod: &Value, wanted: &str) -> Result<Str, Status> {
    let (spec, name) = (pod.at("spec"), pod.at("metadata").at("name").str());
    let mut all = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|key| spec.at(key).items())
        .map(|c| c.at("name").str());
    if !wanted.is_empty() {
        return match all.any(|c| c == wanted) {
            true => Ok(wanted.into()),
            false => Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}"))),
        };
    }
    match spec.at("containers").items() {
        [only] => Ok(only.at("name").str().into()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        _ => {
            let all = all.collect::<Vec<_>>().join(" ");
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{all}]"
            )))
        }
    }
}

/// The kubelet of a node.
pub(super) async fn kubelet(call: &Call, node: &str, verify: Verify) -> Result<Backend, Status> {
    let node = object(call, "nodes", node).await?;
    call.api.nodes.kubelet(&node, verify).map_err(Status::plain_error)
}

/// `name`, `name:port` or `scheme:name:port`; an absent scheme or port is empty.
pub(super) fn split(id: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts[..] {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme, name, port] => (scheme, name, port),
        _ => return None,
    };
    (!name.is_empty() && matches!(scheme, "" | "http" | "https")).then_some((scheme, name, port))
}

/// What a proxy request is passed on to.
pub(super) async fn proxied(call: &Call) -> Result<Backend, Status> {
    let id = call.info.name.as_str();
    let resource = call.info.resource.as_str();
    let kind = resource.strip_suffix('s').unwrap_or(resource);
    let (scheme, name, port) =
        split(id).ok_or_else(|| Status::bad_request(format!("invalid {kind} request {}", Quoted(id))))?;
    let https = scheme == "https";
    match resource {
        "nodes" => node(call, name, port, https).await,
        "pods" => pod(call, name, port, https).await,
        _ => service(call, id, name, port, https).await,
    }
}

async fn node(call: &Call, name: &str, port: &str, https: bool) -> Result<Backend, Status> {
    let node = object(call, "nodes", name).await?;
    let (host, kubelet_port) = nodes::address(&node).map_err(Status::plain_error)?;
    let addresses = tokio::net::lookup_host((host.as_str(), 0)).await;
    let addresses = addresses.map_err(|e| Status::bad_request(format!("lookup {host}: {e}")))?;
    if addresses.into_iter().any(|a| !is_global_unicast(a.ip())) {
        return Err(Status::bad_request("address not allowed"));
    }
    if port.is_empty() || port == kubelet_port.to_string() {
        return call.api.nodes.kubelet(&node, Verify::Yes).map_err(Status::plain_error);
    }
    backend(call, &host, port, https)
}

async fn pod(call: &Call, name: &str, port: &str, https: bool) -> Result<Backend, Status> {
    let pod = object(call, "pods", name).await?;
    let status = pod.at("status");
    let ip = match status.at("podIPs").items() {
        [first, ..] => first.at("ip").str(),
        [] => status.at("podIP").str(),
    };
    if !ip.parse().is_ok_and(is_global_unicast) {
        return Err(Status::bad_request("address not allowed"));
    }
    let first_port =
        pod.at("spec").at("containers").items().iter().find_map(|c| c.at("ports").items().first());
    let first_port = first_port.and_then(|p| p.at("containerPort").as_i64()).map(|p| p.to_string());
    let port = if port.is_empty() { first_port.unwrap_or_default() } else { port.to_owned() };
    backend(call, ip, &port, https)
}

async fn service(call: &Call, id: &str, name: &str, port: &str, https: bool) -> Result<Backend, Status> {
    let none =
        |id: &str| Status::service_unavailable(format!("no endpoints available for service {}", Quoted(id)));
    let mut port = Str::from(port);
    if let Ok(number) = port.parse::<i64>() {
        let service = object(call, "services", name).await?;
        let declared = service.at("spec").at("ports").items().iter();
        let declared = declared.into_iter().find(|p| p.at("port").as_i64() == Some(number));
        port = declared.map(|p| p.at("name").str().into()).ok_or_else(|| {
            Status::service_unavailable(format!(
                "no service port {number} found for service {}",
                Quoted(name)
            ))
        })?;
    }
    let endpoints = object(call, "endpoints", name).await?;
    let subsets = endpoints.at("subsets").items();
    if subsets.is_empty() {
        return Err(none(name));
    }
    let start = usize::try_from(call.api.dice(subsets.len() as u64)).unwrap_or(0);
    for subset in subsets.iter().cycle().skip(start).take(subsets.len()) {
        let addresses = subset.at("addresses").items();
        let ports = subset.at("ports").items().iter().filter(|p| p.at("name").str() == port);
        for found in ports {
            let start = usize::try_from(call.api.dice(addresses.len() as u64)).unwrap_or(0);
            for address in addresses.iter().cycle().skip(start).take(addresses.len()) {
                if is_pods(call, address).await {
                    let number = found.at("port").as_i64().unwrap_or_default().to_string();
                    return backend(call, address.at("ip").str(), &number, https);
                }
            }
        }
    }
    Err(none(id))
}

/// Whether an address of a service is a pod's of the same namespace: nothing else is passed on to.
async fn is_pods(call: &Call, address: &Value) -> bool {
    let target = address.at("targetRef");
    if target.is_null() || target.at("namespace").str() != call.info.namespace {
        return false;
    }
    let Ok(pod) = object(call, "pods", target.at("name").str()).await else { return false };
    pod.at("status").at("podIPs").items().iter().any(|ip| ip.at("ip").str() == address.at("ip").str())
}

fn backend(call: &Call, host: &str, port: &str, https: bool) -> Result<Backend, Status> {
    let default = if https { 443 } else { 80 };
    let port = if port.is_empty() { Ok(default) } else { port.parse() };
    let port =
        port.map_err(|_| Status::service_unavailable("error trying to reach service: invalid port"))?;
    call.api.nodes.pod(host, port, https).map_err(Status::plain_error)
}

/// Go's `net.IP.IsGlobalUnicast`.
fn is_global_unicast(ip: IpAddr) -> bool {
    let link_local = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let ip = ip.to_canonical();
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use value::json;

    #[test]
    fn names_with_scheme_and_port() {
        assert_eq!(split("a"), Some(("", "a", "")));
        assert_eq!(split("a:80"), Some(("", "a", "80")));
        assert_eq!(split("https:a:web"), Some(("https", "a", "web")));
        assert_eq!(split("http:a:"), Some(("http", "a", "")));
        assert_eq!((split("ftp:a:1"), split(":1"), split("a:b:c:d")), (None, None, None));
    }

    #[test]
    fn addresses() {
        for (ip, want) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("169.254.1.1", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(is_global_unicast(ip.parse().unwrap()), want, "{ip}");
        }
    }

    #[test]
    fn containers() {
        let pod = |text: &str| {
            json::parse(format!(r#"{{"metadata":{{"name":"p"}},"spec":{text}}}"#).as_bytes()).unwrap()
        };
        let check =
            |spec: &str, wanted: &str| container(&pod(spec), wanted).map_err(|e| e.message.to_string());
        let two = r#"{"initContainers":[{"name":"i"}],"containers":[{"name":"a"},{"name":"b"}],"ephemeralContainers":[{"name":"e"}]}"#;
        assert_eq!(check(r#"{"containers":[{"name":"a"}]}"#, ""), Ok("a".into()));
        assert_eq!(check(two, "e"), Ok("e".into()));
        assert_eq!(check(two, "x"), Err("container x is not valid for pod p".into()));
        assert_eq!(
            check(two, ""),
            Err("a container name must be specified for pod p, choose one of: [i a b e]".into())
        );
    }
}
