//! Objects for tests, made in few words.

use api::core::v1::{Container, ContainerStatus, Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec};
use api::meta::v1::{LabelSelector, ObjectMeta, OwnerReference, Time};
use api::{Object, owners};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A time by its second.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a second of this era")
}

/// Metadata of an object of namespace `default`, whose UID is `uid-NAME`.
pub(crate) fn meta(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some("default".into()),
        uid: Some(format!("uid-{name}")),
        resource_version: Some("1".into()),
        generation: Some(1),
        creation_timestamp: Some(Time(at(0))),
        ..Default::default()
    }
}

/// Labels of `key=value,key=value`.
pub(crate) fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A selector of labels.
pub(crate) fn selector(text: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(labels(text)), match_expressions: None }
}

/// A template of pods with one container.
pub(crate) fn template(text: &str, image: &str) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels(text)), ..Default::default() }),
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "main".into(),
                image: Some(image.into()),
                ..Default::default()
            }],
            ..Default::default()
        }),
    }
}

/// A pod in the making.
#[derive(Clone)]
pub(crate) struct PodBuilder(Pod);

/// A pod that nothing has happened to yet.
pub(crate) fn pod(name: &str) -> PodBuilder {
    PodBuilder(Pod {
        metadata: meta(name),
        spec: Some(PodSpec::default()),
        status: Some(PodStatus { phase: Some("Pending".into()), ..Default::default() }),
    })
}

impl PodBuilder {
    fn spec(&mut self) -> &mut PodSpec {
        self.0.spec.get_or_insert_default()
    }

    fn status(&mut self) -> &mut PodStatus {
        self.0.status.get_or_insert_default()
    }

    pub(crate) fn labels(mut self, text: &str) -> Self {
        self.0.metadata.labels = Some(labels(text));
        self
    }

    pub(crate) fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
        self
    }

    pub(crate) fn finalizer(mut self, finalizer: &str) -> Self {
        self.0.metadata.finalizers.get_or_insert_default().push(finalizer.into());
        self
    }

    pub(crate) fn owned_by(self, owner: &impl Object) -> Self {
        self.owner(owners::controller_reference(owner))
    }

    pub(crate) fn owner(mut self, reference: OwnerReference) -> Self {
        self.0.metadata.owner_references = Some(vec![reference]);
        self
    }

    pub(crate) fn created(mut self, when: Timestamp) -> Self {
        self.0.metadata.creation_timestamp = Some(Time(when));
        self
    }

    pub(crate) fn terminating(mut self, when: Timestamp) -> Self {
        self.0.metadata.deletion_timestamp = Some(Time(when));
        self
    }

    pub(crate) fn node(mut self, node: &str) -> Self {
        self.spec().node_name = Some(node.into());
        self
    }

    pub(crate) fn phase(mut self, phase: &str) -> Self {
        self.status().phase = Some(phase.into());
        self
    }

    pub(crate) fn ready(self, since: Timestamp) -> Self {
        self.phase("Running").condition("Ready", "True", since)
    }

    pub(crate) fn condition(mut self, kind: &str, status: &str, since: Timestamp) -> Self {
        let conditions = self.status().conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != kind);
        conditions.push(PodCondition {
            type_: kind.into(),
            status: status.into(),
            last_transition_time: Some(Time(since)),
            ..Default::default()
        });
        self
    }

    pub(crate) fn restarts(mut self, count: i32) -> Self {
        self.status().container_statuses =
            Some(vec![ContainerStatus { name: "main".into(), restart_count: count, ..Default::default() }]);
        self
    }

    pub(crate) fn change(mut self, change: impl FnOnce(&mut Pod)) -> Self {
        change(&mut self.0);
        self
    }

    pub(crate) fn build(self) -> Arc<Pod> {
        Arc::new(self.0)
    }
}

/// Dice of a seed (xorshift64*): the same seed, the same throws.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`, which is above 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    /// Whether one in `of` comes up.
    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}
