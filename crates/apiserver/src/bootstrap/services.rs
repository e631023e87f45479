//! The Service range, the Service by which pods reach the API server, and the Service of the cluster's DNS.
//!
//! Upstream: `pkg/controlplane/controller/{defaultservicecidr,kubernetesservice}`,
//! `cmd/kubeadm/app/phases/addons/dns`.

use super::{Options, call, ensure as make, find, map, object};
use crate::api::Api;
use crate::health::Hook;
use http::Method;
use std::net::IpAddr;
use std::sync::Arc;
use value::{Str, Value};

const SERVICES: &str = "/api/v1/namespaces";
const NETWORKING: &str = "networking.k8s.io";
/// The port of the Service `kubernetes`.
const HTTPS_PORT: i64 = 443;
/// Who says that the default ServiceCIDR is ready.
const RANGE_MANAGER: &str = "kubernetes-service-cidr-controller";
/// Of the default ServiceCIDR, `status.conditions`.
const READY_MESSAGE: &str = "Kubernetes default Service CIDR is ready";

/// Makes what is missing.
pub(super) async fn ensure(api: &Arc<Api>, options: &Options) {
    let has_range = range(api).await;
    api.health.note(Hook::ServiceRange, has_range);
    let mut has_services = true;
    if find(api, "", "services", "default", "kubernetes").is_none()
        && let Some(address) = first_address(&api.config.service_ranges)
    {
        let service = kubernetes(address, api.config.port);
        has_services &= make(api, &format!("{SERVICES}/default/services"), &service).await;
    }
    if let Some(address) = options.cluster_dns
        && find(api, "", "services", "kube-system", "kube-dns").is_none()
    {
        has_services &= make(api, &format!("{SERVICES}/kube-system/services"), &dns(address)).await;
    }
    api.health.note(Hook::Services, has_services);
}

/// Says so if the cluster has another range than the settings: the cluster's holds.
pub(super) fn tell_of_other_range(api: &Api) {
    let Some(found) = find(api, NETWORKING, "servicecidrs", "", "kubernetes") else { return };
    let given = &api.config.service_ranges;
    let cidrs: Vec<&str> = found.at("spec").at("cidrs").items().iter().map(Value::str).collect();
    if cidrs != *given {
        let (cidrs, given) = (cidrs.join(","), given.join(","));
        tracing::warn!(
            cidrs,
            given,
            "the default ServiceCIDR does not match the flag configurations, and stays"
        );
    }
}

/// The default range, from the server's settings; false if it is not there then.
async fn range(api: &Arc<Api>) -> bool {
    const COLLECTION: &str = "/apis/networking.k8s.io/v1/servicecidrs";
    let cidrs: Vec<Value> =
        api.config.service_ranges.iter().map(|r| Value::from(Str::from(r.as_str()))).collect();
    let cidrs = Value::Array(cidrs);
    let found = find(api, NETWORKING, "servicecidrs", "", "kubernetes");
    let mut is_there = true;
    if found.is_none() {
        let mut range = object("networking.k8s.io/v1", "ServiceCIDR", "", "kubernetes");
        range.set("spec", map([("cidrs", cidrs.clone())]));
        is_there = make(api, COLLECTION, &range).await;
    }
    let is_other = found.as_ref().is_some_and(|f| *f.at("spec").at("cidrs") != cidrs);
    // Of one that is to go, the controller says what becomes of it.
    let is_told = |f: &Value| {
        f.at("status").at("conditions").items().iter().any(|c| c.at("type").str() == "Ready")
            || !f.at("metadata").at("deletionTimestamp").is_null()
    };
    if is_other || found.as_ref().is_some_and(is_told) {
        return is_there;
    }
    let ready = map([
        ("type", "Ready".into()),
        ("status", "True".into()),
        ("message", READY_MESSAGE.into()),
        ("lastTransitionTime", api.now().to_string().into()),
    ]);
    let mut status = object("networking.k8s.io/v1", "ServiceCIDR", "", "kubernetes");
    status.set("status", map([("conditions", Value::Array(vec![ready]))]));
    let path = format!("{COLLECTION}/kubernetes/status?fieldManager={RANGE_MANAGER}&force=true");
    is_there & super::report(call(api, Method::PATCH, &path, Some(&status)).await, &path)
}

/// The first address of the first range that is no network's own.
fn first_address(ranges: &[String]) -> Option<IpAddr> {
    let (address, _) = ranges.first()?.split_once('/')?;
    match address.parse().ok()? {
        IpAddr::V4(ip) => Some(IpAddr::V4((u32::from(ip) + 1).into())),
        IpAddr::V6(ip) => Some(IpAddr::V6((u128::from(ip) + 1).into())),
    }
}

fn port(name: &str, protocol: &str, port: i64, target: i64) -> Value {
    map([
        ("name", name.into()),
        ("protocol", protocol.into()),
        ("port", port.into()),
        ("targetPort", target.into()),
    ])
}

fn service(namespace: &str, name: &str, labels: Value, address: IpAddr, ports: Vec<Value>) -> Value {
    let mut service = object("v1", "Service", namespace, name);
    if let Some(metadata) = service.object_at("metadata") {
        metadata.set("labels", labels);
    }
    service.set(
        "spec",
        map([
            ("ports", Value::Array(ports)),
            ("clusterIP", address.to_string().into()),
            ("ipFamilyPolicy", "SingleStack".into()),
            ("sessionAffinity", "None".into()),
            ("type", "ClusterIP".into()),
        ]),
    );
    service
}

fn kubernetes(address: IpAddr, target: u16) -> Value {
    let labels = map([("provider", "kubernetes".into()), ("component", "apiserver".into())]);
    service("default", "kubernetes", labels, address, vec![port("https", "TCP", HTTPS_PORT, target.into())])
}

/// Without a selector: the DNS is on every node, not in pods.
fn dns(address: IpAddr) -> Value {
    let labels = map([
        ("k8s-app", "kube-dns".into()),
        ("kubernetes.io/cluster-service", "true".into()),
        ("kubernetes.io/name", "CoreDNS".into()),
    ]);
    let ports =
        vec![port("dns", "UDP", 53, 53), port("dns-tcp", "TCP", 53, 53), port("metrics", "TCP", 9153, 9153)];
    let mut service = service("kube-system", "kube-dns", labels, address, ports);
    if let Some(metadata) = service.object_at("metadata") {
        let annotations =
            map([("prometheus.io/port", "9153".into()), ("prometheus.io/scrape", "true".into())]);
        metadata.set("annotations", annotations);
    }
    service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_addresses() {
        let of = |range: &str| first_address(&[range.to_owned()]).map(|a| a.to_string());
        assert_eq!(of("10.96.0.0/16").as_deref(), Some("10.96.0.1"));
        assert_eq!(of("fd00:10:96::/112").as_deref(), Some("fd00:10:96::1"));
        assert_eq!((of("nonsense"), first_address(&[])), (None, None));
    }
}
