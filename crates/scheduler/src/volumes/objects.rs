//! Projections of the objects about volumes.

use crate::labels::{Labels, NodeSelector, Selector};
use api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, VolumeAttachment};
use api::{Key, Object};
use std::collections::BTreeMap;
use std::sync::Arc;

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";
const FILESYSTEM: &str = "Filesystem";

type Annotations = Option<BTreeMap<String, String>>;

fn annotation<'a>(annotations: &'a Annotations, key: &str) -> Option<&'a str> {
    annotations.as_ref()?.get(key).map(String::as_str)
}

fn class_name(annotations: &Annotations, class: Option<&String>) -> Box<str> {
    annotation(annotations, BETA_CLASS).or(class.map(String::as_str)).unwrap_or_default().into()
}

/// A claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Namespace and name.
    pub key: Key,
    /// The UID.
    pub uid: Box<str>,
    /// The storage class; empty if none.
    pub class: Box<str>,
    /// The volume that it is bound to; empty if none.
    pub volume: Box<str>,
    /// Whether binding is done on both sides.
    pub bound: bool,
    /// The node that its volume is made for.
    pub selected_node: Option<Arc<str>>,
    /// The bytes that it asks for, if it says.
    pub size: Option<i64>,
    /// The volumes that it takes.
    pub selector: Option<Selector>,
    /// How it is accessed.
    pub access_modes: Box<[Box<str>]>,
    /// `ReadWriteOncePod`: one pod only may use it.
    pub read_write_once_pod: bool,
    /// `Filesystem` or `Block`.
    pub mode: Box<str>,
    /// The class of its attributes; empty if none.
    pub attributes_class: Box<str>,
    /// Whether its volume is gone.
    pub lost: bool,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// The UID of the pod that it was made for; empty if none.
    pub owner: Box<str>,
}

impl Claim {
    /// Of the object.
    pub fn new(claim: &PersistentVolumeClaim) -> Self {
        let spec = claim.spec.as_ref();
        let text = |text: Option<&String>| text.map(String::as_str).unwrap_or_default().into();
        let annotations = &claim.metadata.annotations;
        let volume: Box<str> = text(spec.and_then(|spec| spec.volume_name.as_ref()));
        let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        let modes = spec.and_then(|spec| spec.access_modes.as_ref()).into_iter().flatten();
        let access_modes: Box<[Box<str>]> = modes.map(|mode| mode.as_str().into()).collect();
        let owner = api::owners::controller_of(&claim.metadata);
        Self {
            key: claim.key(),
            uid: claim.uid().into(),
            class: class_name(annotations, spec.and_then(|spec| spec.storage_class_name.as_ref())),
            bound: !volume.is_empty() && annotation(annotations, BIND_COMPLETED).is_some(),
            volume,
            selected_node: annotation(annotations, SELECTED_NODE).map(Into::into),
            size: requests.and_then(|requests| requests.get("storage")).map(api::amount),
            selector: spec
                .and_then(|spec| spec.selector.as_ref())
                .map(|selector| Selector::new(Some(selector))),
            read_write_once_pod: access_modes.iter().any(|mode| **mode == *"ReadWriteOncePod"),
            access_modes,
            mode: spec.and_then(|spec| spec.volume_mode.as_deref()).unwrap_or(FILESYSTEM).into(),
            attributes_class: text(spec.and_then(|spec| spec.volume_attributes_class_name.as_ref())),
            lost: claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost"),
            terminating: claim.metadata.deletion_timestamp.is_some(),
            owner: owner.map(|owner| owner.uid.as_str()).unwrap_or_default().into(),
        }
    }
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// The name.
    pub name: Box<str>,
    /// The labels.
    pub labels: Labels,
    /// The storage class; empty if none.
    pub class: Box<str>,
    /// The claim that it is bound to, and its UID (empty: any of the name).
    pub claim: Option<(Key, Box<str>)>,
    /// The nodes that can reach it.
    pub nodes: Option<NodeSelector>,
    /// Its bytes.
    pub capacity: i64,
    /// How it can be accessed.
    pub access_modes: Box<[Box<str>]>,
    /// `Filesystem` or `Block`.
    pub mode: Box<str>,
    /// The class of its attributes; empty if none.
    pub attributes_class: Box<str>,
    /// Whether it is free.
    pub available: bool,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// Its driver and the driver's name for it.
    pub csi: Option<(Box<str>, Box<str>)>,
}

impl Volume {
    /// Of the object.
    pub fn new(volume: &PersistentVolume) -> Self {
        let text = |text: Option<&String>| text.map(String::as_str).unwrap_or_default().into();
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        let base = Self {
            name: volume.name().into(),
            labels: Labels::new(volume.metadata.labels.as_ref()),
            available: phase == Some("Available"),
            terminating: volume.metadata.deletion_timestamp.is_some(),
            ..Self::default()
        };
        let Some(spec) = &volume.spec else { return base };
        let name = |text: Option<&String>| text.cloned().unwrap_or_default();
        let claim = spec.claim_ref.as_ref().map(|claim| {
            (Key::new(name(claim.namespace.as_ref()), name(claim.name.as_ref())), text(claim.uid.as_ref()))
        });
        let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
        let capacity = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
        let csi = spec.csi.as_ref();
        Self {
            class: class_name(&volume.metadata.annotations, spec.storage_class_name.as_ref()),
            claim,
            nodes: required.map(|selector| NodeSelector::new(&selector.node_selector_terms)),
            capacity: capacity.map(api::amount).unwrap_or_default(),
            access_modes: spec.access_modes.iter().flatten().map(|mode| mode.as_str().into()).collect(),
            mode: spec.volume_mode.as_deref().unwrap_or(FILESYSTEM).into(),
            attributes_class: text(spec.volume_attributes_class_name.as_ref()),
            csi: csi.map(|csi| (csi.driver.as_str().into(), csi.volume_handle.as_str().into())),
            ..base
        }
    }

    /// Whether a node can reach it.
    pub fn is_reachable(&self, node: &crate::node::Node) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.matches(&node.name, &node.labels))
    }
}

/// A storage class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageClass {
    /// Who makes its volumes.
    pub provisioner: Box<str>,
    /// Whether volumes wait for a pod; absent if it does not say.
    pub waits_for_consumer: Option<bool>,
    /// The nodes that its volumes can be made for: terms of labels and values.
    pub topologies: Box<[Topology]>,
}

/// One term of allowed topologies: labels that must all have one of some values.
pub type Topology = Box<[(Box<str>, Box<[Box<str>]>)]>;

impl StorageClass {
    /// Of the object.
    pub fn new(class: &api::storage::v1::StorageClass) -> Self {
        let terms = class.allowed_topologies.iter().flatten().map(|term| {
            let labels = term.match_label_expressions.iter().flatten();
            let values = |values: &Vec<String>| values.iter().map(|value| value.as_str().into()).collect();
            labels.map(|label| (label.key.as_str().into(), values(&label.values))).collect()
        });
        Self {
            provisioner: class.provisioner.as_str().into(),
            waits_for_consumer: class.volume_binding_mode.as_ref().map(|mode| mode == "WaitForFirstConsumer"),
            topologies: terms.collect(),
        }
    }

    /// Whether volumes can be made for nodes with such labels.
    pub fn allows(&self, labels: &Labels) -> bool {
        let holds = |(key, values): &(Box<str>, Box<[Box<str>]>)| {
            labels.get(key).is_some_and(|value| values.iter().any(|allowed| **allowed == *value))
        };
        self.topologies.is_empty()
            || self.topologies.iter().any(|term| !term.is_empty() && term.iter().all(holds))
    }
}

/// What drivers a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsiNode {
    /// Drivers, with how many volumes they can attach, if they say.
    pub drivers: Box<[(Box<str>, Option<i32>)]>,
    /// The in-tree plugins that drivers stand in for.
    pub migrated: Box<str>,
}

impl CsiNode {
    /// Of the object.
    pub fn new(node: &CSINode) -> Self {
        let drivers = node.spec.drivers.iter().map(|driver| {
            (
                driver.name.as_str().into(),
                driver.allocatable.as_ref().and_then(|allocatable| allocatable.count),
            )
        });
        let migrated = annotation(&node.metadata.annotations, MIGRATED_PLUGINS).unwrap_or_default().into();
        Self { drivers: drivers.collect(), migrated }
    }

    /// How many volumes a driver can attach, if it says.
    pub fn limit(&self, driver: &str) -> Option<i32> {
        self.drivers.iter().find(|(name, _)| **name == *driver)?.1
    }
}

/// A driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CsiDriver {
    /// Whether it says how much room there is.
    pub tells_capacity: bool,
}

impl CsiDriver {
    /// Of the object.
    pub fn new(driver: &CSIDriver) -> Self {
        Self { tells_capacity: driver.spec.storage_capacity.unwrap_or_default() }
    }
}

/// Room for volumes of a class at some nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The storage class.
    pub class: Box<str>,
    /// The largest volume in bytes, if it is known.
    pub limit: Option<i64>,
    /// The nodes.
    pub nodes: Selector,
}

impl Capacity {
    /// Of the object.
    pub fn new(capacity: &CSIStorageCapacity) -> Self {
        Self {
            class: capacity.storage_class_name.as_str().into(),
            limit: capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref()).map(api::amount),
            nodes: Selector::new(capacity.node_topology.as_ref()),
        }
    }
}

/// A volume that is attached to a node, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The node.
    pub node: Box<str>,
    /// The driver.
    pub driver: Box<str>,
    /// The volume; empty if it is an inline one.
    pub volume: Box<str>,
}

impl Attachment {
    /// Of the object.
    pub fn new(attachment: &VolumeAttachment) -> Self {
        Self {
            node: attachment.spec.node_name.as_str().into(),
            driver: attachment.spec.attacher.as_str().into(),
            volume: attachment.spec.source.persistent_volume_name.as_deref().unwrap_or_default().into(),
        }
    }
}
