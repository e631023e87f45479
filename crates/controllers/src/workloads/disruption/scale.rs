//! How many pods the controllers of pods want: of the kinds that are known, by their cache; of any other, by its
//! `scale` subresource.

use api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use api::core::v1::{Pod, ReplicationController};
use api::meta::v1::OwnerReference;
use api::{Object, owners};
use client::{Client, Informers, Lister};
use http::Method;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

use crate::workloads::control::refers_to;

/// Knows sizes.
#[derive(Clone)]
pub(super) struct Scales {
    client: Client,
    deployments: Lister<Deployment>,
    replica_sets: Lister<ReplicaSet>,
    stateful_sets: Lister<StatefulSet>,
    replication_controllers: Lister<ReplicationController>,
}

/// The size of what controls some pods.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scale {
    /// The pods wanted, of all controllers together.
    pub(super) pods: i32,
    /// Whether some of the pods have no controller.
    pub(super) unmanaged: bool,
}

impl Scales {
    pub(super) fn new(informers: &Informers, client: Client) -> Self {
        Self {
            client,
            deployments: informers.get(),
            replica_sets: informers.get(),
            stateful_sets: informers.get(),
            replication_controllers: informers.get(),
        }
    }

    pub(super) async fn synced(&self) {
        self.deployments.synced().await;
        self.replica_sets.synced().await;
        self.stateful_sets.synced().await;
        self.replication_controllers.synced().await;
    }

    /// The sizes of the pods' controllers, each counted once.
    ///
    /// # Errors
    /// Why one of them is not known, as a text for the budget's status.
    pub(super) async fn of(&self, pods: &[Arc<Pod>]) -> Result<Scale, String> {
        let mut scale = Scale::default();
        let mut found: HashMap<String, i32> = HashMap::new();
        let mut asked: Vec<String> = Vec::new();
        for pod in pods {
            let Some(owner) = owners::controller_of(&pod.metadata) else {
                scale.unmanaged = true;
                continue;
            };
            if asked.contains(&owner.uid) {
                continue;
            }
            asked.push(owner.uid.clone());
            let (uid, size) = match self.known(pod.namespace(), owner) {
                Some(known) => known,
                None => self
                    .by_scale(pod.namespace(), owner)
                    .await?
                    .ok_or_else(|| format!("found no controllers for pod {:?}", pod.name()))?,
            };
            found.insert(uid, size);
        }
        scale.pods = found.into_values().fold(0, i32::saturating_add);
        Ok(scale)
    }

    fn known(&self, namespace: &str, owner: &OwnerReference) -> Option<(String, i32)> {
        fn get<K: Object>(lister: &Lister<K>, namespace: &str, owner: &OwnerReference) -> Option<Arc<K>> {
            let found = refers_to::<K>(owner).then(|| lister.get(namespace, &owner.name)).flatten();
            found.filter(|object| object.uid() == owner.uid)
        }
        if let Some(set) = get(&self.replica_sets, namespace, owner) {
            let deployment = owners::controller_of(&set.metadata);
            if let Some(deployment) = deployment.and_then(|owner| get(&self.deployments, namespace, owner)) {
                let size = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
                return Some((deployment.uid().to_owned(), size));
            }
            let size = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            return Some((set.uid().to_owned(), size));
        }
        if let Some(set) = get(&self.stateful_sets, namespace, owner) {
            return Some((
                set.uid().to_owned(),
                set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            ));
        }
        let set = get(&self.replication_controllers, namespace, owner)?;
        Some((set.uid().to_owned(), set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)))
    }

    /// Asks an owner of any kind for its size.
    async fn by_scale(
        &self,
        namespace: &str,
        owner: &OwnerReference,
    ) -> Result<Option<(String, i32)>, String> {
        let base = match owner.api_version.split_once('/') {
            Some(_) => format!("/apis/{}", owner.api_version),
            None => format!("/api/{}", owner.api_version),
        };
        let resources = self.read(&base).await?.unwrap_or_default();
        let all = resources["resources"].as_array().cloned().unwrap_or_default();
        let of_kind = |resource: &&Value| {
            resource["kind"] == owner.kind.as_str() && !resource["name"].as_str().unwrap_or("/").contains('/')
        };
        let Some(name) = all.iter().find(of_kind).and_then(|resource| resource["name"].as_str()) else {
            return Err(format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version));
        };
        let scalable = all.iter().any(|resource| resource["name"] == format!("{name}/scale"));
        if !scalable {
            let group =
                owner.api_version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
            return Err(format!("{name}{group} does not implement the scale subresource"));
        }
        let path = format!("{base}/namespaces/{namespace}/{name}/{}/scale", owner.name);
        let Some(scale) = self.read(&path).await? else { return Ok(None) };
        if scale["metadata"]["uid"] != owner.uid.as_str() {
            return Ok(None);
        }
        let size = scale["spec"]["replicas"].as_i64().and_then(|size| i32::try_from(size).ok());
        Ok(Some((owner.uid.clone(), size.unwrap_or_default())))
    }

    /// Reads what is at a path; nothing if nothing is.
    async fn read(&self, path: &str) -> Result<Option<Value>, String> {
        match self.client.raw(Method::GET, path, None).await {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
