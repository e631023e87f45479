//! Who listens where: `/proc/net/tcp` and its kin, and the process that holds the socket.

use crate::by_hand::{OWN_NAME, option};
use crate::processes::Process;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where; unspecified for everywhere.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
    /// By which `/proc/PID/fd` names it.
    pub inode: u64,
    /// Number and name of the process that holds it.
    pub process: Option<(i32, String)>,
}

impl Listener {
    /// Whether it keeps another socket from listening there.
    pub(crate) fn blocks(&self, address: IpAddr, port: u16, transport: Transport) -> bool {
        // An IPv6 socket on all addresses takes IPv4 too, unless it says otherwise, which /proc does not show.
        let overlap = self.address == address || self.address.is_unspecified() || address.is_unspecified();
        self.port == port && self.transport == transport && overlap
    }
}

/// TCP_LISTEN, and what an unconnected UDP socket is in (net/tcp_states.h).
const LISTENING: [&str; 2] = ["0A", "07"];

/// Parses one of `/proc/net/{tcp,tcp6,udp,udp6}`.
pub(crate) fn parse(text: &str, transport: Transport) -> Vec<Listener> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (address, port) = fields.get(1)?.split_once(':')?;
            let listening = LISTENING[usize::from(transport == Transport::Udp)];
            (*fields.get(3)? == listening).then_some(())?;
            Some(Listener {
                address: parse_address(address)?,
                port: u16::from_str_radix(port, 16).ok()?,
                transport,
                inode: fields.get(9)?.parse().ok()?,
                process: None,
            })
        })
        .collect()
}

/// Addresses are printed as 32-bit words in the machine's order.
pub(crate) fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            let address = Ipv6Addr::from(bytes);
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        _ => None,
    }
}

/// All listening sockets of this network namespace.
pub(crate) fn listeners() -> Vec<Listener> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
    let tables = [
        ("tcp", Transport::Tcp),
        ("tcp6", Transport::Tcp),
        ("udp", Transport::Udp),
        ("udp6", Transport::Udp),
    ];
    tables.into_iter().flat_map(|(file, transport)| parse(&read(file), transport)).collect()
}

/// Finds the processes of the listeners: walks all processes' open files, so only for few.
pub(crate) fn name_processes(listeners: &mut [&mut Listener]) {
    let mut wanted: HashMap<String, &mut &mut Listener> =
        listeners.iter_mut().map(|l| (format!("socket:[{}]", l.inode), l)).collect();
    for process in crate::processes::all() {
        if wanted.is_empty() {
            return;
        }
        let fds = std::fs::read_dir(format!("/proc/{}/fd", process.identity.pid));
        for fd in fds.into_iter().flatten().flatten() {
            let Ok(target) = std::fs::read_link(fd.path()) else { continue };
            if let Some(listener) = target.to_str().and_then(|t| wanted.remove(t)) {
                listener.process = Some((process.identity.pid, name(&process)));
            }
        }
    }
}

/// What a process is called; of Corten's own it is told which cluster they are of.
fn name(process: &Process) -> String {
    let arguments = process.arguments();
    match option(&arguments, "--root").filter(|_| process.name == OWN_NAME) {
        Some(root) => format!("{} --root={root}", process.name),
        None => process.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1929 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0 100 0 0 10 0
   1: 0100007F:A2B4 0100007F:1929 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0 100 0 0 10 0
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:280A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 78 1 0 100 0 0 10 0
   2: 000080FE00000000000000000100007F:0017 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 79 1 0 100 0 0 10 0
";

    fn found(text: &str) -> Vec<(String, u16, u64)> {
        parse(text, Transport::Tcp).into_iter().map(|l| (l.address.to_string(), l.port, l.inode)).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_of_sockets() {
        assert_eq!(found(TCP), [("127.0.0.1".into(), 6441, 1234)]);
        let expected = [("::", 10250, 77), ("127.0.0.1", 22, 78), ("fe80::7f00:1", 23, 79)];
        assert_eq!(found(TCP6), expected.map(|(a, p, i)| (a.to_owned(), p, i)));
        assert_eq!(found("nonsense\nmore nonsense\n"), []);
    }

    #[test]
    fn who_blocks_whom() {
        let listener = |address: &str| Listener {
            address: address.parse().unwrap(),
            port: 53,
            transport: Transport::Udp,
            inode: 0,
            process: None,
        };
        for (has, wants, port, transport, blocks) in [
            ("0.0.0.0", "169.254.20.10", 53, Transport::Udp, true),
            ("127.0.0.53", "169.254.20.10", 53, Transport::Udp, false),
            ("127.0.0.53", "0.0.0.0", 53, Transport::Udp, true),
            ("0.0.0.0", "0.0.0.0", 53, Transport::Tcp, false),
            ("0.0.0.0", "0.0.0.0", 54, Transport::Udp, false),
        ] {
            assert_eq!(
                listener(has).blocks(wants.parse().unwrap(), port, transport),
                blocks,
                "{has} {wants}"
            );
        }
    }

    #[test]
    fn a_listener_is_named() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut all = listeners();
        let mut mine: Vec<&mut Listener> = all.iter_mut().filter(|l| l.port == port).collect();
        name_processes(&mut mine);
        assert_eq!(mine[0].process.as_ref().unwrap().0, std::process::id() as i32);
    }
}
