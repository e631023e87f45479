//! Which slices to write so that they show the pods behind a Service. Pure.
//!
//! Slices are alike if their address type and ports are. What is in a slice stays in it; what is new fills
//! slices that are written anyway, then the one it fits into best, then new ones: few writes, and slices that
//! may stay half empty. Upstream: `k8s.io/endpointslice/reconciler.go`.

use super::hints::Distribution;
use super::{MANAGED_BY, MANAGER, SERVICE_NAME};
use crate::cluster::service_pods::{addresses, can_be_endpoint, has_cluster_ip, hostname, target_port};
use api::core::v1::{Node, ObjectReference, Pod, Service};
use api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use api::meta::v1::ObjectMeta;
use api::{Object, owners, pods};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// How many endpoints a slice holds, as `--max-endpoints-per-slice`.
const SLICE_ENDPOINTS_MAX: usize = 100;
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";
/// The longest prefix of a generated name that leaves room for its random end.
const NAME_PREFIX_BYTES_MAX: usize = 253 - 5;

/// What is there.
pub(super) struct World<'a> {
    pub(super) service: &'a Service,
    /// The pods that the Service selects.
    pub(super) pods: &'a [Arc<Pod>],
    /// The Service's slices that are ours and stay.
    pub(super) slices: &'a [Arc<EndpointSlice>],
    pub(super) node: &'a dyn Fn(&str) -> Option<Arc<Node>>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    /// As they are, and as they are to be.
    pub(super) update: Vec<(Arc<EndpointSlice>, EndpointSlice)>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
    /// Pods that were left out because their node is not known: their names and its name.
    pub(super) unplaced: Vec<(String, String)>,
}

/// What makes two endpoints the same one: addresses, host name, pod.
type EndpointKey = (Vec<String>, String, String, String);
/// What makes slices alike: name, number, protocol and application protocol of each port.
type PortKey = Vec<(String, i32, String, String)>;
type Desired = BTreeMap<EndpointKey, Endpoint>;

/// Decides.
pub(super) fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    let families = address_types(world.service);
    for slice in world.slices.iter().filter(|slice| !families.contains(slice.address_type.as_str())) {
        plan.delete.push(slice.clone());
    }
    for family in families {
        plan_family(world, family, &mut plan);
    }
    plan
}

fn address_types(service: &Service) -> BTreeSet<&'static str> {
    let spec = service.spec.as_ref();
    let families = spec.and_then(|s| s.ip_families.as_deref()).unwrap_or_default();
    let known = families.iter().filter_map(|family| match family.as_str() {
        "IPv4" => Some("IPv4"),
        "IPv6" => Some("IPv6"),
        _ => None,
    });
    let known: BTreeSet<_> = known.collect();
    if !known.is_empty() {
        return known;
    }
    match spec.and_then(|s| s.cluster_ip.as_deref()?.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(_)) => BTreeSet::from(["IPv4"]),
        Some(IpAddr::V6(_)) => BTreeSet::from(["IPv6"]),
        None => BTreeSet::from(["IPv4", "IPv6"]),
    }
}

fn plan_family(world: &World<'_>, family: &'static str, plan: &mut Plan) {
    let existing: Vec<&Arc<EndpointSlice>> =
        world.slices.iter().filter(|slice| slice.address_type == family).collect();
    let mut by_ports: BTreeMap<PortKey, Vec<&Arc<EndpointSlice>>> = BTreeMap::new();
    let mut work = Work::new(world.service, family);
    for slice in &existing {
        if owned_by(slice, world.service) {
            let key = port_key(slice.ports.as_deref().unwrap_or_default());
            by_ports.entry(key).or_default().push(slice);
        } else {
            work.delete.push((*slice).clone());
        }
    }
    let desired = desired(world, family, &mut plan.unplaced);
    for (key, slices) in &by_ports {
        if !desired.contains_key(key) {
            work.delete.extend(slices.iter().map(|slice| (*slice).clone()));
        }
    }
    for (key, (ports, endpoints)) in desired {
        let slices = by_ports.get(&key).map(Vec::as_slice).unwrap_or_default();
        work.place(slices, ports, endpoints);
    }
    work.placeholder(existing.len());
    work.hint(&existing);
    work.reuse();
    plan.create.extend(work.create);
    plan.update.extend(work.update);
    plan.delete.extend(work.delete);
}

/// The endpoints that there should be, by their ports.
fn desired(
    world: &World<'_>,
    family: &str,
    unplaced: &mut Vec<(String, String)>,
) -> BTreeMap<PortKey, (Vec<EndpointPort>, Desired)> {
    let mut desired: BTreeMap<PortKey, (Vec<EndpointPort>, Desired)> = BTreeMap::new();
    let publish = world.service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    for pod in world.pods.iter().filter(|pod| can_be_endpoint(pod)) {
        let ports = ports(world.service, pod);
        let group = desired.entry(port_key(&ports)).or_insert_with(|| (ports, Desired::new()));
        let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        let node = (world.node)(node_name);
        if node.is_none() && !publish {
            // Pods of nodes that are gone are collected; until then nothing may lead to them.
            let missing = (pod.name().to_owned(), node_name.to_owned());
            if !unplaced.contains(&missing) {
                unplaced.push(missing);
            }
            continue;
        }
        let endpoint = endpoint(world.service, pod, node.as_deref(), family, publish);
        if !endpoint.addresses.is_empty() {
            group.1.insert(endpoint_key(&endpoint), endpoint);
        }
    }
    desired
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let with_target = ports.iter().filter_map(|port| Some((port, target_port(pod, port)?)));
    with_target
        .map(|(port, target)| EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(target),
            protocol: port.protocol.clone(),
            app_protocol: port.app_protocol.clone(),
        })
        .collect()
}

fn endpoint(service: &Service, pod: &Pod, node: Option<&Node>, family: &str, publish: bool) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pods::is_terminating(pod);
    let mut ips: Vec<String> = addresses(pod)
        .filter_map(|text| text.parse::<IpAddr>().ok())
        .filter(|ip| ip.is_ipv6() == (family == "IPv6"))
        .map(|ip| ip.to_string())
        .collect();
    ips.sort();
    let zone = node.and_then(|node| node.metadata.labels.as_ref()?.get(ZONE)).filter(|zone| !zone.is_empty());
    Endpoint {
        addresses: ips,
        conditions: Some(EndpointConditions {
            // A pod that terminates is never ready, unless not being ready does not matter.
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(pod, service).map(str::to_owned),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some(pod.namespace().to_owned()),
            name: Some(pod.name().to_owned()),
            uid: Some(pod.uid().to_owned()),
            ..ObjectReference::default()
        }),
        zone: zone.cloned(),
        ..Endpoint::default()
    }
}

fn endpoint_key(endpoint: &Endpoint) -> EndpointKey {
    let mut addresses = endpoint.addresses.clone();
    addresses.sort();
    let target = endpoint.target_ref.as_ref();
    (
        addresses,
        endpoint.hostname.clone().unwrap_or_default(),
        target.and_then(|t| t.namespace.clone()).unwrap_or_default(),
        target.and_then(|t| t.name.clone()).unwrap_or_default(),
    )
}

fn port_key(ports: &[EndpointPort]) -> PortKey {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut key: PortKey = ports
        .iter()
        .map(|p| (text(&p.name), p.port.unwrap_or_default(), text(&p.protocol), text(&p.app_protocol)))
        .collect();
    key.sort();
    key
}

/// Whether all but hints and what makes the key is equal.
fn same_endpoint(a: &Endpoint, b: &Endpoint) -> bool {
    let target = |e: &Endpoint| {
        e.target_ref.clone().map(|reference| ObjectReference { resource_version: None, ..reference })
    };
    a.node_name == b.node_name
        && a.zone == b.zone
        && a.conditions.clone().unwrap_or_default() == b.conditions.clone().unwrap_or_default()
        && target(a) == target(b)
}

fn owned_by(slice: &EndpointSlice, service: &Service) -> bool {
    let owners = slice.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|o| o.uid == service.uid() && o.kind == "Service" && o.api_version == "v1")
}

/// The decisions on one address type.
struct Work<'a> {
    family: &'static str,
    service: &'a Service,
    labels: BTreeMap<String, String>,
    create: Vec<EndpointSlice>,
    update: Vec<(Arc<EndpointSlice>, EndpointSlice)>,
    delete: Vec<Arc<EndpointSlice>>,
}

impl<'a> Work<'a> {
    fn new(service: &'a Service, family: &'static str) -> Self {
        let mut labels: BTreeMap<String, String> = service.metadata.labels.clone().unwrap_or_default();
        labels.retain(|key, _| !is_reserved(key));
        if !has_cluster_ip(service) {
            labels.insert(HEADLESS.into(), String::new());
        }
        labels.insert(SERVICE_NAME.into(), service.name().into());
        labels.insert(MANAGED_BY.into(), MANAGER.into());
        Self { family, service, labels, create: Vec::new(), update: Vec::new(), delete: Vec::new() }
    }

    /// Puts endpoints of one set of ports into slices.
    fn place(&mut self, slices: &[&Arc<EndpointSlice>], ports: Vec<EndpointPort>, mut desired: Desired) {
        let mut update: Vec<(Arc<EndpointSlice>, EndpointSlice)> = Vec::new();
        let mut unchanged: Vec<&Arc<EndpointSlice>> = Vec::new();
        for slice in slices {
            let (kept, changed) = keep(slice, &mut desired);
            let old = slice.endpoints.as_deref().unwrap_or_default();
            if changed || kept.len() != old.len() {
                if kept.is_empty() {
                    self.delete.push((*slice).clone());
                    continue;
                }
                let mut new = EndpointSlice::clone(slice);
                new.endpoints = Some(kept);
                new.metadata.labels = Some(self.labels.clone());
                update.push(((*slice).clone(), new));
            } else if self.labels_differ(slice) {
                let mut new = EndpointSlice::clone(slice);
                new.metadata.labels = Some(self.labels.clone());
                update.push(((*slice).clone(), new));
            } else {
                unchanged.push(slice);
            }
        }
        // The fullest first: the emptier ones may become empty one day.
        update.sort_by_key(|(_, slice)| std::cmp::Reverse(count(slice)));
        for (_, slice) in &mut update {
            fill(slice, &mut desired);
        }
        while !desired.is_empty() {
            match best_fit(&unchanged, desired.len()) {
                Some(at) => {
                    let old = unchanged.remove(at);
                    let mut new = EndpointSlice::clone(old);
                    fill(&mut new, &mut desired);
                    update.push((old.clone(), new));
                }
                None => {
                    let mut new = self.new_slice(ports.clone());
                    fill(&mut new, &mut desired);
                    self.create.push(new);
                }
            }
        }
        self.update.extend(update);
    }

    fn labels_differ(&self, slice: &EndpointSlice) -> bool {
        let own = |labels: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            labels.iter().filter(|(k, _)| !is_reserved(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        own(&slice.metadata.labels.clone().unwrap_or_default()) != own(&self.labels)
    }

    fn new_slice(&self, ports: Vec<EndpointPort>) -> EndpointSlice {
        let name = self.service.name();
        let dash = if name.len() < NAME_PREFIX_BYTES_MAX { "-" } else { "" };
        EndpointSlice {
            address_type: self.family.to_owned(),
            endpoints: Some(Vec::new()),
            metadata: ObjectMeta {
                generate_name: Some(format!("{name}{dash}")),
                namespace: Some(self.service.namespace().to_owned()),
                labels: Some(self.labels.clone()),
                owner_references: Some(vec![owners::controller_reference(self.service)]),
                ..ObjectMeta::default()
            },
            ports: Some(ports),
        }
    }

    /// A Service without endpoints has one slice that says so.
    fn placeholder(&mut self, existing: usize) {
        if self.delete.len() != existing || !self.create.is_empty() {
            return;
        }
        let placeholder = self.new_slice(Vec::new());
        if let [only] = self.delete.as_slice()
            && only.metadata.labels == placeholder.metadata.labels
            && only.metadata.owner_references == placeholder.metadata.owner_references
            && count(only) == 0
            && only.ports.as_deref().unwrap_or_default().is_empty()
        {
            self.delete.clear();
            return;
        }
        self.create.push(placeholder);
    }

    fn hint(&mut self, existing: &[&Arc<EndpointSlice>]) {
        let distribution = Distribution::of(self.service);
        for slice in self.create.iter_mut().chain(self.update.iter_mut().map(|(_, new)| new)) {
            distribution.apply(slice.endpoints.get_or_insert_default());
        }
        let named = |slice: &EndpointSlice| slice.name().to_owned();
        let touched: BTreeSet<String> = self
            .update
            .iter()
            .map(|(old, _)| named(old))
            .chain(self.delete.iter().map(|s| named(s)))
            .collect();
        for slice in existing.iter().filter(|slice| !touched.contains(slice.name())) {
            let mut new = EndpointSlice::clone(slice);
            if distribution.apply(new.endpoints.get_or_insert_default()) {
                self.update.push(((*slice).clone(), new));
            }
        }
    }

    /// What would be deleted takes in what would be created.
    fn reuse(&mut self) {
        let mut kept = Vec::new();
        for old in std::mem::take(&mut self.delete) {
            if !owned_by(&old, self.service) {
                kept.push(old);
                continue;
            }
            let Some(created) = self.create.pop() else {
                kept.push(old);
                continue;
            };
            let mut new = EndpointSlice::clone(&old);
            new.metadata.labels = created.metadata.labels;
            new.endpoints = created.endpoints;
            new.ports = created.ports;
            self.update.push((old, new));
        }
        self.delete = kept;
    }
}

fn is_reserved(label: &str) -> bool {
    matches!(label, SERVICE_NAME | MANAGED_BY | HEADLESS)
}

fn count(slice: &EndpointSlice) -> usize {
    slice.endpoints.as_ref().map_or(0, Vec::len)
}

/// The endpoints of a slice that are still wanted, as they are wanted; they are taken out of `desired`.
fn keep(slice: &EndpointSlice, desired: &mut Desired) -> (Vec<Endpoint>, bool) {
    let mut kept = Vec::new();
    let mut changed = false;
    for old in slice.endpoints.iter().flatten() {
        if let Some(mut new) = desired.remove(&endpoint_key(old)) {
            changed |= !same_endpoint(old, &new);
            // Hints are decided on afterwards, from what they are.
            new.hints.clone_from(&old.hints);
            kept.push(new);
        }
    }
    (kept, changed)
}

fn fill(slice: &mut EndpointSlice, desired: &mut Desired) {
    let endpoints = slice.endpoints.get_or_insert_default();
    while endpoints.len() < SLICE_ENDPOINTS_MAX
        && let Some((_, endpoint)) = desired.pop_first()
    {
        endpoints.push(endpoint);
    }
}

/// The slice that gets fullest by taking in all of `wanted`.
fn best_fit(slices: &[&Arc<EndpointSlice>], wanted: usize) -> Option<usize> {
    if wanted >= SLICE_ENDPOINTS_MAX {
        return None;
    }
    let fits = |slice: &&Arc<EndpointSlice>| SLICE_ENDPOINTS_MAX.checked_sub(wanted + count(slice));
    let all = slices.iter().enumerate().filter_map(|(at, slice)| Some((fits(slice)?, at)));
    // A slice that would be left as empty as a new one is no better than a new one.
    all.filter(|(room, _)| *room < SLICE_ENDPOINTS_MAX).min().map(|(_, at)| at)
}
