//! Addresses of Services that somebody has taken away are taken again, before another Service is given them.
//!
//! They are written with their Services, so that only who deletes an IPAddress by hand can make one be missing.
//!
//! Upstream: `pkg/registry/core/service/ipallocator/controller/repairip.go`.

use super::{call, map};
use crate::api::Api;
use crate::cache::Query;
use crate::special::service_address;
use http::Method;
use std::sync::Arc;
use value::Value;

const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const CONTROLLER: &str = "ipallocator-repair-controller";

/// Makes the IPAddresses that are missing, and tells of each.
pub(super) async fn repair(api: &Arc<Api>, host_name: &str) {
    let (Some(services), Some(addresses)) =
        (api.hub("", "services"), api.hub("networking.k8s.io", "ipaddresses"))
    else {
        return;
    };
    for entry in services.cache.list(Query::default()).entries {
        let service = services.tree(&entry);
        for ip in service.at("spec").at("clusterIPs").items().iter().map(Value::str) {
            if matches!(ip, "" | "None") || addresses.get("", ip).is_some() {
                continue;
            }
            let mut address = service_address(&service, ip);
            address.set("apiVersion", "networking.k8s.io/v1");
            address.set("kind", "IPAddress");
            match call(api, Method::POST, ADDRESSES, Some(&address)).await {
                Ok((201, _)) => tell(api, host_name, &service, ip).await,
                // It has come meanwhile.
                Ok((409, _)) => {}
                Ok((code, answer)) => {
                    tracing::warn!(
                        ip,
                        code,
                        message = answer.at("message").str(),
                        "cannot take an address again"
                    );
                }
                Err(error) => tracing::warn!(ip, %error, "cannot take an address again"),
            }
        }
    }
}

/// An event of the Service.
async fn tell(api: &Arc<Api>, host_name: &str, service: &Value, ip: &str) {
    let metadata = service.at("metadata");
    let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
    let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
    let note = format!("Cluster IP [{family}]: {ip} is not allocated; repairing");
    tracing::warn!(namespace, name, ip, "the address of a Service was not taken");
    let regarding = map([
        ("apiVersion", "v1".into()),
        ("kind", "Service".into()),
        ("namespace", namespace.into()),
        ("name", name.into()),
        ("uid", metadata.at("uid").clone()),
    ]);
    let event = map([
        ("apiVersion", "events.k8s.io/v1".into()),
        ("kind", "Event".into()),
        ("metadata", map([("name", format!("{name}.{:x}", api.dice(u64::MAX)).into())])),
        ("eventTime", api.now().to_micro_string().into()),
        ("reportingController", CONTROLLER.into()),
        ("reportingInstance", format!("{CONTROLLER}-{host_name}").into()),
        ("type", "Warning".into()),
        ("reason", "ClusterIPNotAllocated".into()),
        ("action", "ClusterIPAllocation".into()),
        ("note", note.into()),
        ("regarding", regarding),
    ]);
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    if !matches!(call(api, Method::POST, &path, Some(&event)).await, Ok((201, _))) {
        tracing::warn!(namespace, name, "cannot tell of an address in an event");
    }
}
