//! Services.

use crate::world::{NodeSpace, Pod, ask_udp, is_root};
use api::core::v1::Service;
use api::discovery::v1::EndpointSlice;
use network::proxy::{ServiceRules, plan};
use serde_json::{Value, json};

fn service(name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": "default", "name": name },
        "spec": spec,
    }))
    .unwrap()
}

fn slice(port: &str, protocol: &str, number: u16, pods: &[(&Pod, &str)]) -> EndpointSlice {
    let endpoints: Vec<Value> = pods
        .iter()
        .map(|(pod, node)| json!({ "addresses": [pod.address.to_string()], "nodeName": node }))
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "namespace": "default", "name": "slice" },
        "addressType": "IPv4",
        "ports": [{ "name": port, "protocol": protocol, "port": number }],
        "endpoints": endpoints,
    }))
    .unwrap()
}

fn set(rules: &mut ServiceRules, service: &Service, slices: &[&EndpointSlice]) {
    let key = api::Key::new("default", service.metadata.name.clone().unwrap());
    let planned = plan(service, slices, &rules.node().clone());
    rules.set_service(&key, planned);
    rules.commit().unwrap();
}

fn nft(node: &NodeSpace) -> String {
    let name = &node.space.name;
    let output =
        std::process::Command::new("ip").args(["netns", "exec", name, "nft", "list", "ruleset"]).output();
    String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
}

#[test]
fn cluster_ips() {
    if !is_root() {
        return;
    }
    let node = NodeSpace::new();
    node.set_pod_cidrs(&["10.244.1.0/24"]);
    let (one, two) = (node.pod(Value::Null), node.pod(Value::Null));
    one.space.serve_tcp("0.0.0.0:8080", "one");
    two.space.serve_tcp("0.0.0.0:8080", "two");
    let mut rules = node.rules();
    let web = service(
        "web",
        json!({
            "type": "NodePort", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080, "protocol": "TCP" }],
        }),
    );

    set(&mut rules, &web, &[]);
    if let Ok(path) = std::env::var("CORTEN_SHOW_RULES") { std::fs::write(path, nft(&node)).unwrap(); }
    assert_eq!(one.space.ask("10.96.0.1:80"), "connection refused", "no endpoints");
    assert_eq!(node.space.ask("10.96.0.1:80"), "connection refused");
    assert_eq!(one.space.ask("192.0.2.1:30080"), "connection refused");

    let first = slice("http", "TCP", 8080, &[(&one, "node")]);
    set(&mut rules, &web, &[&first]);
    assert_eq!(two.space.ask("10.96.0.1:80"), "one 10.244.1.2", "the client's address is kept");
    assert_eq!(one.space.ask("10.96.0.1:80"), "one 192.0.2.1", "hairpin");
    assert_eq!(node.space.ask("10.96.0.1:80"), "one 192.0.2.1");
    assert_eq!(node.space.ask("192.0.2.1:30080"), "one 192.0.2.1");
    assert_eq!(two.space.ask("192.0.2.1:30080"), "one 192.0.2.1", "masqueraded");
    assert_eq!(two.space.ask("10.96.0.1:81"), "connection refused", "no such port");
    assert_eq!(two.space.ask("10.96.0.77:80"), "timed out", "no such Service");

    // One endpoint instead of the other, then both.
    let second = slice("http", "TCP", 8080, &[(&two, "node")]);
    set(&mut rules, &web, &[&second]);
    for _ in 0..4 {
        assert_eq!(two.space.ask("10.96.0.1:80"), "two 192.0.2.1");
    }
    set(&mut rules, &web, &[&first, &second]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        seen.insert(node.space.ask("10.96.0.1:80"));
    }
    assert_eq!(seen.len(), 2, "{seen:?}");

    // The rules stay when their maker goes; the next one finds them and changes what is different.
    drop(rules);
    assert_ne!(two.space.ask("10.96.0.1:80"), "connection refused");
    let mut rules = node.rules();
    set(&mut rules, &web, &[&first]);
    assert!(rules.is_whole().unwrap());
    for _ in 0..4 {
        assert_eq!(two.space.ask("10.96.0.1:80"), "one 10.244.1.2");
    }

    // Gone with all its elements.
    rules.set_service(&api::Key::new("default", "web"), network::proxy::RuleSet::default());
    rules.commit().unwrap();
    assert_eq!(two.space.ask("10.96.0.1:80"), "timed out");

    // Somebody flushes all rules.
    crate::world::run("ip", &["netns", "exec", &node.space.name, "nft", "flush", "ruleset"]);
    assert!(!rules.is_whole().unwrap());
    rules.distrust();
    set(&mut rules, &web, &[&first]);
    assert_eq!(two.space.ask("10.96.0.1:80"), "one 10.244.1.2");
}

#[test]
fn udp_leaves_endpoints_that_are_gone() {
    if !is_root() {
        return;
    }
    let node = NodeSpace::new();
    node.set_pod_cidrs(&["10.244.1.0/24"]);
    let (one, two) = (node.pod(Value::Null), node.pod(Value::Null));
    one.space.serve_udp("0.0.0.0:5353", "one");
    two.space.serve_udp("0.0.0.0:5353", "two");
    let client = node.pod(Value::Null);
    let mut rules = node.rules();
    let dns = service(
        "dns",
        json!({
            "type": "ClusterIP", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"],
            "ports": [{ "name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP" }],
        }),
    );
    set(&mut rules, &dns, &[&slice("dns", "UDP", 5353, &[(&one, "node")])]);
    let socket = client.space.udp();
    assert_eq!(ask_udp(&socket, "10.96.0.5:53"), format!("one {}", client.address));
    set(&mut rules, &dns, &[&slice("dns", "UDP", 5353, &[(&two, "node")])]);
    assert_eq!(ask_udp(&socket, "10.96.0.5:53"), format!("two {}", client.address), "from the same port");
}

#[test]
fn a_client_comes_back() {
    if !is_root() {
        return;
    }
    let node = NodeSpace::new();
    node.set_pod_cidrs(&["10.244.1.0/24"]);
    let pods: Vec<Pod> = (0..3).map(|_| node.pod(Value::Null)).collect();
    for (pod, name) in pods.iter().zip(["a", "b", "c"]) {
        pod.space.serve_tcp("0.0.0.0:8080", name);
    }
    let client = node.pod(Value::Null);
    let mut rules = node.rules();
    let web = service(
        "web",
        json!({
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 600 } },
            "ports": [{ "port": 80, "targetPort": 8080, "protocol": "TCP" }],
        }),
    );
    let of = |pods: &[&Pod]| {
        let pods: Vec<(&Pod, &str)> = pods.iter().map(|pod| (*pod, "node")).collect();
        slice("", "TCP", 8080, &pods)
    };
    let all: Vec<&Pod> = pods.iter().collect();
    set(&mut rules, &web, &[&of(&all)]);
    let first = client.space.ask("10.96.0.1:80");
    for _ in 0..20 {
        assert_eq!(client.space.ask("10.96.0.1:80"), first);
    }
    // Its endpoint goes: another one, and that one from then on.
    let left: Vec<&Pod> =
        pods.iter().zip(["a", "b", "c"]).filter(|(_, name)| !first.starts_with(name)).map(|(pod, _)| pod).collect();
    set(&mut rules, &web, &[&of(&left)]);
    let second = client.space.ask("10.96.0.1:80");
    assert_ne!(second, first);
    for _ in 0..20 {
        assert_eq!(client.space.ask("10.96.0.1:80"), second);
    }
    // A restart forgets no client.
    drop(rules);
    let mut rules = node.rules();
    set(&mut rules, &web, &[&of(&all)]);
    for _ in 0..20 {
        assert_eq!(client.space.ask("10.96.0.1:80"), second);
    }
}
