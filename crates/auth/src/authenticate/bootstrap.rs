//! Bootstrap tokens: `ID.SECRET`, kept in secrets `kube-system/bootstrap-token-ID`.
//!
//! Upstream: `plugin/pkg/auth/authenticator/token/bootstrap`, `k8s.io/cluster-bootstrap/token`.

use crate::{Lookup, UserInfo};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::time::Time;
use std::collections::BTreeSet;
use value::{Str, Value};

const NAMESPACE: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const USER_PREFIX: &str = "system:bootstrap:";
const GROUP: &str = "system:bootstrappers";
/// How long the part of an extra group's name behind `system:bootstrappers:` may be.
const GROUP_SUFFIX_LEN_MAX: usize = 256;

/// The user of a bootstrap token; `None` if it is none, or not (any more) good for authentication.
pub(super) fn authenticate(token: &str, lookup: &dyn Lookup, now: i64) -> Option<UserInfo> {
    let (id, secret) = parse(token)?;
    let object = lookup.get("secrets", NAMESPACE, &format!("bootstrap-token-{id}"))?;
    if !object.path(&["metadata", "deletionTimestamp"]).is_null() || object.at("type").str() != SECRET_TYPE {
        return None;
    }
    let data = |key: &str| data(&object, key);
    let expiration = data("expiration");
    let good = pki::Secret::new(data("token-secret")).equals(secret.as_bytes())
        && data("token-id") == id.as_bytes()
        && (expiration.is_empty() || expires_after(&expiration, now))
        && data("usage-bootstrap-authentication") == b"true";
    let groups = groups(&String::from_utf8_lossy(&data("auth-extra-groups")))?;
    let name: Str = format!("{USER_PREFIX}{id}").into();
    good.then(|| UserInfo { name, groups, ..UserInfo::default() })
}

/// Id and secret of a well-formed token.
fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let good = |text: &str, len| {
        text.len() == len && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (good(id, 6) && good(secret, 16)).then_some((id, secret))
}

/// A value of the secret; empty if it is absent or no base64.
fn data(secret: &Value, key: &str) -> Vec<u8> {
    STANDARD.decode(secret.at("data").at(key).str()).unwrap_or_default()
}

/// An expiration that cannot be read has passed.
fn expires_after(expiration: &[u8], now: i64) -> bool {
    let text = String::from_utf8_lossy(expiration);
    Time::parse(&text).is_ok_and(|t| t.unix_seconds() > now)
}

/// `system:bootstrappers` and the extra groups, sorted; `None` if one has no valid name.
fn groups(extra: &str) -> Option<Vec<Str>> {
    let mut groups = BTreeSet::from([Str::from(GROUP)]);
    if !extra.is_empty() {
        for group in extra.split(',') {
            let suffix = group.strip_prefix(GROUP)?.strip_prefix(':')?.as_bytes();
            let inside = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b':' || *b == b'-';
            let last = suffix.last().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !last || suffix.len() > GROUP_SUFFIX_LEN_MAX || !suffix.iter().all(inside) {
                return None;
            }
            groups.insert(group.into());
        }
    }
    Some(groups.into_iter().collect())
}
