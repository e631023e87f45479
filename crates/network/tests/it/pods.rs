//! The plugin and the agent.

use crate::world::{NodeSpace, Space, can_make_namespaces};
use serde_json::{Value, json};

#[test]
fn a_pod_comes_and_goes() {
    if !can_make_namespaces() {
        return;
    }
    let mut node = NodeSpace::new();
    let early = Space::new("early");
    let (code, error) = node.plugin("ADD", &early, Value::Null);
    assert_eq!((code, &error["code"]), (1, &json!(11)), "no ranges yet: {error}");
    assert_eq!(node.plugin("STATUS", &early, Value::Null).1["code"], 50);
    assert!(!node.config().configurations.join("10-corten.conflist").exists());

    node.set_pod_cidrs(&["10.244.1.0/24", "fd00:244:1::/64"]);
    assert!(node.config().configurations.join("10-corten.conflist").exists());
    assert!(node.config().plugins.join("corten-cni").is_symlink());
    assert_eq!(node.plugin("STATUS", &early, Value::Null), (0, Value::Null));

    let one = node.pod(Value::Null);
    let two = node.pod(Value::Null);
    assert_eq!(one.result["ips"][0]["address"], "10.244.1.1/32");
    assert_eq!(one.result["ips"][1]["address"], "fd00:244:1::1/128");
    assert_eq!(one.result["interfaces"][1]["mtu"], 1400);
    assert_eq!(two.result["ips"][0]["address"], "10.244.1.2/32");
    let again = node.plugin("ADD", &one.space, Value::Null);
    assert_eq!(again, (0, one.result.clone()), "done twice it is the same");
    assert_eq!(node.plugin("CHECK", &one.space, Value::Null), (0, Value::Null));

    // Pod to pod, node to pod, pod to node; both families.
    two.space.serve_tcp("10.244.1.2:80", "two");
    two.space.serve_tcp("[fd00:244:1::2]:80", "two");
    node.space.serve_tcp("192.0.2.1:80", "node");
    assert_eq!(one.space.ask("10.244.1.2:80"), "two 10.244.1.1");
    assert_eq!(one.space.ask("[fd00:244:1::2]:80"), "two fd00:244:1::1");
    assert_eq!(node.space.ask("10.244.1.2:80"), "two 192.0.2.1");
    assert_eq!(node.space.ask("[fd00:244:1::2]:80"), "two 2001:db8::1");
    assert_eq!(one.space.ask("192.0.2.1:80"), "node 10.244.1.1");

    // Another agent knows them, and goes on counting.
    node.stop();
    assert_eq!(node.plugin("CHECK", &one.space, Value::Null).1["code"], 11, "nobody is there");
    assert_eq!(one.space.ask("10.244.1.2:80"), "two 10.244.1.1", "pods need no agent");
    node.start();
    assert_eq!(node.plugin("CHECK", &one.space, Value::Null), (0, Value::Null));
    let three = node.pod(json!({ "cniVersion": "0.4.0" }));
    assert_eq!(three.result["ips"][0]["address"], "10.244.1.3/32");
    assert_eq!(three.result["ips"][0]["version"], "4");

    // DEL, twice; the interface is gone.
    for _ in 0..2 {
        assert_eq!(node.plugin("DEL", &two.space, Value::Null), (0, Value::Null));
    }
    assert_eq!(node.plugin("CHECK", &two.space, Value::Null).1["code"], 3);
    assert_ne!(one.space.ask("10.244.1.2:80"), "two 10.244.1.1");

    // GC keeps what is listed.
    let keep = json!([{ "containerID": one.space.name, "ifname": "eth0" }]);
    let collected = node.plugin("GC", &one.space, json!({ "cni.dev/valid-attachments": keep }));
    assert_eq!(collected, (0, Value::Null));
    assert_eq!(node.plugin("CHECK", &one.space, Value::Null), (0, Value::Null));
    assert_eq!(node.plugin("CHECK", &three.space, Value::Null).1["code"], 3);

    // A pod that goes while no agent is there.
    node.stop();
    assert_eq!(node.plugin("DEL", &one.space, Value::Null), (0, Value::Null));
    assert_eq!(node.plugin("DEL", &one.space, Value::Null), (0, Value::Null));
    drop(one);
    node.start();
    let files = std::fs::read_dir(node.config().state).unwrap();
    let left = files
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().ends_with(".attachment.json"));
    assert_eq!(left.count(), 0, "nothing leaks");
}

#[test]
fn loopback_goes_up() {
    if !can_make_namespaces() {
        return;
    }
    let pod = Space::new("loopback");
    let environment = |name: &str| match name {
        "CNI_COMMAND" => Some("ADD".to_owned()),
        "CNI_CONTAINERID" => Some("c".to_owned()),
        "CNI_NETNS" => Some(pod.path()),
        "CNI_IFNAME" => Some("lo".to_owned()),
        _ => None,
    };
    let configuration = json!({ "cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback" });
    let (code, output) = network::cni::plugin(&environment, configuration.to_string().as_bytes());
    let result: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((code, &result["ips"][0]["address"]), (0, &json!("127.0.0.1/8")));
    pod.serve_tcp("127.0.0.1:80", "self");
    assert_eq!(pod.ask("127.0.0.1:80"), "self 127.0.0.1");
}
