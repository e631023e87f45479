//! IP addresses and CIDRs.
//!
//! Upstream counterparts: apiserver `pkg/cel/library/ip.go`, `cidr.go`; Go's `net/netip`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::decls::Library;
use crate::eval::Call;
use crate::library::string;
use crate::opaque::Opaque;
use crate::val::{Eval, EvalError, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 30,
    signatures: "
        ip string_to_ip (string) -> net.IP
        family ip_family net.IP.() -> int
        ip.isCanonical ip_is_canonical (string) -> bool
        isUnspecified ip_is_unspecified net.IP.() -> bool
        isLoopback ip_is_loopback net.IP.() -> bool
        isLinkLocalMulticast ip_is_link_local_multicast net.IP.() -> bool
        isLinkLocalUnicast ip_is_link_local_unicast net.IP.() -> bool
        isGlobalUnicast ip_is_global_unicast net.IP.() -> bool
        isIP is_ip (string) -> bool
        string ip_to_string (net.IP) -> string
        cidr string_to_cidr (string) -> net.CIDR
        containsIP cidr_contains_ip_string net.CIDR.(string) -> bool
        containsIP cidr_contains_ip_ip net.CIDR.(net.IP) -> bool
        containsCIDR cidr_contains_cidr_string net.CIDR.(string) -> bool
        containsCIDR cidr_contains_cidr net.CIDR.(net.CIDR) -> bool
        ip cidr_ip net.CIDR.() -> net.IP
        prefixLength cidr_prefix_length net.CIDR.() -> int
        masked cidr_masked net.CIDR.() -> net.CIDR
        isCIDR is_cidr (string) -> bool
        string cidr_to_string (net.CIDR) -> string
    ",
    runs: &[
        ("ip", |c, a| match &a[0] {
            Val::Opaque(o) => match &**o {
                Opaque::Cidr(cidr) => Ok(Val::opaque(Opaque::Ip(cidr.address))),
                _ => c.no_overload(a),
            },
            _ => parse_ip(string(c, a, 0)?).map(|ip| Val::opaque(Opaque::Ip(ip))),
        }),
        ("family", |c, a| Ok(Val::Int(if ip(c, a)?.is_ipv4() { 4 } else { 6 }))),
        ("ip.isCanonical", |c, a| {
            let s = string(c, a, 0)?;
            Ok(Val::Bool(parse_ip(s)?.to_string() == s.as_str()))
        }),
        ("isUnspecified", |c, a| Ok(Val::Bool(ip(c, a)?.is_unspecified()))),
        ("isLoopback", |c, a| Ok(Val::Bool(ip(c, a)?.is_loopback()))),
        ("isLinkLocalMulticast", |c, a| {
            Ok(Val::Bool(match ip(c, a)? {
                IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
                IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
            }))
        }),
        ("isLinkLocalUnicast", |c, a| Ok(Val::Bool(is_link_local_unicast(ip(c, a)?)))),
        ("isGlobalUnicast", |c, a| {
            let ip = ip(c, a)?;
            let special = ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_multicast()
                || is_link_local_unicast(ip)
                || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
            Ok(Val::Bool(!special))
        }),
        ("isIP", |c, a| Ok(Val::Bool(parse_ip(string(c, a, 0)?).is_ok()))),
        ("cidr", |c, a| parse_cidr(string(c, a, 0)?).map(|n| Val::opaque(Opaque::Cidr(n)))),
        ("containsIP", |c, a| {
            let net = cidr(c, a, 0)?;
            let ip = match &a[1] {
                // Upstream hides what is wrong with the address here.
                Val::String(s) => parse_ip(s).map_err(|_| EvalError::no_overload())?,
                Val::Opaque(o) => match &**o {
                    Opaque::Ip(ip) => *ip,
                    _ => return c.no_overload(a),
                },
                _ => return c.no_overload(a),
            };
            Ok(Val::Bool(net.contains(ip)))
        }),
        ("containsCIDR", |c, a| {
            let net = cidr(c, a, 0)?;
            let other = match &a[1] {
                Val::String(s) => parse_cidr(s)?,
                _ => *cidr(c, a, 1)?,
            };
            Ok(Val::Bool(net.overlaps(&other) && net.bits <= other.bits))
        }),
        ("prefixLength", |c, a| Ok(Val::Int(cidr(c, a, 0)?.bits.into()))),
        ("masked", |c, a| Ok(Val::opaque(Opaque::Cidr(cidr(c, a, 0)?.masked())))),
        ("isCIDR", |c, a| Ok(Val::Bool(parse_cidr(string(c, a, 0)?).is_ok()))),
    ],
};

/// An address and how many of its bits are the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

fn wide(a: IpAddr) -> (u128, u8) {
    match a {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// The first `bits` of an address of `width` bits.
fn prefix(n: u128, width: u8, bits: u8) -> u128 {
    n.checked_shr(u32::from(width - bits.min(width))).unwrap_or(0)
}

impl Cidr {
    fn contains(&self, ip: IpAddr) -> bool {
        let ((a, width), (b, other)) = (wide(self.address), wide(ip));
        width == other && prefix(a, width, self.bits) == prefix(b, width, self.bits)
    }

    fn overlaps(&self, o: &Self) -> bool {
        let ((a, width), (b, other)) = (wide(self.address), wide(o.address));
        let bits = self.bits.min(o.bits);
        width == other && prefix(a, width, bits) == prefix(b, width, bits)
    }

    fn masked(&self) -> Self {
        let (n, width) = wide(self.address);
        let kept = prefix(n, width, self.bits).checked_shl(u32::from(width - self.bits)).unwrap_or(0);
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(kept as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(kept)),
        };
        Self { address, bits: self.bits }
    }

    /// Octets of the prefix, which is what costs count.
    pub(crate) fn size(&self) -> usize {
        usize::from(self.bits).div_ceil(8)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn ip(call: &Call, args: &[Val<'_>]) -> Eval<IpAddr> {
    match &args[0] {
        Val::Opaque(o) => match &**o {
            Opaque::Ip(ip) => Ok(*ip),
            _ => call.no_overload(args),
        },
        _ => call.no_overload(args),
    }
}

fn cidr<'v>(call: &Call, args: &'v [Val<'_>], i: usize) -> Eval<&'v Cidr> {
    match args.get(i) {
        Some(Val::Opaque(o)) => match &**o {
            Opaque::Cidr(c) => Ok(c),
            _ => call.no_overload(args),
        },
        _ => call.no_overload(args),
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn parse_ip(text: &str) -> Eval<IpAddr> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(a, z)| (a, Some(z)));
    let ip: IpAddr = address.parse().map_err(|_| {
        EvalError::new(format!(
            "IP Address {text:?} parse error during conversion from string: {}",
            why_no_ip(text)
        ))
    })?;
    if zone.is_some() {
        return Err(EvalError::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    if mapped(ip) {
        return Err(EvalError::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(ip)
}

/// Go's `netip.ParseAddr` error for a text that is no address.
fn why_no_ip(text: &str) -> String {
    let error = |message: &str| format!("ParseAddr({text:?}): {message}");
    match text.find(['.', ':', '%']).map(|i| text.as_bytes()[i]) {
        Some(b'.') => error(v4_problem(text)),
        Some(b':') => error("each group must have 4 or less digits")
            .replace("each group must have 4 or less digits", v6_problem(text)),
        Some(_) => error("missing IPv6 address"),
        None => error("unable to parse IP"),
    }
}

fn v4_problem(text: &str) -> &'static str {
    let parts: Vec<&str> = text.split('.').collect();
    for (i, p) in parts.iter().enumerate() {
        if i > 3 {
            return "IPv4 address too long";
        }
        if p.is_empty() {
            return "IPv4 field must have at least one digit";
        }
        if !p.bytes().all(|b| b.is_ascii_digit()) {
            return "unexpected character";
        }
        if p.len() > 1 && p.starts_with('0') {
            return "IPv4 field has octet with leading zero";
        }
        if p.parse::<u32>().map_or(true, |n| n > 255) {
            return "IPv4 field has value >255";
        }
    }
    if parts.len() < 4 { "IPv4 address too short" } else { "unable to parse IP" }
}

fn v6_problem(text: &str) -> &'static str {
    let colons = text.matches(':').count();
    if text.split(':').any(|g| g.len() > 4 && !g.contains('.')) {
        return "each group must have 4 or less digits";
    }
    if text.bytes().any(|b| !b.is_ascii_hexdigit() && !matches!(b, b':' | b'.')) {
        return "unexpected character";
    }
    if !text.contains("::") && colons < 7 {
        return "address string too short";
    }
    "unexpected character"
}

fn parse_cidr(text: &str) -> Eval<Cidr> {
    let wrong = |message: String| {
        EvalError::new(format!(
            "network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix({text:?}): {message}"
        ))
    };
    let Some((address, bits)) = text.rsplit_once('/') else { return Err(wrong("no '/'".into())) };
    let parsed: IpAddr = address.parse().map_err(|_| wrong(why_no_ip(address)))?;
    let width = wide(parsed).1;
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (bits.len() == 1 || !bits.starts_with('0'));
    if !plain {
        return Err(wrong(format!("bad bits after slash: {bits:?}")));
    }
    match bits.parse::<u8>() {
        Ok(bits) if bits <= width => {
            if mapped(parsed) {
                return Err(EvalError::new(format!(
                    "network address parse error during conversion from string: IPv4-mapped IPv6 address {text:?} is not allowed"
                )));
            }
            Ok(Cidr { address: parsed, bits })
        }
        _ => Err(wrong("prefix length out of range".into())),
    }
}
