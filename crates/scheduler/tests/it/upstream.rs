//! What kube-scheduler v1.36 says of clusters and pods by dice: `testdata/decisions.jsonl` has one per line, with
//! the answers of its plugins (framework, filters, scores) as they were recorded. Ours must be the same, to the
//! last score.

use api::apps::v1::ReplicaSet;
use api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use api::policy::v1::PodDisruptionBudget;
use api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use api::{Key, Object};
use jiff::Timestamp;
use scheduler::cluster::Cluster;
use scheduler::engine::Engine;
use scheduler::nominated::Nominated;
use scheduler::placement::AddedAffinity;
use scheduler::preemption::{Budget, Preemption};
use scheduler::profile::Profile;
use scheduler::queue::Backoff;
use scheduler::schedule::{Asks, Explanation, explain};
use scheduler::status::{Reason, Status};
use serde::Deserialize;
use std::collections::BTreeMap;

const RECORDED: &str = include_str!("../../testdata/decisions.jsonl");

#[derive(Deserialize)]
struct Recorded {
    case: Case,
    answer: Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    namespaces: Vec<Namespace>,
    services: Vec<Service>,
    replica_sets: Vec<ReplicaSet>,
    #[serde(default)]
    claims: Vec<PersistentVolumeClaim>,
    #[serde(default)]
    volumes: Vec<PersistentVolume>,
    #[serde(default)]
    classes: Vec<StorageClass>,
    #[serde(default)]
    csi_nodes: Vec<CSINode>,
    #[serde(default)]
    csi_drivers: Vec<CSIDriver>,
    #[serde(default)]
    capacities: Vec<CSIStorageCapacity>,
    #[serde(default)]
    budgets: Vec<PodDisruptionBudget>,
    pod: Pod,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    pre_filter: String,
    nodes: BTreeMap<String, Vec<String>>,
    resolvable: BTreeMap<String, bool>,
    scores: BTreeMap<String, BTreeMap<String, i64>>,
    victims: BTreeMap<String, Victims>,
}

/// Whom it would evict from a node, or why that does not help.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Victims {
    pods: Vec<String>,
    violations: usize,
    reasons: Vec<String>,
}

#[test]
fn decisions_are_upstreams() {
    let mut rejected = 0;
    for (line, text) in RECORDED.lines().enumerate() {
        let recorded: Recorded = serde_json::from_str(text).expect("a recorded decision");
        let mut wanted = recorded.answer;
        // A plugin that gives all nodes nothing makes no difference.
        for scores in wanted.scores.values_mut() {
            scores.retain(|_, score| *score != 0);
        }
        let victims = wanted.victims.values_mut().map(|victims| &mut victims.reasons);
        wanted.nodes.values_mut().chain(victims).for_each(|reasons| reasons.sort());
        rejected += wanted.nodes.len();
        assert_eq!(ours(&recorded.case), wanted, "line {}: {text}", line + 1);
    }
    assert!(rejected > 100, "the recorded cases say something");
}

fn ours(case: &Case) -> Answer {
    let now = Timestamp::UNIX_EPOCH;
    let mut engine = Engine::new([Profile::default()], Backoff::default(), 0);
    case.nodes.iter().for_each(|node| engine.set_node(now, node));
    case.namespaces.iter().for_each(|o| engine.set_namespace(now, &Key::new("", o.name()), Some(o)));
    case.services.iter().for_each(|o| engine.set_service(now, &o.key(), Some(o)));
    case.replica_sets.iter().for_each(|o| engine.set_replica_set(now, &o.key(), Some(o)));
    let cluster_key = |name: &str| Key::new("", name);
    case.claims.iter().for_each(|o| engine.set_claim(now, &o.key(), Some(o)));
    case.volumes.iter().for_each(|o| engine.set_volume(now, &cluster_key(o.name()), Some(o)));
    case.classes.iter().for_each(|o| engine.set_storage_class(now, &cluster_key(o.name()), Some(o)));
    case.csi_nodes.iter().for_each(|o| engine.set_csi_node(now, &cluster_key(o.name()), Some(o)));
    case.csi_drivers.iter().for_each(|o| engine.set_csi_driver(now, &cluster_key(o.name()), Some(o)));
    case.capacities.iter().for_each(|o| engine.set_capacity(now, &o.key(), Some(o)));
    case.pods.iter().for_each(|pod| engine.set_pod(now, pod));
    let pod = scheduler::pod::Pod::new(&case.pod, &AddedAffinity::default());
    let profile = Profile::default();
    let cluster = engine.cluster_mut();
    let mut answer = match explain(cluster, &profile, &pod) {
        Ok(explanation) => answer(cluster, explanation),
        Err(status) => {
            let pre_filter: Vec<_> = status.reasons().iter().map(text).collect();
            return Answer { pre_filter: pre_filter.join(", "), ..Answer::default() };
        }
    };
    if answer.scores.is_empty() {
        let asks = Asks::new(cluster, &profile, &pod).expect("it was asked before");
        let budgets: Vec<_> = case.budgets.iter().map(Budget::new).collect();
        let (cluster, nominated, budgets) = (&*cluster, &Nominated::default(), budgets.iter().collect());
        let preemption = Preemption { cluster, nominated, profile: &profile, budgets, now };
        for (name, _) in answer.resolvable.iter().filter(|(_, resolvable)| **resolvable) {
            let node = cluster.find(name).expect("the node");
            let victims = match preemption.victims(&pod, &asks, node) {
                Err(status) => Victims { reasons: sorted(&status), ..Victims::default() },
                Ok(candidate) => Victims {
                    pods: candidate.victims.iter().map(|victim| victim.name.to_string()).collect(),
                    violations: candidate.violations,
                    ..Victims::default()
                },
            };
            answer.victims.insert(name.clone(), victims);
        }
    }
    answer
}

fn sorted(status: &Status) -> Vec<String> {
    let mut reasons: Vec<_> = status.reasons().iter().map(text).collect();
    reasons.sort();
    reasons
}

fn answer(cluster: &Cluster, explanation: Explanation) -> Answer {
    let mut answer = Answer::default();
    let name = |node| cluster.slot(node).name.to_string();
    for (node, status) in explanation.rejections {
        answer.nodes.insert(name(node), sorted(&status));
        answer.resolvable.insert(name(node), status.resolvable);
    }
    for (node, scores) in explanation.scores {
        let scores = scores.into_iter().filter(|(_, score)| *score != 0);
        answer
            .scores
            .insert(name(node), scores.map(|(plugin, score)| (plugin.name().to_owned(), score)).collect());
    }
    answer
}

fn text(reason: &Reason) -> String {
    match reason {
        Reason::Fixed(text) => (*text).to_owned(),
        Reason::Text(text) => text.to_string(),
    }
}
