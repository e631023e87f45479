//! Links, addresses, routes and neighbours by rtnetlink (rtnetlink(7)).

use crate::cidr::{Cidr, Family, from_octets, octets};
use crate::netlink::{
    Buffer, Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Socket, attribute, is, text, u32_of,
};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_OPERSTATE: u16 = 16;
const IF_OPER_UP: u8 = 6;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTNH_F_ONLINK: u32 = 4;
const RT_TABLE_MAIN: u8 = 254;
const RTN_UNICAST: u8 = 1;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The kernel takes less than a millisecond, or a second if there were many such changes.
const READY_ATTEMPTS_MAX: u32 = 2000;
const READY_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

/// Who made a route: Corten's number among the routing protocols, so that its routes are known again. Not
/// used by any daemon of iproute2's rt_protos.
pub(crate) const ROUTE_PROTOCOL: u8 = 0x43;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    /// It is switched on.
    pub(crate) up: bool,
    /// It passes packets.
    pub(crate) ready: bool,
}

/// How far an address or a route reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Universe = 0,
    Link = 253,
    /// Of this machine only: never chosen as the source of what leaves it.
    Host = 254,
}

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Cidr,
    pub(crate) gateway: Option<IpAddr>,
    /// The interface; none for what is refused as unreachable.
    pub(crate) link: Option<u32>,
    pub(crate) scope: Scope,
    /// The gateway is on the link though no address says so.
    pub(crate) on_link: bool,
    /// Lower is preferred; 0 is the kernel's default.
    pub(crate) priority: u32,
}

/// One end of a pair of virtual Ethernet interfaces.
pub(crate) struct VethEnd<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Mac,
}

/// The namespace's links, addresses, routes and neighbours.
pub(crate) struct Links {
    socket: Socket,
}

impl Links {
    /// Those of this thread's namespace.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { socket: Socket::route()? })
    }

    /// The interface of this name, if there is one.
    pub(crate) fn by_name(&mut self, name: &str) -> io::Result<Option<Link>> {
        let answer = self.socket.ask(RTM_GETLINK, 0, &link_header(0, 0, 0), |buffer| {
            buffer.put_text(IFLA_IFNAME, name);
        });
        match answer {
            Ok(messages) => Ok(messages.iter().find_map(link_of)),
            Err(error) if is(&error, Errno::NODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All interfaces.
    pub(crate) fn all(&mut self) -> io::Result<Vec<Link>> {
        let messages = self.socket.dump(RTM_GETLINK, &link_header(0, 0, 0), |_| {})?;
        Ok(messages.iter().filter_map(link_of).collect())
    }

    /// Makes a pair: one end here, the other under its name in another namespace.
    pub(crate) fn add_veth(
        &mut self,
        here: &VethEnd<'_>,
        there: &VethEnd<'_>,
        namespace: BorrowedFd<'_>,
        mtu: u32,
        alias: &str,
    ) -> io::Result<()> {
        self.socket.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link_header(0, 0, 0), |buffer| {
            buffer.put_text(IFLA_IFNAME, here.name);
            buffer.put(IFLA_ADDRESS, &here.mac.0);
            buffer.put_u32(IFLA_MTU, mtu);
            buffer.put_text(IFLA_IFALIAS, alias);
            buffer.nest(IFLA_LINKINFO, |buffer| {
                buffer.put_text(IFLA_INFO_KIND, "veth");
                buffer.nest(IFLA_INFO_DATA, |buffer| {
                    buffer.nest(VETH_INFO_PEER, |buffer| {
                        buffer.raw(&link_header(0, 0, 0));
                        buffer.put_text(IFLA_IFNAME, there.name);
                        buffer.put(IFLA_ADDRESS, &there.mac.0);
                        buffer.put_u32(IFLA_MTU, mtu);
                        buffer.put_u32(IFLA_NET_NS_FD, namespace.as_raw_fd() as u32);
                    });
                });
            });
        })
    }

    /// Switches an interface on.
    pub(crate) fn set_up(&mut self, link: u32) -> io::Result<()> {
        self.socket.request(RTM_NEWLINK, 0, &link_header(link, IFF_UP, IFF_UP), |_| {})
    }

    /// Waits until an interface that was switched on passes packets: the kernel does the last step, from the
    /// link's carrier to its queue, on a thread of its own.
    pub(crate) fn wait_until_ready(&mut self, name: &str) -> io::Result<()> {
        for _ in 0..READY_ATTEMPTS_MAX {
            let link = self.by_name(name)?.ok_or_else(|| io::Error::other(format!("{name} is gone")))?;
            if link.ready {
                return Ok(());
            }
            std::thread::sleep(READY_PAUSE);
        }
        Err(io::Error::other(format!("the interface {name} has no carrier")))
    }

    /// Removes an interface, and with it what stands on it; one that is gone is fine.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        let removed = self.socket.request(RTM_DELLINK, 0, &link_header(0, 0, 0), |buffer| {
            buffer.put_text(IFLA_IFNAME, name);
        });
        absent_is_fine(removed)
    }

    /// Gives an interface an address; one that it has already is fine.
    pub(crate) fn add_address(&mut self, link: u32, address: Cidr, scope: Scope) -> io::Result<()> {
        let fixed = address_header(link, address, scope);
        self.socket.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &fixed, |buffer| {
            put_address(buffer, address);
            // Nobody else can have it: waiting for an answer would only delay the pod (RFC 4862, 5.4).
            buffer.put_u32(IFA_FLAGS, IFA_F_NODAD);
        })
    }

    /// Takes an address away; one that is gone is fine.
    pub(crate) fn remove_address(&mut self, link: u32, address: Cidr) -> io::Result<()> {
        let fixed = address_header(link, address, Scope::Universe);
        absent_is_fine(self.socket.request(RTM_DELADDR, 0, &fixed, |buffer| put_address(buffer, address)))
    }

    /// All addresses with their interfaces.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(u32, IpAddr)>> {
        let messages = self.socket.dump(RTM_GETADDR, &[0; 8], |_| {})?;
        Ok(messages.iter().filter_map(address_of).collect())
    }

    /// Sets a route; one with the same destination and priority is replaced.
    pub(crate) fn set_route(&mut self, route: &Route) -> io::Result<()> {
        self.socket.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route_header(route), |buffer| {
            put_route(buffer, route);
        })
    }

    /// Removes a route; one that is gone is fine.
    pub(crate) fn remove_route(&mut self, route: &Route) -> io::Result<()> {
        absent_is_fine(
            self.socket.request(RTM_DELROUTE, 0, &route_header(route), |buffer| put_route(buffer, route)),
        )
    }

    /// The routes that Corten made, in the main table.
    pub(crate) fn routes(&mut self) -> io::Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in Family::ALL {
            let mut fixed = [0; 12];
            fixed[0] = address_family(family);
            for message in self.socket.dump(RTM_GETROUTE, &fixed, |_| {})? {
                routes.extend(route_of(&message, family));
            }
        }
        Ok(routes)
    }

    /// Whether there is any way to an address.
    pub(crate) fn is_routed(&mut self, address: IpAddr) -> io::Result<bool> {
        Ok(!self.way(address)?.is_empty())
    }

    /// By which interface an address is reached without a gateway; none if a gateway is between, or no route.
    pub(crate) fn on_link(&mut self, address: IpAddr) -> io::Result<Option<u32>> {
        let messages = self.way(address)?;
        Ok(messages.iter().find_map(|message| {
            let attributes = message.body.get(12..)?;
            (message.body.get(7) == Some(&RTN_UNICAST) && attribute(attributes, RTA_GATEWAY).is_none())
                .then(|| attribute(attributes, RTA_OIF).and_then(u32_of))
                .flatten()
        }))
    }

    /// What the kernel says of the way to an address; nothing if there is none.
    fn way(&mut self, address: IpAddr) -> io::Result<Vec<Message>> {
        let mut fixed = [0; 12];
        fixed[0] = address_family(Family::of(address));
        fixed[1] = Family::of(address).bits();
        let answer = self.socket.ask(RTM_GETROUTE, 0, &fixed, |buffer| buffer.put(RTA_DST, &octets(address)));
        let no_way = [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::ACCESS, Errno::INVAL];
        match answer {
            Err(error) if no_way.into_iter().any(|number| is(&error, number)) => Ok(Vec::new()),
            Ok(messages) => Ok(messages.into_iter().filter(is_passable).collect()),
            Err(error) => Err(error),
        }
    }

    /// Tells an interface for good which Ethernet address has an IP address.
    pub(crate) fn set_neighbour(&mut self, link: u32, address: IpAddr, mac: Mac) -> io::Result<()> {
        let mut fixed = [0; 12];
        fixed[0] = address_family(Family::of(address));
        fixed[4..8].copy_from_slice(&link.to_ne_bytes());
        fixed[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
        self.socket.request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &fixed, |buffer| {
            buffer.put(NDA_DST, &octets(address));
            buffer.put(NDA_LLADDR, &mac.0);
        })
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        let gone = [Errno::NODEV, Errno::ADDRNOTAVAIL, Errno::SRCH, Errno::NOENT]
            .into_iter()
            .any(|number| is(&error, number));
        if gone { Ok(()) } else { Err(error) }
    })
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// `struct ifaddrmsg`.
fn address_header(link: u32, address: Cidr, scope: Scope) -> [u8; 8] {
    let mut header = [0; 8];
    header[0] = address_family(address.family());
    header[1] = address.prefix();
    header[3] = scope as u8;
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header
}

fn put_address(buffer: &mut Buffer, address: Cidr) {
    buffer.put(IFA_LOCAL, &octets(address.address()));
    buffer.put(IFA_ADDRESS, &octets(address.address()));
}

/// `struct rtmsg`.
fn route_header(route: &Route) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = address_family(route.destination.family());
    header[1] = route.destination.prefix();
    header[4] = RT_TABLE_MAIN;
    header[5] = ROUTE_PROTOCOL;
    header[6] = route.scope as u8;
    header[7] = if route.link.is_some() { RTN_UNICAST } else { RTN_UNREACHABLE };
    let flags = if route.on_link { RTNH_F_ONLINK } else { 0 };
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn put_route(buffer: &mut Buffer, route: &Route) {
    if route.destination.prefix() > 0 {
        buffer.put(RTA_DST, &octets(route.destination.address()));
    }
    if let Some(gateway) = route.gateway {
        buffer.put(RTA_GATEWAY, &octets(gateway));
    }
    if let Some(link) = route.link {
        buffer.put_u32(RTA_OIF, link);
    }
    if route.priority > 0 {
        buffer.put_u32(RTA_PRIORITY, route.priority);
    }
}

/// Whether an answer about a way is one: IPv6 answers with the unreachable route itself.
fn is_passable(message: &Message) -> bool {
    message.kind == RTM_NEWROUTE && message.body.get(7).is_some_and(|kind| *kind < RTN_BLACKHOLE)
}

fn address_of(message: &Message) -> Option<(u32, IpAddr)> {
    let link = u32_of(message.body.get(4..)?)?;
    let attributes = message.body.get(8..)?;
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    Some((link, from_octets(value)?))
}

fn route_of(message: &Message, family: Family) -> Option<Route> {
    let header = message.body.get(..12)?;
    let attributes = message.body.get(12..)?;
    if header[4] != RT_TABLE_MAIN || header[5] != ROUTE_PROTOCOL {
        return None;
    }
    let address = attribute(attributes, RTA_DST).map_or(Some(family.unspecified()), from_octets)?;
    let scope = match header[6] {
        253 => Scope::Link,
        254 => Scope::Host,
        _ => Scope::Universe,
    };
    let link = attribute(attributes, RTA_OIF).and_then(u32_of).filter(|_| header[7] == RTN_UNICAST);
    let flags = u32_of(&header[8..12]).unwrap_or(0);
    Some(Route {
        destination: Cidr::new(address, header[1])?,
        gateway: attribute(attributes, RTA_GATEWAY).and_then(from_octets),
        link,
        scope,
        on_link: flags & RTNH_F_ONLINK != 0,
        priority: attribute(attributes, RTA_PRIORITY).and_then(u32_of).unwrap_or(0),
    })
}

/// For fuzzing: all that is read of a message.
pub(crate) fn fuzz_message(message: &Message) {
    let _ = (link_of(message), is_passable(message), address_of(message));
    for family in Family::ALL {
        let _ = route_of(message, family);
    }
}

fn link_of(message: &Message) -> Option<Link> {
    if message.kind != RTM_NEWLINK {
        return None;
    }
    let attributes = message.body.get(16..)?;
    let mac = attribute(attributes, IFLA_ADDRESS).and_then(|bytes| bytes.try_into().ok());
    Some(Link {
        index: u32_of(message.body.get(4..)?)?,
        name: text(attribute(attributes, IFLA_IFNAME)?),
        mac: Mac(mac.unwrap_or_default()),
        mtu: attribute(attributes, IFLA_MTU).and_then(u32_of).unwrap_or(0),
        up: u32_of(message.body.get(8..)?)? & IFF_UP != 0,
        ready: attribute(attributes, IFLA_OPERSTATE).and_then(<[u8]>::first) == Some(&IF_OPER_UP),
    })
}

fn address_family(family: Family) -> u8 {
    match family {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    }
}
