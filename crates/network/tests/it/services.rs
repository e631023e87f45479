//! Services.

use crate::world::{NodeSpace, Pod, Space, ask_udp, can_make_namespaces};
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

#[test]
fn cluster_ips() {
    if !can_make_namespaces() {
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

    // The API server's own Service: its endpoint is the node.
    node.space.serve_tcp("192.0.2.1:6443", "server");
    let kubernetes = service(
        "kubernetes",
        json!({
            "type": "ClusterIP", "clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2"],
            "ports": [{ "name": "https", "port": 443, "targetPort": 6443, "protocol": "TCP" }],
        }),
    );
    let mut itself = slice("https", "TCP", 6443, &[(&one, "node")]);
    itself.endpoints.as_mut().unwrap()[0].addresses = vec!["192.0.2.1".to_owned()];
    set(&mut rules, &kubernetes, &[&itself]);
    assert_eq!(two.space.ask("10.96.0.2:443"), "server 10.244.1.2");
    assert_eq!(node.space.ask("10.96.0.2:443"), "server 192.0.2.1");

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
    if !can_make_namespaces() {
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
    if !can_make_namespaces() {
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
            "type": "NodePort", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 600 } },
            "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP" }],
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
    let by_node_port = node.space.ask("192.0.2.1:30080");
    for _ in 0..20 {
        assert_eq!(node.space.ask("192.0.2.1:30080"), by_node_port);
    }
    // Its endpoint goes: another one, and that one from then on.
    let left: Vec<&Pod> = pods
        .iter()
        .zip(["a", "b", "c"])
        .filter(|(_, name)| !first.starts_with(name))
        .map(|(pod, _)| pod)
        .collect();
    set(&mut rules, &web, &[&of(&left)]);
    let second = client.space.ask("10.96.0.1:80");
    assert_ne!(second, first);
    for _ in 0..20 {
        assert_eq!(client.space.ask("10.96.0.1:80"), second);
    }
    // People can look at it.
    let output = std::process::Command::new("ip")
        .args(["netns", "exec", &node.space.name, "nft", "list", "ruleset"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(". 10.96.0.1 . tcp . 80"), "{text}");
    // A restart forgets no client.
    drop(rules);
    let mut rules = node.rules();
    set(&mut rules, &web, &[&of(&all)]);
    for _ in 0..20 {
        assert_eq!(client.space.ask("10.96.0.1:80"), second);
    }
}

/// A node in whose rack stands another machine that is not of the cluster.
fn node_and_outsider() -> (NodeSpace, Space) {
    let outside = Space::new("outside");
    let node = NodeSpace::beside(Some(&outside));
    for arguments in [
        "link set lo up",
        "addr add 192.0.2.9/24 dev up1",
        "addr add 2001:db8::9/64 dev up1 nodad",
        "route add default via 192.0.2.1",
        "route add default via 2001:db8::1",
    ] {
        outside.ip(arguments);
    }
    (node, outside)
}

#[test]
fn from_outside() {
    if !can_make_namespaces() {
        return;
    }
    let (node, outside) = node_and_outsider();
    node.set_pod_cidrs(&["10.244.1.0/24"]);
    let (one, two) = (node.pod(Value::Null), node.pod(Value::Null));
    one.space.serve_tcp("0.0.0.0:8080", "one");
    let mut rules = node.rules();
    let with = |policy: &str, ranges: Value| {
        let mut service = service(
            "web",
            json!({
                "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                "externalIPs": ["198.51.100.1"], "externalTrafficPolicy": policy,
                "loadBalancerSourceRanges": ranges,
                "ports": [{ "name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP" }],
            }),
        );
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } });
        service.status = Some(serde_json::from_value(status).unwrap());
        service
    };
    let here = slice("http", "TCP", 8080, &[(&one, "node")]);
    let there = slice("http", "TCP", 8080, &[(&one, "another")]);
    let doors = ["192.0.2.1:30080", "198.51.100.1:80", "203.0.113.1:80"];

    set(&mut rules, &with("Cluster", json!([])), &[&here]);
    for door in doors {
        assert_eq!(outside.ask(door), "one 192.0.2.1", "{door}: masqueraded");
    }
    assert_eq!(outside.ask("10.96.0.1:80"), "one 192.0.2.1", "by a route to the Service range");

    set(&mut rules, &with("Local", json!([])), &[&here]);
    for door in doors {
        assert_eq!(outside.ask(door), "one 192.0.2.9", "{door}: the client's address is kept");
        assert_eq!(two.space.ask(door), format!("one {}", two.address), "{door}");
    }
    set(&mut rules, &with("Local", json!([])), &[&there]);
    for door in doors {
        assert_eq!(outside.ask(door), "timed out", "{door}: no endpoint on this node");
        assert_eq!(two.space.ask(door), format!("one {}", two.address), "{door}: from inside as if outside");
        assert_eq!(node.space.ask(door), "one 192.0.2.1", "{door}: and from the node");
    }

    set(&mut rules, &with("Cluster", json!(["198.51.100.0/24"])), &[&here]);
    assert_eq!(outside.ask("203.0.113.1:80"), "timed out");
    assert_eq!(outside.ask("192.0.2.1:30080"), "one 192.0.2.1", "node ports know no ranges");
    set(&mut rules, &with("Cluster", json!(["198.51.100.0/24", "192.0.2.8/30"])), &[&here]);
    assert_eq!(outside.ask("203.0.113.1:80"), "one 192.0.2.1");
    assert!(rules.is_exact().unwrap());

    // Pods go out under the node's address; nobody reaches the node's loopback addresses.
    outside.serve_tcp("192.0.2.9:80", "outside");
    assert_eq!(one.space.ask("192.0.2.9:80"), "outside 192.0.2.1");
    node.space.serve_tcp("127.0.0.1:81", "secret");
    outside.ip("route add 127.0.0.0/8 via 192.0.2.1 table 7");
    assert_ne!(outside.ask("127.0.0.1:81"), "secret 192.0.2.9");
}

#[test]
fn ipv6() {
    if !can_make_namespaces() {
        return;
    }
    let (node, outside) = node_and_outsider();
    node.set_pod_cidrs(&["10.244.1.0/24", "fd00:244:1::/64"]);
    let (one, two) = (node.pod(Value::Null), node.pod(Value::Null));
    one.space.serve_tcp("[::]:8080", "one");
    let mut rules = node.rules();
    let spec = |affinity: &str| {
        json!({
            "type": "NodePort", "clusterIP": "fd00:96::1", "clusterIPs": ["fd00:96::1"],
            "sessionAffinity": affinity,
            "ports": [{ "name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP" }],
        })
    };
    let mut slice = slice("http", "TCP", 8080, &[(&one, "node")]);
    slice.address_type = "IPv6".to_owned();
    slice.endpoints.as_mut().unwrap()[0].addresses = vec!["fd00:244:1::1".to_owned()];
    for affinity in ["None", "ClientIP"] {
        let web = service("web", spec(affinity));
        set(&mut rules, &web, &[]);
        assert_eq!(two.space.ask("[fd00:96::1]:80"), "connection refused");
        set(&mut rules, &web, &[&slice]);
        for _ in 0..2 {
            assert_eq!(two.space.ask("[fd00:96::1]:80"), "one fd00:244:1::2");
        }
        assert_eq!(one.space.ask("[fd00:96::1]:80"), "one 2001:db8::1", "hairpin");
        assert_eq!(outside.ask("[2001:db8::1]:30080"), "one 2001:db8::1");
        assert_eq!(node.space.ask("[fd00:96::1]:80"), "one 2001:db8::1");
        assert_eq!(two.space.ask("[fd00:96::1]:81"), "connection refused");
    }
    assert!(rules.is_exact().unwrap());
    outside.serve_tcp("[2001:db8::9]:80", "outside");
    assert_eq!(one.space.ask("[2001:db8::9]:80"), "outside 2001:db8::1");
}

/// Whatever order things happen in, the kernel holds what a fresh start would give it.
#[test]
fn many_changes() {
    const SERVICES: u64 = 40;
    const CHANGES: u64 = 400;
    if !can_make_namespaces() {
        return;
    }
    let node = NodeSpace::new();
    let mut rules = node.rules();
    rules.commit().unwrap();
    let mut dice = 12_345_u64;
    let mut roll = |sides: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % sides
    };
    for round in 0..CHANGES {
        let number = roll(SERVICES);
        let name = format!("s{number}");
        let key = api::Key::new("default", name.clone());
        if roll(8) == 0 {
            rules.set_service(&key, network::proxy::RuleSet::default());
        } else {
            let endpoints: Vec<Value> = (0..roll(6))
                .map(|_| {
                    let address = format!("10.244.{}.{}", roll(3), 1 + roll(20));
                    let name = if roll(2) == 0 { "node" } else { "another" };
                    json!({ "addresses": [address], "nodeName": name, "conditions": { "ready": roll(4) > 0 } })
                })
                .collect();
            let slice: EndpointSlice = serde_json::from_value(json!({
                "metadata": { "namespace": "default", "name": "slice" },
                "addressType": "IPv4",
                "ports": [{ "name": "p", "protocol": "UDP", "port": 1 + roll(3) }],
                "endpoints": endpoints,
            }))
            .unwrap();
            let policy = if roll(2) == 0 { "Local" } else { "Cluster" };
            let affinity = if roll(3) == 0 { "ClientIP" } else { "None" };
            let service = service(
                &name,
                json!({
                    "type": "NodePort", "clusterIP": format!("10.96.1.{number}"),
                    "externalTrafficPolicy": policy, "sessionAffinity": affinity,
                    // Some want the same address and port.
                    "externalIPs": [format!("198.51.100.{}", roll(4))],
                    "ports": [{ "name": "p", "port": 80, "nodePort": 30_000 + number, "protocol": "UDP" }],
                }),
            );
            let planned = plan(&service, &[&slice], &rules.node().clone());
            rules.set_service(&key, planned);
        }
        if roll(3) > 0 {
            rules.commit().unwrap();
        }
        if round % 40 == 0 {
            rules.commit().unwrap();
            assert!(rules.is_exact().unwrap(), "round {round}");
        }
    }
    rules.commit().unwrap();
    assert!(rules.is_exact().unwrap());
}

#[test]
fn thousands_of_services() {
    const SERVICES: u32 = 2000;
    if !can_make_namespaces() {
        return;
    }
    let node = NodeSpace::new();
    let mut rules = node.rules();
    for number in 0..SERVICES {
        let (high, low) = (number / 250, number % 250);
        let endpoints: Vec<Value> = (0..10)
            .map(|endpoint| json!({ "addresses": [format!("10.244.{}.{}", high, 1 + (low + endpoint) % 254)] }))
            .collect();
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": { "namespace": "default", "name": "slice" },
            "addressType": "IPv4",
            "ports": [{ "name": "", "protocol": "TCP", "port": 8080 }],
            "endpoints": endpoints,
        }))
        .unwrap();
        let name = format!("s{number}");
        let service = service(
            &name,
            json!({
                "clusterIP": format!("10.96.{high}.{low}"), "ports": [{ "port": 80, "protocol": "TCP" }],
            }),
        );
        rules.set_service(&api::Key::new("default", name), plan(&service, &[&slice], rules.node()));
    }
    rules.commit().unwrap();
    assert!(rules.is_exact().unwrap());
    // One by one they go again, in one transaction.
    for key in rules.services() {
        rules.set_service(&key, network::proxy::RuleSet::default());
    }
    rules.commit().unwrap();
    assert!(rules.is_exact().unwrap());
}
