//! What a Service becomes on a node: `plan` is pure. Mirrors syncProxyRules of pkg/proxy/nftables/proxier.go.

use super::element::{Action, Backend, ENDPOINTS_MAX, Frontend, Group, Key, Pick, Value};
use super::endpoints::{Endpoint, by_port, usable};
use crate::cidr::{Cidr, Family};
use crate::cni::HostPort;
use crate::protocol::Protocol;
use api::core::v1::{Service, ServicePort, ServiceSpec};
use api::discovery::v1::EndpointSlice;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Another proxy serves the Service.
const PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// A Service without a cluster IP whose endpoints are its own business.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
/// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` where there is none.
const AFFINITY_SECONDS_DEFAULT: i32 = 10_800;

/// What a plan needs to know of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Label `topology.kubernetes.io/zone`; empty if there is none.
    pub zone: String,
    /// Its addresses as the Node object lists them; node ports answer there.
    pub addresses: Vec<IpAddr>,
}

/// What one object becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// Elements of the kernel's sets and maps.
    pub(crate) elements: BTreeMap<Key, Value>,
    /// The endpoints to which a UDP frontend's connections may be bound; all others are stale. Frontends
    /// without endpoints are absent.
    pub(crate) udp: BTreeMap<Frontend, Vec<Backend>>,
    /// The port for `healthCheckNodePort`, and how many endpoints are ready on this node.
    pub(crate) health_check: Option<(u16, usize)>,
}

impl std::fmt::Display for RuleSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (key, value) in &self.elements {
            writeln!(f, "{key}{value}")?;
        }
        for (frontend, backends) in &self.udp {
            let backends: Vec<String> = backends.iter().map(Backend::to_string).collect();
            writeln!(f, "udp {frontend}: {}", backends.join(", "))?;
        }
        if let Some((port, count)) = self.health_check {
            writeln!(f, "health check {port}: {count}")?;
        }
        Ok(())
    }
}

/// The rules of a Service on a node. Slices are those of the Service, in any order.
pub fn plan(service: &Service, slices: &[&EndpointSlice], node: &Node) -> RuleSet {
    let mut rules = RuleSet::default();
    let Some(spec) = service.spec.as_ref().filter(|spec| is_proxied(service, spec)) else { return rules };
    let local_policy = spec.external_traffic_policy.as_deref() == Some("Local")
        && (matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"))
            || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()));
    if spec.type_.as_deref() == Some("LoadBalancer") && local_policy {
        let port = spec.health_check_node_port.and_then(|port| u16::try_from(port).ok());
        rules.health_check = port.filter(|port| *port > 0).map(|port| (port, ready_on_node(slices, node)));
    }
    for family in Family::ALL {
        let Some(cluster_ip) = cluster_ip(spec, family) else { continue };
        let endpoints = by_port(slices.iter().copied(), family, node);
        for port in spec.ports.iter().flatten() {
            let Some(protocol) = Protocol::parse(port.protocol.as_deref().unwrap_or_default()) else {
                continue;
            };
            let Ok(number) = u16::try_from(port.port) else { continue };
            let name = port.name.clone().unwrap_or_default();
            let port = Port {
                cluster_ip: Frontend { address: cluster_ip, protocol, port: number },
                external: external_frontends(service, spec, port, protocol, number, family),
                internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
                external_local: local_policy,
                affinity_seconds: affinity_seconds(spec),
            };
            port.plan(endpoints.get(&(name, protocol)).map_or(&[][..], Vec::as_slice), node, &mut rules);
            source_ranges(service, spec, &port.external, node, family, &mut rules);
        }
    }
    rules
}

/// The rules of the ports of the node that lead to pods.
pub(crate) fn plan_host_ports(ports: &[HostPort]) -> RuleSet {
    let mut rules = RuleSet::default();
    for port in ports {
        let backend = Backend { address: port.address, port: port.port };
        let address = port.host_address.unwrap_or_else(|| Family::of(port.address).unspecified());
        let frontend = Frontend { address, protocol: port.protocol, port: port.host_port };
        rules.elements.insert(Key::HostPort(frontend), Value::Backend(backend));
        rules.elements.insert(Key::Hairpin(port.address), Value::Member);
        if port.protocol == Protocol::Udp {
            rules.udp.entry(frontend).or_default().push(backend);
        }
    }
    rules
}

/// The rules of what is served on the node itself.
pub(crate) fn plan_redirects(redirects: &[(Frontend, Backend)]) -> RuleSet {
    let mut rules = RuleSet::default();
    for (frontend, backend) in redirects {
        let pick =
            Pick { count: 1, group: Group::Local, node_port: false, masquerade: false, affinity_seconds: 0 };
        rules.elements.insert(Key::Redirect(*frontend), Value::Action(Action::Pick(pick)));
        let number = Group::Local.offset();
        rules.elements.insert(Key::Endpoint(*frontend, number), Value::Backend(*backend));
        if frontend.protocol == Protocol::Udp {
            rules.udp.insert(*frontend, vec![*backend]);
        }
    }
    rules
}

/// The rules of the node's own addresses.
pub(crate) fn plan_node(node: &Node) -> RuleSet {
    let elements =
        node.addresses.iter().map(|address| (Key::NodePortAddress(*address), Value::Member)).collect();
    RuleSet { elements, ..RuleSet::default() }
}

/// The rules of the ranges of cluster IPs.
pub(crate) fn plan_service_ranges(cidrs: &[Cidr]) -> RuleSet {
    let elements = cidrs.iter().map(|cidr| (Key::ServiceRange(*cidr), Value::Member)).collect();
    RuleSet { elements, ..RuleSet::default() }
}

/// A port of a Service in one family.
struct Port {
    cluster_ip: Frontend,
    external: Vec<External>,
    internal_local: bool,
    external_local: bool,
    affinity_seconds: u32,
}

/// Where a port is reached other than by its cluster IP.
struct External {
    frontend: Frontend,
    /// An address of `status.loadBalancer`: source ranges hold.
    load_balancer: bool,
}

impl Port {
    fn plan(&self, endpoints: &[Endpoint], node: &Node, rules: &mut RuleSet) {
        let accessible = !self.external.is_empty();
        let uses_cluster = !self.internal_local || accessible;
        let uses_local = self.internal_local || (self.external_local && accessible);
        let usable = usable(endpoints, uses_cluster, uses_local, node);
        let cluster = truncated(&usable.cluster);
        let local = truncated(&usable.local);
        let elements = &mut rules.elements;
        elements.insert(Key::ClusterIp(self.cluster_ip.address), Value::Member);
        for backend in &usable.on_node {
            elements.insert(Key::Hairpin(backend.address), Value::Member);
        }

        // From inside, by the cluster IP.
        let (group, backends) =
            if self.internal_local { (Group::Local, local) } else { (Group::Cluster, cluster) };
        if usable.any && !backends.is_empty() {
            let pick = self.pick(self.cluster_ip, group, backends.len(), false);
            self.put(elements, self.cluster_ip, &[(group, backends)]);
            elements.insert(Key::Service(self.cluster_ip), Value::Action(Action::Pick(pick)));
        } else {
            let action = if usable.any { Action::Drop } else { Action::Reject };
            elements.insert(Key::NoEndpoints(self.cluster_ip), Value::Action(action));
        }

        // From outside.
        for External { frontend, .. } in &self.external {
            let frontend = *frontend;
            if !usable.any {
                elements.insert(Key::NoEndpoints(frontend), Value::Action(Action::Reject));
                continue;
            }
            if !self.external_local {
                if cluster.is_empty() {
                    elements.insert(Key::NoEndpoints(frontend), Value::Action(Action::Reject));
                    continue;
                }
                let pick = self.pick(frontend, Group::Cluster, cluster.len(), true);
                self.put(elements, frontend, &[(Group::Cluster, cluster)]);
                elements.insert(Key::Service(frontend), Value::Action(Action::Pick(pick)));
                continue;
            }
            let node_port = frontend.is_node_port();
            let action = Action::ExternalLocal { node_port };
            elements.insert(Key::Service(frontend), Value::Action(action));
            self.put(elements, frontend, &[(Group::Cluster, cluster), (Group::Local, local)]);
            if !cluster.is_empty() {
                let pick = self.pick(frontend, Group::Cluster, cluster.len(), false);
                elements.insert(Key::Shortcut(frontend), Value::Action(Action::Pick(pick)));
            }
            if local.is_empty() {
                elements.insert(Key::NoEndpoints(frontend), Value::Action(Action::Drop));
            } else {
                let pick = self.pick(frontend, Group::Local, local.len(), false);
                elements.insert(Key::Local(frontend), Value::Action(Action::Pick(pick)));
            }
        }

        if self.cluster_ip.protocol == Protocol::Udp {
            // Flows are kept as long as their endpoint serves, whatever policies say about new ones.
            let serving: Vec<Backend> = endpoints
                .iter()
                .filter(|endpoint| endpoint.serving)
                .map(|endpoint| endpoint.backend)
                .collect();
            if !serving.is_empty() {
                for frontend in
                    self.external.iter().map(|external| external.frontend).chain([self.cluster_ip])
                {
                    rules.udp.insert(frontend, serving.clone());
                }
            }
        }
    }

    fn pick(&self, frontend: Frontend, group: Group, count: usize, masquerade: bool) -> Pick {
        Pick {
            count: count as u32, // at most ENDPOINTS_MAX, see `truncated`
            group,
            node_port: frontend.is_node_port(),
            masquerade,
            affinity_seconds: self.affinity_seconds,
        }
    }

    /// Numbers the endpoints of a frontend.
    fn put(&self, elements: &mut BTreeMap<Key, Value>, frontend: Frontend, groups: &[(Group, &[Backend])]) {
        for (group, backends) in groups {
            for (number, backend) in (group.offset()..).zip(*backends) {
                if self.affinity_seconds == 0 {
                    elements.insert(Key::Endpoint(frontend, number), Value::Backend(*backend));
                    continue;
                }
                let mark = backend.mark();
                elements.insert(Key::AffinityMark(frontend, number), Value::Mark(mark));
                elements.insert(Key::AffinityEndpoint(frontend, mark, *group), Value::Backend(*backend));
            }
        }
    }
}

fn truncated(backends: &[Backend]) -> &[Backend] {
    &backends[..backends.len().min(ENDPOINTS_MAX as usize)]
}

/// Whether the Service has an address of its own and is not another's to serve.
fn is_proxied(service: &Service, spec: &ServiceSpec) -> bool {
    let labels = service.metadata.labels.as_ref();
    let labelled = |name: &str| labels.is_some_and(|labels| labels.contains_key(name));
    spec.cluster_ip.as_deref().is_some_and(|ip| !ip.is_empty() && ip != "None")
        && spec.type_.as_deref() != Some("ExternalName")
        && !labelled(PROXY_NAME_LABEL)
        && !labelled(HEADLESS_LABEL)
}

fn cluster_ip(spec: &ServiceSpec, family: Family) -> Option<IpAddr> {
    let listed = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    listed.filter_map(|ip| ip.parse().ok()).find(|ip| Family::of(*ip) == family)
}

fn affinity_seconds(spec: &ServiceSpec) -> u32 {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return 0;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|config| config.timeout_seconds).unwrap_or(AFFINITY_SECONDS_DEFAULT);
    u32::try_from(seconds).unwrap_or(0)
}

fn external_frontends(
    service: &Service,
    spec: &ServiceSpec,
    port: &ServicePort,
    protocol: Protocol,
    number: u16,
    family: Family,
) -> Vec<External> {
    let at = |address: IpAddr, load_balancer| External {
        frontend: Frontend { address, protocol, port: number },
        load_balancer,
    };
    let external_ips = spec.external_ips.iter().flatten().filter_map(|ip| ip.parse().ok());
    let external_ips = external_ips.map(|address| at(address, false));
    let balancers = load_balancer_addresses(service).map(|address| at(address, true));
    let mut all: Vec<External> = external_ips
        .chain(balancers)
        .filter(|external| {
            Family::of(external.frontend.address) == family && !external.frontend.address.is_unspecified()
        })
        .collect();
    if let Some(node_port) = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
    {
        let frontend = Frontend { address: family.unspecified(), protocol, port: node_port };
        all.push(External { frontend, load_balancer: false });
    }
    all
}

/// Addresses that a load balancer hands on unchanged; with mode `Proxy` it connects by itself.
fn load_balancer_addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
    ingress
        .filter(|ingress| ingress.ip_mode.as_deref().is_none_or(|mode| mode == "VIP"))
        .filter_map(|ingress| ingress.ip.as_deref()?.parse().ok())
}

/// `loadBalancerSourceRanges`: who may use the load balancer's addresses.
fn source_ranges(
    service: &Service,
    spec: &ServiceSpec,
    external: &[External],
    node: &Node,
    family: Family,
    rules: &mut RuleSet,
) {
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    let mut ranges: Vec<Cidr> = ranges
        .filter_map(|range| range.parse().ok())
        .filter(|range: &Cidr| range.family() == family)
        .collect();
    // A range of all is as good as none.
    if ranges.is_empty() || ranges.iter().any(|range| range.prefix() == 0) {
        return;
    }
    // The address may be one of this node's: then it is the source of what the node sends to it.
    let node_may = node.addresses.iter().any(|address| ranges.iter().any(|range| range.contains(*address)));
    if node_may {
        let own = load_balancer_addresses(service).filter(|address| Family::of(*address) == family);
        ranges.extend(own.map(Cidr::host));
    }
    // Ranges in the kernel must not overlap.
    let all = ranges.clone();
    ranges.retain(|range| !all.iter().any(|other| other != range && other.covers(*range)));
    for External { frontend, .. } in external.iter().filter(|external| external.load_balancer) {
        rules.elements.insert(Key::Firewalled(*frontend), Value::Member);
        for range in &ranges {
            rules.elements.insert(Key::SourceRange(*frontend, *range), Value::Member);
        }
    }
}

/// How many endpoints on this node are ready, each address once: what a load balancer's health check counts.
fn ready_on_node(slices: &[&EndpointSlice], node: &Node) -> usize {
    let ready = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        endpoint.node_name.as_deref() == Some(&node.name)
            && conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
    });
    let addresses: std::collections::BTreeSet<&String> =
        ready.filter_map(|endpoint| endpoint.addresses.first()).collect();
    addresses.len()
}
