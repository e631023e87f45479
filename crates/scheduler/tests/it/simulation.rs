//! A cluster in which nodes and pods come, change and die by dice: the engine sees it late and in pieces, and what
//! it wants done is done late or fails. What must hold all the time: no node has more pods than it has room for,
//! no port is given twice, no two pods are together that must not be. In the end, when all is quiet: every pod that
//! could be placed is placed. Whether it could be is asked of a fresh engine, which has seen the end only.

use api::core::v1::{Node, Pod};
use jiff::{SignedDuration, Timestamp};
use scheduler::action::{Action, PodRef};
use scheduler::engine::Engine;
use scheduler::profile::Profile;
use scheduler::queue::Backoff;
use scheduler::random::Random;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Runs from different seeds.
const SEEDS: u64 = 20;
/// Things that happen in a run.
const STEPS: usize = 400;

#[test]
fn nothing_is_overcommitted_and_nobody_starves() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let trace = World::new(seed).run();
        assert_eq!(trace, World::new(seed).run(), "seed {seed} gave another run the second time");
        for action in trace {
            *kinds.entry(action.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    // Whether there was something to be seen.
    for kind in ["Bind", "Reject", "Evict", "SkipDeleting"] {
        assert!(kinds.get(kind).is_some_and(|count| *count > SEEDS as usize), "{kinds:?}");
    }
}

/// Something that the engine has not seen yet.
enum Unseen {
    Node(Box<Node>),
    NodeGone(String),
    Pod(Box<Pod>),
    PodGone(String),
}

struct World {
    seed: u64,
    random: Random,
    now: Timestamp,
    engine: Engine,
    nodes: BTreeMap<String, Value>,
    /// The most that a node ever had: the engine may not have seen that it has less now.
    room: BTreeMap<String, (i64, i64)>,
    pods: BTreeMap<String, Value>,
    unseen: VecDeque<Unseen>,
    undone: VecDeque<Action>,
    names: u32,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Random::new(seed),
            now: Timestamp::from_second(1_000_000).expect("a time"),
            engine: Engine::new([Profile::default()], Backoff::default(), seed),
            nodes: BTreeMap::new(),
            room: BTreeMap::new(),
            pods: BTreeMap::new(),
            unseen: VecDeque::new(),
            undone: VecDeque::new(),
            names: 0,
            trace: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<String> {
        for _ in 0..3 {
            self.add_node();
        }
        for _ in 0..STEPS {
            self.happen();
            self.check();
        }
        // Gates open, and all becomes quiet. Time passes, but less than after which pods are tried anyway.
        for uid in self.pods.keys().cloned().collect::<Vec<_>>() {
            self.open_gates(&uid);
        }
        for _ in 0..200 {
            while self.see() {}
            while self.act() {}
            while self.engine.step(self.now) {
                self.take_actions();
            }
            self.finish_deletions();
            self.now += SignedDuration::from_millis(500);
            self.engine.tick(self.now);
            self.check();
        }
        self.check_nobody_starves();
        self.trace
    }

    fn happen(&mut self) {
        match self.random.below(100) {
            0..3 => self.add_node(),
            3..5 => self.remove_node(),
            5..12 => self.change_node(),
            12..32 => self.add_pod(),
            32..38 => self.delete_pod(),
            38..42 => self.open_some_gates(),
            42..45 => self.finish_deletions(),
            45..65 => drop(self.see()),
            65..80 => drop(self.act()),
            80..84 => self.now += SignedDuration::from_millis(700),
            _ => {
                self.engine.step(self.now);
                self.take_actions();
            }
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    fn any_node(&mut self) -> Option<String> {
        let at = self.random.below(self.nodes.len().max(1));
        self.nodes.keys().nth(at).cloned()
    }

    fn any_pod(&mut self) -> Option<String> {
        let at = self.random.below(self.pods.len().max(1));
        self.pods.keys().nth(at).cloned()
    }

    fn add_node(&mut self) {
        let name = self.name("node");
        let (cpu, pods) = (2 + self.random.below(6), 3 + self.random.below(6));
        let mut labels = json!({"kubernetes.io/hostname": name});
        if self.random.below(8) > 0 {
            labels["topology.kubernetes.io/zone"] = json!(format!("zone{}", self.random.below(3)));
        }
        let node = json!({"metadata": {"name": name, "labels": labels}, "spec": {},
            "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "8Gi", "pods": pods.to_string()}}});
        self.put_node(&name, node);
    }

    fn put_node(&mut self, name: &str, node: Value) {
        let amount =
            |key: &str| node["status"]["allocatable"][key].as_str().and_then(|text| text.parse().ok());
        let room = self.room.entry(name.to_owned()).or_default();
        room.0 = room.0.max(amount("cpu").unwrap_or(0));
        room.1 = room.1.max(amount("pods").unwrap_or(0));
        self.unseen.push_back(Unseen::Node(Box::new(from(&node))));
        self.nodes.insert(name.to_owned(), node);
    }

    fn remove_node(&mut self) {
        let Some(name) = self.any_node() else { return };
        self.nodes.remove(&name);
        self.unseen.push_back(Unseen::NodeGone(name.clone()));
        // Its pods are collected.
        let lost: Vec<_> = self.pods.iter().filter(|(_, pod)| pod["spec"]["nodeName"] == *name).collect();
        for uid in lost.into_iter().map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.pods.remove(&uid);
            self.unseen.push_back(Unseen::PodGone(uid));
        }
    }

    fn change_node(&mut self) {
        let Some(name) = self.any_node() else { return };
        let mut node = self.nodes[&name].clone();
        match self.random.below(4) {
            0 => {
                let taints = [json!([]), json!([{"key": "special", "value": "", "effect": "NoSchedule"}])];
                node["spec"]["taints"] = taints[self.random.below(2)].clone();
            }
            1 => node["spec"]["unschedulable"] = json!(self.random.below(2) == 0),
            2 => node["metadata"]["labels"]["disk"] = json!(["ssd", "hdd"][self.random.below(2)]),
            _ => node["status"]["allocatable"]["cpu"] = json!((2 + self.random.below(6)).to_string()),
        }
        self.put_node(&name, node);
    }

    fn add_pod(&mut self) {
        let uid = self.name("pod");
        let app = format!("app{}", self.random.below(3));
        let mut pod = json!({
            "metadata": {"name": uid, "namespace": "sim", "uid": uid, "labels": {"app": app}},
            "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c", "image": "i",
                "resources": {"requests": {"cpu": (1 + self.random.below(3)).to_string()}}}]},
        });
        let spec = &mut pod["spec"];
        let selector = json!({"matchLabels": {"app": app}});
        let term = |key: &str| {
            json!({"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": key,
                "labelSelector": selector}]})
        };
        match self.random.below(14) {
            0 => spec["nodeSelector"] = json!({"disk": "ssd"}),
            1 => spec["tolerations"] = json!([{"key": "special", "operator": "Exists"}]),
            2 | 3 => spec["affinity"] = json!({"podAntiAffinity": term("kubernetes.io/hostname")}),
            4 => spec["affinity"] = json!({"podAffinity": term("topology.kubernetes.io/zone")}),
            5 | 6 => {
                spec["topologySpreadConstraints"] = json!([{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
                    "topologyKey": "topology.kubernetes.io/zone", "labelSelector": selector}]);
            }
            7 => spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]),
            8 => spec["schedulingGates"] = json!([{"name": "example.com/wait"}]),
            9 | 10 => spec["priority"] = json!(self.random.below(3) * 100),
            _ => {}
        }
        self.put_pod(&uid, pod);
    }

    fn put_pod(&mut self, uid: &str, pod: Value) {
        self.unseen.push_back(Unseen::Pod(Box::new(from(&pod))));
        self.pods.insert(uid.to_owned(), pod);
    }

    fn delete_pod(&mut self) {
        let Some(uid) = self.any_pod() else { return };
        self.terminate(&uid);
    }

    fn terminate(&mut self, uid: &str) {
        let Some(mut pod) = self.pods.get(uid).cloned() else { return };
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.put_pod(uid, pod);
    }

    fn finish_deletions(&mut self) {
        let gone = |(_, pod): &(&String, &Value)| pod["metadata"]["deletionTimestamp"].is_string();
        for uid in self.pods.iter().filter(gone).map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.pods.remove(&uid);
            self.unseen.push_back(Unseen::PodGone(uid));
        }
    }

    fn open_some_gates(&mut self) {
        if let Some(uid) = self.any_pod() {
            self.open_gates(&uid);
        }
    }

    fn open_gates(&mut self, uid: &str) {
        let mut pod = self.pods[uid].clone();
        if pod["spec"].as_object_mut().and_then(|spec| spec.remove("schedulingGates")).is_some() {
            self.put_pod(uid, pod);
        }
    }

    /// The engine sees one thing.
    fn see(&mut self) -> bool {
        match self.unseen.pop_front() {
            Some(Unseen::Node(node)) => self.engine.set_node(self.now, &node),
            Some(Unseen::NodeGone(name)) => self.engine.remove_node(self.now, &name),
            Some(Unseen::Pod(pod)) => self.engine.set_pod(self.now, &pod),
            Some(Unseen::PodGone(uid)) => self.engine.remove_pod(self.now, &uid),
            None => return false,
        }
        self.take_actions();
        true
    }

    fn take_actions(&mut self) {
        for action in self.engine.take_actions() {
            self.trace.push(format!("{action:?}"));
            self.undone.push_back(action);
        }
    }

    /// One thing that the engine wanted is done.
    fn act(&mut self) -> bool {
        let Some(action) = self.undone.pop_front() else { return false };
        match action {
            Action::Bind { pod, node, .. } => {
                let result = self.bind(&pod, &node);
                self.engine.bound(self.now, &pod.uid, result);
            }
            Action::Reject { pod, nominated: Some(node), .. } => self.nominate(&pod, &node),
            Action::ClearNomination(pod) => self.nominate(&pod, ""),
            Action::Evict { preemptor, victims, .. } => {
                victims.iter().for_each(|victim| self.terminate(&victim.uid));
                self.engine.evicted(self.now, &preemptor.uid, Ok(()));
            }
            Action::Reject { .. } | Action::SkipDeleting { .. } | Action::BindVolumes { .. } => {}
        }
        self.take_actions();
        true
    }

    fn bind(&mut self, pod: &PodRef, node: &str) -> Result<(), String> {
        let Some(mut bound) = self.pods.get(&*pod.uid).cloned() else { return Err("not found".to_owned()) };
        if bound["metadata"]["deletionTimestamp"].is_string() || self.random.below(20) == 0 {
            return Err("the server is not willing".to_owned());
        }
        assert!(bound["spec"]["nodeName"].is_null(), "seed {}: {pod} is bound twice", self.seed);
        bound["spec"]["nodeName"] = json!(node);
        if !self.nodes.contains_key(node) {
            // It is bound to a node that is gone, and collected.
            self.pods.remove(&*pod.uid);
            self.unseen.push_back(Unseen::PodGone(pod.uid.to_string()));
            return Ok(());
        }
        self.put_pod(&pod.uid, bound);
        Ok(())
    }

    fn nominate(&mut self, pod: &PodRef, node: &str) {
        let Some(mut nominated) = self.pods.get(&*pod.uid).cloned() else { return };
        nominated["status"]["nominatedNodeName"] = json!(node);
        self.put_pod(&pod.uid, nominated);
    }

    fn check(&self) {
        for (name, (cpu, count)) in &self.room {
            let here: Vec<_> = self.pods.values().filter(|pod| pod["spec"]["nodeName"] == **name).collect();
            let used: i64 = here.iter().map(|pod| cpu_of(pod)).sum();
            let seed = self.seed;
            assert!(used <= *cpu, "seed {seed}: {name} has {used} of {cpu} CPUs in use");
            assert!(here.len() as i64 <= *count, "seed {seed}: {name} has {} of {count} pods", here.len());
            let ports = here.iter().filter(|pod| pod["spec"]["containers"][0]["ports"].is_array()).count();
            assert!(ports <= 1, "seed {seed}: {name} gives a port {ports} times");
            for pod in &here {
                if pod["spec"]["affinity"]["podAntiAffinity"].is_object() {
                    let same = |other: &&&Value| other["metadata"]["labels"] == pod["metadata"]["labels"];
                    let together = here.iter().filter(same).count();
                    assert_eq!(together, 1, "seed {seed}: {name} has pods that must not be together");
                }
            }
        }
    }

    /// Asks a fresh engine about each pod that has no node.
    fn check_nobody_starves(&self) {
        let pending = self.pods.iter().filter(|(_, pod)| pod["spec"]["nodeName"].is_null());
        for (uid, pod) in pending {
            let mut fresh = Engine::new([Profile::default()], Backoff::default(), 0);
            for node in self.nodes.values() {
                fresh.set_node(self.now, &from(node));
            }
            for bound in self.pods.values().filter(|pod| !pod["spec"]["nodeName"].is_null()) {
                fresh.set_pod(self.now, &from(bound));
            }
            // Without what others were evicted for: that may be taken by the others.
            let mut alone = pod.clone();
            alone["status"]["nominatedNodeName"] = Value::Null;
            fresh.set_pod(self.now, &from(&alone));
            fresh.step(self.now);
            let placed =
                fresh.take_actions().into_iter().find(|action| matches!(action, Action::Bind { .. }));
            let last = self.trace.iter().rev().find(|line| line.contains(&format!("\"{uid}\"")));
            assert!(
                placed.is_none(),
                "seed {}: {pod} starves; it could be {placed:?}; last: {last:?}",
                self.seed
            );
        }
    }
}

fn cpu_of(pod: &Value) -> i64 {
    let cpu = &pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    cpu.as_str().and_then(|cpu| cpu.parse().ok()).unwrap_or(0)
}

fn from<K: serde::de::DeserializeOwned>(value: &Value) -> K {
    serde_json::from_value(value.clone()).expect("an object")
}
