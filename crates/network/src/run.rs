//! The network of a node at work: follows Services, slices and nodes, and makes the kernel follow.

use crate::cidr::{Cidr, Family, outermost};
use crate::cni::Agent;
use crate::config::Config;
use crate::link::{Links, Scope};
use crate::namespace::set_sysctl;
use crate::proxy::{self, HealthShared, RuleSet, ServicePorts, ServiceRules};
use crate::routes::{self, Peer, Wanted};
use api::Object;
use api::core::v1::{Node, Service};
use api::discovery::v1::EndpointSlice;
use api::networking::v1::ServiceCIDR;
use client::{Change, Informers, Lister};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What other programs may have done is looked for this often.
const LOOK_PERIOD: Duration = Duration::from_secs(30);
/// After a failure the next attempt waits for this long, after another one twice as long, and so on; changes
/// do not hurry it.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);
/// What listens at the local addresses.
const DNS_PORT: u16 = 53;
/// By which Service a slice is of.
const SERVICE_INDEX: &str = "network.service";
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The objects that are followed.
#[derive(Clone)]
pub struct Objects {
    /// All Services.
    pub services: Lister<Service>,
    /// All slices of endpoints.
    pub slices: Lister<EndpointSlice>,
    /// All nodes.
    pub nodes: Lister<Node>,
    /// All ranges of cluster IPs. The others are not kept waiting for them.
    pub service_cidrs: Lister<ServiceCIDR>,
}

/// Runs the network until told to stop. Pods and rules stay as they are then; `teardown` removes them.
pub async fn run(config: Config, informers: Informers, stop: watch::Receiver<bool>) -> io::Result<()> {
    let objects = Objects {
        services: informers.get(),
        slices: informers.get(),
        nodes: informers.get(),
        service_cidrs: informers.get(),
    };
    follow(config, objects, watch::Sender::new(0), stop).await
}

/// Adds the local addresses to the loopback interface, so that what listens there can start. `run` does so too.
pub fn prepare(config: &Config) -> io::Result<()> {
    let mut links = Links::open()?;
    let Some(lo) = links.by_name("lo")? else {
        return Err(io::Error::other("there is no loopback interface"));
    };
    links.set_up(lo.index)?;
    for address in &config.local_addresses {
        // Scope host: never the source of what the node sends.
        links.add_address(lo.index, Cidr::host(*address), Scope::Host)?;
    }
    Ok(())
}

/// Removes all that this instance made: rules, interfaces, addresses, routes, files. Pods lose their network.
pub fn teardown(config: &Config) -> io::Result<()> {
    proxy::remove_tables(&config.proxy().table)?;
    crate::cni::teardown(&config.agent())?;
    routes::teardown(&config.cluster_cidrs)?;
    let mut links = Links::open()?;
    if let Some(lo) = links.by_name("lo")? {
        // Another cluster on this machine has the same address for its DNS: it would lose it.
        for address in config.local_addresses.iter().filter(|address| !answers(**address, DNS_PORT)) {
            links.remove_address(lo.index, Cidr::host(*address))?;
        }
    }
    Ok(())
}

/// Whether somebody listens for datagrams at an address of this machine.
fn answers(address: IpAddr, port: u16) -> bool {
    UdpSocket::bind((address, port)).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// As `run`, with caches that somebody fills. `caught_up` counts how often the kernel came to be as all objects
/// want it, after there was news.
pub async fn follow(
    config: Config,
    objects: Objects,
    caught_up: watch::Sender<u64>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let dirty = Arc::new(Dirty::default());
    let name = config.node_name.clone();
    let nodes = objects.nodes.clone();
    let health = HealthShared::new(move || nodes.get("", &name));
    dirty.watch(&objects, &health);

    let (agent, rules) = blocking({
        let config = config.clone();
        move || {
            prepare(&config)?;
            tune_connection_tracking();
            let mut rules = ServiceRules::open(config.proxy())?;
            rules.set_service_cidrs(&config.service_cidrs);
            Ok((Agent::open(config.agent())?, rules))
        }
    })
    .await?;
    let listener = agent.listen()?;
    let mut serving = tokio::spawn({
        let (agent, stop) = (agent.clone(), stop.clone());
        async move { agent.serve(listener, stop).await }
    });
    let health_server = config.health_address.map(|address| proxy::serve_health(address, health.clone()));
    let mut host_ports = agent.host_ports();
    let mut ports = ServicePorts::new(health.clone());
    let mut state = Box::new(State {
        config,
        objects: objects.clone(),
        agent,
        rules,
        pod_cidrs: Vec::new(),
        wanted: Wanted::default(),
        unreachable: Vec::new(),
        service_cidrs: Vec::new(),
        left_out: Vec::new(),
        replan: false,
    });

    let mut look = tokio::time::interval(LOOK_PERIOD);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let synced = async {
        objects.nodes.synced().await;
        objects.services.synced().await;
        objects.slices.synced().await;
    };
    tokio::pin!(synced);
    let mut all_known = false;
    let mut retry_delay = RETRY_DELAY_MIN;
    let result = loop {
        let mut look_around = false;
        let mut news = false;
        tokio::select! {
            () = crate::stopped(&mut stop) => break Ok(()),
            ended = &mut serving => {
                break ended.unwrap_or_else(|_| Err(io::Error::other("the CNI agent's task panicked")));
            }
            () = &mut synced, if !all_known => {
                all_known = true;
                news = true;
                dirty.all_services(&objects);
            }
            () = dirty.changed.notified() => {}
            changed = host_ports.changed() => news = changed.is_ok(),
            _ = look.tick() => look_around = true,
        }
        let taken = dirty.take(all_known);
        news |= !taken.is_empty();
        let ports_now = host_ports.borrow_and_update().clone();
        let work = blocking(move || {
            let result = state.work(&taken, all_known, look_around, &ports_now);
            Ok((state, taken, result))
        });
        let taken;
        let worked;
        (state, taken, worked) = work.await?;
        match worked {
            Ok(()) => {
                retry_delay = RETRY_DELAY_MIN;
                if all_known {
                    ports.set(&state.rules.health_checks()).await;
                    if dirty.is_empty() {
                        health.updated();
                        if news {
                            caught_up.send_modify(|times| *times += 1);
                        }
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "the node's network is not as wanted; trying again");
                state.rules.distrust();
                dirty.give_back(taken);
                tokio::select! {
                    () = tokio::time::sleep(retry_delay) => {}
                    () = crate::stopped(&mut stop) => break Ok(()),
                }
                retry_delay = (retry_delay * 2).min(RETRY_DELAY_MAX);
            }
        }
    };
    if let Some(server) = health_server {
        server.abort();
    }
    serving.abort();
    result
}

/// What is to be looked at again.
#[derive(Default)]
struct Dirty {
    taken: Mutex<Taken>,
    changed: Notify,
}

#[derive(Default)]
struct Taken {
    services: BTreeSet<api::Key>,
    nodes: bool,
    ranges: bool,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.services.is_empty() && !self.nodes && !self.ranges
    }
}

impl Dirty {
    fn watch(self: &Arc<Self>, objects: &Objects, health: &Arc<HealthShared>) {
        objects.slices.add_index(SERVICE_INDEX, |slice| {
            service_of(slice).map(|key| key.to_string()).into_iter().collect()
        });
        let (dirty, health_of) = (self.clone(), health.clone());
        objects.services.subscribe(move |change: &Change<Service>| {
            health_of.queued();
            dirty.service(change.object().key());
        });
        let (dirty, health_of) = (self.clone(), health.clone());
        objects.slices.subscribe(move |change: &Change<EndpointSlice>| {
            let old = if let Change::Updated(old, _) = change { service_of(old) } else { None };
            for key in old.into_iter().chain(service_of(change.object())) {
                health_of.queued();
                dirty.service(key);
            }
        });
        let dirty = self.clone();
        objects.nodes.subscribe(move |_: &Change<Node>| {
            dirty.taken.lock().nodes = true;
            dirty.changed.notify_one();
        });
        let dirty = self.clone();
        objects.service_cidrs.subscribe(move |_: &Change<ServiceCIDR>| {
            dirty.taken.lock().ranges = true;
            dirty.changed.notify_one();
        });
    }

    fn service(&self, key: api::Key) {
        self.taken.lock().services.insert(key);
        self.changed.notify_one();
    }

    fn all_services(&self, objects: &Objects) {
        let services = objects.services.list();
        self.taken.lock().services.extend(services.iter().map(|service| service.key()));
    }

    /// Services wait until all is known: rules made of a part of the slices would cut connections.
    fn take(&self, with_services: bool) -> Taken {
        let mut taken = self.taken.lock();
        let services = if with_services { std::mem::take(&mut taken.services) } else { BTreeSet::new() };
        let Taken { nodes, ranges, .. } = &mut *taken;
        Taken { services, nodes: std::mem::take(nodes), ranges: std::mem::take(ranges) }
    }

    fn give_back(&self, failed: Taken) {
        let mut taken = self.taken.lock();
        taken.services.extend(failed.services);
        taken.nodes |= failed.nodes;
        taken.ranges |= failed.ranges;
        drop(taken);
        self.changed.notify_one();
    }

    fn is_empty(&self) -> bool {
        self.taken.lock().is_empty()
    }
}

/// What the node has, and what it is made of.
struct State {
    config: Config,
    objects: Objects,
    agent: Agent,
    rules: ServiceRules,
    pod_cidrs: Vec<Cidr>,
    wanted: Wanted,
    unreachable: Vec<String>,
    /// The ranges of cluster IPs, and those that ServiceCIDRs have and that cannot be.
    service_cidrs: Vec<Cidr>,
    left_out: Vec<Cidr>,
    /// All Services are to be planned again: the node is another.
    replan: bool,
}

impl State {
    /// One round; blocks.
    fn work(
        &mut self,
        taken: &Taken,
        all_known: bool,
        look_around: bool,
        host_ports: &[crate::cni::HostPort],
    ) -> io::Result<()> {
        if taken.nodes || look_around {
            self.follow_node()?;
            self.follow_routes(look_around)?;
        }
        if taken.nodes || taken.ranges || look_around {
            self.follow_ranges(look_around)?;
        }
        if !all_known {
            return Ok(());
        }
        let mut services = taken.services.clone();
        if self.replan {
            services.extend(self.objects.services.list().iter().map(|service| service.key()));
            services.extend(self.rules.services());
        }
        if look_around {
            self.agent.release_gone()?;
        }
        if look_around && !self.rules.is_whole()? {
            self.rules.distrust();
        }
        self.rules.set_host_ports(host_ports);
        for key in &services {
            self.rules.set_service(key, self.plan(key));
        }
        self.replan = false;
        if !self.rules.is_committed() {
            self.rules.commit()?;
        }
        Ok(())
    }

    fn plan(&self, key: &api::Key) -> RuleSet {
        let Some(service) = self.objects.services.get_key(key) else { return RuleSet::default() };
        let slices = self.objects.slices.by_index(SERVICE_INDEX, &key.to_string());
        let slices: Vec<&EndpointSlice> = slices.iter().map(AsRef::as_ref).collect();
        proxy::plan(&service, &slices, self.rules.node())
    }

    /// Takes over what the Node object says of this node.
    fn follow_node(&mut self) -> io::Result<()> {
        let announced = self.agent.announce()?;
        self.rules.set_masquerade_pods(announced);
        let Some(node) = self.objects.nodes.get("", &self.config.node_name) else { return Ok(()) };
        let view = view(&node);
        let pod_cidrs = pod_cidrs(&node);
        if !pod_cidrs.is_empty() && pod_cidrs != self.pod_cidrs {
            self.agent.set_node(&pod_cidrs, mtu_of(&view.addresses)?)?;
            self.pod_cidrs = pod_cidrs;
            self.rules.set_masquerade_pods(self.agent.announce()?);
        }
        if view != *self.rules.node() {
            self.rules.set_node(view);
            self.replan = true;
        }
        Ok(())
    }

    fn follow_routes(&mut self, look_around: bool) -> io::Result<()> {
        let mut wanted = Wanted::default();
        if self.agent.announce()? {
            wanted.own = self.agent.pod_cidrs();
            let nodes = self.objects.nodes.list();
            let others =
                nodes.iter().filter(|node| node.metadata.name.as_deref() != Some(&self.config.node_name));
            wanted.peers = others.map(|node| peer(node)).collect();
        }
        if wanted == self.wanted && !look_around {
            return Ok(());
        }
        // Without the list of nodes nothing is known to be superfluous.
        if self.objects.nodes.has_synced() {
            let unreachable = routes::synchronise(&wanted, &self.config.cluster_cidrs)?;
            if unreachable != self.unreachable {
                tracing::warn!(
                    ?unreachable,
                    "no link to the pods of nodes behind a router: not supported yet"
                );
                self.unreachable = unreachable;
            }
            self.wanted = wanted;
        }
        Ok(())
    }

    /// Takes over the ranges of ServiceCIDRs, as kube-proxy: also of those that are not ready, for Services keep their
    /// addresses until the last one of a range that is to go is gone.
    fn follow_ranges(&mut self, look_around: bool) -> io::Result<()> {
        let nodes = self.objects.nodes.list();
        let mut others: Vec<Cidr> =
            nodes.iter().flat_map(|node| node_addresses(node)).map(Cidr::host).collect();
        others.extend(self.config.local_addresses.iter().copied().map(Cidr::host));
        others.extend(self.config.cluster_cidrs.iter().copied().chain(loopback()));
        let mut ranges = self.config.service_cidrs.clone();
        let mut left_out = Vec::new();
        for cidr in self.objects.service_cidrs.list().iter().flat_map(|range| cidrs_of(range)) {
            // Addresses of it that no Service has would be dropped, and nobody else's reached any more.
            let is_taken = others.iter().any(|other| other.overlaps(cidr));
            if is_taken {
                left_out.push(cidr)
            } else {
                ranges.push(cidr)
            };
        }
        // They may overlap (KEP-1880).
        let ranges = outermost(&ranges);
        if left_out != self.left_out {
            tracing::warn!(
                ?left_out,
                "ServiceCIDRs overlap addresses of nodes or pods: they get no route, and what is sent to addresses that no \
                 Service has is not dropped"
            );
            self.left_out = left_out;
        }
        if ranges == self.service_cidrs && !look_around {
            return Ok(());
        }
        self.rules.set_service_cidrs(&ranges);
        routes::route_services(&ranges, self.objects.service_cidrs.has_synced())?;
        self.service_cidrs = ranges;
        Ok(())
    }
}

/// Addresses of every machine itself.
fn loopback() -> [Cidr; 2] {
    [Cidr::new(Ipv4Addr::LOCALHOST.into(), 8).expect("8 bits of 32"), Cidr::host(Ipv6Addr::LOCALHOST.into())]
}

fn cidrs_of(range: &ServiceCIDR) -> Vec<Cidr> {
    let texts = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn service_of(slice: &EndpointSlice) -> Option<api::Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME_LABEL).filter(|name| !name.is_empty())?;
    Some(api::Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

/// The node as plans see it: its first address of each family (GetNodeHostIPs of pkg/util/node).
fn view(node: &Node) -> proxy::Node {
    let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE_LABEL)).cloned();
    let all = node_addresses(node);
    let first = |family| all.iter().find(|address| Family::of(**address) == family).copied();
    proxy::Node {
        name: node.metadata.name.clone().unwrap_or_default(),
        zone: zone.unwrap_or_default(),
        addresses: Family::ALL.into_iter().filter_map(first).collect(),
    }
}

/// Internal addresses, then external ones.
fn node_addresses(node: &Node) -> Vec<IpAddr> {
    let listed: Vec<_> = node.status.iter().flat_map(|status| status.addresses.iter().flatten()).collect();
    ["InternalIP", "ExternalIP"]
        .into_iter()
        .flat_map(|kind| listed.iter().filter(move |address| address.type_ == kind))
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

fn pod_cidrs(node: &Node) -> Vec<Cidr> {
    let Some(spec) = node.spec.as_ref() else { return Vec::new() };
    let several = spec.pod_cidrs.iter().flatten();
    let mut cidrs: Vec<Cidr> = several.filter_map(|cidr| cidr.parse().ok()).collect();
    if cidrs.is_empty() {
        cidrs.extend(spec.pod_cidr.as_ref().and_then(|cidr| cidr.parse::<Cidr>().ok()));
    }
    cidrs
}

fn peer(node: &Node) -> Peer {
    let internal = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = internal.filter(|address| address.type_ == "InternalIP");
    Peer {
        name: node.metadata.name.clone().unwrap_or_default(),
        addresses: internal.filter_map(|address| address.address.parse().ok()).collect(),
        pod_cidrs: pod_cidrs(node),
    }
}

/// The MTU of the interface that has one of the node's addresses.
fn mtu_of(addresses: &[IpAddr]) -> io::Result<Option<u32>> {
    let mut links = Links::open()?;
    let all: BTreeMap<IpAddr, u32> =
        links.addresses()?.into_iter().map(|(link, address)| (address, link)).collect();
    let link = addresses.iter().find_map(|address| all.get(address).copied());
    let found = links.all()?.into_iter().find(|candidate| Some(candidate.index) == link);
    // The loopback interface's is no measure for what leaves the node.
    Ok(found.filter(|link| link.name != "lo" && link.mtu > 0).map(|link| link.mtu))
}

/// kube-proxy's defaults (pkg/proxy/apis/config/v1alpha1/defaults.go): room for connections, and patience.
/// Where the machine does not let Corten, its own values stand.
fn tune_connection_tracking() {
    const MAX_PER_CORE: usize = 32 * 1024;
    const MIN: usize = 128 * 1024;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = (MAX_PER_CORE * cores).max(MIN);
    let now = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap_or_default();
    let mut settings = vec![
        ("netfilter/nf_conntrack_tcp_timeout_established", "86400".to_owned()),
        ("netfilter/nf_conntrack_tcp_timeout_close_wait", "3600".to_owned()),
    ];
    if now.trim().parse().is_ok_and(|now: usize| now < wanted) {
        settings.push(("netfilter/nf_conntrack_max", wanted.to_string()));
    }
    for (name, value) in settings {
        if let Err(error) = set_sysctl(name, &value) {
            tracing::debug!(name, value, %error, "cannot tune connection tracking");
        }
    }
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(io::Error::other("a thread of the node's network panicked")))
}
