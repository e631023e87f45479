//! Fills Secrets of type `kubernetes.io/service-account-token`, and deletes those whose account is gone.
//!
//! Watches those Secrets and ServiceAccounts; owns the Secrets' `token`, `ca.crt` and `namespace` and the
//! annotation with the account's UID. Nobody has to ask for such a Secret any more, but some still do, to give
//! a machine outside a token that does not lapse. Other than upstream, the token is one of TokenRequest, bound
//! to the Secret: it ends with it, and every server that knows the keys accepts it.
//!
//! Upstream: `pkg/controller/serviceaccount/tokens_controller.go`.

use crate::context::{Context, Tasks, spawn};
use api::core::v1::{Secret, ServiceAccount};
use api::meta::v1::{DeleteOptions, Preconditions};
use api::{ByteString, Key, Object};
use client::{Change, Client, Error, ListOptions, Lister, Patch};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// As `--concurrent-serviceaccount-token-syncs`.
const WORKERS: usize = 5;
const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// The longest life that TokenRequest grants: 136 years.
const EXPIRATION_SECONDS: i64 = 1 << 32;
/// The index of Secrets by their accounts.
const BY_ACCOUNT: &str = "account";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let secrets = context.informers.filtered::<Secret>("", ListOptions::fields(format!("type={TYPE}")));
    let accounts = context.informers.get::<ServiceAccount>();
    secrets.add_index(BY_ACCOUNT, |secret| {
        let name = annotation(secret, ACCOUNT_NAME);
        name.map(|name| Key::new(secret.namespace(), name).to_string()).into_iter().collect()
    });
    let changed = queue.clone();
    secrets.subscribe(move |change| changed.add(change.object().key()));
    let (changed, all) = (queue.clone(), secrets.clone());
    accounts.subscribe(move |change| {
        if !matches!(change, Change::Updated(..)) {
            let account = change.object().key().to_string();
            all.by_index(BY_ACCOUNT, &account).iter().for_each(|secret| changed.add(secret.key()));
        }
    });
    let controller = TokenController {
        // Upstream's has no account of its own either.
        client: context.informers.client().with_user_agent("tokens-controller"),
        root_ca: context.config.root_ca.clone(),
        secrets: secrets.clone(),
        accounts: accounts.clone(),
    };
    let synced = async move {
        secrets.synced().await;
        accounts.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn annotation<'a>(secret: &'a Secret, name: &str) -> Option<&'a str> {
    secret.metadata.annotations.as_ref()?.get(name).map(String::as_str).filter(|text| !text.is_empty())
}

struct TokenController {
    client: Client,
    root_ca: Option<String>,
    secrets: Lister<Secret>,
    accounts: Lister<ServiceAccount>,
}

/// What a Secret lacks.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    /// Its account is gone, or another one of that name.
    Delete,
    /// `data` that can be filled in, and whether the token is missing too.
    Fill {
        data: BTreeMap<&'static str, ByteString>,
        token: bool,
    },
}

fn plan(secret: &Secret, account: Option<&ServiceAccount>, root_ca: Option<&str>) -> Plan {
    let Some(account) = account else { return Plan::Delete };
    if annotation(secret, ACCOUNT_UID).is_some_and(|uid| uid != account.uid()) {
        return Plan::Delete;
    }
    let has = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let mut data = BTreeMap::new();
    if let Some(root_ca) = root_ca.filter(|root_ca| has("ca.crt") != Some(root_ca.as_bytes())) {
        data.insert("ca.crt", ByteString(root_ca.as_bytes().to_vec()));
    }
    if has("namespace").is_none_or(<[u8]>::is_empty) {
        data.insert("namespace", ByteString(secret.namespace().as_bytes().to_vec()));
    }
    let token = has("token").is_none_or(<[u8]>::is_empty);
    if data.is_empty() && !token { Plan::Nothing } else { Plan::Fill { data, token } }
}

impl Reconcile for TokenController {
    fn name(&self) -> &'static str {
        "serviceaccount-token"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(secret) = self.secrets.get_key(&key) else { return Ok(Next::Done) };
            let Some(name) = annotation(&secret, ACCOUNT_NAME) else { return Ok(Next::Done) };
            let account = match self.accounts.get(&key.namespace, name) {
                Some(account) => Some(account),
                // The cache may not show the account yet that the Secret was made with.
                None => match self.client.get::<ServiceAccount>(&key.namespace, name).await {
                    Ok(account) => Some(Arc::new(account)),
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error),
                },
            };
            let result = match (plan(&secret, account.as_deref(), self.root_ca.as_deref()), account) {
                (Plan::Delete, _) => self.delete(&secret).await,
                (Plan::Fill { data, token }, Some(account)) => {
                    self.fill(&secret, &account, data, token).await
                }
                _ => Ok(()),
            };
            match result {
                // Somebody else was there: an event will come.
                Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
                _ => Ok(Next::Done),
            }
        })
    }
}

impl TokenController {
    async fn delete(&self, secret: &Secret) -> Result<(), Error> {
        let uid = Some(secret.uid().to_owned());
        let options = DeleteOptions {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteOptions::default()
        };
        self.client.delete::<Secret>(secret.namespace(), secret.name(), &options).await
    }

    async fn fill(
        &self,
        secret: &Secret,
        account: &ServiceAccount,
        mut data: BTreeMap<&'static str, ByteString>,
        token: bool,
    ) -> Result<(), Error> {
        let (namespace, name) = (secret.namespace(), secret.name());
        if token {
            let request = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {
                    "audiences": [], "expirationSeconds": EXPIRATION_SECONDS,
                    "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret.uid()},
                },
            });
            let answer = self
                .client
                .post_subresource::<ServiceAccount>(namespace, account.name(), "token", &request)
                .await?;
            let token = answer["status"]["token"].as_str().unwrap_or_default();
            data.insert("token", ByteString(token.as_bytes().to_vec()));
        }
        let patch = Patch::Update(json!({
            "metadata": {
                "uid": secret.uid(), "resourceVersion": secret.resource_version(),
                "annotations": {ACCOUNT_NAME: account.name(), ACCOUNT_UID: account.uid()},
            },
            "data": data,
        }));
        self.client.patch::<Secret>(namespace, name, &patch).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_filled_or_go() {
        let secret = |uid: Option<&str>, data: serde_json::Value| -> Secret {
            let mut secret = json!({"metadata": {"name": "s", "namespace": "n",
                "annotations": {ACCOUNT_NAME: "a"}}, "type": TYPE, "data": data});
            if let Some(uid) = uid {
                secret["metadata"]["annotations"][ACCOUNT_UID] = uid.into();
            }
            serde_json::from_value(secret).expect("a secret")
        };
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "n", "uid": "u"}}))
                .expect("one");
        let empty = || secret(None, json!({}));
        let full = |uid| secret(Some(uid), json!({"token": "eA==", "namespace": "bg==", "ca.crt": "Q0E="}));
        let text = |text: &str| ByteString(text.as_bytes().to_vec());
        let all = BTreeMap::from([("ca.crt", text("CA")), ("namespace", text("n"))]);
        assert_eq!(plan(&empty(), None, Some("CA")), Plan::Delete);
        assert_eq!(plan(&empty(), Some(&account), Some("CA")), Plan::Fill { data: all, token: true });
        assert_eq!(plan(&full("u"), Some(&account), Some("CA")), Plan::Nothing);
        assert_eq!(plan(&full("older"), Some(&account), Some("CA")), Plan::Delete);
        let renewed = BTreeMap::from([("ca.crt", text("CA2"))]);
        assert_eq!(plan(&full("u"), Some(&account), Some("CA2")), Plan::Fill { data: renewed, token: false });
    }
}
