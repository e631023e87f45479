//! Which records a name of the cluster has.

use api::Object;
use api::core::v1::Service;
use api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use client::Lister;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The version of the specification that these names follow.
const SCHEMA_VERSION: &str = "1.1.0";
/// How long an answer may be kept, in seconds: kubeadm's choice for CoreDNS.
const TTL_SECONDS: u32 = 30;
/// The label that says which Service a slice is of.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Weights of the targets of an SRV record add up to about this (CoreDNS).
const WEIGHT_TOTAL: usize = 100;

const BY_SERVICE: &str = "dns/service";
const BY_ADDRESS: &str = "dns/address";

/// What is known of a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its records of the type asked for, and the addresses of what they name.
    Records {
        /// The answer.
        answers: Vec<Record>,
        /// What the asker will want next.
        additionals: Vec<Record>,
    },
    /// It exists, without records of that type.
    NoData,
    /// It does not exist.
    NoName,
    /// It is not a name of this cluster.
    NotOurs,
}

impl Found {
    fn records(answers: Vec<Record>) -> Self {
        if answers.is_empty() { Self::NoData } else { Self::Records { answers, additionals: Vec::new() } }
    }
}

/// The names of a cluster.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    services: Lister<Service>,
    slices: Lister<EndpointSlice>,
}

impl Zone {
    /// The names below `domain` (`cluster.local`), and the reverse names of Services and their endpoints.
    pub fn new(domain: &str, services: Lister<Service>, slices: Lister<EndpointSlice>) -> Option<Self> {
        services.add_index(BY_ADDRESS, |service| {
            let addresses = service.spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten());
            addresses.filter(|text| *text != "None" && !text.is_empty()).cloned().collect()
        });
        slices.add_index(BY_SERVICE, |slice| {
            service_of(slice).map(|service| format!("{}/{service}", slice.namespace())).into_iter().collect()
        });
        slices.add_index(BY_ADDRESS, |slice| {
            slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.iter().cloned()).collect()
        });
        let mut origin = Name::from_ascii(domain).ok()?;
        origin.set_fqdn(true);
        Some(Self { origin, services, slices })
    }

    /// The record that says how long an absence may be believed (RFC 2308).
    pub fn authority(&self) -> Option<Record> {
        let below = |label: &str| Name::from_ascii(label).ok()?.append_domain(&self.origin).ok();
        let data = SOA::new(below("ns.dns")?, below("hostmaster")?, 1, 7_200, 1_800, 86_400, TTL_SECONDS);
        Some(Record::from_rdata(self.origin.clone(), TTL_SECONDS, RData::SOA(data)))
    }

    /// What `name` has of `kind`. Answers carry the name as it was asked for.
    pub fn find(&self, name: &Name, kind: RecordType) -> Found {
        if let Some(address) = reverse(name) {
            return self.reverse(name, address, kind);
        }
        if !self.origin.zone_of(name) {
            return Found::NotOurs;
        }
        // Not `num_labels`, which does not count a first `*`.
        let count = name.iter().count().saturating_sub(self.origin.iter().count());
        let labels: Option<Vec<String>> = name
            .iter()
            .take(count)
            .map(|label| Some(std::str::from_utf8(label).ok()?.to_ascii_lowercase()))
            .collect();
        let Some(labels) = labels else { return Found::NoName };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            [] => self.apex(name, kind),
            ["dns-version"] if kind == RecordType::TXT => {
                Found::records(vec![record(name, RData::TXT(TXT::new(vec![SCHEMA_VERSION.into()])))])
            }
            ["dns-version"] | ["svc" | "pod" | "dns"] => Found::NoData,
            ["ns", "dns"] => self.nameserver(name, kind),
            [namespace, "svc" | "pod"] => {
                if self.services.list_in(namespace).is_empty() {
                    Found::NoName
                } else {
                    Found::NoData
                }
            }
            [address, _, "pod"] => pod(name, address, kind),
            [service, namespace, "svc"] => match self.services.get(namespace, service) {
                Some(service) => self.service(name, &service, kind),
                None => Found::NoName,
            },
            [protocol, service, namespace, "svc"] if protocol.starts_with('_') => {
                // Something may be below it.
                match self.services.get(namespace, service) {
                    Some(_) => Found::NoData,
                    None => Found::NoName,
                }
            }
            [host, service, namespace, "svc"] => match self.services.get(namespace, service) {
                Some(service) => self.endpoint(name, &service, host, kind),
                None => Found::NoName,
            },
            [port, protocol, service, namespace, "svc"] => {
                match (
                    self.services.get(namespace, service),
                    port.strip_prefix('_'),
                    protocol.strip_prefix('_'),
                ) {
                    (Some(service), Some(port), Some(protocol)) => {
                        self.port(name, &service, Some((port, protocol)), kind)
                    }
                    _ => Found::NoName,
                }
            }
            _ => Found::NoName,
        }
    }

    fn apex(&self, name: &Name, kind: RecordType) -> Found {
        match kind {
            RecordType::SOA => Found::records(self.authority().into_iter().collect()),
            RecordType::NS => {
                let server = Name::from_ascii("ns.dns").and_then(|ns| ns.append_domain(&self.origin));
                Found::records(server.into_iter().map(|ns| record(name, RData::NS(NS(ns)))).collect())
            }
            _ => Found::NoData,
        }
    }

    fn nameserver(&self, name: &Name, kind: RecordType) -> Found {
        match self.services.get("kube-system", "kube-dns") {
            Some(service) => Found::records(addresses(name, cluster_ips(&service).into_iter(), kind)),
            None => Found::NoData,
        }
    }

    fn service(&self, name: &Name, service: &Service, kind: RecordType) -> Found {
        if let Some(target) = external_name(service) {
            return alias(name, target, kind);
        }
        if kind == RecordType::SRV {
            return self.port(name, service, None, kind);
        }
        let ips = cluster_ips(service);
        if !ips.is_empty() {
            return Found::records(addresses(name, ips.into_iter(), kind));
        }
        let ready = self.endpoints(service);
        // A headless Service of which nothing is ready has no name, as CoreDNS sees it.
        if ready.is_empty() {
            return Found::NoName;
        }
        let ips: BTreeSet<IpAddr> = ready.iter().flat_map(Target::addresses).collect();
        Found::records(addresses(name, ips.into_iter(), kind))
    }

    /// `HOST.SERVICE`: one endpoint, by its hostname or its address with dashes. As with CoreDNS the Service need not
    /// be headless: the reverse names of its endpoints lead here.
    fn endpoint(&self, name: &Name, service: &Service, host: &str, kind: RecordType) -> Found {
        if external_name(service).is_some() {
            return Found::NoName;
        }
        let targets = self.endpoints(service);
        let ips: BTreeSet<IpAddr> = targets
            .iter()
            .flat_map(|target| target.hosts())
            .filter(|(label, _)| label == host)
            .map(|(_, ip)| ip)
            .collect();
        if ips.is_empty() { Found::NoName } else { Found::records(addresses(name, ips.into_iter(), kind)) }
    }

    /// SRV records of a named port, or of all ports.
    fn port(&self, name: &Name, service: &Service, which: Option<(&str, &str)>, kind: RecordType) -> Found {
        let wanted = |port: Option<&str>, protocol: Option<&str>| match which {
            None => true,
            Some((name, proto)) => {
                port.unwrap_or_default().eq_ignore_ascii_case(name)
                    && protocol.unwrap_or("TCP").eq_ignore_ascii_case(proto)
            }
        };
        let Some(own) = self.service_name(service.namespace(), service.name()) else { return Found::NoName };
        let ips = cluster_ips(service);
        let mut targets: Vec<(Name, u16, Vec<IpAddr>)> = Vec::new();
        if ips.is_empty() {
            for target in self.endpoints(service) {
                for (label, ip) in target.hosts() {
                    let Ok(host) = Name::from_ascii(&label).and_then(|label| label.append_domain(&own))
                    else {
                        continue;
                    };
                    let ports =
                        target.ports().iter().filter(|p| wanted(p.name.as_deref(), p.protocol.as_deref()));
                    for port in ports.filter_map(|port| u16::try_from(port.port?).ok()) {
                        targets.push((host.clone(), port, vec![ip]));
                    }
                }
            }
        } else {
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            for port in ports.filter(|p| wanted(p.name.as_deref(), p.protocol.as_deref())) {
                targets.extend(u16::try_from(port.port).map(|port| (own.clone(), port, ips.clone())));
            }
        }
        if targets.is_empty() {
            return Found::NoName;
        }
        if kind != RecordType::SRV {
            return Found::NoData;
        }
        let weight = u16::try_from((WEIGHT_TOTAL / targets.len()).max(1)).unwrap_or(1);
        let mut additionals = Vec::new();
        let mut answers = Vec::new();
        for (host, port, ips) in targets {
            answers.push(record(name, RData::SRV(SRV::new(0, weight, port, host.clone()))));
            for ip in ips {
                let address = record(&host, ip_data(ip));
                if !additionals.contains(&address) {
                    additionals.push(address);
                }
            }
        }
        Found::Records { answers, additionals }
    }

    fn reverse(&self, name: &Name, address: IpAddr, kind: RecordType) -> Found {
        let text = address.to_string();
        let mut names = BTreeSet::new();
        for service in self.services.by_index(BY_ADDRESS, &text) {
            names.extend(self.service_name(service.namespace(), service.name()));
        }
        if names.is_empty() {
            for slice in self.slices.by_index(BY_ADDRESS, &text) {
                let Some(own) =
                    service_of(&slice).and_then(|service| self.service_name(slice.namespace(), service))
                else {
                    continue;
                };
                for target in targets(&slice) {
                    let hosts = target.hosts().into_iter().filter(|(_, ip)| *ip == address);
                    names
                        .extend(hosts.filter_map(|(label, _)| {
                            Name::from_ascii(&label).ok()?.append_domain(&own).ok()
                        }));
                }
            }
        }
        if names.is_empty() {
            return Found::NotOurs;
        }
        if kind != RecordType::PTR {
            return Found::NoData;
        }
        Found::records(names.into_iter().map(|target| record(name, RData::PTR(PTR(target)))).collect())
    }

    fn service_name(&self, namespace: &str, service: &str) -> Option<Name> {
        let text = format!("{service}.{namespace}.svc");
        Name::from_ascii(&text).ok()?.append_domain(&self.origin).ok()
    }

    /// What is ready of a Service. Of one that publishes what is not, the slices say that it is.
    fn endpoints(&self, service: &Service) -> Vec<Target> {
        let slices = self.slices.by_index(BY_SERVICE, &service.key().to_string());
        slices.iter().flat_map(targets).collect()
    }
}

/// One endpoint, with the slice that its ports are in.
struct Target {
    slice: Arc<EndpointSlice>,
    index: usize,
}

impl Target {
    fn endpoint(&self) -> Option<&Endpoint> {
        self.slice.endpoints.as_ref()?.get(self.index)
    }

    fn ports(&self) -> &[EndpointPort] {
        self.slice.ports.as_deref().unwrap_or_default()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.endpoint()
            .into_iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .filter_map(|text| text.parse().ok())
            .collect()
    }

    /// The labels that it is called by below its Service, with its addresses.
    fn hosts(&self) -> Vec<(String, IpAddr)> {
        let hostname =
            self.endpoint().and_then(|endpoint| endpoint.hostname.as_deref()).filter(|name| !name.is_empty());
        let label = |ip: IpAddr| hostname.map_or_else(|| dashed(ip), str::to_ascii_lowercase);
        self.addresses().into_iter().map(|ip| (label(ip), ip)).collect()
    }
}

fn targets(slice: &Arc<EndpointSlice>) -> Vec<Target> {
    let is_ready = |endpoint: &Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let indices = slice.endpoints.iter().flatten().enumerate().filter(|(_, endpoint)| is_ready(endpoint));
    indices.map(|(index, _)| Target { slice: slice.clone(), index }).collect()
}

/// The name of the Service that a slice is of.
fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
}

fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let addresses = service.spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten());
    addresses.filter_map(|text| text.parse().ok()).collect()
}

fn external_name(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref()?;
    spec.external_name.as_deref().filter(|_| spec.type_.as_deref() == Some("ExternalName"))
}

fn alias(name: &Name, target: &str, kind: RecordType) -> Found {
    if !matches!(kind, RecordType::A | RecordType::AAAA | RecordType::CNAME) {
        return Found::NoData;
    }
    // An external "name" that is an address is answered as one (CoreDNS).
    if let Ok(ip) = target.parse::<IpAddr>() {
        return Found::records(addresses(name, std::iter::once(ip), kind));
    }
    let Ok(mut target) = Name::from_ascii(target) else { return Found::NoData };
    target.set_fqdn(true);
    Found::records(vec![record(name, RData::CNAME(CNAME(target)))])
}

/// `1-2-3-4.NAMESPACE.pod`: the address itself; whether there is such a pod is not asked.
fn pod(name: &Name, label: &str, kind: RecordType) -> Found {
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    let v6 = || label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6);
    match v4.or_else(|_| v6()) {
        Ok(ip) => Found::records(addresses(name, std::iter::once(ip), kind)),
        Err(_) => Found::NoName,
    }
}

/// The label of an endpoint without a hostname, as CoreDNS has it.
fn dashed(ip: IpAddr) -> String {
    let mut label = ip.to_string().replace(['.', ':'], "-");
    if label.ends_with('-') {
        label.push('0');
    }
    label
}

fn addresses(name: &Name, ips: impl Iterator<Item = IpAddr>, kind: RecordType) -> Vec<Record> {
    let fits = |ip: &IpAddr| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        _ => false,
    };
    ips.filter(fits).map(|ip| record(name, ip_data(ip))).collect()
}

const fn ip_data(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL_SECONDS, data)
}

/// The address that a reverse name is of (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(name: &Name) -> Option<IpAddr> {
    let labels: Option<Vec<&str>> = name.iter().map(|label| std::str::from_utf8(label).ok()).collect();
    let labels = labels?;
    let (arpa, digits) = labels.split_last()?;
    let (family, digits) = digits.split_last()?;
    if !arpa.eq_ignore_ascii_case("arpa") {
        return None;
    }
    if family.eq_ignore_ascii_case("in-addr") && digits.len() == 4 {
        let mut parts = [0; 4];
        for (part, label) in parts.iter_mut().rev().zip(digits) {
            *part = label.parse().ok()?;
        }
        return Some(IpAddr::from(parts));
    }
    if family.eq_ignore_ascii_case("ip6") && digits.len() == 32 {
        let mut bits = 0_u128;
        for label in digits.iter().rev() {
            let digit = label.chars().next().filter(|_| label.len() == 1)?.to_digit(16)?;
            bits = bits << 4 | u128::from(digit);
        }
        return Some(IpAddr::from(bits.to_be_bytes()));
    }
    None
}

#[cfg(test)]
mod tests;
