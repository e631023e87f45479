//! What to do about the health of all nodes. Pure but for what it remembers of them.
//! Upstream: `monitorNodeHealth` and `handleDisruption` in `nodelifecycle/node_lifecycle_controller.go`.

use super::health::{Health, condition};
use super::taints::{NOT_READY, UNREACHABLE, has_no_execute};
use super::zones::{Count, Turn, Zones, zone_of};
use api::Object;
use api::core::v1::{Node, NodeCondition};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// An event about a node.
    Tell { name: String, uid: String, reason: &'static str, message: String },
    /// The node is silent: its conditions are not known.
    Silent { node: Arc<Node>, conditions: Vec<NodeCondition>, was_ready: bool },
    /// Swap its `NoExecute` taints.
    Taint { name: String, add: Option<String>, remove: Vec<&'static str> },
    /// Its pods are not to be relied on.
    PodsNotReady { name: String },
}

/// What is remembered of the nodes.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    health: HashMap<String, Health>,
    zones: Zones,
}

impl Monitor {
    /// Decides; `renewed` gives the time that a node's lease was renewed.
    pub(super) fn plan(
        &mut self,
        now: Timestamp,
        nodes: &[Arc<Node>],
        renewed: &dyn Fn(&str) -> Option<Timestamp>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        self.greet(nodes, &mut actions);
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        let mut states: Vec<(&Arc<Node>, Option<String>)> = Vec::new();
        for node in nodes {
            let old = self.health.get(node.name()).filter(|health| health.uid == node.uid());
            let mut health = Health::look(old, now, node, renewed(node.name()));
            let ready = condition(node, "Ready").map(|ready| ready.status.clone());
            let silence = health.silence(now, node);
            self.health.insert(node.name().to_owned(), health);
            let ready_now = if silence.is_some() { Some("Unknown".to_owned()) } else { ready.clone() };
            if let Some(conditions) = silence.filter(|conditions| !conditions.is_empty()) {
                let was_ready = ready.as_deref() == Some("True");
                actions.push(Action::Silent { node: node.clone(), conditions, was_ready });
            }
            if ready_now.as_deref() == Some("Unknown") {
                actions.push(Action::PodsNotReady { name: node.name().to_owned() });
            }
            if !node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(EXCLUDED)) {
                let count = counts.entry(zone_of(node)).or_default();
                match ready_now.as_deref() {
                    Some("True") => count.ready += 1,
                    _ => count.not_ready += 1,
                }
            }
            states.push((node, ready_now));
        }
        let turn = self.zones.look(now, &counts);
        if turn == Turn::HeardAgain {
            // We were cut off ourselves; nobody is to suffer for that.
            self.health.values_mut().for_each(|health| health.probe = now);
        }
        for (node, ready) in states {
            actions.extend(self.taint(node, ready.as_deref(), turn));
        }
        actions
    }

    fn greet(&mut self, nodes: &[Arc<Node>], actions: &mut Vec<Action>) {
        let mut tell = |name: &str, uid: &str, reason, text: String| {
            let message = format!("Node {name} event: {text}");
            actions.push(Action::Tell { name: name.to_owned(), uid: uid.to_owned(), reason, message });
        };
        for node in nodes.iter().filter(|node| !self.health.contains_key(node.name())) {
            let text = format!("Registered Node {} in Controller", node.name());
            tell(node.name(), node.uid(), "RegisteredNode", text);
        }
        self.health.retain(|name, health| {
            let there = nodes.iter().any(|node| node.name() == name);
            if !there {
                tell(name, &health.uid, "RemovingNode", format!("Removing Node {name} from Controller"));
            }
            there
        });
    }

    fn taint(&mut self, node: &Node, ready: Option<&str>, turn: Turn) -> Option<Action> {
        let swap = |add: Option<&str>, remove: Vec<&'static str>| {
            let name = node.name().to_owned();
            Some(Action::Taint { name, add: add.map(str::to_owned), remove })
        };
        let (add, opposite) = match ready {
            _ if turn == Turn::AllSilent => (None, UNREACHABLE),
            Some("False") => (Some(NOT_READY), UNREACHABLE),
            Some("Unknown") => (Some(UNREACHABLE), NOT_READY),
            Some("True") => (None, UNREACHABLE),
            _ => return None,
        };
        let Some(add) = add else {
            let tainted = has_no_execute(node, NOT_READY) || has_no_execute(node, UNREACHABLE);
            return if tainted { swap(None, vec![NOT_READY, UNREACHABLE]) } else { None };
        };
        if has_no_execute(node, opposite) {
            return swap(Some(add), vec![opposite]);
        }
        if has_no_execute(node, add) || !self.zones.take(&zone_of(node)) {
            return None;
        }
        swap(Some(add), vec![opposite])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::testing::at;
    use serde_json::json;

    fn node(name: &str, ready: &str, heartbeat: i64, taint: Option<&str>) -> Arc<Node> {
        let taints: Vec<_> = taint.iter().map(|key| json!({"key": key, "effect": "NoExecute"})).collect();
        let time = serde_json::to_value(api::meta::v1::Time(at(heartbeat))).expect("a time");
        let node = json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"taints": taints},
            "status": {"conditions": if ready.is_empty() { json!([]) } else {
                json!([{"type": "Ready", "status": ready, "lastHeartbeatTime": time}]) }},
        });
        Arc::new(serde_json::from_value(node).expect("a node"))
    }

    fn shown(actions: &[Action]) -> Vec<String> {
        let told = |action: &Action| match action {
            Action::Tell { reason, name, .. } => format!("{reason} {name}"),
            Action::Silent { node, conditions, was_ready } => {
                format!("silent {} {} {was_ready}", node.name(), conditions.len())
            }
            Action::Taint { name, add, .. } => format!("taint {name} {}", add.as_deref().unwrap_or("-")),
            Action::PodsNotReady { name } => format!("pods {name}"),
        };
        actions.iter().map(told).collect()
    }

    #[test]
    fn a_silent_node_among_others_is_marked_and_tainted() {
        let mut monitor = Monitor::default();
        let none = |_: &str| None;
        let nodes =
            |heartbeat, a: &str, taint| vec![node("a", a, 0, taint), node("b", "True", heartbeat, None)];
        assert_eq!(
            shown(&monitor.plan(at(0), &nodes(0, "True", None), &none)),
            ["RegisteredNode a", "RegisteredNode b"]
        );
        assert_eq!(shown(&monitor.plan(at(50), &nodes(50, "True", None), &none)), [""; 0]);
        let actions = monitor.plan(at(51), &nodes(51, "True", None), &none);
        assert_eq!(shown(&actions), ["silent a 4 true", "pods a", "taint a node.kubernetes.io/unreachable"]);
        let unreachable = Some("node.kubernetes.io/unreachable");
        assert_eq!(
            shown(&monitor.plan(at(56), &nodes(56, "Unknown", unreachable), &none)),
            ["silent a 3 false", "pods a"]
        );
        // It is back.
        let nodes = vec![node("a", "True", 60, unreachable), node("b", "True", 60, None)];
        assert_eq!(shown(&monitor.plan(at(61), &nodes, &none)), ["taint a -"]);
    }

    #[test]
    fn a_lease_is_a_sign_of_life() {
        let mut monitor = Monitor::default();
        let nodes = [node("a", "True", 0, None)];
        for second in (0..500).step_by(10) {
            let actions = monitor.plan(at(second), &nodes, &|_| Some(at(second)));
            assert!(second == 0 || actions.is_empty(), "{actions:?} at {second}");
        }
        assert_eq!(shown(&monitor.plan(at(541), &nodes, &|_| Some(at(490))))[0], "silent a 4 true");
    }

    #[test]
    fn a_node_that_never_posted_has_a_minute_from_its_creation() {
        let mut monitor = Monitor::default();
        let none = |_: &str| None;
        let nodes = [node("a", "", 0, None), node("b", "True", 0, None)];
        assert_eq!(monitor.plan(at(60), &nodes, &none).len(), 2);
        let actions = monitor.plan(at(61), &nodes, &none);
        assert!(shown(&actions).contains(&"silent a 4 false".to_owned()), "{actions:?}");
        // What we posted ourselves brings it no time.
        let nodes = [node("a", "Unknown", 0, None), node("b", "True", 61, None)];
        assert!(shown(&monitor.plan(at(62), &nodes, &none)).contains(&"pods a".to_owned()));
    }

    #[test]
    fn nobody_is_tainted_when_all_are_silent() {
        let mut monitor = Monitor::default();
        let none = |_: &str| None;
        let nodes =
            [node("a", "True", 0, None), node("b", "True", 0, Some("node.kubernetes.io/unreachable"))];
        monitor.plan(at(0), &nodes, &none);
        let actions = shown(&monitor.plan(at(60), &nodes, &none));
        assert_eq!(actions, ["silent a 4 true", "pods a", "silent b 4 true", "pods b", "taint b -"]);
        // One is heard again: the other gets its time anew, and its turn then.
        let nodes = [node("a", "Unknown", 0, None), node("b", "True", 70, None)];
        assert_eq!(
            shown(&monitor.plan(at(71), &nodes, &none)),
            ["silent a 3 false", "pods a", "taint a node.kubernetes.io/unreachable"]
        );
    }

    #[test]
    fn nodes_are_tainted_one_in_ten_seconds() {
        let mut monitor = Monitor::default();
        let none = |_: &str| None;
        let mut nodes: Vec<_> = (0..10).map(|i| node(&format!("ok{i}"), "True", 0, None)).collect();
        nodes.extend((0..4).map(|i| node(&format!("bad{i}"), "False", 0, None)));
        let tainted =
            |actions: Vec<Action>| shown(&actions).iter().filter(|text| text.starts_with("taint")).count();
        assert_eq!(tainted(monitor.plan(at(0), &nodes, &none)), 1);
        assert_eq!(tainted(monitor.plan(at(5), &nodes, &none)), 0);
        assert_eq!(tainted(monitor.plan(at(10), &nodes, &none)), 1);
        assert_eq!(tainted(monitor.plan(at(40), &nodes, &none)), 1);
    }
}
