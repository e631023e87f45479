//! Puts the certificate that pods trust the API server by into every namespace: ConfigMap `kube-root-ca.crt`.
//!
//! Watches Namespaces and those ConfigMaps; owns their data and the annotation that describes them.
//! Upstream: `pkg/controller/certificates/rootcacertpublisher`.

use super::service_account::is_active;
use crate::context::{Context, Tasks, spawn};
use api::core::v1::{ConfigMap, Namespace};
use api::meta::v1::ObjectMeta;
use api::{Key, Object};
use client::{Client, ListOptions, Lister};
use futures_util::future::BoxFuture;
use reconcile::{Next, Queue, Reconcile};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

const WORKERS: usize = 1;
const NAME: &str = "kube-root-ca.crt";
const DATA: &str = "ca.crt";
const ANNOTATION: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

/// Starts the controller, if there is a certificate.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let Some(certificate) = context.config.root_ca.clone() else { return };
    let queue = Queue::new();
    let namespaces = context.informers.get::<Namespace>();
    // Of all the cluster's ConfigMaps only these: the others may be many and large.
    let maps =
        context.informers.filtered::<ConfigMap>("", ListOptions::fields(format!("metadata.name={NAME}")));
    let added = queue.clone();
    namespaces.subscribe(move |change| added.add(change.object().key()));
    let changed = queue.clone();
    maps.subscribe(move |change| changed.add(Key::new("", change.object().namespace())));
    let controller = RootCaPublisher {
        client: context.client("root-ca-cert-publisher"),
        certificate,
        namespaces: namespaces.clone(),
        maps: maps.clone(),
    };
    let synced = async move {
        namespaces.synced().await;
        maps.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

struct RootCaPublisher {
    client: Client,
    certificate: String,
    namespaces: Lister<Namespace>,
    maps: Lister<ConfigMap>,
}

impl Reconcile for RootCaPublisher {
    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            if !self.namespaces.get_key(&key).is_some_and(|namespace| is_active(&namespace)) {
                return Ok(Next::Done);
            }
            let result = match self.maps.get(&key.name, NAME) {
                None => self.client.create(&new(&key.name, &self.certificate)).await.map(drop),
                Some(map) => match correction(&map, &self.certificate) {
                    None => Ok(()),
                    // The role has no `get`, so the map is put as the cache has it: it has no fields but these.
                    Some(right) => {
                        let right = json!(right);
                        self.client.put_subresource::<ConfigMap>(&key.name, NAME, "", &right).await.map(drop)
                    }
                },
            };
            match result {
                Err(error) if !error.is_not_found() && !error.is_namespace_terminating() => Err(error),
                _ => Ok(Next::Done),
            }
        })
    }
}

fn new(namespace: &str, certificate: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            annotations: Some(BTreeMap::from([(ANNOTATION.into(), DESCRIPTION.into())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(DATA.into(), certificate.into())])),
        ..ConfigMap::default()
    }
}

/// The map as it is to be; nothing if it is so.
fn correction(map: &ConfigMap, certificate: &str) -> Option<ConfigMap> {
    let mut right = map.clone();
    right.data = Some(BTreeMap::from([(DATA.into(), certificate.into())]));
    let annotations = right.metadata.annotations.get_or_insert_default();
    if annotations.get(ANNOTATION).is_none_or(String::is_empty) {
        annotations.insert(ANNOTATION.into(), DESCRIPTION.into());
    }
    (right != *map).then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_set_right() {
        let right = new("a", "PEM");
        assert_eq!(correction(&right, "PEM"), None);
        let mut other = right.clone();
        other.data = Some(BTreeMap::from([("mine".into(), "x".into())]));
        assert_eq!(correction(&other, "PEM"), Some(right.clone()));
        let mut bare = right.clone();
        bare.metadata.annotations = None;
        assert_eq!(correction(&bare, "PEM"), Some(right.clone()));
        let mut described = right;
        described.metadata.annotations.get_or_insert_default().insert(ANNOTATION.into(), "mine".into());
        assert_eq!(correction(&described, "PEM"), None);
    }
}
