//! Deployments from begin to end, in a small world.

use super::plan::{Action, Plan, World, plan};
use super::scaling::Limits;
use super::{revision, status};
use crate::workloads::replicaset;
use crate::workloads::testing::{Dice, at, labels, meta, pod, selector, template};
use api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, ReplicaSetSpec, RollingUpdateDeployment,
};
use api::core::v1::Pod;
use api::meta::v1::Time;
use api::{IntOrString, Object, owners};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
    let amount =
        |text: &str| Some(text.parse().map_or_else(|_| IntOrString::String(text.into()), IntOrString::Int));
    Deployment {
        metadata: meta("web"),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: selector("app=web"),
            template: template("app=web", "web:1"),
            progress_deadline_seconds: Some(600),
            revision_history_limit: Some(10),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: amount(surge),
                    max_unavailable: amount(unavailable),
                }),
            }),
            ..Default::default()
        }),
        status: None,
    }
}

fn spec(deployment: &mut Deployment) -> &mut DeploymentSpec {
    deployment.spec.as_mut().expect("a spec")
}

pub(super) fn set(name: &str, replicas: i32, image: &str) -> ReplicaSet {
    let labels_of = format!("app=web,pod-template-hash={name}");
    let mut set = ReplicaSet {
        metadata: meta(name),
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            selector: selector(&labels_of),
            template: Some(template(&labels_of, image)),
            ..Default::default()
        }),
        status: None,
    };
    set.metadata.labels = Some(labels(&labels_of));
    set.metadata.owner_references = Some(vec![owners::controller_reference(&deployment(0, "1", "1"))]);
    set
}

pub(super) fn available(mut set: ReplicaSet, replicas: i32, available: i32) -> ReplicaSet {
    let status = set.status.get_or_insert_default();
    status.replicas = replicas;
    status.observed_generation = Some(1);
    status.terminating_replicas = Some(0);
    status.ready_replicas = Some(available).filter(|count| *count > 0);
    status.available_replicas = status.ready_replicas;
    set
}

fn decide(deployment: &Deployment, sets: &[ReplicaSet]) -> Plan {
    let sets = sets.iter().cloned().map(Arc::new).collect();
    plan(World { now: at(100), deployment, sets, pods: HashMap::new() })
}

/// The plan in words.
fn told(plan: &Plan) -> Vec<String> {
    let tell = |action: &Action| match action {
        Action::Create(set, _) => format!("create {}", replicaset::replicas(set)),
        Action::Update(_, set, events) if events.is_empty() => format!("note on {}", set.name()),
        Action::Update(_, set, _) => format!("{} to {}", set.name(), replicaset::replicas(set)),
        Action::Delete(set) => format!("delete {}", set.name()),
        Action::Replace(deployment) => {
            let image = deployment.spec.as_ref().and_then(|spec| {
                spec.template.spec.as_ref().and_then(|spec| spec.containers[0].image.clone())
            });
            format!("replace with {}", image.unwrap_or_default())
        }
        Action::Event(_, reason, _) => format!("event {reason}"),
    };
    plan.actions.iter().map(tell).collect()
}

/// A set as its Deployment last scaled it.
fn noted(mut set: ReplicaSet, desired: i32, most: i32, revision: &str) -> ReplicaSet {
    revision::annotate_size(&mut set, desired, most);
    revision::annotate(&mut set.metadata, revision::REVISION, revision);
    set
}

#[test]
fn a_new_deployment_makes_its_set() {
    let plan = decide(&deployment(3, "25%", "25%"), &[]);
    assert_eq!(told(&plan), ["create 3"]);
    assert_eq!(plan.revision.as_deref(), Some("1"));
    let Action::Create(set, event) = &plan.actions[0] else { panic!("{plan:?}") };
    let hash = set.metadata.labels.as_ref().expect("labels")["pod-template-hash"].clone();
    assert_eq!(set.name(), format!("web-{hash}"));
    assert_eq!(event.as_deref(), Some(format!("Scaled up replica set web-{hash} from 0 to 3").as_str()));
    let spec = set.spec.as_ref().expect("a spec");
    assert_eq!(spec.selector.match_labels.as_ref().expect("labels")["pod-template-hash"], hash);
    let template = spec.template.as_ref().and_then(|template| template.metadata.as_ref()).expect("metadata");
    assert_eq!(template.labels, set.metadata.labels);
    let owner = &set.metadata.owner_references.as_ref().expect("an owner")[0];
    assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
    let annotations = set.metadata.annotations.as_ref().expect("annotations");
    let expected = [("desired-replicas", "3"), ("max-replicas", "4"), ("revision", "1")];
    for (key, value) in expected {
        assert_eq!(annotations[&format!("deployment.kubernetes.io/{key}")], value);
    }
    let condition = status::find(&plan.status, status::PROGRESSING).expect("a condition");
    assert_eq!(condition.reason.as_deref(), Some("NewReplicaSetCreated"));
}

#[test]
fn steps() {
    let rolling = |replicas, surge, unavailable| deployment(replicas, surge, unavailable);
    let recreate = || {
        let mut deployment = deployment(3, "1", "1");
        spec(&mut deployment).strategy =
            Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
        deployment
    };
    let paused = |mut deployment: Deployment| {
        spec(&mut deployment).paused = Some(true);
        deployment
    };
    let new = |size, ready, most| available(noted(set("new", size, "web:1"), 10, most, "2"), size, ready);
    let old = |size, ready, most| available(noted(set("old", size, "web:0"), 10, most, "1"), size, ready);
    for (what, deployment, sets, expected) in [
        ("surge", rolling(10, "3", "2"), vec![old(10, 10, 13)], &["create 3", "old to 8"][..]),
        ("grow", rolling(10, "3", "2"), vec![old(8, 8, 13), new(3, 0, 13)], &["new to 5"]),
        ("wait", rolling(10, "3", "2"), vec![old(8, 8, 13), new(5, 0, 13)], &[]),
        ("shrink", rolling(10, "3", "2"), vec![old(8, 8, 13), new(5, 4, 13)], &["old to 4"]),
        ("unhealthy first", rolling(10, "3", "2"), vec![old(8, 1, 13), new(5, 5, 13)], &["old to 3"]),
        ("done", rolling(10, "3", "2"), vec![old(0, 0, 13), new(10, 10, 13)], &[]),
        ("scaled alone", rolling(5, "3", "2"), vec![new(10, 10, 13)], &["new to 5"]),
        (
            "scaled in proportion",
            rolling(20, "3", "2"),
            vec![old(8, 8, 13), new(5, 5, 13)],
            &["old to 14", "new to 9"],
        ),
        ("paused", paused(rolling(10, "3", "2")), vec![old(10, 10, 13)], &[]),
        ("paused and scaled", paused(rolling(4, "3", "2")), vec![old(10, 10, 13)], &["old to 4"]),
    ] {
        assert_eq!(told(&decide(&deployment, &sets)), expected, "{what}");
    }
    let old = |size, ready| available(noted(set("old", size, "web:0"), 3, 3, "1"), size, ready);
    let new = |size, ready| available(noted(set("new", size, "web:1"), 3, 3, "2"), size, ready);
    for (what, sets, expected) in [
        ("stop all", vec![old(3, 3)], &["old to 0"][..]),
        ("wait for the end", vec![available(old(0, 0), 2, 0)], &[]),
        ("begin anew", vec![old(0, 0)], &["create 3"]),
        ("as it should be", vec![old(0, 0), new(3, 3)], &[]),
    ] {
        assert_eq!(told(&decide(&recreate(), &sets)), expected, "{what}");
    }
}

#[test]
fn a_recreate_waits_for_pods_that_no_status_counts() {
    let mut deployment = deployment(3, "1", "1");
    spec(&mut deployment).strategy =
        Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    let old = available(noted(set("old", 0, "web:0"), 3, 3, "1"), 0, 0);
    for (pod, expected) in [
        (pod("a").phase("Running").terminating(at(1)).build(), &[][..]),
        (pod("a").phase("Failed").build(), &["create 3"]),
    ] {
        let pods = HashMap::from([("uid-old".to_owned(), vec![pod])]);
        let world = World { now: at(1), deployment: &deployment, sets: vec![Arc::new(old.clone())], pods };
        assert_eq!(told(&plan(world)), expected);
    }
}

#[test]
fn history_is_cleaned_up_when_the_rollout_is_done() {
    let mut deployment = deployment(1, "1", "0");
    spec(&mut deployment).revision_history_limit = Some(1);
    let old = |name: &str, revision: &str| available(noted(set(name, 0, name), 1, 2, revision), 0, 0);
    let new = available(noted(set("new", 1, "web:1"), 1, 2, "9"), 1, 1);
    let sets = [old("c", "3"), old("a", "7"), old("b", "2"), new];
    let first = decide(&deployment, &sets);
    deployment.status = Some(first.status);
    assert_eq!(told(&decide(&deployment, &sets)), ["delete b", "delete c"]);
}

#[test]
fn rollbacks() {
    let sets = [
        available(noted(set("one", 0, "web:0"), 1, 2, "1"), 0, 0),
        available(noted(set("two", 1, "web:1"), 1, 2, "2"), 1, 1),
    ];
    for (to, expected) in [
        ("0", &["replace with web:0", "event DeploymentRollback"]),
        ("1", &["replace with web:0", "event DeploymentRollback"]),
        ("2", &["replace with web:1", "event DeploymentRollbackTemplateUnchanged"]),
        ("7", &["replace with web:1", "event DeploymentRollbackRevisionNotFound"]),
    ] {
        let mut deployment = deployment(1, "1", "0");
        revision::annotate(&mut deployment.metadata, revision::ROLLBACK_TO, to);
        assert_eq!(told(&decide(&deployment, &sets)), expected, "to {to}");
    }
}

#[test]
fn an_old_template_is_new_again() {
    let sets = [
        available(noted(set("one", 0, "web:1"), 1, 2, "1"), 0, 0),
        available(noted(set("two", 1, "web:2"), 1, 2, "2"), 1, 1),
    ];
    let plan = decide(&deployment(1, "1", "0"), &sets);
    assert_eq!((told(&plan), plan.revision.as_deref()), (vec!["one to 1".to_owned()], Some("3")));
    let Action::Update(_, one, _) = &plan.actions[0] else { panic!("{plan:?}") };
    let annotations = one.metadata.annotations.as_ref().expect("annotations");
    assert_eq!(annotations[revision::REVISION_HISTORY], "1");
}

/// A world with ReplicaSets that do as they are told, and pods that start, fail and end.
struct Small {
    now: i64,
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    pods: Vec<Pod>,
    born: usize,
}

impl Small {
    fn new(deployment: Deployment) -> Self {
        Self { now: 0, deployment, sets: Vec::new(), pods: Vec::new(), born: 0 }
    }

    fn look(&mut self) {
        let pods_of = |set: &ReplicaSet| {
            let mine = self.pods.iter().filter(|pod| owners::is_controlled_by(&pod.metadata, set));
            (set.uid().to_owned(), mine.cloned().map(Arc::new).collect())
        };
        let pods = self.sets.iter().map(pods_of).collect();
        let sets = self.sets.iter().cloned().map(Arc::new).collect();
        let plan = plan(World { now: at(self.now), deployment: &self.deployment, sets, pods });
        for action in plan.actions {
            match action {
                Action::Create(set, _) => {
                    let mut set = *set;
                    set.metadata.uid = Some(format!("uid-{}", set.name()));
                    set.metadata.generation = Some(1);
                    set.metadata.creation_timestamp = Some(Time(at(self.now)));
                    assert!(self.sets.iter().all(|other| other.name() != set.name()));
                    self.sets.push(set);
                }
                Action::Update(read, mut wanted, _) => {
                    if read.spec != wanted.spec {
                        wanted.metadata.generation = wanted.metadata.generation.map(|number| number + 1);
                    }
                    let slot = self.sets.iter_mut().find(|set| set.uid() == wanted.uid()).expect("the set");
                    *slot = *wanted;
                }
                Action::Delete(set) => self.sets.retain(|other| other.uid() != set.uid()),
                Action::Replace(_) | Action::Event(..) => {}
            }
        }
        self.deployment.status = Some(plan.status);
    }

    fn look_at_sets(&mut self) {
        for set in &mut self.sets {
            let mine: Vec<Arc<Pod>> = self
                .pods
                .iter()
                .filter(|pod| owners::is_controlled_by(&pod.metadata, set))
                .cloned()
                .map(Arc::new)
                .collect();
            let plan = replicaset::plan(at(self.now), set, &mine, &[]);
            for gone in &plan.delete {
                let pod = self.pods.iter_mut().find(|pod| pod.uid() == gone.uid()).expect("the pod");
                pod.metadata.deletion_timestamp = Some(Time(at(self.now)));
            }
            for _ in 0..plan.create {
                self.born += 1;
                let made = pod(&format!("p{}", self.born));
                let hash = &set.metadata.labels.as_ref().expect("labels")["pod-template-hash"];
                let made = made.labels(&format!("app=web,pod-template-hash={hash}")).owned_by(set);
                self.pods.push(Pod::clone(&made.build()));
            }
            let mine = self.pods.iter().filter(|pod| owners::is_controlled_by(&pod.metadata, set));
            let mine: Vec<Arc<Pod>> = mine.cloned().map(Arc::new).collect();
            let after = replicaset::plan(at(self.now), set, &mine, &[]);
            let going = Some(after.terminating.len());
            set.status = Some(replicaset::status(at(self.now), set, &after.active, going, None));
        }
    }

    /// Pods get on: they become ready, end, and vanish once deleted.
    fn live(&mut self, dice: &mut Dice) {
        let now = at(self.now);
        self.pods.retain(|pod| pod.metadata.deletion_timestamp.is_none() || !dice.one_in(2));
        for slot in &mut self.pods {
            let ready = pod("x").ready(now).build();
            if !api::pods::is_ready(slot) && !dice.one_in(3) {
                slot.status.clone_from(&ready.status);
            }
        }
    }

    fn ready(&self) -> i32 {
        let ready = self.pods.iter().filter(|pod| api::pods::is_active(pod) && api::pods::is_ready(pod));
        i32::try_from(ready.count()).expect("few")
    }
}

/// Whatever order things happen in, a rollout never has more pods than it may, never takes away pods that have
/// to be available, and ends with the pods wanted, all of the new template.
#[test]
fn rollouts_keep_their_bounds_and_end() {
    for seed in 0..80 {
        let mut dice = Dice::new(seed);
        let surge = dice.below(4);
        let unavailable = if surge == 0 { 1 + dice.below(3) } else { dice.below(4) };
        let replicas = 1 + dice.below(9);
        let first =
            deployment(i32::try_from(replicas).expect("small"), &surge.to_string(), &unavailable.to_string());
        let mut world = Small::new(first);
        let mut whole = false;
        for step in 0..400 {
            world.now += 1;
            // Three templates one upon the other, then peace.
            if [60, 75, 130].contains(&step) {
                let image = format!("web:{step}");
                spec(&mut world.deployment).template = template("app=web", &image);
                world.deployment.metadata.generation = Some(1 + i64::from(step));
            }
            match dice.below(3) {
                0 => world.look(),
                1 => world.look_at_sets(),
                _ => {
                    let before = world.ready();
                    world.live(&mut dice);
                    assert!(world.ready() >= before);
                }
            }
            let limits = Limits::of(&world.deployment);
            let active = world.pods.iter().filter(|pod| api::pods::is_active(pod)).count();
            assert!(active <= usize::try_from(limits.most()).expect("positive"), "seed {seed} step {step}");
            whole |= world.ready() == limits.replicas;
            assert!(!whole || world.ready() >= limits.fewest_available(), "seed {seed} step {step}");
        }
        for _ in 0..5 {
            world.look();
            world.look_at_sets();
            world.live(&mut dice);
        }
        world.look_at_sets();
        world.look();
        let status = world.deployment.status.clone().expect("a status");
        assert!(status::is_complete(&world.deployment, &status), "seed {seed}: {status:?}");
        let told = status::find(&status, status::PROGRESSING).and_then(|condition| condition.reason.clone());
        assert_eq!(told.as_deref(), Some("NewReplicaSetAvailable"), "seed {seed}");
        assert!(world.sets.len() <= 4 && world.sets.iter().all(|set| set.uid().starts_with("uid-")));
    }
}
