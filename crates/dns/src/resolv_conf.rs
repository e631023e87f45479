//! The node's own resolvers: `resolv.conf(5)`.

use std::net::{IpAddr, SocketAddr};

/// How many resolvers are used, as glibc (MAXNS).
const SERVERS_MAX: usize = 3;
const DNS_PORT: u16 = 53;

/// The resolvers that a file names, without `own` addresses, which would be asked in circles.
pub(crate) fn servers(text: &str, own: &[SocketAddr]) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter(|rest| rest.starts_with([' ', '\t'])).filter_map(|rest| {
        // A zone (`fe80::1%eth0`) is not of use here.
        rest.split_whitespace().next()?.parse::<IpAddr>().ok()
    });
    addresses
        .map(|ip| SocketAddr::new(ip, DNS_PORT))
        .filter(|server| !own.contains(server))
        .take(SERVERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_file() {
        let text = "# x\nsearch a b\nnameserver 1.1.1.1\n nameserver\t::1 # y\nnameservers 2.2.2.2\n\
            nameserver 169.254.20.10\nnameserver bad\nnameserver 3.3.3.3\nnameserver 4.4.4.4\n";
        let own = ["169.254.20.10:53".parse().expect("an address")];
        let found: Vec<String> = servers(text, &own).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["1.1.1.1:53", "[::1]:53", "3.3.3.3:53"]);
    }
}
