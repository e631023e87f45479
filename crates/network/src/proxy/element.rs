//! The elements of Corten's maps and sets: what a plan is made of, what is compared, what is sent.
//!
//! The layout does not have a chain for each Service. `services` says for each address, protocol and port how
//! many endpoints there are (by the chain it goes to), `endpoints` has them numbered from 0: the chain for
//! *n* endpoints takes a random number below *n* and looks up. So a change of an endpoint is a change of a few
//! elements, whatever the number of Services. A node port is a frontend with the address of all zeros.

use crate::cidr::{Cidr, Family, octets};
use crate::cni::fnv;
use crate::nft::{Data, Element, SetDefinition};
use crate::protocol::Protocol;
use std::fmt;
use std::net::IpAddr;

/// Where clients connect to. An address of all zeros stands for a node port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Frontend {
    /// The Service's address.
    pub address: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The Service's port.
    pub port: u16,
}

impl Frontend {
    /// Whether it is a node port.
    pub(crate) fn is_node_port(&self) -> bool {
        self.address.is_unspecified()
    }

    fn key(&self) -> Vec<u8> {
        let mut key = octets(self.address);
        key.extend_from_slice(&[self.protocol.number(), 0, 0, 0]);
        put_port(&mut key, self.port);
        key
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_node_port() {
            write!(f, "node{} {} {}", self.address_family_mark(), self.protocol, self.port)
        } else {
            write!(f, "{} {} {}", self.address, self.protocol, self.port)
        }
    }
}

impl Frontend {
    fn address_family_mark(&self) -> &'static str {
        if self.address.is_ipv4() { "" } else { "6" }
    }
}

/// Where connections are sent to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Backend {
    /// The endpoint's address.
    pub address: IpAddr,
    /// The endpoint's port.
    pub port: u16,
}

impl Backend {
    fn key(&self) -> Vec<u8> {
        let mut key = octets(self.address);
        put_port(&mut key, self.port);
        key
    }
}

impl Backend {
    /// A number that stands for it: the same on every node, at any time, whatever other endpoints there are.
    pub(crate) fn mark(&self) -> u32 {
        fnv(&[&self.to_string()]) as u32
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, self.port)
    }
}

/// Which of a Service's endpoints: those for traffic policy `Cluster`, or those on this node for `Local`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Group {
    Cluster,
    Local,
}

/// So many endpoints of a group count; more would run into the numbers of the next group.
pub(crate) const ENDPOINTS_MAX: u32 = 1 << 16;

impl Group {
    /// The number of its first endpoint.
    pub(crate) fn offset(self) -> u32 {
        match self {
            Self::Cluster => 0,
            Self::Local => ENDPOINTS_MAX,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Local => "local",
        }
    }

    /// The set of endpoints to which a client may come back.
    pub(crate) fn affinity_set(self) -> Set {
        match self {
            Self::Cluster => Set::AffinityCluster,
            Self::Local => Set::AffinityLocal,
        }
    }
}

/// A way to choose an endpoint; each that is used has a chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Pick {
    /// How many there are; at least 1.
    pub(crate) count: u32,
    pub(crate) group: Group,
    /// The key's address is zero.
    pub(crate) node_port: bool,
    /// The endpoint sees this node as the client.
    pub(crate) masquerade: bool,
    /// For how many seconds a client comes back to its endpoint; 0 for no affinity.
    pub(crate) affinity_seconds: u32,
}

impl Pick {
    /// The chain's name.
    pub(crate) fn name(&self) -> String {
        let mut name = format!("pick-{}-{}", self.group.name(), self.count);
        if self.node_port {
            name.push_str("-nodeport");
        }
        if self.masquerade {
            name.push_str("-masquerade");
        }
        if self.affinity_seconds > 0 {
            name.push_str(&format!("-affinity-{}", self.affinity_seconds));
        }
        name
    }
}

/// What is done with a packet to a frontend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Action {
    Pick(Pick),
    /// `externalTrafficPolicy: Local`: who asks decides.
    ExternalLocal {
        node_port: bool,
    },
    Reject,
    Drop,
}

/// Names of the chains that actions go to.
pub(crate) const REJECT_CHAIN: &str = "reject";
/// For addresses.
pub(crate) const EXTERNAL_LOCAL_CHAIN: &str = "external-local";
/// For node ports.
pub(crate) const EXTERNAL_LOCAL_NODE_PORT_CHAIN: &str = "external-local-nodeport";

impl Action {
    fn data(&self) -> Data {
        match self {
            Self::Pick(pick) => Data::Goto(pick.name()),
            Self::ExternalLocal { node_port: false } => Data::Goto(EXTERNAL_LOCAL_CHAIN.to_owned()),
            Self::ExternalLocal { node_port: true } => Data::Goto(EXTERNAL_LOCAL_NODE_PORT_CHAIN.to_owned()),
            Self::Reject => Data::Goto(REJECT_CHAIN.to_owned()),
            Self::Drop => Data::Drop,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data() {
            Data::Goto(chain) => f.write_str(&chain),
            _ => f.write_str("drop"),
        }
    }
}

/// The key of an element, with the set it is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    /// A cluster IP.
    ClusterIp(IpAddr),
    /// A frontend that is served on this node.
    Redirect(Frontend),
    /// A frontend, and what is done with packets to it.
    Service(Frontend),
    /// The same for clients on this node, where `externalTrafficPolicy` is `Local`.
    Shortcut(Frontend),
    /// The same for all others.
    Local(Frontend),
    /// A frontend without endpoints.
    NoEndpoints(Frontend),
    /// An endpoint by its number.
    Endpoint(Frontend, u32),
    /// The mark of an endpoint by its number, where clients come back.
    AffinityMark(Frontend, u32),
    /// An endpoint by its mark.
    AffinityEndpoint(Frontend, u32, Group),
    /// The address of an endpoint on this node: it may be sent to itself.
    Hairpin(IpAddr),
    /// A frontend that only some clients may use.
    Firewalled(Frontend),
    /// Clients that may.
    SourceRange(Frontend, Cidr),
    /// Addresses that Services may get.
    ServiceRange(Cidr),
    /// An address of this node at which node ports answer.
    NodePortAddress(IpAddr),
    /// A port of the node that leads to a pod.
    HostPort(Frontend),
}

/// What an element of a map holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Value {
    /// Nothing: the element of a set.
    Member,
    Action(Action),
    Backend(Backend),
    /// By which a client's endpoint is remembered.
    Mark(u32),
}

/// The sets and maps of a table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Set {
    ClusterIps,
    Redirects,
    Services,
    Shortcuts,
    Locals,
    NoEndpoints,
    Endpoints,
    AffinityMarks,
    AffinityCluster,
    AffinityLocal,
    Hairpin,
    Firewalled,
    SourceRanges,
    ServiceRanges,
    NodePortAddresses,
    HostPorts,
}

impl Set {
    /// All whose elements are planned.
    pub(crate) const ALL: [Self; 16] = [
        Self::ClusterIps,
        Self::Redirects,
        Self::Services,
        Self::Shortcuts,
        Self::Locals,
        Self::NoEndpoints,
        Self::Endpoints,
        Self::AffinityMarks,
        Self::AffinityCluster,
        Self::AffinityLocal,
        Self::Hairpin,
        Self::Firewalled,
        Self::SourceRanges,
        Self::ServiceRanges,
        Self::NodePortAddresses,
        Self::HostPorts,
    ];

    /// Its name in the kernel.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClusterIps => "cluster-ips",
            Self::Redirects => "redirects",
            Self::Services => "services",
            Self::Shortcuts => "shortcuts",
            Self::Locals => "locals",
            Self::NoEndpoints => "no-endpoints",
            Self::Endpoints => "endpoints",
            Self::AffinityMarks => "affinity-marks",
            Self::AffinityCluster => "affinity-cluster",
            Self::AffinityLocal => "affinity-local",
            Self::Hairpin => "hairpin",
            Self::Firewalled => "firewalled",
            Self::SourceRanges => "source-ranges",
            Self::ServiceRanges => "service-ranges",
            Self::NodePortAddresses => "nodeport-addresses",
            Self::HostPorts => "host-ports",
        }
    }

    /// How the kernel is told of it.
    pub(crate) fn definition(self, family: Family) -> SetDefinition {
        let address = address_part(family);
        let frontend = vec![address, PROTOCOL, PORT];
        let backend = vec![address, PORT];
        let verdict = Some(Vec::new());
        let with = |key: &[(u32, u8)], more: &[(u32, u8)]| [key, more].concat();
        let (key, data) = match self {
            Self::ClusterIps | Self::NodePortAddresses => (vec![address], None),
            Self::Redirects | Self::Services | Self::Shortcuts | Self::Locals | Self::NoEndpoints => {
                (frontend, verdict)
            }
            Self::Endpoints | Self::AffinityCluster | Self::AffinityLocal => {
                (with(&frontend, &[NUMBER]), Some(backend))
            }
            Self::AffinityMarks => (with(&frontend, &[NUMBER]), Some(vec![NUMBER])),
            Self::Hairpin => (vec![address, address], None),
            Self::Firewalled => (frontend, None),
            Self::SourceRanges => (with(&frontend, &[address]), None),
            // The kernel takes ranges by their two ends for keys of several parts only.
            Self::ServiceRanges => (vec![address, PROTOCOL], None),
            Self::HostPorts => (frontend, Some(backend)),
        };
        let interval = matches!(self, Self::SourceRanges | Self::ServiceRanges);
        SetDefinition { name: self.name(), key, data, interval, dynamic: None }
    }
}

/// The map in which clients with session affinity are remembered; rules fill it.
pub(crate) const AFFINITY_MAP: &str = "affinity";
/// So many clients are remembered on a node; others get an endpoint at random each time.
pub(crate) const AFFINITY_CLIENTS_MAX: u32 = 1 << 20;

/// How the kernel is told of the map of clients: client and frontend to the endpoint's mark.
pub(crate) fn affinity_definition(family: Family) -> SetDefinition {
    let address = address_part(family);
    SetDefinition {
        name: AFFINITY_MAP,
        key: vec![address, address, PROTOCOL, PORT],
        data: Some(vec![NUMBER]),
        interval: false,
        dynamic: Some(AFFINITY_CLIENTS_MAX),
    }
}

// Numbers of types as `nft` has them (`enum datatypes` of its sources), and bytes.
const PROTOCOL: (u32, u8) = (12, 1);
const PORT: (u32, u8) = (13, 2);
/// Shown as a packet mark, which is a number in host order too.
const NUMBER: (u32, u8) = (19, 4);

fn address_part(family: Family) -> (u32, u8) {
    match family {
        Family::V4 => (7, 4),
        Family::V6 => (8, 16),
    }
}

impl Key {
    /// The set it is in.
    pub(crate) fn set(&self) -> Set {
        match self {
            Self::ClusterIp(_) => Set::ClusterIps,
            Self::Redirect(_) => Set::Redirects,
            Self::Service(_) => Set::Services,
            Self::Shortcut(_) => Set::Shortcuts,
            Self::Local(_) => Set::Locals,
            Self::NoEndpoints(_) => Set::NoEndpoints,
            Self::Endpoint(..) => Set::Endpoints,
            Self::AffinityMark(..) => Set::AffinityMarks,
            Self::AffinityEndpoint(_, _, group) => group.affinity_set(),
            Self::Hairpin(_) => Set::Hairpin,
            Self::Firewalled(_) => Set::Firewalled,
            Self::SourceRange(..) => Set::SourceRanges,
            Self::ServiceRange(_) => Set::ServiceRanges,
            Self::NodePortAddress(_) => Set::NodePortAddresses,
            Self::HostPort(_) => Set::HostPorts,
        }
    }

    /// The table it is in.
    pub(crate) fn family(&self) -> Family {
        Family::of(match self {
            Self::ClusterIp(address) | Self::Hairpin(address) | Self::NodePortAddress(address) => *address,
            Self::ServiceRange(range) => range.address(),
            Self::Redirect(frontend)
            | Self::Service(frontend)
            | Self::Shortcut(frontend)
            | Self::Local(frontend)
            | Self::NoEndpoints(frontend)
            | Self::Endpoint(frontend, _)
            | Self::AffinityMark(frontend, _)
            | Self::AffinityEndpoint(frontend, _, _)
            | Self::Firewalled(frontend)
            | Self::SourceRange(frontend, _)
            | Self::HostPort(frontend) => frontend.address,
        })
    }

    /// Whether connections of UDP may go elsewhere when it changes.
    pub(crate) fn concerns_udp(&self) -> bool {
        match self {
            Self::Redirect(frontend)
            | Self::Service(frontend)
            | Self::Shortcut(frontend)
            | Self::Local(frontend)
            | Self::NoEndpoints(frontend)
            | Self::Endpoint(frontend, _)
            | Self::HostPort(frontend) => frontend.protocol == Protocol::Udp,
            _ => false,
        }
    }

    /// As the kernel has it.
    pub(crate) fn element(&self, value: Value) -> Element {
        let (key, end) = match self {
            Self::ClusterIp(address) | Self::NodePortAddress(address) => (octets(*address), None),
            Self::Hairpin(address) => ([octets(*address), octets(*address)].concat(), None),
            Self::Redirect(frontend)
            | Self::Service(frontend)
            | Self::Shortcut(frontend)
            | Self::Local(frontend)
            | Self::NoEndpoints(frontend)
            | Self::Firewalled(frontend)
            | Self::HostPort(frontend) => (frontend.key(), None),
            Self::Endpoint(frontend, number)
            | Self::AffinityMark(frontend, number)
            | Self::AffinityEndpoint(frontend, number, _) => {
                ([frontend.key(), number.to_ne_bytes().to_vec()].concat(), None)
            }
            Self::SourceRange(frontend, range) => {
                let first = [frontend.key(), octets(range.address())].concat();
                let last = [frontend.key(), octets(range.last())].concat();
                (first, Some(last))
            }
            Self::ServiceRange(range) => {
                let with = |address, protocol: u8| [octets(address), vec![protocol, 0, 0, 0]].concat();
                (with(range.address(), 0), Some(with(range.last(), u8::MAX)))
            }
        };
        let data = match value {
            Value::Member => None,
            Value::Action(action) => Some(action.data()),
            Value::Backend(backend) => Some(Data::Value(backend.key())),
            Value::Mark(mark) => Some(Data::Value(mark.to_ne_bytes().to_vec())),
        };
        Element { key, end, data }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set().name();
        match self {
            Self::ClusterIp(address) | Self::Hairpin(address) | Self::NodePortAddress(address) => {
                write!(f, "{set} {address}")
            }
            Self::Redirect(frontend)
            | Self::Service(frontend)
            | Self::Shortcut(frontend)
            | Self::Local(frontend)
            | Self::NoEndpoints(frontend)
            | Self::Firewalled(frontend)
            | Self::HostPort(frontend) => write!(f, "{set} {frontend}"),
            Self::Endpoint(frontend, number) | Self::AffinityMark(frontend, number) => {
                match number.checked_sub(ENDPOINTS_MAX) {
                    Some(local) => write!(f, "{set} {frontend} local {local}"),
                    None => write!(f, "{set} {frontend} {number}"),
                }
            }
            Self::AffinityEndpoint(frontend, mark, _) => write!(f, "{set} {frontend} {mark:08x}"),
            Self::SourceRange(frontend, range) => write!(f, "{set} {frontend} {range}"),
            Self::ServiceRange(range) => write!(f, "{set} {range}"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => Ok(()),
            Self::Action(action) => write!(f, ": {action}"),
            Self::Backend(backend) => write!(f, ": {backend}"),
            Self::Mark(mark) => write!(f, ": {mark:08x}"),
        }
    }
}

/// A port as it is in the packet, at the beginning of a word.
fn put_port(key: &mut Vec<u8>, port: u16) {
    key.extend_from_slice(&port.to_be_bytes());
    key.extend_from_slice(&[0, 0]);
}
