//! Objects of priority and fairness have an effect.

use crate::server::{Server, until};
use crate::webhook::{Answer, Webhook};
use apiserver::api::{Fairness, Options};
use apiserver::flowcontrol::Limits;
use http::Method;

const GROUP: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const LEVEL: &str = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"PriorityLevelConfiguration","metadata":{"name":"few"},"spec":{"type":"Limited","limited":{"nominalConcurrencyShares":1,"limitResponse":{"type":"Reject"}}}}"#;
const SCHEMA: &str = r#"{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{"name":"visitors"},"spec":{"priorityLevelConfiguration":{"name":"few"},"matchingPrecedence":100,"rules":[{"subjects":[{"kind":"User","user":{"name":"visitor"}}],"nonResourceRules":[{"verbs":["get"],"nonResourceURLs":["*"]}]}]}}"#;

#[tokio::test]
async fn schemas_sort_requests_and_know_their_level() {
    let server = Server::start(Options::default()).await;
    let uid_of =
        |headers: &http::HeaderMap| headers["x-kubernetes-pf-flowschema-uid"].to_str().unwrap().to_owned();
    let visit = || server.call_as(&["visitor", "system:authenticated"], Method::GET, "/version", "");
    // The imagined catch-all has no UID.
    assert_eq!(uid_of(&visit().await.1), "");

    let (code, schema) = server.call(Method::POST, &format!("{GROUP}/flowschemas"), SCHEMA).await;
    assert_eq!(code, 201);
    let path = format!("{GROUP}/flowschemas/visitors");
    let dangling = || async {
        let (_, schema) = server.call(Method::GET, &path, "").await;
        let condition = schema.at("status").at("conditions").items().first().cloned().unwrap_or_default();
        format!("{} {}", condition.at("status").str(), condition.at("reason").str())
    };
    until(|| async { dangling().await == "True NotFound" }).await;
    assert_eq!(uid_of(&visit().await.1), "");

    let levels = format!("{GROUP}/prioritylevelconfigurations");
    assert_eq!(server.call(Method::POST, &levels, LEVEL).await.0, 201);
    until(|| async { dangling().await == "False Found" }).await;
    let uid = schema.at("metadata").at("uid").str().to_owned();
    assert_eq!(uid_of(&visit().await.1), uid);

    let dump = |what: &str| {
        let path = format!("/debug/api_priority_and_fairness/{what}");
        let (server, user) = (&server, ["admin", "system:masters"]);
        async move {
            let (code, _, body) = server.call_as(&user, Method::GET, &path, "").await;
            assert_eq!(code, 200);
            String::from_utf8(body.to_vec()).unwrap()
        }
    };
    let levels = dump("dump_priority_levels").await;
    let few = levels.lines().find(|l| l.starts_with("few,")).unwrap();
    let columns: Vec<&str> = few.split(',').map(str::trim).collect();
    assert_eq!(columns, ["few", "0", "true", "false", "0", "0", "1", "0", "0", "0"]);
    assert!(dump("dump_queues").await.starts_with("PriorityLevelName, Index, "));
    assert!(dump("dump_requests?includeRequestDetails=1").await.contains("SubResource"));
    let (_, _, metrics) = server.call_as(&["admin", "system:masters"], Method::GET, "/metrics", "").await;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let line =
        "apiserver_flowcontrol_dispatched_requests_total{flow_schema=\"visitors\",priority_level=\"few\"} 1";
    assert!(metrics.lines().any(|l| l == line));
}

/// Without fairness there are plain limits. A webhook that never answers keeps the only request that may write.
#[tokio::test]
async fn requests_over_the_limit_are_refused() {
    let fairness = Fairness::Off(Limits { reading: 0, mutating: 1 });
    let server = Server::start(Options { fairness, ..Options::default() }).await;
    let webhook = Webhook::start(|_, _| Answer::Hang).await;
    let config = String::from_utf8(value::json::to_vec(&webhook.client_config("/"))).unwrap();
    let webhooks = format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{{"name":"w"}},"webhooks":[{{"name":"w.example.org","sideEffects":"None","admissionReviewVersions":["v1"],"clientConfig":{config},"rules":[{{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["namespaces"]}}]}}]}}"#
    );
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    assert_eq!(server.call(Method::POST, path, &webhooks).await.0, 201);
    let namespaces = "/api/v1/namespaces";
    let object = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"generateName":"n-"}}"#;
    let visitor = ["visitor", "system:authenticated"];
    let hanging = async {
        // At first the configuration is not known yet.
        while server.call(Method::POST, namespaces, object).await.0 == 201 {
            tokio::task::yield_now().await;
        }
    };
    {
        tokio::pin!(hanging);
        let asked = until(|| async { webhook.count() > 0 });
        tokio::select! {
            () = &mut hanging => panic!("the webhook has answered"),
            () = asked => {}
        }
        let (code, headers, body) = server.call_as(&visitor, Method::POST, namespaces, object).await;
        assert_eq!((code, &*body), (429, &b"Too many requests, please try again later.\n"[..]));
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(headers.get_all("x-content-type-options").iter().collect::<Vec<_>>(), ["nosniff"]);
        // Whoever reads, and a superuser, gets an answer all the same.
        assert_eq!(server.call_as(&visitor, Method::GET, namespaces, "").await.0, 403);
        let dry_run = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}"#;
        let path = "/api/v1/namespaces/none/configmaps";
        assert_eq!(server.call(Method::POST, path, dry_run).await.0, 404);
    }
    // The first one's client has gone, so that there is room.
    assert_eq!(server.call_as(&visitor, Method::POST, namespaces, object).await.0, 403);
}

/// Schemas are shown in the order in which they are tried.
#[tokio::test]
async fn tables_of_schemas_are_sorted_by_precedence() {
    let server = Server::start(Options::default()).await;
    let path = format!("{GROUP}/flowschemas");
    for (name, precedence) in [("a", 300), ("b", 200), ("c", 200), ("d", 100)] {
        let schema = format!(
            r#"{{"apiVersion":"flowcontrol.apiserver.k8s.io/v1","kind":"FlowSchema","metadata":{{"name":"{name}"}},"spec":{{"priorityLevelConfiguration":{{"name":"few"}},"matchingPrecedence":{precedence}}}}}"#
        );
        assert_eq!(server.call(Method::POST, &path, &schema).await.0, 201);
    }
    let rows = async |query: &str| {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io".parse().unwrap();
        let headers = http::HeaderMap::from_iter([(http::header::ACCEPT, accept)]);
        let table = server.get_with(&format!("{path}{query}"), headers).await;
        let names = table.at("rows").items().iter().map(|row| row.at("cells").items()[0].str().to_owned());
        names.collect::<Vec<_>>().join("")
    };
    assert_eq!(rows("").await, "dbca");
    // Of a part, what it holds.
    assert_eq!(rows("?limit=3").await, "bca");
    let (_, list) = server.call(Method::GET, &path, "").await;
    let names: Vec<&str> =
        list.at("items").items().iter().map(|s| s.at("metadata").at("name").str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}
