//! IP addresses and CIDRs in objects, as `k8s.io/apimachinery/pkg/util/validation/ip.go`.
//!
//! Old fields take what Go's `net.ParseIP` once took, leading zeros included; new ones the canonical form only.

use crate::field::{Error, ErrorList, Path};
use crate::quote::Quoted;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an old field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Leading zeros, IPv4 in IPv6, and bits behind the prefix.
    Sloppy,
    /// None of that (the gate `StrictIPCIDRValidation`).
    Strict,
}

/// Reads an address as leniently as upstream's `netutils.ParseIPSloppy`: octets and groups may have zeros in
/// front. No zone.
pub fn parse_ip_sloppy(text: &str) -> Option<IpAddr> {
    match text.bytes().find(|b| matches!(b, b'.' | b':'))? {
        b'.' => sloppy_v4(text).map(IpAddr::V4),
        _ => sloppy_v6(text).map(IpAddr::V6),
    }
}

/// A number below `limit` of digits to base `radix`; zeros in front are free.
fn number(text: &str, radix: u32, limit: u32) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0_u32, |n, c| Some(n * radix + c.to_digit(radix)?).filter(|n| *n < limit))
}

fn sloppy_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = text.split('.').map(|octet| number(octet, 10, 0x100));
    let mut next = || octets.next().flatten().and_then(|n| u8::try_from(n).ok());
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    octets.next().is_none().then_some(address)
}

fn sloppy_v6(text: &str) -> Option<Ipv6Addr> {
    let (head, tail) = match text.split_once("::") {
        Some((head, tail)) => (head, Some(tail)),
        None => (text, None),
    };
    let mut groups = Vec::with_capacity(8);
    // An address in dots may only come last.
    push_groups(&mut groups, head, tail.is_none())?;
    if let Some(tail) = tail {
        let mut behind = Vec::with_capacity(8);
        push_groups(&mut behind, tail, true)?;
        let zeros = 8_usize.checked_sub(groups.len() + behind.len()).filter(|n| *n > 0)?;
        groups.resize(groups.len() + zeros, 0);
        groups.extend(behind);
    }
    <[u16; 8]>::try_from(groups).ok().map(Ipv6Addr::from)
}

fn push_groups(groups: &mut Vec<u16>, text: &str, last: bool) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        if groups.len() >= 8 {
            return None;
        }
        if last && parts.peek().is_none() && part.contains('.') {
            let [a, b, c, d] = sloppy_v4(part)?.octets();
            groups.extend([u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]);
        } else {
            groups.push(u16::try_from(number(part, 16, 0x1_0000)?).ok()?);
        }
    }
    Some(())
}

/// An address as Go's `net.IP` prints it: IPv4 in IPv6 as IPv4.
fn ip_text(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

fn checked_ip(path: &Path<'_>, value: &str, strictness: Strictness) -> Result<IpAddr, ErrorList> {
    let Some(ip) = parse_ip_sloppy(value) else {
        let text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        return Err(vec![Error::invalid(path, value, text)]);
    };
    if strictness == Strictness::Sloppy {
        return Ok(ip);
    }
    // What is read sloppily and not strictly has zeros in front.
    match value.parse::<IpAddr>() {
        Err(_) => Err(vec![Error::invalid(path, value, "must not have leading 0s")]),
        Ok(strict) if is_mapped(strict) => {
            Err(vec![Error::invalid(path, value, "must not be an IPv4-mapped IPv6 address")])
        }
        Ok(_) => Ok(ip),
    }
}

/// An address in an old field. Values of `valid_old` (those the object already has) pass.
pub fn ip_for_legacy_field(
    path: &Path<'_>,
    value: &str,
    strictness: Strictness,
    valid_old: &[&str],
) -> ErrorList {
    if valid_old.contains(&value) {
        return ErrorList::new();
    }
    checked_ip(path, value, strictness).err().unwrap_or_default()
}

/// An address in its canonical form.
pub fn ip(path: &Path<'_>, value: &str) -> ErrorList {
    match checked_ip(path, value, Strictness::Strict) {
        Err(errors) => errors,
        Ok(ip) => canonical_form(path, value, &ip_text(ip)),
    }
}

fn canonical_form(path: &Path<'_>, value: &str, canonical: &str) -> ErrorList {
    if value == canonical {
        return ErrorList::new();
    }
    vec![Error::invalid(path, value, format!("must be in canonical form ({})", Quoted(canonical)))]
}

/// What to warn of an address that passed [`ip_for_legacy_field`].
pub fn ip_warnings(path: &Path<'_>, value: &str) -> Vec<String> {
    let Some(sloppy) = parse_ip_sloppy(value) else { return Vec::new() };
    let quoted = Quoted(value);
    match value.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let canonical = v6.to_string();
            if canonical == value {
                return Vec::new();
            }
            let canonical = Quoted(&canonical);
            vec![format!(
                "{path}: IPv6 address {quoted} should be in RFC 5952 canonical format ({canonical})"
            )]
        }
        Ok(IpAddr::V4(_)) => Vec::new(),
        _ => {
            let canonical = ip_text(sloppy);
            let canonical = Quoted(&canonical);
            vec![format!("{path}: non-standard IP address {quoted} is invalid: use {canonical}")]
        }
    }
}

/// An address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address as written, with the bits behind the prefix.
    pub address: IpAddr,
    /// How many bits count.
    pub prefix_len: u8,
}

impl Cidr {
    /// Reads a CIDR as leniently as upstream's `netutils.ParseCIDRSloppy`.
    pub fn parse_sloppy(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address = sloppy_v4(address).map(IpAddr::V4).or_else(|| sloppy_v6(address).map(IpAddr::V6))?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = u8::try_from(number(bits, 10, max + 1)?).ok()?;
        if !bits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self { address, prefix_len })
    }

    /// Reads a CIDR as Go's `netip.ParsePrefix`: no zeros in front.
    pub fn parse_strict(text: &str) -> Option<Self> {
        let (address, bits) = text.rsplit_once('/')?;
        if bits.len() > 1 && bits.starts_with('0') {
            return None;
        }
        let address: IpAddr = address.parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = u8::try_from(number(bits, 10, max + 1)?).ok()?;
        Some(Self { address, prefix_len })
    }

    /// The address with zeros behind the prefix.
    pub fn network(self) -> IpAddr {
        let len = u32::from(self.prefix_len);
        match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        }
    }

    /// Whether `ip` is within.
    pub fn contains(self, ip: IpAddr) -> bool {
        self.address.is_ipv4() == ip.is_ipv4() && Self { address: ip, ..self }.network() == self.network()
    }

    /// The network as Go's `net.IPNet` prints it: IPv4 in IPv6 as IPv4.
    fn network_text(self) -> String {
        let network = self.network();
        let mapped = if is_mapped(network) { 96 } else { 0 };
        format!("{}/{}", ip_text(network), self.prefix_len.saturating_sub(mapped))
    }
}

fn checked_cidr(path: &Path<'_>, value: &str, strictness: Strictness) -> Result<Cidr, ErrorList> {
    let invalid = |text: &str| Err(vec![Error::invalid(path, value, text)]);
    let Some(cidr) = Cidr::parse_sloppy(value) else {
        return invalid("must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    };
    if strictness == Strictness::Sloppy {
        return Ok(cidr);
    }
    match Cidr::parse_strict(value) {
        None => invalid("must not have leading 0s in IP or prefix length"),
        Some(strict) if is_mapped(strict.address) => invalid("must not have an IPv4-mapped IPv6 address"),
        Some(strict) if strict.address != strict.network() => {
            invalid("must not have bits set beyond the prefix length")
        }
        Some(_) => Ok(cidr),
    }
}

/// A CIDR in an old field. Values of `valid_old` (those the object already has) pass.
pub fn cidr_for_legacy_field(
    path: &Path<'_>,
    value: &str,
    strictness: Strictness,
    valid_old: &[&str],
) -> ErrorList {
    if valid_old.contains(&value) {
        return ErrorList::new();
    }
    checked_cidr(path, value, strictness).err().unwrap_or_default()
}

/// A network's CIDR in its canonical form.
pub fn cidr(path: &Path<'_>, value: &str) -> ErrorList {
    match checked_cidr(path, value, Strictness::Strict) {
        Err(errors) => errors,
        Ok(cidr) => canonical_form(path, value, &cidr.network_text()),
    }
}

/// What to warn of a CIDR that passed [`cidr_for_legacy_field`].
pub fn cidr_warnings(path: &Path<'_>, value: &str) -> Vec<String> {
    let Some(sloppy) = Cidr::parse_sloppy(value) else { return Vec::new() };
    let (quoted, network) = (Quoted(value), sloppy.network_text());
    let network = Quoted(&network);
    let mut warnings = Vec::new();
    if sloppy.address != sloppy.network() {
        let bits = if sloppy.address.is_ipv4() { 32 } else { 128 };
        let single = format!("{}/{bits}", ip_text(sloppy.address));
        let single = Quoted(&single);
        warnings.push(format!(
            "{path}: CIDR value {quoted} is ambiguous in this context (should be {network} or {single}?)"
        ));
    }
    match Cidr::parse_strict(value) {
        Some(Cidr { address: IpAddr::V6(v6), prefix_len }) if v6.to_ipv4_mapped().is_none() => {
            let canonical = format!("{v6}/{prefix_len}");
            if warnings.is_empty() && canonical != value {
                let canonical = Quoted(&canonical);
                warnings.push(format!(
                    "{path}: IPv6 CIDR value {quoted} should be in RFC 5952 canonical format ({canonical})"
                ));
            }
        }
        Some(Cidr { address: IpAddr::V4(_), .. }) => {}
        _ => {
            warnings.push(format!("{path}: non-standard CIDR value {quoted} is invalid: use {network}"));
        }
    }
    warnings
}

/// An interface's address with its prefix, in canonical form: `192.168.1.5/24`.
pub fn interface_address(path: &Path<'_>, value: &str) -> ErrorList {
    let Some(cidr) = Cidr::parse_sloppy(value) else {
        let text = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
        return vec![Error::invalid(path, value, text)];
    };
    let mapped = if is_mapped(cidr.address) && cidr.prefix_len > 32 { 96 } else { 0 };
    // Upstream goes below zero for prefixes between 33 and 95.
    let bits = i32::from(cidr.prefix_len) - mapped;
    canonical_form(path, value, &format!("{}/{bits}", ip_text(cidr.address)))
}
