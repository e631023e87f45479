//! Whether a node is silent: it has neither posted a status nor renewed its lease for too long. Pure.
//!
//! Time is measured here, from when a sign of life was seen, so that clocks need not agree.

use api::core::v1::{Node, NodeCondition};
use api::meta::v1::Time;
use jiff::{SignedDuration, Timestamp};

/// How long a node may be silent, as `--node-monitor-grace-period`.
const GRACE: SignedDuration = SignedDuration::from_secs(50);
/// How long a new node may take until its first status, as `--node-startup-grace-period`.
const STARTUP_GRACE: SignedDuration = SignedDuration::from_secs(60);
/// The conditions that a kubelet posts. `NetworkUnavailable` is not its own.
const POSTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What was last seen of a node.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) uid: String,
    /// When the last sign of life was seen.
    pub(super) probe: Timestamp,
    /// What condition `Ready` said of its time.
    heartbeat: Option<Timestamp>,
    renewed: Option<Timestamp>,
}

/// The node's condition of a type.
pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_deref()?.iter().find(|condition| condition.type_ == kind)
}

fn created(node: &Node) -> Timestamp {
    node.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

impl Health {
    /// Takes in what is there now; `old` is of the same node.
    pub(super) fn look(old: Option<&Self>, now: Timestamp, node: &Node, renewed: Option<Timestamp>) -> Self {
        let ready = condition(node, "Ready");
        let heartbeat = ready.map(|ready| ready.last_heartbeat_time.as_ref().map_or(created(node), |t| t.0));
        let unchanged = match (old, heartbeat) {
            (None, None) => Some(created(node)),
            (Some(old), _) if old.heartbeat == heartbeat => Some(old.probe),
            _ => None,
        };
        let newer = renewed > old.and_then(|old| old.renewed);
        Self {
            uid: node.metadata.uid.clone().unwrap_or_default(),
            probe: if newer { now } else { unchanged.unwrap_or(now) },
            heartbeat,
            renewed,
        }
    }

    /// The conditions to set if the node is silent: none if it is not, or they are so already.
    pub(super) fn silence(&mut self, now: Timestamp, node: &Node) -> Option<Vec<NodeCondition>> {
        let grace = if condition(node, "Ready").is_some() { GRACE } else { STARTUP_GRACE };
        if now.duration_since(self.probe) <= grace {
            return None;
        }
        let changed: Vec<NodeCondition> = POSTED
            .iter()
            .filter_map(|kind| match condition(node, kind) {
                Some(condition) if condition.status == "Unknown" => None,
                Some(condition) => Some(NodeCondition {
                    status: "Unknown".into(),
                    reason: Some("NodeStatusUnknown".into()),
                    message: Some("Kubelet stopped posting node status.".into()),
                    last_transition_time: Some(Time(now)),
                    ..condition.clone()
                }),
                None => Some(NodeCondition {
                    type_: (*kind).into(),
                    status: "Unknown".into(),
                    reason: Some("NodeStatusNeverUpdated".into()),
                    message: Some("Kubelet never posted node status.".into()),
                    last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                    last_transition_time: Some(Time(now)),
                }),
            })
            .collect();
        // What we are about to post is no sign of life.
        self.heartbeat.get_or_insert(created(node));
        Some(changed)
    }
}
