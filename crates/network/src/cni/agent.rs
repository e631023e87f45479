//! The node's agent: serves the plugin's requests, gives addresses, remembers attachments.
//!
//! What it knows is on disk (`record.rs`) and in the kernel, so it may be restarted at any time: pods keep
//! their network, and attachments whose namespace is gone (after a reboot) give their addresses back.

use super::attach;
use super::install;
use super::ipam::Pool;
use super::record::{Attachment, NodeRecord, Record, Records};
use super::spec::{Answer, Code, Failure, Interface, Request, result};
use crate::cidr::{Cidr, Family};
use crate::link::Links;
use crate::namespace::{Namespace, set_sysctl};
use crate::protocol::Protocol;
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

/// A network configuration with its previous result is a few kilobytes.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// The plugin writes its request at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Each holds a thread; a runtime starts about as many pods at once as it has cores.
const REQUESTS_AT_ONCE_MAX: usize = 32;
/// Names that collide are tried again with another number.
const INTERFACE_NAME_ATTEMPTS_MAX: u32 = 16;
/// Ethernet's, if the node's own interface is not known.
const MTU_DEFAULT: u32 = 1500;

/// Where the agent keeps and puts things.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// How the names of host interfaces begin, seven bytes at most: eight more follow, and 15 are the kernel's
    /// limit. No other instance on the machine has the same.
    pub interface_prefix: String,
    /// The directory of its records; must survive restarts of Corten.
    pub state: PathBuf,
    /// The unix socket on which it answers the plugin.
    pub socket: PathBuf,
    /// The runtime's directory of network configurations.
    pub configurations: PathBuf,
    /// The runtime's directory of plugins.
    pub plugins: PathBuf,
    /// The running binary.
    pub binary: PathBuf,
}

/// A port of the node that leads to a pod on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// The node's address; none for each address of the pod address's family.
    pub host_address: Option<IpAddr>,
    /// The port on the node.
    pub host_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// The pod's address.
    pub address: IpAddr,
    /// The port in the pod.
    pub port: u16,
}

impl HostPort {
    /// Whether connections to 127.0.0.0/8 of the node go there.
    pub(crate) fn reaches_loopback(&self) -> bool {
        self.address.is_ipv4() && self.host_address.is_none_or(|address| address.is_loopback())
    }
}

/// The agent; clones are handles to the same one.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
}

struct Shared {
    config: AgentConfig,
    records: Records,
    state: Mutex<State>,
    /// Woken when an attachment is no longer worked on.
    idle: Condvar,
    mtu: AtomicU32,
    host_ports: watch::Sender<Arc<Vec<HostPort>>>,
}

#[derive(Default)]
struct State {
    pool: Pool,
    attachments: BTreeMap<Attachment, Record>,
    /// Attachments that a request works on: the next one for the same waits.
    busy: BTreeSet<Attachment>,
    /// The configuration of another network in the runtime's directory.
    other_network: Option<String>,
}

impl Agent {
    /// Takes up what an earlier agent left on disk.
    pub fn open(config: AgentConfig) -> io::Result<Self> {
        let records = Records::open(&config.state)?;
        let node = records.node();
        let mut state = State::default();
        state.pool.set_ranges(&node.pod_cidrs);
        for address in &node.last {
            state.pool.resume_after(*address);
        }
        for record in records.load()? {
            for address in &record.addresses {
                state.pool.mark(*address);
            }
            state.attachments.insert(record.attachment.clone(), record);
        }
        let host_ports = watch::Sender::new(Arc::new(host_ports_of(&state)));
        let shared = Shared {
            config,
            records,
            state: Mutex::new(state),
            idle: Condvar::new(),
            mtu: AtomicU32::new(node.mtu.unwrap_or(MTU_DEFAULT)),
            host_ports,
        };
        let agent = Self { shared: Arc::new(shared) };
        agent.release_gone()?;
        Ok(agent)
    }

    /// Releases attachments that went with their namespace: in a reboot, or while no agent was there.
    pub(crate) fn release_gone(&self) -> io::Result<()> {
        let mut links = Links::open()?;
        let known: Vec<Record> = {
            let state = self.shared.state.lock();
            let idle = state.attachments.values().filter(|record| !state.busy.contains(&record.attachment));
            idle.cloned().collect()
        };
        let mut released = false;
        for record in known {
            let gone = Namespace::open(Path::new(&record.namespace))?.is_none()
                && links.by_name(&record.host_interface)?.is_none();
            if gone {
                tracing::info!(pod = record.pod, "an attachment is gone with its namespace");
                self.release(&record.attachment).map_err(io::Error::other)?;
                released = true;
            }
        }
        if released {
            self.publish();
        }
        Ok(())
    }

    /// Says which ranges the node has, and what its interface's MTU is: from now on pods can be added, and
    /// the runtime is told so by the configuration file.
    pub fn set_node(&self, pod_cidrs: &[Cidr], mtu: Option<u32>) -> io::Result<()> {
        let shared = &self.shared;
        shared.mtu.store(mtu.unwrap_or(MTU_DEFAULT), Ordering::Relaxed);
        {
            let mut state = shared.state.lock();
            state.pool.set_ranges(pod_cidrs);
            let before = shared.records.node();
            let node = NodeRecord {
                pod_cidrs: state.pool.ranges().to_vec(),
                mtu: Some(shared.mtu.load(Ordering::Relaxed)),
                last: before.last.clone(),
            };
            if node != before {
                shared.records.save_node(&node)?;
            }
        }
        forward_packets(pod_cidrs)?;
        self.announce()?;
        Ok(())
    }

    /// Writes the runtime's configuration if the node's ranges are known and no other network is configured.
    /// Returns whether Corten's is the pods' network.
    pub fn announce(&self) -> io::Result<bool> {
        if self.pod_cidrs().is_empty() {
            return Ok(false);
        }
        let config = &self.shared.config;
        let other = install::write_configuration(&config.configurations, &config.socket)?;
        let ours = other.is_none();
        let mut state = self.shared.state.lock();
        if state.other_network != other {
            let directory = config.configurations.display();
            match &other {
                Some(other) => tracing::warn!(
                    other, %directory,
                    "another network has a configuration: Corten's pod network stands aside"
                ),
                None => tracing::info!(%directory, "Corten's pod network takes over"),
            }
            state.other_network = other;
        }
        Ok(ours)
    }

    /// The ranges of the node's pods.
    pub fn pod_cidrs(&self) -> Vec<Cidr> {
        self.shared.state.lock().pool.ranges().to_vec()
    }

    /// The ports of the node that lead to pods, as they change.
    pub fn host_ports(&self) -> watch::Receiver<Arc<Vec<HostPort>>> {
        self.shared.host_ports.subscribe()
    }

    /// Installs the plugin and listens for it; from then on its requests wait. Within an async runtime.
    pub fn listen(&self) -> io::Result<UnixListener> {
        let config = &self.shared.config;
        install::install(&config.plugins, &config.binary)?;
        if let Some(directory) = config.socket.parent() {
            std::fs::create_dir_all(directory)?;
        }
        match std::fs::remove_file(&config.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&config.socket)?;
        std::fs::set_permissions(&config.socket, std::fs::Permissions::from_mode(0o600))?;
        self.announce()?;
        Ok(listener)
    }

    /// Answers the plugin until told to stop.
    pub async fn serve(&self, listener: UnixListener, mut stop: watch::Receiver<bool>) -> io::Result<()> {
        let slots = Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX));
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection of the CNI plugin");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = crate::stopped(&mut stop) => return Ok(()),
            };
            let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
            let agent = self.clone();
            tokio::spawn(async move {
                if let Err(error) = agent.converse(stream).await {
                    tracing::warn!(%error, "a request of the CNI plugin was not answered");
                }
                drop(slot);
            });
        }
    }

    async fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut limited = (&mut stream).take(REQUEST_BYTES_MAX);
        tokio::time::timeout(REQUEST_TIMEOUT, limited.read_to_end(&mut bytes)).await??;
        let agent = self.clone();
        let answer = tokio::task::spawn_blocking(move || agent.answer(&bytes))
            .await
            .map_err(|_| io::Error::other("the request's thread panicked"))?;
        stream.write_all(&serde_json::to_vec(&answer)?).await?;
        stream.shutdown().await
    }

    fn answer(&self, bytes: &[u8]) -> Answer {
        let request: Request = match serde_json::from_slice(bytes) {
            Ok(request) => request,
            Err(error) => {
                let failure = Failure::new(Code::Undecodable, "cannot read the plugin's request", error);
                return Answer::of(Err(failure), super::spec::NEWEST);
            }
        };
        let result = match request.command.as_str() {
            "ADD" => self.alone(&request, || self.add(&request)),
            "DEL" => self.alone(&request, || self.delete(&Attachment::of(&request))),
            "CHECK" => self.alone(&request, || self.check(&request)),
            "STATUS" => self.status(),
            "GC" => self.collect_garbage(&request),
            other => {
                Err(Failure::new(Code::InvalidEnvironment, format!("unknown CNI_COMMAND: {other:?}"), ""))
            }
        };
        let pod = request.argument("K8S_POD_NAME");
        match &result {
            Ok(_) => tracing::debug!(command = request.command, container = request.container, pod, "CNI"),
            Err(error) => {
                tracing::warn!(command = request.command, container = request.container, pod, %error, "CNI");
            }
        }
        Answer::of(result, request.version())
    }

    /// Works on an attachment while nobody else does.
    fn alone(
        &self,
        request: &Request,
        work: impl FnOnce() -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let attachment = Attachment::of(request);
        let mut state = self.shared.state.lock();
        while !state.busy.insert(attachment.clone()) {
            self.shared.idle.wait(&mut state);
        }
        drop(state);
        let result = work();
        self.shared.state.lock().busy.remove(&attachment);
        self.shared.idle.notify_all();
        result
    }

    /// `ADD`; done twice it returns the same result twice.
    fn add(&self, request: &Request) -> Result<Value, Failure> {
        let attachment = Attachment::of(request);
        let namespace = Namespace::open(Path::new(&request.namespace))
            .map_err(|error| Failure::new(Code::InputOutput, "cannot open the network namespace", error))?
            .ok_or_else(|| {
                Failure::new(Code::UnknownContainer, "no network namespace", &request.namespace)
            })?;
        let known = self.shared.state.lock().attachments.get(&attachment).cloned();
        if let Some(record) = known {
            let complete = attach::missing(&record, &namespace).is_ok_and(|missing| missing.is_none());
            if complete && record.namespace == request.namespace {
                return Ok(result_of(&record, request.version()));
            }
            self.delete(&attachment)?;
        }
        let record = self.reserve(request, attachment)?;
        if let Err(error) = attach::attach(&record, &namespace) {
            self.release(&record.attachment)?;
            return Err(Failure::new(Code::InputOutput, "cannot attach the container", error));
        }
        self.publish();
        Ok(result_of(&record, request.version()))
    }

    /// Gives addresses and remembers them, before anything is made.
    fn reserve(&self, request: &Request, attachment: Attachment) -> Result<Record, Failure> {
        let mut state = self.shared.state.lock();
        if state.pool.ranges().is_empty() {
            return Err(Failure::new(Code::TryAgainLater, "the node has no range of pod addresses yet", ""));
        }
        let addresses = state.pool.allocate().map_err(|full| {
            Failure::new(Code::NoAddressLeft, "cannot give the container an address", full)
        })?;
        let record = self
            .record(&state, request, attachment, addresses.clone())
            .and_then(|record| self.remember(&state, &record).map(|()| record));
        match &record {
            Ok(record) => {
                state.attachments.insert(record.attachment.clone(), record.clone());
            }
            Err(_) => addresses.into_iter().for_each(|address| state.pool.release(address)),
        }
        record
    }

    fn record(
        &self,
        state: &State,
        request: &Request,
        attachment: Attachment,
        addresses: Vec<IpAddr>,
    ) -> Result<Record, Failure> {
        let prefix = self.shared.config.interface_prefix.clone();
        let taken: BTreeSet<&str> =
            state.attachments.values().map(|record| record.host_interface.as_str()).collect();
        let host_interface = (0..INTERFACE_NAME_ATTEMPTS_MAX)
            .map(|attempt| attachment.host_interface(&prefix, attempt))
            .find(|name| !taken.contains(name.as_str()))
            .ok_or_else(|| Failure::new(Code::TryAgainLater, "no interface name is free", ""))?;
        let (namespace, name) = (request.argument("K8S_POD_NAMESPACE"), request.argument("K8S_POD_NAME"));
        Ok(Record {
            attachment,
            namespace: request.namespace.clone(),
            host_interface,
            mtu: self.shared.mtu.load(Ordering::Relaxed),
            pod: format!("{namespace}/{name}"),
            host_ports: requested_host_ports(&request.configuration, &addresses)?,
            addresses,
        })
    }

    fn remember(&self, state: &State, record: &Record) -> Result<(), Failure> {
        let node = NodeRecord {
            pod_cidrs: state.pool.ranges().to_vec(),
            mtu: Some(self.shared.mtu.load(Ordering::Relaxed)),
            last: record.addresses.clone(),
        };
        let records = &self.shared.records;
        let saved = records.save(record).and_then(|()| records.save_node(&node));
        saved.map_err(|error| Failure::new(Code::InputOutput, "cannot remember the attachment", error))
    }

    /// `DEL`; nothing is wrong if there is nothing.
    fn delete(&self, attachment: &Attachment) -> Result<Value, Failure> {
        let known = self.shared.state.lock().attachments.get(attachment).cloned();
        if let Some(record) = known {
            attach::detach(&record)
                .map_err(|error| Failure::new(Code::InputOutput, "cannot detach the container", error))?;
            self.release(attachment)?;
            self.publish();
        }
        Ok(Value::Null)
    }

    fn release(&self, attachment: &Attachment) -> Result<(), Failure> {
        let mut state = self.shared.state.lock();
        self.shared
            .records
            .remove(attachment)
            .map_err(|error| Failure::new(Code::InputOutput, "cannot forget the attachment", error))?;
        if let Some(record) = state.attachments.remove(attachment) {
            for address in record.addresses {
                state.pool.release(address);
            }
        }
        Ok(())
    }

    fn check(&self, request: &Request) -> Result<Value, Failure> {
        let record = self.shared.state.lock().attachments.get(&Attachment::of(request)).cloned();
        let record = record.ok_or_else(|| {
            Failure::new(Code::UnknownContainer, "the container is not attached", &request.container)
        })?;
        let failed = |error| Failure::new(Code::InputOutput, "cannot look at the container's network", error);
        let namespace = Namespace::open(Path::new(&request.namespace)).map_err(failed)?.ok_or_else(|| {
            Failure::new(Code::UnknownContainer, "no network namespace", &request.namespace)
        })?;
        match attach::missing(&record, &namespace).map_err(failed)? {
            None => Ok(Value::Null),
            Some(missing) => {
                Err(Failure::new(Code::NotAsExpected, "the container's network is not whole", missing))
            }
        }
    }

    fn status(&self) -> Result<Value, Failure> {
        if self.pod_cidrs().is_empty() {
            let message = "the node has no range of pod addresses yet";
            return Err(Failure::new(Code::NotAvailable, message, ""));
        }
        Ok(Value::Null)
    }

    /// `GC`: what the runtime does not know is removed.
    fn collect_garbage(&self, request: &Request) -> Result<Value, Failure> {
        #[derive(Deserialize)]
        struct Valid {
            #[serde(rename = "containerID")]
            container: String,
            #[serde(rename = "ifname")]
            interface: String,
        }
        let listed = request.configuration.get("cni.dev/valid-attachments").cloned().ok_or_else(|| {
            Failure::new(Code::InvalidConfiguration, "no cni.dev/valid-attachments to keep", "")
        })?;
        let valid: Vec<Valid> = serde_json::from_value(listed).map_err(|error| {
            Failure::new(Code::Undecodable, "cannot read cni.dev/valid-attachments", error)
        })?;
        let valid: BTreeSet<Attachment> = valid
            .into_iter()
            .map(|valid| Attachment { container: valid.container, interface: valid.interface })
            .collect();
        let stale: Vec<Attachment> = {
            let state = self.shared.state.lock();
            let known = state.attachments.keys();
            known.filter(|known| !valid.contains(known) && !state.busy.contains(known)).cloned().collect()
        };
        let mut failure = None;
        for attachment in stale {
            if let Err(error) = self.delete(&attachment) {
                failure = Some(error);
            }
        }
        failure.map_or(Ok(Value::Null), Err)
    }

    fn publish(&self) {
        let now = host_ports_of(&self.shared.state.lock());
        self.shared.host_ports.send_if_modified(|old| {
            let changed = **old != now;
            if changed {
                *old = Arc::new(now);
            }
            changed
        });
    }
}

/// Removes all that an agent of this configuration made: interfaces, records, configuration, plugins.
pub(crate) fn teardown(config: &AgentConfig) -> io::Result<()> {
    install::remove_configuration(&config.configurations)?;
    install::uninstall(&config.plugins, &config.binary)?;
    let prefix = config.interface_prefix.clone();
    let mut links = Links::open()?;
    for link in links.all()? {
        if is_interface_of(&link.name, &prefix) {
            links.remove(&link.name)?;
        }
    }
    for path in [&config.state, &config.socket] {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_interface_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Lets the node pass packets on. An interface that learns its default route from router advertisements goes
/// on to do so (`accept_ra` 2), which forwarding would end otherwise.
fn forward_packets(pod_cidrs: &[Cidr]) -> io::Result<()> {
    if pod_cidrs.iter().any(|cidr| cidr.family() == Family::V4) {
        set_sysctl("ipv4/ip_forward", "1")?;
    }
    if pod_cidrs.iter().any(|cidr| cidr.family() == Family::V6) {
        for entry in std::fs::read_dir("/proc/sys/net/ipv6/conf")? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let path = format!("ipv6/conf/{name}/accept_ra");
            let now = std::fs::read_to_string(Path::new("/proc/sys/net").join(&path)).unwrap_or_default();
            if now.trim() == "1" {
                set_sysctl(&path, "2")?;
            }
        }
        set_sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}

fn host_ports_of(state: &State) -> Vec<HostPort> {
    let mut ports: Vec<HostPort> =
        state.attachments.values().flat_map(|record| record.host_ports.iter().copied()).collect();
    ports.sort_unstable();
    ports
}

pub(super) fn requested_host_ports(
    configuration: &Value,
    addresses: &[IpAddr],
) -> Result<Vec<HostPort>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Mapping {
        // containerd writes Go's field names, which Go reads in any case.
        #[serde(alias = "HostPort")]
        host_port: u16,
        #[serde(alias = "ContainerPort")]
        container_port: u16,
        #[serde(default, alias = "Protocol")]
        protocol: String,
        #[serde(default, rename = "hostIP", alias = "HostIP")]
        host_ip: String,
    }
    let Some(mappings) =
        configuration.pointer("/runtimeConfig/portMappings").filter(|value| !value.is_null())
    else {
        return Ok(Vec::new());
    };
    let invalid = |error: String| Failure::new(Code::InvalidConfiguration, "cannot map ports", error);
    let mappings: Vec<Mapping> =
        serde_json::from_value(mappings.clone()).map_err(|error| invalid(error.to_string()))?;
    let mut ports = Vec::new();
    for mapping in mappings.iter().filter(|mapping| mapping.host_port != 0) {
        let protocol = Protocol::parse(&mapping.protocol)
            .ok_or_else(|| invalid(format!("unknown protocol {:?}", mapping.protocol)))?;
        let host: Option<IpAddr> = match mapping.host_ip.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| invalid(format!("hostIP {text:?} is not an IP address")))?),
        };
        // 0.0.0.0 and :: mean each address of their family.
        let wanted = |address: &&IpAddr| host.is_none_or(|host| host.is_ipv4() == address.is_ipv4());
        ports.extend(addresses.iter().filter(wanted).map(|address| HostPort {
            host_address: host.filter(|host| !host.is_unspecified()),
            host_port: mapping.host_port,
            protocol,
            address: *address,
            port: mapping.container_port,
        }));
    }
    Ok(ports)
}

fn result_of(record: &Record, version: &str) -> Value {
    let attachment = &record.attachment;
    let interfaces = [
        Interface {
            name: &record.host_interface,
            mac: attachment.mac("host").to_string(),
            mtu: record.mtu,
            namespace: "",
        },
        Interface {
            name: &attachment.interface,
            mac: attachment.mac("pod").to_string(),
            mtu: record.mtu,
            namespace: &record.namespace,
        },
    ];
    result(version, &interfaces, &record.addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn host_ports() {
        let addresses: Vec<IpAddr> = vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        let show = |mappings: Value| match requested_host_ports(
            &json!({ "runtimeConfig": { "portMappings": mappings } }),
            &addresses,
        ) {
            Ok(ports) => ports
                .iter()
                .map(|p| {
                    let host = p.host_address.map_or("*".to_owned(), |address| address.to_string());
                    format!("{host} {} {} -> {} {}", p.protocol, p.host_port, p.address, p.port)
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(failure) => failure.to_string(),
        };
        for (mappings, expected) in [
            (json!(null), ""),
            (json!([]), ""),
            (json!([{"hostPort": 0, "containerPort": 80}]), ""),
            (
                json!([{"HostPort": 8080, "ContainerPort": 80, "Protocol": "TCP", "HostIP": ""}]),
                "* tcp 8080 -> 10.0.0.5 80, * tcp 8080 -> fd00::5 80",
            ),
            (
                json!([{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}]),
                "* tcp 8080 -> 10.0.0.5 80, * tcp 8080 -> fd00::5 80",
            ),
            (
                json!([{"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "0.0.0.0"}]),
                "* udp 53 -> 10.0.0.5 53",
            ),
            (
                json!([{"hostPort": 1, "containerPort": 2, "hostIP": "127.0.0.1"}]),
                "127.0.0.1 tcp 1 -> 10.0.0.5 2",
            ),
            (
                json!([{"hostPort": 1, "containerPort": 2, "protocol": "icmp"}]),
                "cannot map ports: unknown protocol \"icmp\"",
            ),
            (
                json!([{"hostPort": 1, "containerPort": 2, "hostIP": "x"}]),
                "cannot map ports: hostIP \"x\" is not an IP address",
            ),
        ] {
            assert_eq!(show(mappings.clone()), expected, "{mappings}");
        }
    }

    #[test]
    fn interfaces_of_an_instance() {
        let (default, other) = ("crt".to_owned(), "crt1a2b".to_owned());
        assert!(is_interface_of("crt0123abcd", &default));
        assert!(!is_interface_of("crt0123abc", &default));
        assert!(!is_interface_of("eth0", &default));
        let of_other = format!("{other}0123abcd");
        assert!(is_interface_of(&of_other, &other));
        assert!(!is_interface_of(&of_other, &default), "another instance's are not ours");
        assert_eq!(of_other.len(), 15);
    }
}
