//! All of it at work, fed with objects.

use crate::world::{Space, ask_udp, backend, can_make_namespaces, frontend, new_node_space, run};
use api::core::v1::Node;
use client::Lister;
use network::{Config, Objects, Protocol, follow, teardown};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// A node with its range of pods and its address.
fn node(name: &str, pods: &str, address: &str) -> Node {
    object(json!({
        "metadata": { "name": name },
        "spec": { "podCIDR": pods, "podCIDRs": [pods] },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
    }))
}

fn config(root: &Path) -> Config {
    Config {
        node_name: "node".to_owned(),
        instance: "t2".to_owned(),
        interface_prefix: "ct2".to_owned(),
        state: root.join("attachments"),
        socket: root.join("run/cni.sock"),
        cni_configurations: root.join("net.d"),
        cni_plugins: root.join("bin"),
        binary: "/nonexistent/corten".into(),
        cluster_cidrs: vec!["10.244.0.0/16".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        local_addresses: vec!["169.254.20.10".parse().unwrap()],
        redirects: vec![(frontend("10.96.0.10", Protocol::Udp, 53), backend("169.254.20.10", 53))],
        health_address: Some("0.0.0.0:10256".parse().unwrap()),
        node_ports_everywhere: false,
    }
}

fn objects(nodes: Lister<Node>) -> Objects {
    Objects { services: Lister::new(), slices: Lister::new(), nodes, service_cidrs: Lister::new() }
}

fn routes(space: &Space) -> String {
    let routes = std::process::Command::new("ip").args(["-n", &space.name, "route"]).output().unwrap();
    String::from_utf8(routes.stdout).unwrap()
}

struct Running {
    objects: Objects,
    caught_up: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
    runtime: Runtime,
}

impl Running {
    fn start(space: &Space, config: Config, objects: Objects) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (caught_up, following) = watch::channel(0);
        let to_follow = objects.clone();
        let thread = space.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(follow(config, to_follow, caught_up, stopped))
        });
        let runtime = Builder::new_current_thread().build().unwrap();
        Self { objects, caught_up: following, stop, thread: Some(thread), runtime }
    }

    /// Changes objects and waits until the kernel has followed.
    fn change(&mut self, change: impl FnOnce(&Objects)) {
        self.caught_up.borrow_and_update();
        change(&self.objects);
        if self.runtime.block_on(self.caught_up.changed()).is_err() {
            panic!("the network ended: {:?}", self.thread.take().unwrap().join().unwrap());
        }
    }

    fn stop(self) -> Objects {
        self.stop.send(true).unwrap();
        self.thread.unwrap().join().unwrap().unwrap();
        self.objects
    }
}

fn http(space: &Space, address: &'static str, path: &'static str) -> String {
    space.enter(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

/// Attaches a pod as a runtime does.
fn add(config: &Config, pod: &Space, runtime: Value) {
    let mut configuration = json!({ "cniVersion": "1.0.0", "type": "corten-cni", "socket": config.socket });
    configuration["runtimeConfig"] = runtime;
    let environment = |variable: &str| match variable {
        "CNI_COMMAND" => Some("ADD".to_owned()),
        "CNI_CONTAINERID" => Some(pod.name.clone()),
        "CNI_NETNS" => Some(pod.path()),
        "CNI_IFNAME" => Some("eth0".to_owned()),
        _ => None,
    };
    let (code, output) = network::cni::plugin(&environment, configuration.to_string().as_bytes());
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output));
}

#[test]
fn a_node_at_work() {
    if !can_make_namespaces() {
        return;
    }
    let space = new_node_space(None);
    space.ip("route del default");
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let objects = objects(Lister::new());
    objects.nodes.put(node("node", "10.244.1.0/24", "192.0.2.1"));
    objects.nodes.put(node("other", "10.244.2.0/24", "192.0.2.2"));
    let mut running = Running::start(&space, config.clone(), objects);
    running.change(|objects| {
        objects.nodes.set_synced();
        objects.services.set_synced();
        objects.slices.set_synced();
    });
    assert!(config.cni_configurations.join("10-corten.conflist").exists());
    let routes = routes(&space);
    assert!(routes.contains("10.244.2.0/24 via 192.0.2.2 dev up0"), "{routes}");
    assert!(routes.contains("unreachable 10.244.1.0/24"), "{routes}");

    // The cluster DNS on the node, for the node and for a pod; no default route is needed.
    let dns = space.serve_udp("169.254.20.10:53", "dns");
    let pod = Space::new("pod");
    running.change(|_| {
        let ports = json!([
            { "hostPort": 8081, "containerPort": 8080, "protocol": "tcp" },
            { "hostPort": 8082, "containerPort": 8080, "protocol": "tcp", "hostIP": "127.0.0.1" },
        ]);
        add(&config, &pod, json!({ "portMappings": ports }));
    });
    assert_eq!(ask_udp(&pod.udp(), "10.96.0.10:53"), "dns 10.244.1.1");
    assert_eq!(ask_udp(&space.udp(), "10.96.0.10:53"), "dns 192.0.2.1");

    // Host ports, at any address and at the loopback address.
    pod.serve_tcp("0.0.0.0:8080", "pod");
    assert_eq!(space.ask("192.0.2.1:8081"), "pod 192.0.2.1");
    assert_eq!(space.ask("127.0.0.1:8081"), "pod 192.0.2.1");
    assert_eq!(space.ask("127.0.0.1:8082"), "pod 192.0.2.1");
    assert_eq!(space.ask("192.0.2.1:8082"), "connection refused");
    assert_eq!(pod.ask("192.0.2.1:8081"), "pod 192.0.2.1", "to itself");

    // A Service, by its own address and from outside by that of a load balancer, with a health check.
    running.change(|objects| {
        objects.slices.put(object(json!({
            "metadata": {
                "namespace": "default", "name": "web-1", "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["10.244.1.1"], "nodeName": "node" }],
        })));
        objects.services.put(object(json!({
            "metadata": { "namespace": "default", "name": "web" },
            "spec": {
                "type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
                "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP" }],
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.1", "ipMode": "VIP" }] } },
        })));
    });
    assert_eq!(space.ask("10.96.0.1:80"), "pod 192.0.2.1");
    assert_eq!(space.ask("192.0.2.1:30080"), "pod 192.0.2.1");
    let health = http(&space, "127.0.0.1:32000", "/");
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.contains("\"localEndpoints\": 1"), "{health}");
    assert!(health.contains("x-load-balancing-endpoint-weight: 1"), "{health}");
    let health = http(&space, "127.0.0.1:10256", "/healthz");
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.contains("\"nodeEligible\":true"), "{health}");

    // Stopped, all stays; another takes over.
    let objects = running.stop();
    assert_eq!(space.ask("10.96.0.1:80"), "pod 192.0.2.1");
    let mut running = Running::start(&space, config.clone(), objects);
    running.change(|_| {});
    assert_eq!(space.ask("10.96.0.1:80"), "pod 192.0.2.1");
    assert_eq!(space.ask("127.0.0.1:8082"), "pod 192.0.2.1", "host ports are remembered");

    // Another network takes over.
    std::fs::write(config.cni_configurations.join("05-other.conflist"), "{}").unwrap();
    running.change(|objects| {
        objects.nodes.put(object(json!({
            "metadata": { "name": "other" },
            "spec": { "podCIDRs": ["10.244.2.0/24"] },
            "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.3" }] },
        })));
    });
    assert!(!config.cni_configurations.join("10-corten.conflist").exists());
    running.stop();

    let (of_space, of_config) = (config.clone(), config);
    space.enter(move || {
        // Another cluster's DNS keeps the address that both have.
        teardown(&of_space).unwrap();
        let socket = std::net::UdpSocket::bind("169.254.20.10:0").unwrap();
        socket.send_to(&[], "169.254.20.10:53").unwrap();
        dns.join().unwrap();
        teardown(&of_space).unwrap();
        teardown(&of_space).unwrap();
    });
    for arguments in [["route", "show"], ["-brief", "link"], ["address", "show"]] {
        let output =
            std::process::Command::new("ip").args(["-n", &space.name]).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for ours in ["10.244.", "10.96.", "crt", "169.254.20.10"] {
            assert!(!text.contains(ours), "{arguments:?} {ours}: {text}");
        }
    }
    let rules = std::process::Command::new("ip")
        .args(["netns", "exec", &space.name, "nft", "list", "tables"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(rules.stdout).unwrap(), "");
    assert!(!of_config.state.exists());
    run("ip", &["-n", &space.name, "link", "show", "up0"]);
}

#[test]
fn two_nodes() {
    if !can_make_namespaces() {
        return;
    }
    let second = Space::new("second");
    let first = new_node_space(Some(&second));
    for arguments in ["link set lo up", "addr add 192.0.2.2/24 dev up1", "link set up1 up"] {
        second.ip(arguments);
    }
    let nodes: Lister<Node> = Lister::new();
    let mut running = Vec::new();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (number, (space, directory)) in [&first, &second].into_iter().zip(&directories).enumerate() {
        let number = number + 1;
        let name = format!("node-{number}");
        nodes.put(object(json!({
            "metadata": { "name": name },
            "spec": { "podCIDRs": [format!("10.244.{number}.0/24")] },
            "status": { "addresses": [{ "type": "InternalIP", "address": format!("192.0.2.{number}") }] },
        })));
        let config = Config { node_name: name, health_address: None, ..config(directory.path()) };
        let objects = objects(nodes.clone());
        running.push((Running::start(space, config.clone(), objects), config));
    }
    nodes.set_synced();
    let mut pods = Vec::new();
    for (running, config) in &mut running {
        running.change(|objects| {
            objects.services.set_synced();
            objects.slices.set_synced();
        });
        let pod = Space::new("pod");
        add(config, &pod, Value::Null);
        pods.push(pod);
    }
    pods[1].serve_tcp("10.244.2.1:8080", "far");
    assert_eq!(pods[0].ask("10.244.2.1:8080"), "far 10.244.1.1", "the client's address is kept");
    assert_eq!(first.ask("10.244.2.1:8080"), "far 192.0.2.1");
    running[0].0.change(|objects| {
        objects.slices.put(object(json!({
            "metadata": {
                "namespace": "default", "name": "web-1", "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["10.244.2.1"], "nodeName": "node-2" }],
        })));
        objects.services.put(object(json!({
            "metadata": { "namespace": "default", "name": "web" },
            "spec": {
                "type": "NodePort", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
                "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP" }],
            },
        })));
    });
    assert_eq!(pods[0].ask("10.96.0.1:80"), "far 10.244.1.1");
    assert_eq!(first.ask("10.96.0.1:80"), "far 192.0.2.1");
    assert_eq!(second.ask("192.0.2.1:30080"), "far 192.0.2.1", "from node to node and back");
    // An address of the first node's range that no pod has does not wander about.
    assert_eq!(pods[1].ask("10.244.1.99:80"), "host unreachable");
    for (running, _) in running {
        running.stop();
    }
}

/// Ranges of Service addresses that are added to a cluster, on a machine without a default route.
#[test]
fn added_ranges() {
    if !can_make_namespaces() {
        return;
    }
    let space = new_node_space(None);
    space.ip("route del default");
    let directory = tempfile::tempdir().unwrap();
    let config = Config { health_address: None, ..config(directory.path()) };
    let of_all = objects(Lister::new());
    of_all.nodes.put(node("node", "10.244.1.0/24", "192.0.2.1"));
    let mut running = Running::start(&space, config.clone(), of_all);
    running.change(|objects| {
        objects.nodes.set_synced();
        objects.services.set_synced();
        objects.slices.set_synced();
        objects.service_cidrs.set_synced();
    });
    let pod = Space::new("pod");
    add(&config, &pod, Value::Null);
    pod.serve_tcp("0.0.0.0:8080", "pod");
    running.change(|objects| {
        objects.slices.put(object(json!({
            "metadata": {
                "namespace": "default", "name": "web-1", "labels": { "kubernetes.io/service-name": "web" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["10.244.1.1"], "nodeName": "node" }],
        })));
    });
    running.change(|objects| {
        objects.services.put(object(json!({
            "metadata": { "namespace": "default", "name": "web" },
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.97.0.1", "clusterIPs": ["10.97.0.1"],
                "ports": [{ "port": 80, "protocol": "TCP" }],
            },
        })));
    });
    assert_eq!(space.ask("10.97.0.1:80"), "network unreachable", "nothing is known of its range");

    let range = |name: &str, cidrs: &[&str], ready: &str| {
        let ready = json!({
            "type": "Ready", "status": ready, "reason": "", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        object(json!({
            "metadata": { "name": name },
            "spec": { "cidrs": cidrs },
            "status": { "conditions": [ready] },
        }))
    };
    running.change(|objects| objects.service_cidrs.put(range("inner", &["10.97.0.128/25"], "True")));
    running.change(|objects| {
        objects.service_cidrs.put(range("added", &["10.97.0.0/24", "fd00:97::/112"], "True"));
    });
    assert!(routes(&space).contains("10.97.0.0/24 dev lo"), "{}", routes(&space));
    for client in [&space, &pod] {
        assert_eq!(client.ask("10.97.0.1:80"), "pod 192.0.2.1");
        assert_eq!(client.ask("10.97.0.9:80"), "timed out", "no such Service");
        assert_eq!(client.ask("10.97.0.200:80"), "timed out", "in both ranges");
    }

    assert_eq!(pod.ask("10.97.0.1:81"), "connection refused", "no such port");

    // One that is to go keeps its Services until they are gone; what is found of another process is known again.
    running.change(|objects| objects.service_cidrs.put(range("added", &["10.97.0.0/24"], "False")));
    assert_eq!(space.ask("10.97.0.1:80"), "pod 192.0.2.1");
    let objects = running.stop();
    objects.service_cidrs.remove(&api::Key::new("", "inner"));
    let mut running = Running::start(&space, config.clone(), objects);
    running.change(|_| {});
    assert_eq!(space.ask("10.97.0.1:80"), "pod 192.0.2.1");

    // Nobody cuts the node off.
    space.serve_tcp("192.0.2.1:8000", "node");
    running
        .change(|objects| objects.service_cidrs.put(range("all", &["192.0.0.0/16", "127.0.0.0/8"], "True")));
    assert_eq!(space.ask("192.0.2.1:8000"), "node 192.0.2.1");
    assert_eq!(pod.ask("192.0.2.1:8000"), "node 10.244.1.1");
    assert!(!routes(&space).contains("192.0.0.0/16"), "{}", routes(&space));

    running.change(|objects| objects.service_cidrs.remove(&api::Key::new("", "added")));
    assert_eq!(space.ask("10.97.0.9:80"), "network unreachable");
    running.change(|objects| objects.service_cidrs.put(range("other", &["10.97.0.0/16"], "True")));
    assert!(!routes(&space).contains("10.97.0.0/24"), "{}", routes(&space));
    assert_eq!(space.ask("10.97.0.9:80"), "timed out", "another range, with the same beginning");
    running.stop();
    space.enter(move || teardown(&config).unwrap());
    assert!(!routes(&space).contains("dev lo"), "{}", routes(&space));
}
