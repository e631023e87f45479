//! String formats.
//!
//! Upstream: `k8s.io/kube-openapi/pkg/validation/strfmt`, `pkg/apiserver/validation/formats.go`.

use regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use value::Str;

/// The formats of strings, without dashes.
const STRING_FORMATS: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// Whether the format means something for values of these types; true where there is none.
pub fn is_recognized(types: &[Str], format: &str) -> bool {
    if format.is_empty() {
        return true;
    }
    let ty = match types {
        [one] => one.as_str(),
        _ => "",
    };
    match ty {
        "" | "string" => STRING_FORMATS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

macro_rules! regexes {
    ($($name:ident = $pattern:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("a valid pattern"));)*
    };
}

regexes! {
    HOSTNAME = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    UUID = r"(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID3 = r"(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID4 = r"(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    UUID5 = r"(?i-u)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    CREDIT_CARD = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11}|6[27][0-9]{14})$";
    ISBN10 = r"^(?:[0-9]{9}X|[0-9]{10})$";
    ISBN13 = r"^(?:[0-9]{13})$";
    SSN = r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$";
    HEX_COLOR = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    RGB_COLOR = r"^rgb\([\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*\)$";
    BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$";
    TIME = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
    DURATION_PART = r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)";
    GO_DURATION = r"^[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)$";
    SHORT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    LONG_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
}

/// Whether a string has the format; `None` for formats that do not exist.
pub fn check(format: &str, s: &str) -> Option<bool> {
    if format.is_empty() {
        return None;
    }
    Some(match format.replace('-', "").as_str() {
        "bsonobjectid" => s.len() == 24 && s.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => is_request_uri(s),
        "email" => is_email(s),
        "hostname" => HOSTNAME.is_match(s) && s.len() <= 255 && s.split('.').all(|p| p.len() <= 63),
        "ipv4" => sloppy_v4(s).is_some(),
        "ipv6" => s.contains(':') && s.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(s),
        "mac" => is_mac(s),
        "uuid" => UUID.is_match(s),
        "uuid3" => UUID3.is_match(s),
        "uuid4" => UUID4.is_match(s),
        "uuid5" => UUID5.is_match(s),
        "isbn" => isbn10(s) || isbn13(s),
        "isbn10" => isbn10(s),
        "isbn13" => isbn13(s),
        "creditcard" => credit_card(s),
        "ssn" => s.len() == 11 && SSN.is_match(s),
        "hexcolor" => HEX_COLOR.is_match(s),
        "rgbcolor" => RGB_COLOR.is_match(s),
        "byte" => BASE64.is_match(s),
        "password" => true,
        "date" => is_date(s),
        "duration" => is_duration(s),
        "datetime" => is_date_time(s),
        "k8sshortname" => s.len() <= 63 && SHORT_NAME.is_match(s),
        "k8slongname" => s.len() <= 253 && LONG_NAME.is_match(s),
        _ => return None,
    })
}

/// Go's `url.ParseRequestURI`, as far as it refuses.
pub(crate) fn is_request_uri(s: &str) -> bool {
    if s.is_empty() || s.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return false;
    }
    if s == "*" {
        return true;
    }
    let scheme_end = s.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    let (scheme, rest) = match scheme_end {
        Some(0) => {
            if s.starts_with(':') {
                return false;
            }
            ("", s)
        }
        Some(at) if s.as_bytes().get(at) == Some(&b':') => {
            if !s.starts_with(|c: char| c.is_ascii_alphabetic()) {
                return !s.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
                    || s.starts_with('/');
            }
            s.split_at(at)
        }
        _ => ("", s),
    };
    let rest = rest.strip_prefix(':').filter(|_| !scheme.is_empty()).unwrap_or(rest);
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        // An opaque part is fine behind a scheme, a relative path is not.
        return !scheme.is_empty();
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(behind) if !scheme.is_empty() || !rest.starts_with("///") => match behind.find('/') {
            Some(at) => behind.split_at(at),
            None => (behind, ""),
        },
        _ => ("", rest),
    };
    is_authority(authority) && percent_is_valid(path)
}

fn percent_is_valid(s: &str) -> bool {
    let bytes = s.as_bytes();
    let hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
    (0..bytes.len()).filter(|i| bytes.get(*i) == Some(&b'%')).all(|i| hex(i + 1) && hex(i + 2))
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_of_user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !(user.chars().all(is_of_user) && percent_is_valid(user)) {
        return false;
    }
    let port = match host.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((_, port)) => port,
            None => return false,
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let port_is_valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    port_is_valid && percent_is_valid(host) && !host.bytes().any(|b| b" \"<>\\^`{|}".contains(&b))
}

/// Go's `mail.ParseAddress` for the usual forms: `a@b` and `Name <a@b>`.
fn is_email(s: &str) -> bool {
    let s = without_comment(s.trim_matches([' ', '\t']));
    let address = match (s.rfind('<'), s.strip_suffix('>')) {
        (Some(at), Some(body)) => {
            let name = s[..at].trim();
            let quoted = name.len() >= 2 && name.starts_with('"') && name.ends_with('"');
            if !(quoted || name.chars().all(|c| is_atext(c) || matches!(c, ' ' | '.'))) {
                return false;
            }
            &body[at + 1..]
        }
        _ => s,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let dot_atom = |s: &str| !s.is_empty() && s.split('.').all(|p| !p.is_empty() && p.chars().all(is_atext));
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (dot_atom(local) || quoted) && (dot_atom(domain) || literal)
}

/// The address without the comment behind it.
fn without_comment(s: &str) -> &str {
    let Some(open) = s.find('(').filter(|at| *at > 0 && !s.starts_with('"')) else { return s };
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, b) in s.bytes().enumerate().skip(open) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if at + 1 == s.len() { s[..open].trim_end_matches([' ', '\t']) } else { s };
        }
    }
    s
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// An IPv4 address, whose numbers may have leading zeros.
fn sloppy_v4(s: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = s.split('.').collect();
    let mut octets = [0_u8; 4];
    if parts.len() != 4 {
        // An IPv4 address within an IPv6 one has dots too.
        return (s.contains('.') && s.parse::<Ipv6Addr>().is_ok()).then_some(Ipv4Addr::UNSPECIFIED);
    }
    for (part, octet) in parts.iter().zip(&mut octets) {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return (s.parse::<Ipv6Addr>().is_ok()).then_some(Ipv4Addr::UNSPECIFIED);
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    Some(octets.into())
}

fn is_cidr(s: &str) -> bool {
    let Some((address, bits)) = s.split_once('/') else { return false };
    if bits.is_empty() || bits.len() > 3 || !bits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let bits: u32 = bits.parse().unwrap_or(u32::MAX);
    if address.contains(':') {
        return address.parse::<Ipv6Addr>().is_ok() && bits <= 128;
    }
    sloppy_v4(address).is_some() && bits <= 32
}

fn is_mac(s: &str) -> bool {
    let groups = |separator: char, width: usize| -> Option<usize> {
        let parts: Vec<&str> = s.split(separator).collect();
        let fits = |p: &&str| p.len() == width && p.bytes().all(|b| b.is_ascii_hexdigit());
        parts.iter().all(fits).then_some(parts.len() * width / 2)
    };
    let bare = s.bytes().all(|b| b.is_ascii_hexdigit()).then_some(s.len() / 2).filter(|n| n * 2 == s.len());
    [groups(':', 2), groups('-', 2), groups('.', 4), bare]
        .into_iter()
        .flatten()
        .any(|n| matches!(n, 6 | 8 | 20))
}

fn digit(b: u8) -> u32 {
    u32::from(b.saturating_sub(b'0'))
}

fn without_blanks(s: &str) -> String {
    s.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\u{c}' | '\r' | '-')).collect()
}

fn isbn10(s: &str) -> bool {
    let s = without_blanks(s);
    if !ISBN10.is_match(&s) {
        return false;
    }
    let value = |b: u8| if b == b'X' { 10 } else { digit(b) };
    let sum: u32 = s.bytes().zip(1..).map(|(b, i)| i * value(b)).sum();
    sum.is_multiple_of(11)
}

fn isbn13(s: &str) -> bool {
    let s = without_blanks(s);
    if !ISBN13.is_match(&s) {
        return false;
    }
    let sum: u32 = s.bytes().zip([1, 3].into_iter().cycle()).map(|(b, f)| f * digit(b)).sum();
    sum.is_multiple_of(10)
}

fn credit_card(s: &str) -> bool {
    let digits: String = s.chars().filter(char::is_ascii_digit).collect();
    if !CREDIT_CARD.is_match(&digits) {
        return false;
    }
    let double = |n: u32| if n >= 5 { 2 * n - 9 } else { 2 * n };
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| if i % 2 == 1 { double(digit(b)) } else { digit(b) })
        .sum();
    sum.is_multiple_of(10)
}

fn is_date(s: &str) -> bool {
    let b = s.as_bytes();
    if b.len() != 10 || b.get(4) != Some(&b'-') || b.get(7) != Some(&b'-') {
        return false;
    }
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        let part = s.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_date_time(s: &str) -> bool {
    let s = s.to_lowercase();
    let mut parts = s.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    if !is_date(date) {
        return false;
    }
    TIME.captures(time).is_some_and(|m| &m[1] <= "23" && &m[2] <= "59" && &m[3] <= "59")
}

fn is_duration(s: &str) -> bool {
    if GO_DURATION.is_match(s) && s.len() < 40 {
        return true;
    }
    const UNITS: [&[&str]; 8] = [
        &["ns", "nano"],
        &["us", "µs", "micro"],
        &["ms", "milli"],
        &["s", "sec"],
        &["m", "min"],
        &["h", "hr", "hour"],
        &["d", "day"],
        &["w", "wk", "week"],
    ];
    let mut any = false;
    for part in DURATION_PART.captures_iter(s) {
        if part[1].parse::<i64>().is_err() {
            return false;
        }
        let unit = part[2].to_lowercase();
        any |= UNITS.iter().any(|names| {
            names.contains(&unit.as_str()) || names.last().is_some_and(|long| unit.starts_with(long))
        });
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of a real server.
    #[test]
    fn strings_have_formats_as_upstream() {
        for (format, text, valid) in [
            ("mac", "00:11:22:33:44:55", true),
            ("mac", "00-11-22-33-44-55", true),
            ("mac", "0011.2233.4455", true),
            ("mac", "4111111111111111", true),
            ("mac", "001122334455", true),
            ("mac", "00112233445", false),
            ("mac", "00:11:22:33-44:55", false),
            ("mac", "00:11:22:33:44:5", false),
            ("email", "a@b (c)", true),
            ("email", "a@b (c", false),
            ("email", "a@b (c) d", false),
            ("email", "\"x y\" <a@b.c>", true),
            ("uri", "http://user:p w@h", false),
            ("uri", "http://user:p%20w@h", true),
            ("date-time", "2020-01-01T00:00:00Z", true),
            ("bogus", "x", true),
        ] {
            assert_eq!(check(format, text).unwrap_or(true), valid, "{format} {text}");
        }
    }
}
