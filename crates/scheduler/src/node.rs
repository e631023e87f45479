//! What the scheduler knows of a node: a projection of the object, without what changes with each heartbeat.

use crate::labels::Labels;
use crate::placement::Taint;
use crate::resources::Resources;
use api::Object;
use std::sync::Arc;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: Arc<str>,
    /// The labels.
    pub labels: Labels,
    /// The taints.
    pub taints: Box<[Taint]>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What it has for pods.
    pub allocatable: Resources,
    /// Its images by each of their names, with their sizes in bytes.
    pub images: Box<[(Box<str>, i64)]>,
}

impl Node {
    /// Of the object.
    pub fn new(node: &api::core::v1::Node) -> Self {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let images = status.and_then(|status| status.images.as_ref()).into_iter().flatten();
        let images = images.flat_map(|image| {
            let size = image.size_bytes.unwrap_or_default();
            image.names.iter().flatten().map(move |name| (name.as_str().into(), size))
        });
        Self {
            name: node.name().into(),
            labels: Labels::new(node.metadata.labels.as_ref()),
            taints: spec
                .and_then(|spec| spec.taints.as_ref())
                .into_iter()
                .flatten()
                .filter_map(Taint::new)
                .collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or_default(),
            allocatable: Resources::new(status.and_then(|status| status.allocatable.as_ref())),
            images: images.collect(),
        }
    }

    /// Region and zone, by which nodes take turns in being looked at
    /// (`k8s.io/component-helpers/node/topology`, `GetZoneKey`).
    pub fn zone(&self) -> (&str, &str) {
        let label =
            |key: &str, old: &str| self.labels.get(key).or_else(|| self.labels.get(old)).unwrap_or_default();
        (
            label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
            label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
        )
    }
}
