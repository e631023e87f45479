//! Health, of a server whose store becomes full and then fails.

use crate::server::{Server, until};
use apiserver::api::Options;
use apiserver::bootstrap;
use apiserver::health::Component;
use expect_test::expect;
use http::Method;
use std::sync::Arc;
use std::time::Duration;
use store::{EmbeddedStore, Error, Expect, ManualClock, Store, Txn};

async fn get(server: &Server, path: &str) -> (u16, String) {
    let user = ["admin", "system:masters"];
    let (code, _, body) = server.call_as(&user, Method::GET, path, "").await;
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn checks_tell_what_is_so() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(1_000_000));
    let store = Arc::new(
        EmbeddedStore::open_with(store::embedded::Options {
            quota_bytes: 8 << 20,
            reserve_bytes: 1 << 20,
            clock: clock.clone(),
            ..store::embedded::Options::new(directory.path())
        })
        .unwrap(),
    );
    let server = Server::on(store.clone(), Options::default()).await.unwrap();
    let (code, text) = get(&server, "/readyz").await;
    assert_eq!(code, 500, "nothing of what every cluster has is there");
    assert!(text.contains("[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n"), "{text}");
    bootstrap::run(&server.api).await;
    until(async || get(&server, "/readyz/autoregister-completion").await.0 == 200).await;

    for path in ["/healthz", "/livez", "/readyz", "/readyz/poststarthook/rbac/bootstrap-roles", "/livez/etcd"]
    {
        assert_eq!(get(&server, path).await, (200, "ok".into()), "{path}");
    }
    for path in [
        "/readyz/",
        "/readyz/foo",
        "/readyz/etcd",
        "/readyz/loopback-serving-certificate",
        "/livez/shutdown",
        "/healthz/etcd-readiness",
    ] {
        assert_eq!(get(&server, path).await, (404, "404 page not found\n".into()), "{path}");
    }
    expect![[r#"
        [+]ping ok
        [+]log ok
        [+]loopback-serving-certificate ok
        [+]etcd ok
        [+]poststarthook/start-apiserver-admission-initializer ok
        [+]poststarthook/generic-apiserver-start-informers ok
        [+]poststarthook/priority-and-fairness-config-consumer ok
        [+]poststarthook/priority-and-fairness-filter ok
        [+]poststarthook/storage-object-count-tracker-hook ok
        [+]poststarthook/start-apiextensions-informers ok
        [+]poststarthook/start-apiextensions-controllers ok
        [+]poststarthook/crd-informer-synced ok
        [+]poststarthook/start-system-namespaces-controller ok
        [+]poststarthook/peer-endpoint-reconciler-controller ok
        [+]poststarthook/start-cluster-authentication-info-controller ok
        [+]poststarthook/start-kube-apiserver-identity-lease-controller ok
        [+]poststarthook/start-kube-apiserver-identity-lease-garbage-collector ok
        [+]poststarthook/storage-readiness ok
        [+]poststarthook/start-legacy-token-tracking-controller ok
        [+]poststarthook/start-service-ip-repair-controllers ok
        [+]poststarthook/rbac/bootstrap-roles ok
        [+]poststarthook/scheduling/bootstrap-system-priority-classes ok
        [+]poststarthook/priority-and-fairness-config-producer ok
        [+]poststarthook/bootstrap-controller ok
        [+]poststarthook/start-kubernetes-service-cidr-controller ok
        [+]poststarthook/aggregator-reload-proxy-client-cert ok
        [+]poststarthook/start-kube-aggregator-informers ok
        [+]poststarthook/apiservice-status-local-available-controller ok
        [+]poststarthook/apiservice-status-remote-available-controller ok
        [+]poststarthook/apiservice-registration-controller ok
        [+]poststarthook/apiservice-wait-for-first-sync ok
        [+]poststarthook/apiservice-discovery-controller ok
        [+]poststarthook/kube-apiserver-autoregistration ok
        [+]autoregister-completion ok
        [+]poststarthook/apiservice-openapi-controller ok
        [+]poststarthook/apiservice-openapiv3-controller ok
        livez check passed
    "#]]
    .assert_eq(&get(&server, "/livez?verbose").await.1);

    let mut keys = 0;
    while store.txn(Txn::put(format!("/other/{keys}"), vec![7; 100_000])).await.is_ok() {
        keys += 1;
    }
    assert_eq!(get(&server, "/livez").await.0, 200, "a new start would not help");
    let (code, text) = get(&server, "/readyz").await;
    assert_eq!(code, 500);
    expect![[r#"
        [+]ping ok
        [+]log ok
        [-]etcd-readiness failed: reason withheld
        [+]informer-sync ok
    "#]]
    .assert_eq(&text[..text.find("[+]posts").unwrap()]);
    assert!(text.ends_with("[+]shutdown ok\nreadyz check failed\n"), "{text}");
    let (code, text) = get(&server, "/readyz/etcd-readiness").await;
    assert_eq!((code, &*text), (500, &*format!("internal server error: {}\n", Error::NoSpace)));
    let (code, text) = get(&server, "/readyz?verbose&exclude=etcd-readiness&exclude=foo&exclude=bar").await;
    assert_eq!(code, 200);
    assert!(text.contains("[+]etcd-readiness excluded: ok\n"), "{text}");
    let end =
        "warn: some health checks cannot be excluded: no matches for \"bar\",\"foo\"\nreadyz check passed\n";
    assert!(text.ends_with(end), "{text}");

    for key in 0..keys {
        store.txn(Txn::delete(format!("/other/{key}"), Expect::Any)).await.unwrap();
    }
    clock.advance(Duration::from_secs(1));
    // The committer has looked once it has answered.
    store.txn(Txn::put("/other/small", "1")).await.unwrap();
    assert_eq!(get(&server, "/readyz").await, (200, "ok".into()));

    // Only answers that are of all checks count, with those that were not excluded.
    let (code, text) = get(&server, "/metrics/slis").await;
    assert_eq!(code, 200);
    let told: Vec<&str> = text.lines().filter(|line| line.contains("\"etcd")).collect();
    assert_eq!(
        told,
        [
            r#"kubernetes_healthcheck{name="etcd",type="healthz"} 1"#,
            r#"kubernetes_healthcheck{name="etcd",type="livez"} 1"#,
            r#"kubernetes_healthcheck{name="etcd-readiness",type="readyz"} 1"#,
            r#"kubernetes_healthchecks_total{name="etcd",status="success",type="healthz"} 1"#,
            r#"kubernetes_healthchecks_total{name="etcd",status="success",type="livez"} 3"#,
            r#"kubernetes_healthchecks_total{name="etcd-readiness",status="error",type="readyz"} 1"#,
            r#"kubernetes_healthchecks_total{name="etcd-readiness",status="success",type="readyz"} 3"#,
        ]
    );

    store.close();
    until(async || get(&server, "/readyz/shutdown").await.0 == 500).await;
    let (code, text) = get(&server, "/readyz").await;
    assert_eq!(code, 500);
    for failed in ["etcd-readiness", "informer-sync", "shutdown"] {
        assert!(text.contains(&format!("[-]{failed} failed: reason withheld\n")), "{failed}: {text}");
    }
    let (_, text) = get(&server, "/livez/etcd").await;
    assert_eq!(
        text,
        "internal server error: error getting data from etcd: store stopped: the store is closed\n"
    );
}

#[tokio::test]
async fn components_are_asked() {
    let server = Server::start(Options::default()).await;
    let path = "/api/v1/componentstatuses";
    let listed = async || {
        let (code, list) = server.call(Method::GET, path, "").await;
        assert_eq!(code, 200);
        let health = |item: &value::Value| {
            let condition = &item.at("conditions").items()[0];
            let words = [item.at("metadata").at("name"), condition.at("status"), condition.at("message")];
            words.map(|word| word.str().to_owned()).join(" ")
        };
        list.at("items").items().iter().map(health).collect::<Vec<_>>().join("\n")
    };
    server.api.health.component_runs(Component::Scheduler);
    server.api.health.component_runs(Component::ControllerManager);
    expect![[r#"
        scheduler True ok
        controller-manager True ok
        etcd-0 True ok"#]]
    .assert_eq(&listed().await);

    let table = "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap();
    let table = server.get_with(path, http::HeaderMap::from_iter([(http::header::ACCEPT, table)])).await;
    let cells = value::json::to_vec(table.at("rows").items()[2].at("cells"));
    assert_eq!(String::from_utf8_lossy(&cells), r#"["etcd-0","Healthy","ok",""]"#);
    let (code, one) = server.call(Method::GET, &format!("{path}/etcd-0"), "").await;
    assert_eq!(
        (code, one.at("kind").str(), one.at("metadata").at("name").str()),
        (200, "ComponentStatus", "etcd-0")
    );
    let (code, none) = server.call(Method::GET, &format!("{path}/foo"), "").await;
    assert_eq!((code, none.at("message").str()), (404, "componentstatus \"foo\" not found"));
    for (query, count) in [
        ("labelSelector=a%3Db", 0),
        ("labelSelector=a%21%3Db", 3),
        ("fieldSelector=metadata.name%3Dscheduler", 1),
        ("fieldSelector=metadata.name%21%3Dscheduler", 2),
    ] {
        let (code, list) = server.call(Method::GET, &format!("{path}?{query}"), "").await;
        assert_eq!((code, list.at("items").items().len()), (200, count), "{query}");
    }
}
