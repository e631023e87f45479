//! StatefulSets from begin to end, in a small world.

use super::REVISION;
use super::identity::{ordinal, ordinals};
use super::plan::{Action, Revision, World, plan, status};
use crate::workloads::testing::{Dice, PodBuilder, at, meta, pod, template};
use api::Object;
use api::apps::v1::StatefulSet;
use api::core::v1::{PersistentVolumeClaim, Pod};
use api::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn set(replicas: i32, part: Value) -> StatefulSet {
    let mut spec = json!({
        "replicas": replicas,
        "serviceName": "peers",
        "selector": { "matchLabels": { "app": "db" } },
        "template": { "metadata": { "labels": { "app": "db" } },
            "spec": { "containers": [{ "name": "main", "image": "db:1" }] } },
        "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
        "volumeClaimTemplates": [{ "metadata": { "name": "data" } }],
    });
    for (key, value) in part.as_object().expect("a map") {
        spec[key] = value.clone();
    }
    StatefulSet {
        metadata: meta("db"),
        spec: Some(serde_json::from_value(spec).expect("a spec")),
        status: None,
    }
}

fn revision(name: &str) -> Revision {
    Revision { name: name.into(), template: template("app=db", name) }
}

fn claims(ordinals: std::ops::Range<i32>) -> BTreeMap<String, Arc<PersistentVolumeClaim>> {
    let claim = |ordinal: i32| {
        let name = format!("data-db-{ordinal}");
        let meta = ObjectMeta { owner_references: None, ..meta(&name) };
        (name, Arc::new(PersistentVolumeClaim { metadata: meta, ..Default::default() }))
    };
    ordinals.map(claim).collect()
}

fn mine(ordinal: i32, revision: &str) -> PodBuilder {
    let name = format!("db-{ordinal}");
    let labels = format!("app=db,{REVISION}={revision},statefulset.kubernetes.io/pod-name={name}");
    pod(&name).labels(&labels).owned_by(&set(0, json!({})))
}

fn look(set: &StatefulSet, pods: &[Arc<Pod>]) -> Vec<Action> {
    let (current, update) = (revision("old"), revision("new"));
    plan(&World { now: at(100), set, pods, claims: &claims(0..9), current: &current, update: &update })
}

fn told(actions: &[Action]) -> String {
    let tell = |action: &Action| match action {
        Action::Create(_, pod) => {
            let image = pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone());
            format!("+{}:{}", pod.name(), image.unwrap_or_default())
        }
        Action::CreateClaims(ordinal, _) => format!("claims {ordinal}"),
        Action::OwnClaims(ordinal, _) => format!("owners {ordinal}"),
        Action::Identify(ordinal, _) => format!("labels {ordinal}"),
        Action::Delete(pod) => format!("-{}", pod.name()),
    };
    actions.iter().map(tell).collect::<Vec<_>>().join(" ")
}

#[test]
fn steps() {
    let new = |ordinal| mine(ordinal, "new").ready(at(1));
    let old = |ordinal| mine(ordinal, "old").ready(at(1));
    let parallel = json!({ "podManagementPolicy": "Parallel" });
    let from = |partition: i32| json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": partition } } });
    let two =
        json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 2 } } });
    for (what, part, pods, expected) in [
        ("begin", json!({}), vec![], "+db-0:new"),
        ("wait", json!({}), vec![mine(0, "new")], ""),
        ("go on", json!({}), vec![new(0)], "+db-1:new"),
        ("fill the gap", json!({}), vec![new(0), new(2)], "+db-1:new"),
        ("parallel", parallel.clone(), vec![mine(1, "new")], "+db-0:new +db-2:new"),
        ("failed", json!({}), vec![new(0), new(1).phase("Failed"), new(2)], "-db-1"),
        ("scaled down", json!({}), vec![new(0), new(1), new(2), new(3), new(4)], "-db-4"),
        ("one by one", json!({}), vec![new(0), new(1), new(2), new(3), new(4).terminating(at(9))], ""),
        ("not while one is ill", json!({}), vec![new(0), mine(1, "new"), new(2), new(3)], ""),
        ("the ill one goes", json!({}), vec![new(0), new(1), new(2), mine(3, "new")], "-db-3"),
        ("the ill one goes first", json!({}), vec![new(0), new(1), new(2), mine(3, "new"), new(4)], "-db-4"),
        (
            "ended ones go",
            json!({}),
            vec![new(0), new(1), new(2), new(3).phase("Failed"), new(4).phase("Failed")],
            "-db-4",
        ),
        ("parallel down", parallel.clone(), vec![new(0), new(1), new(2), new(3), new(4)], "-db-4 -db-3"),
        ("update from the top", json!({}), vec![old(0), old(1), old(2)], "-db-2"),
        ("update goes on", json!({}), vec![old(0), old(1), new(2)], "-db-1"),
        ("update waits", parallel, vec![old(0), old(1), mine(2, "new")], ""),
        ("partition", from(2), vec![old(0), old(1), new(2)], ""),
        ("below the partition", from(2), vec![old(0), new(2)], "+db-1:old"),
        ("above the partition", from(1), vec![old(0), new(2)], "+db-1:new"),
        ("two at a time", two.clone(), vec![old(0), old(1), old(2)], "-db-2 -db-1"),
        ("two but one", two, vec![old(0), old(1), new(2).terminating(at(1))], ""),
        ("by hand", json!({ "updateStrategy": { "type": "OnDelete" } }), vec![old(0), old(1), old(2)], ""),
        ("another start", json!({ "ordinals": { "start": 2 } }), vec![new(1), new(2), new(3)], "+db-4:new"),
        ("labels", json!({}), vec![new(0).labels("app=db"), new(1), new(2)], "labels 0 -db-0"),
        (
            "retention",
            json!({ "persistentVolumeClaimRetentionPolicy": { "whenScaled": "Delete" } }),
            vec![new(0), new(1), new(2), new(3)],
            "owners 3 -db-3",
        ),
    ] {
        let pods: Vec<_> = pods.into_iter().map(PodBuilder::build).collect();
        assert_eq!(told(&look(&set(3, part), &pods)), expected, "{what}");
    }
}

#[test]
fn pods_that_wait_for_claims_get_them() {
    let (set, current, update) = (set(1, json!({})), revision("old"), revision("new"));
    let pods = [mine(0, "new").build()];
    let world = World {
        now: at(1),
        set: &set,
        pods: &pods,
        claims: &BTreeMap::new(),
        current: &current,
        update: &update,
    };
    assert_eq!(told(&plan(&world)), "claims 0");
}

#[test]
fn statuses() {
    let (set, current, update) = (set(3, json!({})), revision("old"), revision("new"));
    let tell = |pods: &[Arc<Pod>]| {
        let claims = claims(0..9);
        let world =
            World { now: at(9), set: &set, pods, claims: &claims, current: &current, update: &update };
        status(&world, None)
    };
    let some = [
        mine(0, "old").ready(at(1)).build(),
        mine(1, "new").build(),
        mine(2, "new").terminating(at(1)).build(),
    ];
    let status = tell(&some);
    assert_eq!((status.replicas, status.ready_replicas, status.available_replicas), (3, Some(1), Some(1)));
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(1), Some(1)));
    assert_eq!(status.current_revision.as_deref(), Some("old"));
    let all: Vec<_> = (0..3).map(|ordinal| mine(ordinal, "new").ready(at(1)).build()).collect();
    let status = tell(&all);
    assert_eq!((status.current_replicas, status.updated_replicas), (Some(3), Some(3)));
    assert_eq!((status.current_revision.as_deref(), status.collision_count), (Some("new"), Some(0)));
}

/// Scaled and updated at random, with failures: names are unique, ordered sets change one pod at a time, and it
/// comes to an end.
#[test]
fn it_converges() {
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let parallel = dice.one_in(2);
        let policy = if parallel { "Parallel" } else { "OrderedReady" };
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        let mut wanted = 3;
        let mut born = 0;
        for step in 0..600 {
            let now = at(step);
            if step < 200 && dice.one_in(20) {
                wanted = i32::try_from(dice.below(6)).expect("small");
            }
            let set = set(wanted, json!({ "podManagementPolicy": policy }));
            let (current, update) = (revision("old"), revision(if step < 100 { "old" } else { "new" }));
            let seen: Vec<_> = pods.values().cloned().map(Arc::new).collect();
            let all = claims(0..9);
            let world =
                World { now, set: &set, pods: &seen, claims: &all, current: &current, update: &update };
            let actions = plan(&world);
            let changes =
                actions.iter().filter(|action| matches!(action, Action::Create(..) | Action::Delete(_)));
            assert!(parallel || changes.count() <= 1, "seed {seed} step {step}");
            for action in actions {
                match action {
                    Action::Create(_, mut pod) => {
                        born += 1;
                        pod.metadata.uid = Some(format!("uid-{born}"));
                        pod.status = Some(api::core::v1::PodStatus {
                            phase: Some("Pending".into()),
                            ..Default::default()
                        });
                        let taken = pods.insert(pod.name().to_owned(), *pod);
                        assert!(taken.is_none(), "seed {seed} step {step}: a name twice");
                    }
                    Action::Delete(gone) => {
                        let pod = pods.get_mut(gone.name()).expect("the pod");
                        pod.metadata.deletion_timestamp = Some(Time(now));
                    }
                    Action::CreateClaims(..) | Action::OwnClaims(..) | Action::Identify(..) => {}
                }
            }
            pods.retain(|_, pod| pod.metadata.deletion_timestamp.is_none() || !dice.one_in(2));
            for slot in pods.values_mut() {
                if step < 200 && dice.one_in(40) {
                    slot.status = pod("x").phase("Failed").build().status.clone();
                } else if !api::pods::is_ready(slot) && !api::pods::is_terminal(slot) && dice.one_in(2) {
                    slot.status = pod("x").ready(now).build().status.clone();
                }
            }
        }
        let set = set(wanted, json!({}));
        let all: Vec<i32> = pods.values().filter_map(|pod| ordinal(&set, pod)).collect();
        assert_eq!(all, ordinals(&set).collect::<Vec<_>>(), "seed {seed}");
        let updated =
            |pod: &Pod| pod.metadata.labels.as_ref().is_some_and(|labels| labels[REVISION] == "new");
        assert!(pods.values().all(|pod| updated(pod) && api::pods::is_ready(pod)), "seed {seed}");
    }
}
