//! What kube-scheduler v1.36 says of clusters and pods by dice: `testdata/decisions.jsonl` has one per line, with
//! the answers of its plugins (framework, filters, scores) as they were recorded. Ours must be the same, to the
//! last score.

use api::apps::v1::ReplicaSet;
use api::core::v1::{Namespace, Node, Pod, Service};
use api::{Key, Object};
use jiff::Timestamp;
use scheduler::cluster::Cluster;
use scheduler::engine::Engine;
use scheduler::placement::AddedAffinity;
use scheduler::profile::Profile;
use scheduler::queue::Backoff;
use scheduler::schedule::{Explanation, explain};
use scheduler::status::Reason;
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
    pod: Pod,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    pre_filter: String,
    nodes: BTreeMap<String, Vec<String>>,
    resolvable: BTreeMap<String, bool>,
    scores: BTreeMap<String, BTreeMap<String, i64>>,
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
        for reasons in wanted.nodes.values_mut() {
            reasons.sort();
        }
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
    case.pods.iter().for_each(|pod| engine.set_pod(now, pod));
    let pod = scheduler::pod::Pod::new(&case.pod, &AddedAffinity::default());
    let cluster = engine.cluster_mut();
    match explain(cluster, &Profile::default(), &pod) {
        Err(status) => {
            Answer { pre_filter: status.reasons().iter().map(text).collect(), ..Answer::default() }
        }
        Ok(explanation) => answer(cluster, explanation),
    }
}

fn answer(cluster: &Cluster, explanation: Explanation) -> Answer {
    let mut answer = Answer::default();
    let name = |node| cluster.slot(node).name.to_string();
    for (node, status) in explanation.rejections {
        let mut reasons: Vec<_> = status.reasons().iter().map(text).collect();
        reasons.sort();
        answer.nodes.insert(name(node), reasons);
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
