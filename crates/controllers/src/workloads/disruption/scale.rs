//! How many pods the controllers of pods want: of the kinds that are known, by their cache; of any other, by its
//! `scale` subresource.

use api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use api::core::v1::{Pod, ReplicationController};
use api::meta::v1::OwnerReference;
use api::{Object, owners};
use client::{Client, Informers, Lister};
use std::collections::HashMap;
use std::sync::Arc;

use crate::workloads::control::refers_to;
use crate::workloads::scale;

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
        let found = scale::resource(&self.client, &owner.api_version, &owner.kind).await;
        let Some(resource) = found.map_err(|error| error.to_string())? else {
            return Err(format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version));
        };
        if !resource.is_scalable {
            return Err(format!("{} does not implement the scale subresource", resource.group_resource));
        }
        let path = resource.scale_path(namespace, &owner.name);
        let read = scale::read(&self.client, &path).await.map_err(|error| error.to_string())?;
        let own = read.filter(|scale| scale["metadata"]["uid"] == owner.uid.as_str());
        Ok(own.map(|scale| (owner.uid.clone(), scale::replicas(&scale))))
    }
}
