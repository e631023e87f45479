//! The address of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Whither the default route would be taken: addresses for documentation (RFC 5737, RFC 3849). Nothing is
/// sent there: connecting a UDP socket only asks the kernel for the route.
const FAR_V4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
const FAR_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// The address that packets by the default route carry, as upstream's `--advertise-address` is found; the
/// loopback address if there is no default route.
pub(crate) fn own() -> IpAddr {
    of_default_routes().into_iter().next().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// The addresses of the default routes: IPv4, then IPv6, as far as there are any.
pub(crate) fn of_default_routes() -> Vec<IpAddr> {
    let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(FAR_V4)?;
        socket.local_addr()
    });
    let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(FAR_V6)?;
        socket.local_addr()
    });
    [v4, v6].into_iter().flatten().map(|address| address.ip()).filter(|ip| !ip.is_unspecified()).collect()
}
