//! The subsets of Endpoints: addresses of pods, together with the ports that all of them have. Pure.
//! Upstream: `pkg/api/v1/endpoints/util.go`.

use crate::cluster::service_pods::{addresses, can_be_endpoint, hostname, target_port};
use api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, ObjectReference, Pod, Service};
use api::{Object, pods};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// An address in order: the IP, the pod's UID, whether it is ready, and where its whole form is.
type Place = (IpAddr, String, bool, usize);
type Port = (String, i32, String, Option<String>);

/// The subsets of the pods behind a Service.
pub(super) fn of(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let spec = service.spec.clone().unwrap_or_default();
    let publish = spec.publish_not_ready_addresses == Some(true);
    let service_ports = spec.ports.unwrap_or_default();
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let mut all: Vec<EndpointAddress> = Vec::new();
    let mut by_port: BTreeMap<Option<Port>, BTreeSet<Place>> = BTreeMap::new();
    for pod in pods {
        if !can_be_endpoint(pod) || (pods::is_terminating(pod) && !publish) {
            continue;
        }
        let Some(ip) = address(service, pod) else { continue };
        let place = (ip, pod.uid().to_owned(), publish || pods::is_ready(pod), all.len());
        all.push(whole(service, pod, ip));
        if service_ports.is_empty() && headless {
            by_port.entry(None).or_default().insert(place.clone());
        }
        for port in &service_ports {
            let Some(target) = target_port(pod, port) else { continue };
            let name = port.name.clone().unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_default();
            let key = (name, target, protocol, port.app_protocol.clone());
            by_port.entry(Some(key)).or_default().insert(place.clone());
        }
    }
    let mut by_places: BTreeMap<BTreeSet<Place>, Vec<EndpointPort>> = BTreeMap::new();
    for (port, places) in by_port {
        let ports = by_places.entry(places).or_default();
        if let Some((name, port, protocol, app_protocol)) = port {
            let name = (!name.is_empty()).then_some(name);
            ports.push(EndpointPort { name, port, protocol: Some(protocol), app_protocol });
        }
    }
    let list = |places: &BTreeSet<Place>, ready: bool| {
        let addresses = places.iter().filter(|place| place.2 == ready).map(|place| all[place.3].clone());
        let addresses: Vec<EndpointAddress> = addresses.collect();
        (!addresses.is_empty()).then_some(addresses)
    };
    by_places
        .into_iter()
        .map(|(places, ports)| EndpointSubset {
            addresses: list(&places, true),
            not_ready_addresses: list(&places, false),
            ports: (!ports.is_empty()).then_some(ports),
        })
        .collect()
}

/// The pod's address of the Service's first family.
fn address(service: &Service, pod: &Pod) -> Option<IpAddr> {
    let spec = service.spec.as_ref()?;
    let mut ips = addresses(pod).filter_map(|ip| ip.parse::<IpAddr>().ok());
    let family = match spec.ip_families.as_deref().and_then(<[String]>::first).map(String::as_str) {
        Some(family) => Some(family == "IPv6"),
        None => spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.is_ipv6()),
    };
    match family {
        Some(v6) => ips.find(|ip| ip.is_ipv6() == v6),
        None => ips.next(),
    }
}

fn whole(service: &Service, pod: &Pod, ip: IpAddr) -> EndpointAddress {
    EndpointAddress {
        ip: ip.to_string(),
        hostname: hostname(pod, service).map(str::to_owned),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some(pod.namespace().to_owned()),
            name: Some(pod.name().to_owned()),
            uid: Some(pod.uid().to_owned()),
            ..ObjectReference::default()
        }),
    }
}

/// Cuts off what is above `max`, ready addresses last; whether something was.
pub(super) fn truncate(subsets: &mut [EndpointSubset], max: usize) -> bool {
    let len = |list: &Option<Vec<EndpointAddress>>| list.as_ref().map_or(0, Vec::len);
    let ready: usize = subsets.iter().map(|s| len(&s.addresses)).sum();
    let unready: usize = subsets.iter().map(|s| len(&s.not_ready_addresses)).sum();
    if ready + unready <= max {
        return false;
    }
    let cut_ready = ready > max;
    let (room, total) = if cut_ready { (max, ready) } else { (max - ready, unready) };
    let mut left = room;
    for subset in subsets {
        let list = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        // Each subset keeps its share, rounded up.
        let share = (len(list) * room).div_ceil(total.max(1)).min(left);
        if let Some(list) = list {
            list.truncate(share);
            left -= list.len();
        }
        if list.as_ref().is_some_and(Vec::is_empty) {
            *list = None;
        }
        if cut_ready {
            subset.not_ready_addresses = None;
        }
    }
    true
}
