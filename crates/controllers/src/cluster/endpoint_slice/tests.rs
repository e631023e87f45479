use super::plan::{Plan, World, plan};
use super::{MANAGED_BY, SERVICE_NAME};
use crate::workloads::testing::Dice;
use api::Object;
use api::core::v1::{Node, Pod, Service};
use api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn service(spec: Value) -> Service {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "web-uid", "labels": {"app": "web"}},
        "spec": {"clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        service["spec"][key] = value.clone();
    }
    serde_json::from_value(service).expect("a service")
}

fn pod(number: usize, ready: bool) -> Value {
    json!({
        "metadata": {"name": format!("web-{number}"), "namespace": "n", "uid": format!("uid-{number}"),
            "labels": {"app": "web"}},
        "spec": {"nodeName": "node", "containers": []},
        "status": {"phase": "Running", "podIP": format!("10.0.{}.{}", number / 250, number % 250),
            "podIPs": [{"ip": format!("10.0.{}.{}", number / 250, number % 250)}, {"ip": format!("fd00::{number:x}")}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

fn typed(pods: &[Value]) -> Vec<Arc<Pod>> {
    pods.iter().map(|pod| Arc::new(serde_json::from_value(pod.clone()).expect("a pod"))).collect()
}

/// What is stored, and who writes it.
#[derive(Default)]
struct Store {
    slices: BTreeMap<String, Arc<EndpointSlice>>,
    made: usize,
}

impl Store {
    fn plan(&self, service: &Service, pods: &[Arc<Pod>]) -> Plan {
        let slices: Vec<_> = self.slices.values().cloned().collect();
        let node = |name: &str| {
            let node: Node = serde_json::from_value(json!({"metadata": {"name": name,
                "labels": {"topology.kubernetes.io/zone": "east"}}}))
            .expect("a node");
            (name == "node").then(|| Arc::new(node))
        };
        plan(&World { service, pods, slices: &slices, node: &node })
    }

    /// Carries a plan out; how many writes it took.
    fn apply(&mut self, plan: Plan) -> usize {
        let writes = plan.create.len() + plan.update.len() + plan.delete.len();
        for mut slice in plan.create {
            let name = format!("{}{}", slice.metadata.generate_name.clone().expect("a prefix"), self.made);
            self.made += 1;
            slice.metadata.name = Some(name.clone());
            self.slices.insert(name, Arc::new(slice));
        }
        for (old, new) in plan.update {
            assert_ne!(*old, new, "a write that changes nothing");
            assert_eq!(old.metadata.name, new.metadata.name);
            self.slices.insert(old.name().to_owned(), Arc::new(new));
        }
        for slice in plan.delete {
            assert!(self.slices.remove(slice.name()).is_some(), "deleted twice");
        }
        writes
    }

    fn sync(&mut self, service: &Service, pods: &[Value]) -> usize {
        let pods = typed(pods);
        let plan = self.plan(service, &pods);
        let writes = self.apply(plan);
        let again = self.plan(service, &pods);
        assert!(
            again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(),
            "not at rest: {again:?}"
        );
        writes
    }

    fn shown(&self) -> Vec<String> {
        self.slices
            .values()
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .map(|e| {
                let conditions = e.conditions.clone().unwrap_or_default();
                let flag = |flag: Option<bool>, letter: &str| {
                    if flag == Some(true) { letter.to_owned() } else { "-".into() }
                };
                format!(
                    "{} {}{}{}",
                    e.addresses.join(","),
                    flag(conditions.ready, "r"),
                    flag(conditions.serving, "s"),
                    flag(conditions.terminating, "t")
                )
            })
            .collect()
    }
}

#[test]
fn a_service_without_endpoints_has_a_placeholder() {
    let mut store = Store::default();
    assert_eq!(store.sync(&service(json!({})), &[]), 1);
    let slice = store.slices.values().next().expect("a slice").clone();
    assert_eq!(slice.endpoints, Some(vec![]));
    let labels = slice.metadata.labels.clone().expect("labels");
    assert_eq!(labels.get(SERVICE_NAME).map(String::as_str), Some("web"));
    assert_eq!(labels.get(MANAGED_BY).map(String::as_str), Some("endpointslice-controller.k8s.io"));
    assert_eq!(labels.get("app").map(String::as_str), Some("web"));
    assert!(!labels.contains_key("service.kubernetes.io/headless"));
    // The first pod takes it over: one write, no new name.
    assert_eq!(store.sync(&service(json!({})), &[pod(1, true)]), 1);
    assert!(store.slices.contains_key(slice.name()));
    assert_eq!(store.shown(), ["10.0.0.1 rs-"]);
    assert_eq!(store.sync(&service(json!({})), &[]), 1);
    assert_eq!(store.slices.len(), 1);
}

#[test]
fn conditions_follow_the_pod() {
    let mut going = pod(2, true);
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let mut done = pod(3, true);
    done["status"]["phase"] = "Succeeded".into();
    let mut lost = pod(4, true);
    lost["spec"]["nodeName"] = "gone".into();
    let mut bare = pod(5, true);
    bare["status"] = json!({"phase": "Pending"});
    let pods = [pod(0, true), pod(1, false), going, done, lost, bare];
    let mut store = Store::default();
    store.sync(&service(json!({})), &pods);
    assert_eq!(store.shown(), ["10.0.0.0 rs-", "10.0.0.1 ---", "10.0.0.2 -st"]);
    let plan = store.plan(&service(json!({})), &typed(&pods));
    assert_eq!(plan.unplaced, [("web-4".to_owned(), "gone".to_owned())]);
    let published = service(json!({"publishNotReadyAddresses": true}));
    let mut store = Store::default();
    store.sync(&published, &pods);
    assert_eq!(store.shown(), ["10.0.0.0 rs-", "10.0.0.1 r--", "10.0.0.2 rst", "10.0.0.4 rs-"]);
}

#[test]
fn two_families_have_slices_of_their_own() {
    let mut store = Store::default();
    let both = service(json!({"ipFamilies": ["IPv6", "IPv4"]}));
    store.sync(&both, &[pod(1, true)]);
    assert_eq!(store.shown(), ["10.0.0.1 rs-", "fd00::1 rs-"]);
    store.sync(&service(json!({})), &[pod(1, true)]);
    assert_eq!(store.shown(), ["10.0.0.1 rs-"]);
}

#[test]
fn pods_with_other_ports_are_in_other_slices() {
    let named =
        service(json!({"ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]}));
    let mut pods = [pod(1, true), pod(2, true), pod(3, true)];
    for (pod, port) in pods.iter_mut().zip([80, 8080, 80]) {
        pod["spec"]["containers"] = json!([{"name": "c", "ports":
            [{"name": "web", "containerPort": port, "protocol": "TCP"}]}]);
    }
    let mut store = Store::default();
    store.sync(&named, &pods);
    let ports: BTreeSet<(i32, usize)> = store
        .slices
        .values()
        .map(|s| {
            (
                s.ports.as_ref().expect("ports")[0].port.expect("a port"),
                s.endpoints.as_ref().map_or(0, Vec::len),
            )
        })
        .collect();
    assert_eq!(ports, BTreeSet::from([(80, 2), (8080, 1)]));
}

#[test]
fn headless_services_name_their_pods() {
    let mut pods = [pod(1, true), pod(2, true)];
    pods[0]["spec"]["hostname"] = "first".into();
    pods[0]["spec"]["subdomain"] = "web".into();
    pods[1]["spec"]["hostname"] = "second".into();
    let mut store = Store::default();
    store.sync(&service(json!({"clusterIP": "None"})), &pods);
    let slice = store.slices.values().next().expect("a slice");
    assert_eq!(slice.metadata.labels.as_ref().expect("labels")["service.kubernetes.io/headless"], "");
    let names: Vec<_> = slice.endpoints.iter().flatten().map(|e| e.hostname.as_deref()).collect();
    assert_eq!(names, [Some("first"), None]);
}

#[test]
fn traffic_distribution_gives_hints_to_ready_endpoints() {
    let hints = |store: &Store| -> Vec<Value> {
        let endpoints = store.slices.values().flat_map(|slice| slice.endpoints.iter().flatten());
        endpoints.map(|e| serde_json::to_value(&e.hints).expect("hints")).collect()
    };
    let pods = [pod(1, true), pod(2, false)];
    let mut store = Store::default();
    store.sync(&service(json!({})), &pods);
    assert_eq!(hints(&store), [Value::Null, Value::Null]);
    for (distribution, expected) in [
        ("PreferSameZone", json!({"forZones": [{"name": "east"}]})),
        ("PreferSameNode", json!({"forZones": [{"name": "east"}], "forNodes": [{"name": "node"}]})),
        ("PreferClose", json!({"forZones": [{"name": "east"}]})),
    ] {
        let writes = store.sync(&service(json!({"trafficDistribution": distribution})), &pods);
        assert_eq!((writes, hints(&store)), (1, vec![expected, Value::Null]));
    }
    store.sync(&service(json!({})), &pods);
    assert_eq!(hints(&store), [Value::Null, Value::Null]);
}

#[test]
fn labels_follow_the_service_and_slices_of_an_older_one_go() {
    let mut store = Store::default();
    store.sync(&service(json!({})), &[pod(1, true)]);
    let mut relabelled = service(json!({}));
    relabelled.metadata.labels = Some(BTreeMap::from([("tier".into(), "front".into())]));
    assert_eq!(store.sync(&relabelled, &[pod(1, true)]), 1);
    let labels = store.slices.values().next().and_then(|s| s.metadata.labels.clone()).expect("labels");
    assert!(labels.contains_key("tier") && !labels.contains_key("app"));
    relabelled.metadata.uid = Some("another".into());
    let before: Vec<String> = store.slices.keys().cloned().collect();
    assert_eq!(store.sync(&relabelled, &[pod(1, true)]), 2);
    assert!(!store.slices.contains_key(&before[0]));
}

#[test]
fn random_changes_keep_every_endpoint_once_with_few_writes() {
    for seed in 0..4 {
        let mut dice = Dice::new(seed);
        let mut store = Store::default();
        let mut present = BTreeSet::new();
        for _ in 0..25 {
            for _ in 0..dice.below(60) {
                present.insert(dice.below(700));
            }
            for _ in 0..dice.below(50) {
                present.remove(&dice.below(700));
            }
            let pods: Vec<Value> = present.iter().map(|n| pod(*n, true)).collect();
            let before = store.slices.len();
            let writes = store.sync(&service(json!({})), &pods);
            assert!(writes <= before + 1, "{writes} writes to {before} slices");
            let mut shown = store.shown();
            shown.sort();
            shown.dedup();
            assert_eq!(shown.len(), present.len());
            assert!(store.slices.values().all(|s| s.endpoints.as_ref().map_or(0, Vec::len) <= 100));
            assert!(store.slices.len() <= present.len() / 100 + 8, "{} slices", store.slices.len());
        }
    }
}
