//! The rules that declarative validation uses too.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validate/content`. Lengths are in bytes here, and say so.

use super::{
    DNS1123_SUBDOMAIN_MAX_BYTES, LABEL_KEY_NAME_MAX_BYTES, LABEL_VALUE_MAX_BYTES, SUBDOMAIN_FORMAT, framed,
    label_errors, regex_error, subdomain_errors,
};

const LABEL_KEY_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY_EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];

/// `must be no more than {max} bytes`.
pub fn max_len_error(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// What is said about an empty string.
pub const EMPTY_ERROR: &str = "must be non-empty";

/// A DNS label (RFC 1123).
pub fn dns1123_label(value: &str) -> Vec<String> {
    label_errors(value, max_len_error)
}

/// A DNS subdomain (RFC 1123).
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain_errors(value, max_len_error)
}

/// A DNS subdomain with letters of either case.
pub fn dns1123_subdomain_caseless(value: &str) -> Vec<String> {
    const TEXT: &str = "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX_BYTES {
        errors.push(max_len_error(DNS1123_SUBDOMAIN_MAX_BYTES));
    }
    // Go's (?i) also folds U+017F (long s) and U+212A (Kelvin) into s and k.
    let folded = value.replace('\u{17f}', "s").replace('\u{212a}', "k");
    let is_label =
        |part: &str| framed(part, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b == b'-');
    if !folded.split('.').all(is_label) {
        errors.push(regex_error(TEXT, SUBDOMAIN_FORMAT, &["Example.com"]));
    }
    errors
}

fn matches_label_key_name(s: &str) -> bool {
    framed(s, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A label's key: a name, or a DNS subdomain, a slash and a name.
pub fn label_key(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            let text = regex_error(LABEL_KEY_TEXT, LABEL_KEY_FORMAT, &LABEL_KEY_EXAMPLES);
            return vec![format!(
                "a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            errors.push(format!("prefix part {EMPTY_ERROR}"));
            name
        }
        Some((prefix, name)) => {
            errors.extend(dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            name
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY_ERROR}"));
    } else if name.len() > LABEL_KEY_NAME_MAX_BYTES {
        errors.push(format!("name part {}", max_len_error(LABEL_KEY_NAME_MAX_BYTES)));
    }
    if !matches_label_key_name(name) {
        let text = regex_error(LABEL_KEY_TEXT, LABEL_KEY_FORMAT, &LABEL_KEY_EXAMPLES);
        errors.push(format!("name part {text}"));
    }
    errors
}

/// A label's value; may be empty.
pub fn label_value(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let mut errors = Vec::new();
    if value.len() > LABEL_VALUE_MAX_BYTES {
        errors.push(max_len_error(LABEL_VALUE_MAX_BYTES));
    }
    if !value.is_empty() && !matches_label_key_name(value) {
        let format = format!("({LABEL_KEY_FORMAT})?");
        errors.push(regex_error(TEXT, &format, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// An identifier as in C.
pub fn c_identifier(value: &str) -> Vec<String> {
    const TEXT: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    let valid = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && value.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if valid {
        return Vec::new();
    }
    vec![regex_error(TEXT, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// A name that is safe as a segment of a path. Neither emptiness nor length is looked at.
pub fn path_segment_name(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") { vec![format!("may not be '{name}'")] } else { path_segment_prefix(name) }
}

/// The start of a name that is safe as a segment of a path.
pub fn path_segment_prefix(name: &str) -> Vec<String> {
    ['/', '%'].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// An integer as one writes it: no sign but a minus, no leading zero.
pub fn decimal_integer(value: &str) -> Vec<String> {
    const TEXT: &str = "must be a valid decimal integer in canonical form";
    if value.is_empty() {
        return vec![EMPTY_ERROR.to_owned()];
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let canonical = digits.starts_with(|c: char| matches!(c, '1'..='9'))
        && digits.bytes().all(|b| b.is_ascii_digit())
        || value == "0";
    if canonical { Vec::new() } else { vec![TEXT.to_owned()] }
}

/// A UUID in lower case.
pub fn uuid(value: &str) -> Vec<String> {
    const TEXT: &str = "must be a lowercase UUID in 8-4-4-4-12 format";
    let valid = value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        });
    if valid { Vec::new() } else { vec![TEXT.to_owned()] }
}
