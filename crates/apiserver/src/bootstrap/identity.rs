//! The Lease by which each API server tells that it is there.
//!
//! Upstream: `pkg/controlplane/apiserver/server.go`, `pkg/controlplane/controller/apiserverleasegc`; KEP-1965.

use super::{call, find, map, object, report};
use crate::api::Api;
use aws_lc_rs::digest::{SHA256, digest};
use http::Method;
use std::sync::Arc;
use value::Value;

const COLLECTION: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
/// As upstream's `IdentityLeaseDurationSeconds`.
const LEASE_SECONDS: i64 = 3_600;
/// RFC 4648 section 6, in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The server's name: the same after a restart on the same machine.
pub(super) fn name(host_name: &str) -> String {
    let hash = digest(&SHA256, host_name.as_bytes());
    let mut out = String::from("apiserver-");
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in &hash.as_ref()[..16] {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(BASE32[(buffer >> bits) as usize & 31] as char);
        }
    }
    out.push(BASE32[(buffer << (5 - bits)) as usize & 31] as char);
    out
}

/// Renews the Lease; makes it if it is not there. Removes those that lapsed long ago.
pub(super) async fn renew(api: &Arc<Api>, host_name: &str, holder: &str) {
    if host_name.is_empty() {
        return;
    }
    let name = name(host_name);
    let now = api.now().to_micro_string();
    let found = find(api, "coordination.k8s.io", "leases", "kube-system", &name);
    let result = match found {
        None => {
            let mut lease = object("coordination.k8s.io/v1", "Lease", "kube-system", &name);
            if let Some(metadata) = lease.object_at("metadata") {
                let labels = map([
                    ("apiserver.kubernetes.io/identity", "kube-apiserver".into()),
                    ("kubernetes.io/hostname", host_name.into()),
                ]);
                metadata.set("labels", labels);
            }
            lease.set("spec", spec(holder, &now));
            collect(api, &name).await;
            call(api, Method::POST, COLLECTION, Some(&lease)).await
        }
        Some(mut lease) => {
            lease.set("apiVersion", "coordination.k8s.io/v1");
            lease.set("kind", "Lease");
            lease.set("spec", spec(holder, &now));
            call(api, Method::PUT, &format!("{COLLECTION}/{name}"), Some(&lease)).await
        }
    };
    let _next_round_tries_again = report(result, COLLECTION);
}

fn spec(holder: &str, now: &str) -> Value {
    map([
        ("holderIdentity", holder.into()),
        ("leaseDurationSeconds", LEASE_SECONDS.into()),
        ("renewTime", now.into()),
    ])
}

/// Removes Leases of servers that are gone.
async fn collect(api: &Arc<Api>, own: &str) {
    let selector = "labelSelector=apiserver.kubernetes.io%2Fidentity%3Dkube-apiserver";
    let Ok((200, list)) = call(api, Method::GET, &format!("{COLLECTION}?{selector}"), None).await else {
        return;
    };
    let now = api.now().unix_seconds();
    for lease in list.at("items").items() {
        let name = lease.at("metadata").at("name").str();
        let renewed = meta::time::Time::parse_micro(lease.at("spec").at("renewTime").str());
        let seconds = lease.at("spec").at("leaseDurationSeconds").as_i64().unwrap_or_default();
        let is_old = renewed.is_ok_and(|time| time.unix_seconds() + seconds < now);
        if is_old && name != own {
            let path = format!("{COLLECTION}/{name}");
            report(call(api, Method::DELETE, &path, None).await, &path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        // printf n1 | sha256sum | head -c32 | xxd -r -p | base32 | tr -d = | tr A-Z a-z
        assert_eq!(name("n1"), "apiserver-m5vyxocm44th3vja33feqeoi6e");
    }
}
