//! Tables of what Services become. Cases follow pkg/proxy/nftables/proxier_test.go and topology_test.go.

use super::plan::{Node, plan};
use api::core::v1::Service;
use api::discovery::v1::EndpointSlice;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

fn node() -> Node {
    Node {
        name: "here".to_owned(),
        zone: "zone-a".to_owned(),
        addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    }
}

/// An endpoint: its address, then words: a node's name after `@`, hints after `zone=` and `node=`, and any of
/// `unready`, `terminating`, `serving`.
fn endpoint(text: &str) -> Value {
    let mut words = text.split(' ');
    let mut endpoint = json!({ "addresses": [words.next().unwrap()], "conditions": {} });
    for word in words {
        if let Some(name) = word.strip_prefix('@') {
            endpoint["nodeName"] = name.into();
        } else if let Some(zone) = word.strip_prefix("zone=") {
            endpoint["hints"]["forZones"] = json!([{ "name": zone }]);
        } else if let Some(name) = word.strip_prefix("node=") {
            endpoint["hints"]["forNodes"] = json!([{ "name": name }]);
        } else {
            let conditions = &mut endpoint["conditions"];
            match word {
                "unready" => conditions["ready"] = false.into(),
                "terminating" => {
                    conditions["terminating"] = true.into();
                    conditions["ready"] = false.into();
                    conditions["serving"] = false.into();
                }
                "serving" => conditions["serving"] = true.into(),
                other => panic!("{other}"),
            }
        }
    }
    endpoint
}

fn slice(family: &str, ports: &Value, endpoints: &[&str]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints.iter().map(|text| endpoint(text)).collect();
    serde_json::from_value(json!({
        "metadata": { "namespace": "default", "name": "slice" },
        "addressType": family,
        "ports": ports,
        "endpoints": endpoints,
    }))
    .unwrap()
}

/// A Service with port 80 and what `more` says, and endpoints with port 8080.
fn check(more: Value, endpoints: &[&str], expected: Expect) {
    let mut service = json!({
        "metadata": { "namespace": "default", "name": "web" },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }],
        },
    });
    for (path, value) in more.as_object().unwrap() {
        let (parent, name) = path.rsplit_once('/').unwrap();
        service.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    let service: Service = serde_json::from_value(service).unwrap();
    let (v6, v4): (Vec<&str>, Vec<&str>) = endpoints.iter().partition(|text| text.contains(':'));
    let ports = json!([{ "name": "http", "port": 8080, "protocol": "TCP" }]);
    let slices = [slice("IPv4", &ports, &v4), slice("IPv6", &ports, &v6)];
    let slices: Vec<&EndpointSlice> = slices.iter().collect();
    expected.assert_eq(&plan(&service, &slices, &node()).to_string());
}

#[test]
fn cluster_ip() {
    check(
        json!({}),
        &[],
        expect![[r#"
        cluster-ips 10.96.0.1
        no-endpoints 10.96.0.1 tcp 80: reject
    "#]],
    );
    check(
        json!({}),
        &["10.244.0.1 @here", "10.244.1.1 @there"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-2
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 10.96.0.1 tcp 80 1: 10.244.1.1 8080
        hairpin 10.244.0.1
    "#]],
    );
    check(
        json!({}),
        &["10.244.0.1 @here unready"],
        expect![[r#"
        cluster-ips 10.96.0.1
        no-endpoints 10.96.0.1 tcp 80: reject
    "#]],
    );
}

#[test]
fn what_is_not_proxied() {
    let nothing = || expect![""];
    let some = ["10.244.0.1"];
    check(json!({ "/spec/clusterIP": "None", "/spec/clusterIPs": ["None"] }), &some, nothing());
    check(json!({ "/spec/clusterIP": "" }), &some, nothing());
    check(json!({ "/spec/type": "ExternalName" }), &some, nothing());
    let label = json!({ "service.kubernetes.io/service-proxy-name": "other" });
    check(json!({ "/metadata/labels": label }), &some, nothing());
    let label = json!({ "service.kubernetes.io/headless": "" });
    check(json!({ "/metadata/labels": label }), &some, nothing());
    check(json!({ "/spec/ports": [] }), &some, nothing());
}

#[test]
fn two_families() {
    check(
        json!({ "/spec/clusterIPs": ["10.96.0.1", "fd00:96::1"] }),
        &["10.244.0.1", "fd00:244::1", "fd00:244::2"],
        expect![[r#"
            cluster-ips 10.96.0.1
            cluster-ips fd00:96::1
            services 10.96.0.1 tcp 80: pick-cluster-1
            services fd00:96::1 tcp 80: pick-cluster-2
            endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
            endpoints fd00:96::1 tcp 80 0: fd00:244::1 8080
            endpoints fd00:96::1 tcp 80 1: fd00:244::2 8080
        "#]],
    );
}

#[test]
fn from_outside() {
    let port = json!([{ "name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP" }]);
    let balancer = json!({ "loadBalancer": { "ingress": [
        { "ip": "203.0.113.1", "ipMode": "VIP" },
        { "ip": "203.0.113.2", "ipMode": "Proxy" },
        { "hostname": "example.org" },
    ] } });
    let all = |policy: &str| {
        json!({
            "/spec/type": "LoadBalancer", "/spec/ports": port, "/status": balancer,
            "/spec/externalIPs": ["198.51.100.1", "2001:db8:1::1"],
            "/spec/externalTrafficPolicy": policy, "/spec/healthCheckNodePort": 32000,
        })
    };
    check(
        all("Cluster"),
        &["10.244.0.1 @here", "10.244.1.1 @there"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services node tcp 30080: pick-cluster-2-nodeport-masquerade
        services 10.96.0.1 tcp 80: pick-cluster-2
        services 198.51.100.1 tcp 80: pick-cluster-2-masquerade
        services 203.0.113.1 tcp 80: pick-cluster-2-masquerade
        endpoints node tcp 30080 0: 10.244.0.1 8080
        endpoints node tcp 30080 1: 10.244.1.1 8080
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 10.96.0.1 tcp 80 1: 10.244.1.1 8080
        endpoints 198.51.100.1 tcp 80 0: 10.244.0.1 8080
        endpoints 198.51.100.1 tcp 80 1: 10.244.1.1 8080
        endpoints 203.0.113.1 tcp 80 0: 10.244.0.1 8080
        endpoints 203.0.113.1 tcp 80 1: 10.244.1.1 8080
        hairpin 10.244.0.1
    "#]],
    );
    check(
        all("Local"),
        &["10.244.0.1 @here", "10.244.1.1 @there"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services node tcp 30080: external-local-nodeport
        services 10.96.0.1 tcp 80: pick-cluster-2
        services 198.51.100.1 tcp 80: external-local
        services 203.0.113.1 tcp 80: external-local
        shortcuts node tcp 30080: pick-cluster-2-nodeport
        shortcuts 198.51.100.1 tcp 80: pick-cluster-2
        shortcuts 203.0.113.1 tcp 80: pick-cluster-2
        locals node tcp 30080: pick-local-1-nodeport
        locals 198.51.100.1 tcp 80: pick-local-1
        locals 203.0.113.1 tcp 80: pick-local-1
        endpoints node tcp 30080 0: 10.244.0.1 8080
        endpoints node tcp 30080 1: 10.244.1.1 8080
        endpoints node tcp 30080 local 0: 10.244.0.1 8080
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 10.96.0.1 tcp 80 1: 10.244.1.1 8080
        endpoints 198.51.100.1 tcp 80 0: 10.244.0.1 8080
        endpoints 198.51.100.1 tcp 80 1: 10.244.1.1 8080
        endpoints 198.51.100.1 tcp 80 local 0: 10.244.0.1 8080
        endpoints 203.0.113.1 tcp 80 0: 10.244.0.1 8080
        endpoints 203.0.113.1 tcp 80 1: 10.244.1.1 8080
        endpoints 203.0.113.1 tcp 80 local 0: 10.244.0.1 8080
        hairpin 10.244.0.1
        health check 32000: 1
    "#]],
    );
    check(
        all("Local"),
        &["10.244.1.1 @there"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services node tcp 30080: external-local-nodeport
        services 10.96.0.1 tcp 80: pick-cluster-1
        services 198.51.100.1 tcp 80: external-local
        services 203.0.113.1 tcp 80: external-local
        shortcuts node tcp 30080: pick-cluster-1-nodeport
        shortcuts 198.51.100.1 tcp 80: pick-cluster-1
        shortcuts 203.0.113.1 tcp 80: pick-cluster-1
        no-endpoints node tcp 30080: drop
        no-endpoints 198.51.100.1 tcp 80: drop
        no-endpoints 203.0.113.1 tcp 80: drop
        endpoints node tcp 30080 0: 10.244.1.1 8080
        endpoints 10.96.0.1 tcp 80 0: 10.244.1.1 8080
        endpoints 198.51.100.1 tcp 80 0: 10.244.1.1 8080
        endpoints 203.0.113.1 tcp 80 0: 10.244.1.1 8080
        health check 32000: 0
    "#]],
    );
    check(
        all("Local"),
        &[],
        expect![[r#"
        cluster-ips 10.96.0.1
        no-endpoints node tcp 30080: reject
        no-endpoints 10.96.0.1 tcp 80: reject
        no-endpoints 198.51.100.1 tcp 80: reject
        no-endpoints 203.0.113.1 tcp 80: reject
        health check 32000: 0
    "#]],
    );
}

#[test]
fn internal_traffic_policy() {
    let local = || json!({ "/spec/internalTrafficPolicy": "Local" });
    check(
        local(),
        &["10.244.0.1 @here", "10.244.1.1 @there"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-local-1
        endpoints 10.96.0.1 tcp 80 local 0: 10.244.0.1 8080
        hairpin 10.244.0.1
    "#]],
    );
    check(
        local(),
        &["10.244.1.1 @there"],
        expect![[r#"
        cluster-ips 10.96.0.1
        no-endpoints 10.96.0.1 tcp 80: drop
    "#]],
    );
    check(
        local(),
        &["10.244.1.1 @there unready"],
        expect![[r#"
        cluster-ips 10.96.0.1
        no-endpoints 10.96.0.1 tcp 80: reject
    "#]],
    );
}

#[test]
fn terminating_endpoints() {
    let both = ["10.244.0.1 terminating serving", "10.244.0.2"];
    check(
        json!({}),
        &both,
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-1
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.2 8080
    "#]],
    );
    check(
        json!({}),
        &["10.244.0.1 terminating serving", "10.244.0.2 terminating"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-1
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
    "#]],
    );
    // The local ones on their own: one is ready elsewhere, here one still serves.
    check(
        json!({
            "/spec/type": "NodePort", "/spec/externalTrafficPolicy": "Local",
            "/spec/ports": [{ "name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP" }],
        }),
        &["10.244.0.1 @here terminating serving", "10.244.1.1 @there"],
        expect![[r#"
            cluster-ips 10.96.0.1
            services node tcp 30080: external-local-nodeport
            services 10.96.0.1 tcp 80: pick-cluster-1
            shortcuts node tcp 30080: pick-cluster-1-nodeport
            locals node tcp 30080: pick-local-1-nodeport
            endpoints node tcp 30080 0: 10.244.1.1 8080
            endpoints node tcp 30080 local 0: 10.244.0.1 8080
            endpoints 10.96.0.1 tcp 80 0: 10.244.1.1 8080
            hairpin 10.244.0.1
        "#]],
    );
}

#[test]
fn topology() {
    let near = ["10.244.0.1 zone=zone-a", "10.244.1.1 zone=zone-b"];
    check(
        json!({}),
        &near,
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-1
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
    "#]],
    );
    // One without a hint, or none for this zone: hints do not count.
    check(
        json!({}),
        &["10.244.0.1 zone=zone-a", "10.244.1.1"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-2
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 10.96.0.1 tcp 80 1: 10.244.1.1 8080
    "#]],
    );
    check(
        json!({}),
        &["10.244.0.1 zone=zone-c", "10.244.1.1 zone=zone-b"],
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-2
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 10.96.0.1 tcp 80 1: 10.244.1.1 8080
    "#]],
    );
    // Hints for nodes come first; those of endpoints that are not ready do not count.
    check(
        json!({}),
        &["10.244.0.1 node=here zone=zone-b", "10.244.1.1 node=there zone=zone-a", "10.244.1.2 unready"],
        expect![[r#"
            cluster-ips 10.96.0.1
            services 10.96.0.1 tcp 80: pick-cluster-1
            endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        "#]],
    );
}

#[test]
fn session_affinity() {
    check(
        json!({
            "/spec/sessionAffinity": "ClientIP",
            "/spec/sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 60 } },
        }),
        &["10.244.0.1", "10.244.1.1"],
        expect![[r#"
            cluster-ips 10.96.0.1
            services 10.96.0.1 tcp 80: pick-cluster-2-affinity-60
            affinity-marks 10.96.0.1 tcp 80 0: 558331cf
            affinity-marks 10.96.0.1 tcp 80 1: 4f96afee
            affinity-cluster 10.96.0.1 tcp 80 4f96afee: 10.244.1.1 8080
            affinity-cluster 10.96.0.1 tcp 80 558331cf: 10.244.0.1 8080
        "#]],
    );
    check(
        json!({ "/spec/sessionAffinity": "ClientIP" }),
        &["10.244.0.1"],
        expect![[r#"
            cluster-ips 10.96.0.1
            services 10.96.0.1 tcp 80: pick-cluster-1-affinity-10800
            affinity-marks 10.96.0.1 tcp 80 0: 558331cf
            affinity-cluster 10.96.0.1 tcp 80 558331cf: 10.244.0.1 8080
        "#]],
    );
}

#[test]
fn source_ranges() {
    let with = |ranges: Value| {
        json!({
            "/spec/type": "LoadBalancer", "/spec/loadBalancerSourceRanges": ranges,
            "/status": { "loadBalancer": { "ingress": [{ "ip": "203.0.113.1" }] } },
        })
    };
    let some = ["10.244.0.1"];
    check(
        with(json!([" 198.51.100.0/24", "198.51.100.7/32", "2001:db8::/32"])),
        &some,
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-1
        services 203.0.113.1 tcp 80: pick-cluster-1-masquerade
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 203.0.113.1 tcp 80 0: 10.244.0.1 8080
        firewalled 203.0.113.1 tcp 80
        source-ranges 203.0.113.1 tcp 80 198.51.100.0/24
    "#]],
    );
    check(
        with(json!(["192.0.2.0/24"])),
        &some,
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-1
        services 203.0.113.1 tcp 80: pick-cluster-1-masquerade
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 203.0.113.1 tcp 80 0: 10.244.0.1 8080
        firewalled 203.0.113.1 tcp 80
        source-ranges 203.0.113.1 tcp 80 192.0.2.0/24
        source-ranges 203.0.113.1 tcp 80 203.0.113.1/32
    "#]],
    );
    check(
        with(json!(["192.0.2.0/24", "0.0.0.0/0"])),
        &some,
        expect![[r#"
        cluster-ips 10.96.0.1
        services 10.96.0.1 tcp 80: pick-cluster-1
        services 203.0.113.1 tcp 80: pick-cluster-1-masquerade
        endpoints 10.96.0.1 tcp 80 0: 10.244.0.1 8080
        endpoints 203.0.113.1 tcp 80 0: 10.244.0.1 8080
    "#]],
    );
}

#[test]
fn udp_and_ports_by_name() {
    let service: Service = serde_json::from_value(json!({
        "metadata": { "namespace": "kube-system", "name": "kube-dns" },
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP" },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP" },
                { "name": "metrics", "port": 9153, "protocol": "TCP" },
            ],
        },
    }))
    .unwrap();
    let ports = json!([
        { "name": "dns", "port": 5353, "protocol": "UDP" },
        { "name": "dns-tcp", "port": 5354, "protocol": "TCP" },
        { "name": "zero", "port": 0, "protocol": "TCP" },
        { "port": 1, "protocol": "TCP" },
    ]);
    // The address is in two slices: once as a pod that goes, once as one that came.
    let old = slice("IPv4", &ports, &["10.244.0.1 terminating", "10.244.0.2 unready serving"]);
    let new = slice("IPv4", &ports, &["10.244.0.1"]);
    let rules = plan(&service, &[&old, &new], &node()).to_string();
    assert_eq!(rules, plan(&service, &[&new, &old], &node()).to_string(), "in any order");
    expect![[r#"
        cluster-ips 10.96.0.10
        services 10.96.0.10 tcp 53: pick-cluster-1
        services 10.96.0.10 udp 53: pick-cluster-1
        no-endpoints 10.96.0.10 tcp 9153: reject
        endpoints 10.96.0.10 tcp 53 0: 10.244.0.1 5354
        endpoints 10.96.0.10 udp 53 0: 10.244.0.1 5353
        udp 10.96.0.10 udp 53: 10.244.0.1 5353, 10.244.0.2 5353
    "#]]
    .assert_eq(&rules);
}
