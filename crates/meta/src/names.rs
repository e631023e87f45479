//! Rules for names: labels, subdomains, ports, environment variables, and generated names.
//!
//! Every rule returns what is wrong as upstream's texts; an empty list (which costs no allocation) means
//! valid. Source: `k8s.io/apimachinery/pkg/util/validation` and `pkg/api/validation`; the rules of
//! declarative validation, which count in bytes where the older ones say characters, are in [`content`].

use crate::field::{Error, ErrorList, Path};
use crate::quote::is_printable;

pub mod content;
pub mod format;
pub mod ip;

/// Longest label of DNS.
pub const DNS1123_LABEL_MAX_BYTES: usize = 63;
/// Longest subdomain of DNS.
pub const DNS1123_SUBDOMAIN_MAX_BYTES: usize = 253;
/// Longest label value.
pub const LABEL_VALUE_MAX_BYTES: usize = 63;
/// Longest name part of a label key.
pub const LABEL_KEY_NAME_MAX_BYTES: usize = 63;
/// Longest name of a port.
const PORT_NAME_MAX_BYTES: usize = 15;

/// A rule for the names of a kind: `name` is the name, or with `Prefix` the start of a generated one.
pub type NameRule = fn(&str, NameUse) -> Vec<String>;

/// What a name that a [`NameRule`] sees is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameUse {
    /// It is the name.
    Whole,
    /// A suffix is still to be added (`generateName`), so that it may end in a dash.
    Prefix,
}

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_TEXT: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_FORMAT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const SUBDOMAIN_UNDERSCORE_FORMAT: &str =
    r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";

/// `must be no more than {max} characters`.
pub fn max_len_error(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// `must be between {low} and {high}, inclusive`.
pub fn inclusive_range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// `text`, with examples and the regular expression that upstream checks with.
pub fn regex_error(text: &str, format: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{format}')");
    }
    // Upstream's comma after each example, "or" or not, is part of the text.
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

/// Non-empty, of `inner` bytes, the first and last of which are also `edge`.
fn framed(s: &str, edge: fn(u8) -> bool, inner: fn(u8) -> bool) -> bool {
    match s.as_bytes() {
        [] => false,
        [one] => edge(*one),
        [first, middle @ .., last] => edge(*first) && edge(*last) && middle.iter().all(|b| inner(*b)),
    }
}

const fn lower_or_digit(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9')
}

fn matches_label(s: &str) -> bool {
    framed(s, lower_or_digit, |b| lower_or_digit(b) || b == b'-')
}

fn matches_subdomain(s: &str) -> bool {
    s.split('.').all(matches_label)
}

/// A DNS label (RFC 1123): `my-name`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    label_errors(value, max_len_error)
}

fn label_errors(value: &str, too_long: fn(usize) -> String) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS1123_LABEL_MAX_BYTES {
        errors.push(too_long(DNS1123_LABEL_MAX_BYTES));
    }
    if !matches_label(value) {
        errors.push(if matches_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(LABEL_TEXT, LABEL_FORMAT, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A DNS subdomain (RFC 1123): `my.name`.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain_errors(value, max_len_error)
}

fn subdomain_errors(value: &str, too_long: fn(usize) -> String) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX_BYTES {
        errors.push(too_long(DNS1123_SUBDOMAIN_MAX_BYTES));
    }
    if !matches_subdomain(value) {
        errors.push(regex_error(SUBDOMAIN_TEXT, SUBDOMAIN_FORMAT, &["example.com"]));
    }
    errors
}

/// A DNS subdomain whose labels may have underscores, also one in front: `_sip._tcp.example.com`.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX_BYTES {
        errors.push(max_len_error(DNS1123_SUBDOMAIN_MAX_BYTES));
    }
    let matches_part = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        framed(part, lower_or_digit, |b| lower_or_digit(b) || matches!(b, b'-' | b'_'))
    };
    if !value.split('.').all(matches_part) {
        errors.push(regex_error(SUBDOMAIN_UNDERSCORE_TEXT, SUBDOMAIN_UNDERSCORE_FORMAT, &["example.com"]));
    }
    errors
}

/// A DNS label that starts with a letter (RFC 1035).
pub fn dns1035_label(value: &str) -> Vec<String> {
    const TEXT: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS1123_LABEL_MAX_BYTES {
        errors.push(max_len_error(DNS1123_LABEL_MAX_BYTES));
    }
    if !(matches_label(value) && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(regex_error(TEXT, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// `*.` and a DNS subdomain (RFC 1034, section 4.3.3).
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    const TEXT: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX_BYTES {
        errors.push(max_len_error(DNS1123_SUBDOMAIN_MAX_BYTES));
    }
    if !value.strip_prefix("*.").is_some_and(matches_subdomain) {
        errors.push(regex_error(TEXT, &format!(r"\*\.{SUBDOMAIN_FORMAT}"), &["*.example.com"]));
    }
    errors
}

/// A qualified name, which is a label's key: `name` or `example.com/name`.
pub fn qualified_name(value: &str) -> Vec<String> {
    content::label_key(value)
}

/// A label's value; may be empty.
pub fn label_value(value: &str) -> Vec<String> {
    content::label_value(value)
}

/// A name that is safe as a segment of a path. Neither emptiness nor length is looked at.
pub fn path_segment_name(name: &str) -> Vec<String> {
    content::path_segment_name(name)
}

/// An identifier as in C.
pub fn c_identifier(value: &str) -> Vec<String> {
    content::c_identifier(value)
}

/// A port, 1 to 65535.
pub fn port_num(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// A number from `min` to `max`, both included.
pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&value) { Vec::new() } else { vec![inclusive_range_error(min, max)] }
}

/// A Unix user id.
pub fn user_id(uid: i64) -> Vec<String> {
    in_range(uid, 0, i64::from(i32::MAX))
}

/// A Unix group id.
pub fn group_id(gid: i64) -> Vec<String> {
    in_range(gid, 0, i64::from(i32::MAX))
}

/// The name of a port (RFC 6335, lower case).
pub fn port_name(port: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if port.len() > PORT_NAME_MAX_BYTES {
        errors.push(max_len_error(PORT_NAME_MAX_BYTES));
    }
    if port.is_empty() || !port.bytes().all(|b| lower_or_digit(b) || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !port.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if port.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if port.starts_with('-') || port.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// Whether `s` is some digits and `%`.
pub(crate) fn matches_percent(s: &str) -> bool {
    s.strip_suffix('%').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// A percentage: `25%`.
pub fn percent(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid percent string must be a numeric string followed by an ending '%'";
    if matches_percent(value) { Vec::new() } else { vec![regex_error(TEXT, "[0-9]+%", &["1%", "93%"])] }
}

/// The name of an HTTP header, stricter than RFC 7230.
pub fn http_header_name(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid HTTP header must consist of alphanumeric characters or '-'";
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex_error(TEXT, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

const fn env_var_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')
}

/// The name of an environment variable, by the strict rule.
pub fn env_var_name(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
    let mut errors = Vec::new();
    let valid = value.bytes().all(env_var_byte) && value.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if !valid {
        let examples = ["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
        errors.push(regex_error(TEXT, "[-._a-zA-Z][-._a-zA-Z0-9]*", &examples));
    }
    errors.extend(parent_directory(value));
    errors
}

/// The name of an environment variable: printable ASCII without `=`.
pub fn relaxed_env_var_name(value: &str) -> Vec<String> {
    const TEXT: &str =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    let valid = value.chars().all(|c| c.is_ascii() && is_printable(c) && c != '=');
    if valid { Vec::new() } else { vec![TEXT.to_owned()] }
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    let mut errors = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX_BYTES {
        errors.push(max_len_error(DNS1123_SUBDOMAIN_MAX_BYTES));
    }
    if value.is_empty() || !value.bytes().all(env_var_byte) {
        errors.push(regex_error(TEXT, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    errors.extend(parent_directory(value));
    errors
}

fn parent_directory(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".to_owned()),
        ".." => Some("must not be '..'".to_owned()),
        _ => value.starts_with("..").then(|| "must not start with '..'".to_owned()),
    }
}

/// A domain name of at least three labels, without a dot at the end.
pub fn fully_qualified_name(path: &Path<'_>, name: &str) -> ErrorList {
    const TEXT: &str = "should be a domain with at least three segments separated by dots";
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let errors = dns1123_subdomain(name);
    if !errors.is_empty() {
        return vec![Error::invalid(path, name, errors.join(","))];
    }
    if name.split('.').count() < 3 { vec![Error::invalid(path, name, TEXT)] } else { Vec::new() }
}

/// A domain name of at least two labels, each within its length; a dot at the end is allowed.
pub fn fully_qualified_domain_name(path: &Path<'_>, name: &str) -> ErrorList {
    const TEXT: &str = "should be a domain with at least two segments separated by dots";
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let errors = dns1123_subdomain(name);
    if !errors.is_empty() {
        return vec![Error::invalid(path, name, errors.join(","))];
    }
    if name.split('.').count() < 2 {
        return vec![Error::invalid(path, name, TEXT)];
    }
    for label in name.split('.') {
        let errors = dns1123_label(label);
        if !errors.is_empty() {
            return vec![Error::invalid(path, label, errors.join(","))];
        }
    }
    Vec::new()
}

/// A path below a domain: `acme.io/foo`.
pub fn domain_prefixed_path(path: &Path<'_>, value: &str) -> ErrorList {
    if value.is_empty() {
        return vec![Error::required(path, "")];
    }
    let (host, rest) = match value.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => (host, rest),
        _ => {
            let text = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            return vec![Error::invalid(path, value, text)];
        }
    };
    let mut errors = invalid(path, host, dns1123_subdomain(host));
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b)) {
        let text = regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        errors.push(Error::invalid(path, rest, text));
    }
    errors
}

/// A qualified name that has a domain: `acme.io/foo`.
pub fn domain_prefixed_key(path: &Path<'_>, key: &str) -> ErrorList {
    if key.is_empty() {
        return vec![Error::required(path, "")];
    }
    let errors = invalid(path, key, qualified_name(key));
    if errors.is_empty() && key.split('/').count() != 2 {
        let text = "must be a domain-prefixed key (such as \"acme.io/foo\")";
        return vec![Error::invalid(path, key, text)];
    }
    errors
}

/// Each message as an error about `value`.
pub fn invalid(path: &Path<'_>, value: &str, messages: Vec<String>) -> ErrorList {
    messages.into_iter().map(|m| Error::invalid(path, value, m)).collect()
}

/// Names that are DNS subdomains (most kinds).
pub fn name_is_dns_subdomain(name: &str, usage: NameUse) -> Vec<String> {
    with_masked_dash(name, usage, dns1123_subdomain)
}

/// Names that are DNS labels.
pub fn name_is_dns_label(name: &str, usage: NameUse) -> Vec<String> {
    with_masked_dash(name, usage, dns1123_label)
}

/// Names that are DNS labels and start with a letter.
pub fn name_is_dns1035_label(name: &str, usage: NameUse) -> Vec<String> {
    with_masked_dash(name, usage, dns1035_label)
}

/// Names that are any segment of a path (RBAC).
pub fn name_is_path_segment(name: &str, usage: NameUse) -> Vec<String> {
    match usage {
        NameUse::Whole => content::path_segment_name(name),
        NameUse::Prefix => content::path_segment_prefix(name),
    }
}

/// Checks a prefix as if it did not end in a dash. Like upstream (`maskTrailingDash`) this also hides the
/// character before the dash, so that `a.-` passes.
fn with_masked_dash(name: &str, usage: NameUse, rule: fn(&str) -> Vec<String>) -> Vec<String> {
    if usage == NameUse::Whole || name.len() < 2 || !name.ends_with('-') {
        return rule(name);
    }
    let mut masked: Vec<u8> = name.as_bytes()[..name.len() - 2].to_vec();
    masked.push(b'a');
    // A cut character is no name, whatever it is shown as; the text does not hold it.
    rule(&String::from_utf8_lossy(&masked))
}

/// Longest base that a generated name keeps.
pub const GENERATED_NAME_BASE_MAX_BYTES: usize = 58;
/// How many characters are added to it.
pub const GENERATED_NAME_SUFFIX_BYTES: usize = 5;
/// The characters of a suffix: no vowels and none that are taken for others, so that no word comes up.
/// Source: `apimachinery/pkg/util/rand`.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name for `generateName: base`: its first 58 bytes and five characters made of `random`.
///
/// A base that is cut within a character loses that character whole; such a name is not valid anyway.
pub fn generate_name(base: &str, random: [u64; GENERATED_NAME_SUFFIX_BYTES]) -> String {
    let mut end = base.len().min(GENERATED_NAME_BASE_MAX_BYTES);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = String::with_capacity(end + GENERATED_NAME_SUFFIX_BYTES);
    name.push_str(&base[..end]);
    name.push_str(&random_suffix(random));
    name
}

/// Characters of the alphabet of generated names, one for each number.
pub fn random_suffix<const N: usize>(random: [u64; N]) -> String {
    let letter = |n: u64| char::from(SUFFIX_ALPHABET[(n % SUFFIX_ALPHABET.len() as u64) as usize]);
    random.into_iter().map(letter).collect()
}
