//! Users named by headers, believed from a front proxy that shows its certificate.
//!
//! Upstream: `k8s.io/apiserver/pkg/authentication/request/headerrequest`.

use crate::UserInfo;
use http::header::{HeaderMap, HeaderName};
use pki::{Certificate, ClientAuthorities};
use std::collections::BTreeMap;
use value::Str;

/// Who may name users, and by which headers (`--requestheader-*`).
#[derive(Debug)]
pub struct FrontProxy {
    /// Authorities of the proxy's certificate.
    pub authorities: ClientAuthorities,
    /// Common names of proxies; empty means any that the authorities vouch for.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name; the first that is there counts. In lower case, as the next three.
    pub username_headers: Vec<String>,
    /// Headers with the user's UID.
    pub uid_headers: Vec<String>,
    /// Headers with groups, all counted.
    pub group_headers: Vec<String>,
    /// What headers with extra facts begin with.
    pub extra_prefixes: Vec<String>,
}

impl FrontProxy {
    /// Kubeadm's: proxies called `front-proxy-client`, headers `X-Remote-User`, `-Uid`, `-Group`, `-Extra-`.
    pub fn standard(authorities: ClientAuthorities) -> Self {
        let one = |s: &str| vec![s.to_owned()];
        Self {
            authorities,
            allowed_names: one("front-proxy-client"),
            username_headers: one("x-remote-user"),
            uid_headers: one("x-remote-uid"),
            group_headers: one("x-remote-group"),
            extra_prefixes: one("x-remote-extra-"),
        }
    }

    pub(super) fn check_name(&self, certificate: &Certificate) -> Result<(), String> {
        let name = &certificate.subject.common_name;
        if self.allowed_names.is_empty() || self.allowed_names.contains(name) {
            return Ok(());
        }
        Err(format!("x509: subject with cn={name} is not in the allowed list"))
    }

    /// The user that the headers name, if they name one.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<UserInfo> {
        let first = |names: &[String]| -> Str {
            let values = names.iter().filter_map(|name| headers.get(name.as_str()));
            values.map(|v| text(v.as_bytes())).find(|v| !v.is_empty()).unwrap_or_default()
        };
        let name = first(&self.username_headers);
        if name.is_empty() {
            return None;
        }
        let all = |name: &String| headers.get_all(name.as_str()).into_iter().map(|v| text(v.as_bytes()));
        let mut extra: BTreeMap<Str, Vec<Str>> = BTreeMap::new();
        for prefix in &self.extra_prefixes {
            for (header, value) in headers {
                let Some(key) = header.as_str().strip_prefix(prefix.as_str()) else { continue };
                extra.entry(unescape(key)).or_default().push(text(value.as_bytes()));
            }
        }
        Some(UserInfo {
            name,
            uid: first(&self.uid_headers),
            groups: self.group_headers.iter().flat_map(all).filter(|g| !g.is_empty()).collect(),
            extra,
        })
    }

    /// Whether a header, by its name in lower case, is one that this proxy names users by.
    fn takes(&self, name: &str) -> bool {
        let mut names = self.username_headers.iter().chain(&self.uid_headers).chain(&self.group_headers);
        names.any(|ours| ours == name)
            || self.extra_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// Takes the headers of the usual front proxy out, whoever sent them, and those of this one.
pub(super) fn strip(headers: &mut HeaderMap, proxy: Option<&FrontProxy>) {
    let ours =
        |name: &&HeaderName| is_standard(name.as_str()) || proxy.is_some_and(|p| p.takes(name.as_str()));
    // Nearly no request has such a header: looking at the few it has costs less than looking for each of these.
    let names: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_standard(name: &str) -> bool {
    name.strip_prefix("x-remote-")
        .is_some_and(|rest| matches!(rest, "user" | "uid" | "group") || rest.starts_with("extra-"))
}

/// A header's value; bytes that are no UTF-8 are replaced.
pub(crate) fn text(value: &[u8]) -> Str {
    String::from_utf8_lossy(value).into()
}

/// Go's `url.PathUnescape`; the key as it is if it is malformed.
pub(crate) fn unescape(key: &str) -> Str {
    let mut out = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else { return key.into() };
        out.push((high * 16 + low) as u8);
    }
    text(&out)
}
