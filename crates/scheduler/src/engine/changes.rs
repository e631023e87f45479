//! What the engine is told: `pkg/scheduler/eventhandlers.go`. Level-triggered: it is given what is, and finds out
//! itself what changed.

use super::Engine;
use crate::cluster::Controller;
use crate::hints::{Event, own_change_helps};
use crate::labels::{Labels, Selector};
use crate::node::Node;
use crate::pod::{OwnerKind, Pod};
use crate::preemption::Budget;
use crate::volumes::{Attachment, Capacity, Claim, CsiDriver, CsiNode, StorageClass, Volume};
use api::core::v1 as core;
use api::{Key, Object, apps, policy, storage};
use jiff::Timestamp;
use std::sync::Arc;

impl Engine {
    /// A node is there, or changed.
    pub fn set_node(&mut self, now: Timestamp, node: &core::Node) {
        let node = Arc::new(Node::new(node));
        if let Some(id) = self.cluster.find(&node.name)
            && self.cluster.slot(id).node.as_ref() == Some(&node)
        {
            // A heartbeat.
            return;
        }
        match self.cluster.set_node(node.clone()) {
            None => self.happened(now, Event::NodeAdded(&node)),
            Some(old) => self.happened(now, Event::NodeUpdated(&old, &node)),
        }
    }

    /// A node is gone.
    pub fn remove_node(&mut self, now: Timestamp, name: &str) {
        if let Some(node) = self.cluster.remove_node(name) {
            self.happened(now, Event::NodeDeleted(&node));
        }
    }

    /// A pod is there, or changed. One that has run to its end needs nothing any more.
    pub fn set_pod(&mut self, now: Timestamp, pod: &core::Pod) {
        if api::pods::is_terminal(pod) {
            self.remove_pod(now, pod.uid());
            return;
        }
        let pod = self.project(pod);
        if pod.is_assigned() {
            self.set_assigned(now, pod);
        } else if self.profiles.contains_key(&pod.class.scheduler) {
            self.set_unassigned(now, pod);
        }
    }

    fn set_assigned(&mut self, now: Timestamp, pod: Arc<Pod>) {
        self.queue.remove(&pod.uid);
        self.preempting.remove(&pod.uid);
        self.withdraw(now, &pod.uid);
        let assumed = self.cluster.is_assumed(&pod.uid);
        match self.cluster.set_pod(pod.clone()) {
            Some(old) if !assumed => {
                if old.class != pod.class || old.terminating != pod.terminating {
                    self.happened(now, Event::PodUpdated(&old, &pod));
                }
            }
            Some(old) if old.node != pod.node => {
                // Somebody else placed it elsewhere: where it was assumed there is room.
                self.happened(now, Event::PodDeleted(&old));
                self.happened(now, Event::PodAssigned(&pod));
            }
            _ => self.happened(now, Event::PodAssigned(&pod)),
        }
    }

    fn set_unassigned(&mut self, now: Timestamp, pod: Arc<Pod>) {
        if self.cluster.is_assumed(&pod.uid) {
            // It is being bound; that fails if it is being deleted.
            if let Some(binding) = self.bindings.get_mut(&pod.uid) {
                binding.waiting.pod = pod;
            }
            return;
        }
        let uid = pod.uid.clone();
        let Some(old) = self.queue.get(&uid).map(|waiting| waiting.pod.clone()) else {
            if !pod.nominated.is_empty() {
                self.nominated.set(&pod, &pod.nominated);
            }
            self.queue.set(now, pod);
            return;
        };
        self.queue.set(now, pod.clone());
        if pod.nominated != old.nominated {
            self.nominate(now, &pod, &pod.nominated);
        } else if let Some(node) = self.nominated.node_of(&uid).cloned() {
            // It may not be written yet.
            self.nominated.set(&pod, &node);
        }
        let rejectors = self.queue.get(&uid).map(|waiting| waiting.rejectors).unwrap_or_default();
        if self.queue.is_aside(&uid) && own_change_helps(rejectors, &old, &pod) {
            self.queue.requeue(&uid, now);
        }
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, now: Timestamp, uid: &str) {
        self.preempting.remove(uid);
        self.queue.remove(uid);
        self.withdraw(now, uid);
        if let Some(binding) = self.end_binding(uid) {
            // The binding that is under way will fail, and must not bring it back.
            self.cluster.volumes.forget(&binding.plan);
        }
        if let Some(pod) = self.cluster.remove_pod(uid) {
            self.happened(now, Event::PodDeleted(&pod));
        }
    }

    /// A namespace is there (or gone: no labels), or changed.
    pub fn set_namespace(&mut self, _now: Timestamp, key: &Key, namespace: Option<&core::Namespace>) {
        let labels = namespace.map(|namespace| Labels::new(namespace.metadata.labels.as_ref()));
        self.cluster.set_namespace(&key.name, labels);
    }

    /// A Service is there or gone, or changed.
    pub fn set_service(&mut self, _now: Timestamp, key: &Key, service: Option<&core::Service>) {
        let selector = service.and_then(|service| service.spec.as_ref()?.selector.as_ref());
        self.cluster.owners.set_service(key, selector);
    }

    /// A ReplicationController is there or gone, or changed.
    pub fn set_replication_controller(
        &mut self,
        _now: Timestamp,
        key: &Key,
        controller: Option<&core::ReplicationController>,
    ) {
        let selects = |controller: &core::ReplicationController| {
            Controller::Labels(
                controller.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default(),
            )
        };
        let kind = OwnerKind::ReplicationController;
        self.cluster.owners.set_controller(kind, key.clone(), controller.map(selects));
    }

    /// A ReplicaSet is there or gone, or changed.
    pub fn set_replica_set(&mut self, _now: Timestamp, key: &Key, set: Option<&apps::v1::ReplicaSet>) {
        let selects = |set: &apps::v1::ReplicaSet| {
            Controller::Selector(Selector::new(set.spec.as_ref().map(|spec| &spec.selector)))
        };
        self.cluster.owners.set_controller(OwnerKind::ReplicaSet, key.clone(), set.map(selects));
    }

    /// A StatefulSet is there or gone, or changed.
    pub fn set_stateful_set(&mut self, _now: Timestamp, key: &Key, set: Option<&apps::v1::StatefulSet>) {
        let selects = |set: &apps::v1::StatefulSet| {
            Controller::Selector(Selector::new(set.spec.as_ref().map(|spec| &spec.selector)))
        };
        self.cluster.owners.set_controller(OwnerKind::StatefulSet, key.clone(), set.map(selects));
    }

    /// A disruption budget is there or gone, or changed.
    pub fn set_budget(
        &mut self,
        _now: Timestamp,
        key: &Key,
        budget: Option<&policy::v1::PodDisruptionBudget>,
    ) {
        match budget {
            Some(budget) => self.budgets.insert(key.clone(), Budget::new(budget)),
            None => self.budgets.remove(key),
        };
    }

    /// A claim is there or gone, or changed.
    pub fn set_claim(&mut self, now: Timestamp, key: &Key, claim: Option<&core::PersistentVolumeClaim>) {
        let claim = claim.map(Claim::new);
        let old = self.cluster.volumes.set_claim(key, claim.clone());
        if let Some(claim) = claim.filter(|claim| old.as_deref() != Some(claim)) {
            self.happened(now, Event::Claim(old.as_deref(), &claim));
        }
        self.check_bindings(now);
    }

    /// A volume is there or gone, or changed.
    pub fn set_volume(&mut self, now: Timestamp, key: &Key, volume: Option<&core::PersistentVolume>) {
        let volume = volume.map(Volume::new);
        let old = self.cluster.volumes.set_volume(&key.name, volume.clone());
        if let Some(volume) = volume.filter(|volume| old.as_deref() != Some(volume)) {
            self.happened(now, Event::Volume(old.as_deref(), &volume));
        }
        self.check_bindings(now);
    }

    /// A storage class is there or gone, or changed.
    pub fn set_storage_class(
        &mut self,
        now: Timestamp,
        key: &Key,
        class: Option<&storage::v1::StorageClass>,
    ) {
        let class = class.map(StorageClass::new);
        let old = self.cluster.volumes.set_class(&key.name, class.clone());
        if let Some(class) = class.filter(|class| old.as_ref() != Some(class)) {
            self.happened(now, Event::StorageClass(old.as_ref(), &class));
        }
    }

    /// The drivers of a node are known or not, or changed.
    pub fn set_csi_node(&mut self, now: Timestamp, key: &Key, node: Option<&storage::v1::CSINode>) {
        let node = node.map(CsiNode::new);
        let old = self.cluster.volumes.set_csi_node(&key.name, node.clone());
        if let Some(node) = node.filter(|node| old.as_ref() != Some(node)) {
            self.happened(now, Event::CsiNode(old.as_ref(), &node));
        }
    }

    /// A driver is there or gone, or changed.
    pub fn set_csi_driver(&mut self, now: Timestamp, key: &Key, driver: Option<&storage::v1::CSIDriver>) {
        let driver = driver.map(CsiDriver::new);
        let old = self.cluster.volumes.set_driver(&key.name, driver);
        let told = |driver: Option<CsiDriver>| driver.is_some_and(|driver| driver.tells_capacity);
        if told(old) && !told(driver) {
            self.happened(now, Event::CsiDriver);
        }
    }

    /// Room for volumes is known or not, or changed.
    pub fn set_capacity(
        &mut self,
        now: Timestamp,
        key: &Key,
        capacity: Option<&storage::v1::CSIStorageCapacity>,
    ) {
        let capacity = capacity.map(Capacity::new);
        let old = self.cluster.volumes.set_capacity(key, capacity.clone());
        if let Some(capacity) = capacity.filter(|capacity| old.as_ref() != Some(capacity)) {
            self.happened(now, Event::Capacity(old.as_ref(), &capacity));
        }
    }

    /// A volume is attached or not, or changed.
    pub fn set_attachment(
        &mut self,
        now: Timestamp,
        key: &Key,
        attachment: Option<&storage::v1::VolumeAttachment>,
    ) {
        let attachment = attachment.map(Attachment::new);
        let gone = attachment.is_none();
        if self.cluster.volumes.set_attachment(&key.name, attachment).is_some() && gone {
            self.happened(now, Event::AttachmentDeleted);
        }
    }
}
