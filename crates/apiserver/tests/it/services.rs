//! Where Services get their addresses from.

use crate::server::Server;
use apiserver::bootstrap;
use http::Method;
use value::json;

const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

/// Lets the cache show what was written.
async fn settle(server: &Server) {
    server.api.published.reached(server.store.revision().await.unwrap()).await;
}

/// The address that a new Service gets that asks for `ip`, or for any if that is empty; or why it gets none.
async fn address(server: &Server, ip: &str) -> Result<String, String> {
    settle(server).await;
    let asked = if ip.is_empty() { String::new() } else { format!(r#","clusterIP":"{ip}""#) };
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"generateName":"s-"}},"spec":{{"ports":[{{"port":80}}]{asked}}}}}"#
    );
    let (code, service) = server.call(Method::POST, SERVICES, &body).await;
    match code {
        201 => Ok(service.at("spec").at("clusterIP").str().to_owned()),
        _ => Err(service.at("message").str().to_owned()),
    }
}

/// Merges a change into a range.
async fn change(server: &Server, path: &str, change: &str) {
    let change = json::parse(change.as_bytes()).unwrap();
    let answer =
        bootstrap::call(&server.api, Method::PATCH, &format!("{RANGES}/{path}"), Some(&change)).await;
    assert_eq!(answer.unwrap().0, 200, "{path}");
}

async fn condition(server: &Server, name: &str, status: &str) {
    let body = format!(
        r#"{{"status":{{"conditions":[{{"type":"Ready","status":"{status}","reason":"T","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}}]}}}}"#
    );
    change(server, &format!("{name}/status"), &body).await;
}

/// Upstream: `ipallocator/cidrallocator.go`.
#[tokio::test]
async fn addresses_are_from_ranges_that_are_ready_and_stay() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &bootstrap::Options::default()).await;
    let refused = |ip: &str, found: Result<String, String>| {
        let why = found.expect_err("there is no such range");
        let text =
            format!("failed to allocate IP {ip}: the provided network does not match the current range");
        assert!(why.contains(&text), "{why}");
    };
    refused("10.97.0.5", address(&server, "10.97.0.5").await);

    let range = format!(
        r#"{{"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{{"name":"more","finalizers":["{FINALIZER}"]}},"spec":{{"cidrs":["10.97.0.0/24"]}}}}"#
    );
    assert_eq!(server.call(Method::POST, RANGES, &range).await.0, 201);
    // Nobody says that it is not ready.
    assert_eq!(address(&server, "10.97.0.5").await, Ok("10.97.0.5".into()));
    condition(&server, "more", "False").await;
    refused("10.97.0.6", address(&server, "10.97.0.6").await);
    condition(&server, "more", "True").await;
    assert_eq!(address(&server, "10.97.0.6").await, Ok("10.97.0.6".into()));
    let why = address(&server, "10.97.0.6").await.unwrap_err();
    assert!(why.contains("provided IP is already allocated"), "{why}");
    assert!(address(&server, "").await.unwrap().starts_with("10.96."), "the default range is not full");

    // The default range is to go: all are from the other, until that is to go too.
    let guard = format!(r#"{{"metadata":{{"finalizers":["{FINALIZER}"]}}}}"#);
    change(&server, "kubernetes", &guard).await;
    let (code, going) = server.call(Method::DELETE, &format!("{RANGES}/kubernetes"), "").await;
    assert_eq!((code, going.at("metadata").at("deletionTimestamp").is_null()), (200, false));
    assert!(address(&server, "").await.unwrap().starts_with("10.97.0."));
    refused("10.96.0.77", address(&server, "10.96.0.77").await);
    assert_eq!(server.call(Method::DELETE, &format!("{RANGES}/more"), "").await.0, 200);
    refused("10.97.0.7", address(&server, "10.97.0.7").await);
    let why = address(&server, "").await.unwrap_err();
    let start = r#"Internal error occurred: failed to allocate a serviceIP for Service "s-"#;
    assert!(why.starts_with(start) && why.ends_with("range is full"), "{why}");
}

/// Upstream: `updateClusterIPs` in `pkg/registry/core/service/storage/alloc.go`.
#[tokio::test]
async fn an_address_that_may_not_change_is_not_looked_for() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &bootstrap::Options::default()).await;
    let given = r#"{"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.9","ports":[{"port":80}]}}"#;
    assert_eq!(server.call(Method::POST, SERVICES, given).await.0, 201);
    for ip in ["10.1.2.3", "10.96.0.7", "10.96.0.1"] {
        let changed = given.replace("10.96.0.9", ip);
        let (code, refused) = server.call(Method::PUT, &format!("{SERVICES}/a"), &changed).await;
        let why = format!(
            r#"Service "a" is invalid: spec.clusterIPs[0]: Invalid value: ["{ip}"]: may not change once set"#
        );
        assert_eq!((code, refused.at("message").str()), (422, why.as_str()));
    }
}

/// Node ports that a load balancer has stay when it is to get none, unless the writer leaves them out
/// (`patchAllocatedValues`).
#[tokio::test]
async fn node_ports_stay_where_no_new_ones_are_allocated() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &bootstrap::Options::default()).await;
    let path = format!("{SERVICES}/a");
    let service = |more: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"a"}},"spec":{{"type":"LoadBalancer","ports":[{{"port":80{more}}}]}}}}"#
        )
    };
    let (code, made) = server.call(Method::POST, SERVICES, &service("")).await;
    assert_eq!(code, 201, "{made:?}");
    let port = |service: &value::Value| service.at("spec").at("ports").items()[0].at("nodePort").as_i64();
    let given = port(&made).expect("it has one");

    let none = json::parse(br#"{"spec":{"allocateLoadBalancerNodePorts":false}}"#).unwrap();
    let kept = bootstrap::call(&server.api, Method::PATCH, &path, Some(&none)).await.unwrap();
    assert_eq!((kept.0, port(&kept.1)), (200, Some(given)));
    let without = service("").replace(r#""type""#, r#""allocateLoadBalancerNodePorts":false,"type""#);
    let (code, gone) = server.call(Method::PUT, &path, &without).await;
    assert_eq!((code, port(&gone)), (200, None), "{gone:?}");
}

/// Ports of a type that has none are given back, though who changes the type leaves them where they are.
#[tokio::test]
async fn node_ports_go_with_the_type() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &bootstrap::Options::default()).await;
    let service = |name: &str, port: u16| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}"}},"spec":{{"type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":30778,"ports":[{{"port":80,"nodePort":{port}}}]}}}}"#
        )
    };
    let changes = [
        r#"{"spec":{"type":"ClusterIP"}}"#,
        r#"{"spec":{"type":"ExternalName","externalName":"a.b","clusterIP":null,"clusterIPs":null}}"#,
        r#"{"spec":{"type":"ClusterIP","externalTrafficPolicy":null}}"#,
    ];
    for (name, change) in ["a", "b", "c"].into_iter().zip(changes) {
        let (code, made) = server.call(Method::POST, SERVICES, &service(name, 30777)).await;
        assert_eq!(code, 201, "{made:?}");
        let change = json::parse(change.as_bytes()).unwrap();
        let path = format!("{SERVICES}/{name}");
        let (code, changed) =
            bootstrap::call(&server.api, Method::PATCH, &path, Some(&change)).await.unwrap();
        assert_eq!(code, 200, "{changed:?}");
    }
    let (code, made) = server.call(Method::POST, SERVICES, &service("d", 30777)).await;
    assert_eq!(code, 201, "{made:?}");
    let (code, _) = server.call(Method::POST, SERVICES, &service("e", 30777)).await;
    assert_eq!(code, 422, "it is held");
}

/// Endpoints go with the Service whose name they have; a dry run looks at one range, and not at what is taken.
#[tokio::test]
async fn deletions_and_dry_runs() {
    let server = Server::start(apiserver::api::Options::default()).await;
    bootstrap::run_with(&server.api, &bootstrap::Options::default()).await;
    let endpoints = "/api/v1/namespaces/default/endpoints";
    let service =
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":80}]}}"#;
    assert_eq!(server.call(Method::POST, SERVICES, service).await.0, 201);
    let own = r#"{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"a"}}"#;
    assert_eq!(server.call(Method::POST, endpoints, own).await.0, 201);
    settle(&server).await;
    let path = format!("{SERVICES}/a");
    assert_eq!(server.call(Method::DELETE, &format!("{path}?dryRun=All"), "").await.0, 200);
    assert_eq!(server.call(Method::GET, &format!("{endpoints}/a"), "").await.0, 200);
    assert_eq!(server.call(Method::DELETE, &path, "").await.0, 200);
    assert_eq!(server.call(Method::GET, &format!("{endpoints}/a"), "").await.0, 404);

    assert_eq!(address(&server, "10.96.0.9").await, Ok("10.96.0.9".into()));
    settle(&server).await;
    let asking = |ip: &str| service.replace(r#""ports""#, &format!(r#""clusterIP":"{ip}","ports""#));
    let dry = format!("{SERVICES}?dryRun=All");
    assert_eq!(server.call(Method::POST, &dry, &asking("10.96.0.9")).await.0, 201);
    let (code, refused) = server.call(Method::POST, &dry, &asking("11.1.1.1")).await;
    let text = "the provided IP (11.1.1.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16";
    assert!(code == 422 && refused.at("message").str().ends_with(text), "{refused:?}");
}
