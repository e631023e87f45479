//! Gives every active namespace its service account `default`.
//!
//! Watches Namespaces and ServiceAccounts; owns the account only as far as that it is there.
//! Upstream: `pkg/controller/serviceaccount/serviceaccounts_controller.go`.

use crate::context::{Context, Tasks, spawn};
use api::core::v1::{Namespace, ServiceAccount};
use api::meta::v1::ObjectMeta;
use api::{Key, Object};
use client::{Change, Client, Lister};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile};
use std::sync::Arc;

const WORKERS: usize = 1;
const NAME: &str = "default";

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let (namespaces, accounts) = (context.informers.get::<Namespace>(), context.informers.get());
    let added = queue.clone();
    namespaces.subscribe(move |change| added.add(change.object().key()));
    let deleted = queue.clone();
    accounts.subscribe(move |change: &Change<ServiceAccount>| {
        if let Change::Deleted(account) = change {
            deleted.add(Key::new("", account.namespace()));
        }
    });
    let controller = ServiceAccountController {
        client: context.client("service-account-controller"),
        namespaces: namespaces.clone(),
        accounts: accounts.clone(),
    };
    let synced = async move {
        namespaces.synced().await;
        accounts.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

/// Whether objects may be made in it.
pub(super) fn is_active(namespace: &Namespace) -> bool {
    namespace.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Active")
}

struct ServiceAccountController {
    client: Client,
    namespaces: Lister<Namespace>,
    accounts: Lister<ServiceAccount>,
}

impl Reconcile for ServiceAccountController {
    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let active = self.namespaces.get_key(&key).is_some_and(|namespace| is_active(&namespace));
            if !active || self.accounts.get(&key.name, NAME).is_some() {
                return Ok(Next::Done);
            }
            let metadata =
                ObjectMeta { name: Some(NAME.into()), namespace: Some(key.name), ..ObjectMeta::default() };
            match self.client.create(&ServiceAccount { metadata, ..ServiceAccount::default() }).await {
                Err(error) if !error.is_already_exists() && !error.is_namespace_terminating() => Err(error),
                _ => Ok(Next::Done),
            }
        })
    }
}
