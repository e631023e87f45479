//! How OpenAPI names types, groups and operations.

/// The definition of a Go type: `k8s.io/api/core/v1.Pod` is `io.k8s.api.core.v1.Pod`.
pub(crate) fn definition(go_name: &str) -> String {
    let (host, rest) = go_name.split_once('/').unwrap_or(("", go_name));
    let mut out = reversed(host);
    if !out.is_empty() {
        out.push('.');
    }
    out.push_str(&rest.replace('/', "."));
    out
}

/// The labels of a domain name, last first.
pub(crate) fn reversed(domain: &str) -> String {
    domain.rsplit('.').filter(|label| !label.is_empty()).collect::<Vec<_>>().join(".")
}

/// A group as tags have it: `core`, `flowcontrolApiserver`.
pub(crate) fn group_tag(group: &str) -> String {
    if group.is_empty() {
        return "core".to_owned();
    }
    identifier(group.strip_suffix(".k8s.io").unwrap_or(group), false)
}

/// The letters and digits of a text, with an upper-case letter behind whatever is left out; it does not begin with a
/// digit.
pub(crate) fn identifier(text: &str, mut is_upper: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (i, c) in text.char_indices() {
        if !(c.is_alphabetic() || c == '_' || i > 0 && c.is_numeric()) {
            is_upper = true;
        } else if std::mem::take(&mut is_upper) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// A group and version as operation ids have them: `FlowcontrolApiserverV1`.
pub(crate) fn group_version_id(group: &str, version: &str) -> String {
    capital(&group_tag(group)) + &capital(version)
}

/// The text with its first letter in upper case.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
