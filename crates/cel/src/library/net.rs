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
    let (address, zone) = split_zone(text);
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
    let (message, at) = match text.find(['.', ':', '%']).map(|i| text.as_bytes()[i]) {
        Some(b'.') => v4_problem(text).unwrap_or(("unable to parse IP", "")),
        Some(b':') => v6_problem(text),
        Some(_) => ("missing IPv6 address", ""),
        None => ("unable to parse IP", ""),
    };
    let at = if at.is_empty() { String::new() } else { format!(" (at {at:?})") };
    format!("ParseAddr({text:?}): {message}{at}")
}

/// What is wrong, and where: the rest of the text from there.
type Problem<'t> = (&'static str, &'t str);

fn v4_problem(text: &str) -> Option<Problem<'_>> {
    let b = text.as_bytes();
    let (mut value, mut digits, mut fields) = (0u32, 0, 0);
    for (i, c) in b.iter().enumerate() {
        match c {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Some(("IPv4 field has octet with leading zero", ""));
                }
                value = value * 10 + u32::from(c - b'0');
                digits += 1;
                if value > 255 {
                    return Some(("IPv4 field has value >255", ""));
                }
            }
            b'.' => {
                if i == 0 || i + 1 == b.len() || b[i - 1] == b'.' {
                    return Some(("IPv4 field must have at least one digit", &text[i..]));
                }
                if fields == 3 {
                    return Some(("IPv4 address too long", ""));
                }
                fields += 1;
                (value, digits) = (0, 0);
            }
            _ => return Some(("unexpected character", text.get(i..).unwrap_or(""))),
        }
    }
    (fields < 3).then_some(("IPv4 address too short", ""))
}

fn v6_problem(text: &str) -> Problem<'_> {
    let mut s = text;
    if let Some((address, zone)) = text.split_once('%') {
        if zone.is_empty() {
            return ("zone must be a non-empty string", "");
        }
        s = address;
    }
    let mut ellipsis = s.starts_with("::");
    let at_start = ellipsis;
    if ellipsis {
        s = &s[2..];
    }
    let mut octets = 0;
    while octets < 16 {
        let digits = s.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits > 4 {
            return ("each group must have 4 or less digits", s);
        }
        if digits == 0 {
            if s.is_empty() && at_start && octets == 0 {
                break;
            }
            return ("each colon-separated field must have at least one digit", s);
        }
        if s[digits..].starts_with('.') {
            if !ellipsis && octets != 12 {
                return ("embedded IPv4 address must replace the final 2 fields of the address", s);
            }
            if octets + 4 > 16 {
                return ("too many hex fields to fit an embedded IPv4 at the end of the address", s);
            }
            return v4_problem(s).unwrap_or(("address string too short", ""));
        }
        octets += 2;
        s = &s[digits..];
        if s.is_empty() {
            break;
        }
        if !s.starts_with(':') {
            return ("unexpected character, want colon", s);
        }
        if s.len() == 1 {
            return ("colon must be followed by more characters", s);
        }
        s = &s[1..];
        if s.starts_with(':') {
            if ellipsis {
                return ("multiple :: in address", s);
            }
            ellipsis = true;
            s = &s[1..];
            if s.is_empty() {
                break;
            }
        }
    }
    if !s.is_empty() {
        return ("trailing garbage after address", s);
    }
    if octets < 16 {
        ("address string too short", "")
    } else {
        ("the :: must expand to at least one field of zeros", "")
    }
}

/// An address without its zone, and the zone. Only version 6 has zones.
fn split_zone(text: &str) -> (&str, Option<&str>) {
    match text.split_once('%') {
        Some((a, zone)) if a.contains(':') && !zone.is_empty() => (a, Some(zone)),
        _ => (text, None),
    }
}

fn parse_cidr(text: &str) -> Eval<Cidr> {
    let wrong = |message: String| {
        EvalError::new(format!(
            "network address parse error during conversion from string: network address parse error during conversion from string: netip.ParsePrefix({text:?}): {message}"
        ))
    };
    let Some((address, bits)) = text.rsplit_once('/') else { return Err(wrong("no '/'".into())) };
    let (bare, zone) = split_zone(address);
    let parsed: IpAddr = bare.parse().map_err(|_| wrong(why_no_ip(address)))?;
    if zone.is_some() {
        return Err(wrong("IPv6 zones cannot be present in a prefix".into()));
    }
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
