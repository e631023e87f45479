//! Bootstrap tokens: signs `kube-public/cluster-info` with them, and deletes those that have lapsed.
//!
//! Who joins has a token and nothing else; by the signature it knows that the cluster's address and authority
//! in that ConfigMap come from somebody who has the token too. Two controllers: the signer owns the keys
//! `jws-kubeconfig-*` of the ConfigMap, the cleaner deletes Secrets of type `bootstrap.kubernetes.io/token`.
//!
//! Upstream: `pkg/controller/bootstrap`, `k8s.io/cluster-bootstrap/token`.

use crate::context::{Context, Tasks, spawn};
use api::core::v1::{ConfigMap, Secret};
use api::meta::v1::{DeleteOptions, Preconditions};
use api::{Key, Object};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::{Client, ListOptions, Lister, Patch};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use reconcile::{Clock, Next, Queue, Reconcile};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 1;
const TYPE: &str = "bootstrap.kubernetes.io/token";
const SECRET_PREFIX: &str = "bootstrap-token-";
const NAMESPACE: &str = "kube-system";
const INFO_NAMESPACE: &str = "kube-public";
const INFO: &str = "cluster-info";
const SIGNED: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

fn tokens(context: &Context) -> Lister<Secret> {
    context.informers.filtered(NAMESPACE, ListOptions::fields(format!("type={TYPE}")))
}

/// Starts the signer.
pub(crate) fn start_signer(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let tokens = tokens(context);
    let infos = context
        .informers
        .filtered::<ConfigMap>(INFO_NAMESPACE, ListOptions::fields(format!("metadata.name={INFO}")));
    let key = Key::new(INFO_NAMESPACE, INFO);
    let (changed, it) = (queue.clone(), key.clone());
    tokens.subscribe(move |_| changed.add(it.clone()));
    let changed = queue.clone();
    infos.subscribe(move |_| changed.add(key.clone()));
    let controller = Signer {
        client: context.client("bootstrap-signer"),
        clock: context.clock.clone(),
        tokens: tokens.clone(),
        infos: infos.clone(),
    };
    let synced = async move {
        tokens.synced().await;
        infos.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// Starts the cleaner.
pub(crate) fn start_cleaner(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let tokens = tokens(context);
    let changed = queue.clone();
    tokens.subscribe(move |change| changed.add(change.object().key()));
    let controller = Cleaner {
        client: context.client("token-cleaner"),
        clock: context.clock.clone(),
        tokens: tokens.clone(),
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, async move { tokens.synced().await });
}

fn data<'a>(secret: &'a Secret, key: &str) -> &'a str {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok()).unwrap_or_default()
}

/// How long a token is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Endless,
    Ends(Duration),
    /// Or nobody can tell until when.
    Over,
}

fn life(secret: &Secret, now: Timestamp) -> Life {
    let text = data(secret, "expiration");
    if text.is_empty() {
        return Life::Endless;
    }
    let Ok(end) = text.parse::<Timestamp>() else { return Life::Over };
    match Duration::try_from(end.duration_since(now)) {
        Ok(left) if !left.is_zero() => Life::Ends(left),
        _ => Life::Over,
    }
}

/// A token's ID and secret, if it is for signing and good.
fn for_signing(secret: &Secret, now: Timestamp) -> Option<(&str, &str)> {
    let id = secret.name().strip_prefix(SECRET_PREFIX)?;
    let token = data(secret, "token-secret");
    let good = data(secret, "token-id") == id
        && !id.is_empty()
        && !token.is_empty()
        && life(secret, now) != Life::Over
        && data(secret, "usage-bootstrap-signing") == "true";
    good.then_some((id, token))
}

/// The detached signature of a text (RFC 7515, HS256): the part between the dots is left out.
fn signature(text: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{header}.{}", URL_SAFE_NO_PAD.encode(text)).as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// What is to change in `data` of the ConfigMap; nothing if all signatures are as they should be.
fn plan(info: &ConfigMap, tokens: &[Arc<Secret>], now: Timestamp) -> Option<Value> {
    let data = info.data.clone().unwrap_or_default();
    let text = data.get(SIGNED)?;
    let wanted: BTreeMap<String, String> = tokens
        .iter()
        .filter_map(|secret| for_signing(secret, now))
        .map(|(id, secret)| (format!("{SIGNATURE_PREFIX}{id}"), signature(text, id, secret)))
        .collect();
    let mut change = serde_json::Map::new();
    for key in data.keys().filter(|key| key.starts_with(SIGNATURE_PREFIX) && !wanted.contains_key(*key)) {
        change.insert(key.clone(), Value::Null);
    }
    for (key, signature) in wanted {
        if data.get(&key) != Some(&signature) {
            change.insert(key, signature.into());
        }
    }
    (!change.is_empty()).then_some(Value::Object(change))
}

struct Signer {
    client: Client,
    clock: Clock,
    tokens: Lister<Secret>,
    infos: Lister<ConfigMap>,
}

impl Reconcile for Signer {
    fn name(&self) -> &'static str {
        "bootstrap-signer"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(info) = self.infos.get_key(&key) else { return Ok(Next::Done) };
            let Some(data) = plan(&info, &self.tokens.list(), self.clock.now()) else {
                return Ok(Next::Done);
            };
            let patch = Patch::Update(json!({
                "metadata": {"uid": info.uid(), "resourceVersion": info.resource_version()}, "data": data,
            }));
            self.client.patch::<ConfigMap>(&key.namespace, &key.name, &patch).await?;
            Ok(Next::Done)
        })
    }
}

struct Cleaner {
    client: Client,
    clock: Clock,
    tokens: Lister<Secret>,
}

impl Reconcile for Cleaner {
    fn name(&self) -> &'static str {
        "token-cleaner"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(secret) = self.tokens.get_key(&key) else { return Ok(Next::Done) };
            match life(&secret, self.clock.now()) {
                Life::Endless => Ok(Next::Done),
                Life::Ends(left) => Ok(Next::After(left)),
                Life::Over => {
                    let uid = Some(secret.uid().to_owned());
                    let options = DeleteOptions {
                        preconditions: Some(Preconditions { uid, resource_version: None }),
                        ..DeleteOptions::default()
                    };
                    match self.client.delete::<Secret>(&key.namespace, &key.name, &options).await {
                        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
                        _ => Ok(Next::Done),
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;

    fn token(id: &str, fields: &[(&str, &str)]) -> Arc<Secret> {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let mut data = json!({"token-id": encode(id), "token-secret": encode("0123456789abcdef"),
            "usage-bootstrap-signing": encode("true")});
        for (key, text) in fields {
            data[*key] = encode(text).into();
        }
        let secret = json!({"metadata": {"name": format!("{SECRET_PREFIX}{id}")}, "data": data});
        Arc::new(serde_json::from_value(secret).expect("a secret"))
    }

    #[test]
    fn signatures_are_upstreams() {
        // The one of upstream's test: k8s.io/cluster-bootstrap/token/jws/jws_test.go.
        let text = "Hello from the other side. I must have called a thousand times.";
        assert_eq!(
            signature(text, "joshua", "my voice is my passcode"),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }

    #[test]
    fn tokens_that_are_good_sign() {
        let now = at(1_000);
        for (secret, good) in [
            (token("abcdef", &[]), true),
            (token("abcdef", &[("expiration", "1970-01-01T01:00:00Z")]), true),
            (token("abcdef", &[("expiration", "1970-01-01T00:00:10Z")]), false),
            (token("abcdef", &[("expiration", "soon")]), false),
            (token("abcdef", &[("usage-bootstrap-signing", "yes")]), false),
            (token("abcdef", &[("token-id", "other")]), false),
            (token("abcdef", &[("token-secret", "")]), false),
        ] {
            assert_eq!(for_signing(&secret, now).is_some(), good, "{secret:?}");
        }
        assert_eq!(
            life(&token("a", &[("expiration", "1970-01-01T00:20:00Z")]), now),
            Life::Ends(Duration::from_secs(200))
        );
    }

    #[test]
    fn signatures_come_and_go_with_tokens() {
        let info =
            |data: Value| -> ConfigMap { serde_json::from_value(json!({"data": data})).expect("a map") };
        let signed = signature("text", "abcdef", "0123456789abcdef");
        let tokens = [token("abcdef", &[])];
        let before = info(json!({"kubeconfig": "text", "jws-kubeconfig-older": "x", "mine": "y"}));
        assert_eq!(
            plan(&before, &tokens, at(0)),
            Some(json!({"jws-kubeconfig-older": null, "jws-kubeconfig-abcdef": signed}))
        );
        let after = info(json!({"kubeconfig": "text", "jws-kubeconfig-abcdef": signed}));
        assert_eq!(plan(&after, &tokens, at(0)), None);
        assert_eq!(plan(&info(json!({})), &tokens, at(0)), None);
    }
}
