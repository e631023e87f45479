//! What the audit log tells of a few requests.

use crate::server::Server;
use apiserver::api::Options;
use apiserver::audit::{Audit, Config, Format, LogConfig};
use auth::UserInfo;
use bytes::Bytes;
use http::{Method, Request};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use value::{Value, json};

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: ["/version*"]}
- {level: None, users: ["system:apiserver"]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata, omitStages: [RequestReceived]}
"#;

struct Logged {
    dir: tempfile::TempDir,
    server: Server,
}

impl Logged {
    async fn start(format: Format) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let policy_file = dir.path().join("policy.yaml");
        std::fs::write(&policy_file, POLICY).unwrap();
        let log = LogConfig { format, ..LogConfig::new(dir.path().join("audit.log")) };
        let audit = Audit::open(&Config { policy_file, log }).unwrap();
        let server = Server::start(Options { audit: Some(audit), ..Options::default() }).await;
        Self { dir, server }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    /// The lines since the last time.
    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        std::fs::write(self.path(), "").unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn events(&self) -> Vec<Value> {
        self.lines().iter().map(|l| json::parse(l.as_bytes()).unwrap()).collect()
    }
}

fn stages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e.at("stage").str()).collect()
}

/// Without an audit log as well.
#[tokio::test]
async fn every_answer_has_an_id_and_the_clients_if_it_gave_one() {
    let server = Server::start(Options::default()).await;
    let id = async |path: &str, given: &str| {
        let user = Arc::new(UserInfo::new("admin", &["system:masters"]));
        let request = Request::builder().uri(path).header("audit-id", given).body(Bytes::new()).unwrap();
        let response = server.api.call(user, request).await;
        response.headers()["audit-id"].to_str().unwrap().to_owned()
    };
    let mut seen = HashSet::new();
    for path in ["/version", "/api/v1/namespaces/none", "/nowhere"] {
        let made = id(path, "").await;
        assert_eq!(uuid::Uuid::parse_str(&made).unwrap().get_version_num(), 4, "{made}");
        assert!(seen.insert(made));
        assert_eq!(id(path, "mine").await, "mine");
    }
}

#[tokio::test]
async fn a_request_is_told_as_the_policy_says() {
    let logged = Logged::start(Format::Json).await;
    let server = &logged.server;
    server.call(Method::GET, "/version", "").await;
    assert!(logged.lines().is_empty());

    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}"#;
    server.call(Method::POST, "/api/v1/namespaces", namespace).await;
    let lines = logged.lines();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    let event = json::parse(line.as_bytes()).unwrap();
    let want = format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"{}","stage":"ResponseComplete","requestURI":"/api/v1/namespaces","verb":"create","user":{{"username":"admin","groups":["system:masters"]}},"sourceIPs":["::1"],"userAgent":"test","objectRef":{{"resource":"namespaces","name":"a","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":201}},"requestReceivedTimestamp":"{}","stageTimestamp":"{}","annotations":{{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":""}}}}"#,
        event.at("auditID").str(),
        event.at("requestReceivedTimestamp").str(),
        event.at("stageTimestamp").str(),
    );
    assert_eq!(*line, want);
    assert_eq!(event.at("stageTimestamp").str().len(), "2006-01-02T15:04:05.000000Z".len());

    let configmap = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"<b>"}}"#;
    let path = "/api/v1/namespaces/a/configmaps";
    let (_, headers, _) = server.call_as(&["admin", "system:masters"], Method::POST, path, configmap).await;
    let events = logged.events();
    assert_eq!(stages(&events), ["RequestReceived", "ResponseComplete"]);
    assert_eq!(headers["audit-id"], events[0].at("auditID").str());
    assert!(events[0].at("requestObject").is_null() && events[0].at("responseStatus").is_null());
    assert_eq!(events[0].at("requestReceivedTimestamp"), events[0].at("stageTimestamp"));
    let done = &events[1];
    assert_eq!(done.at("auditID"), events[0].at("auditID"));
    assert_eq!(done.at("requestObject").at("data").at("a").str(), "<b>");
    assert_eq!(done.at("requestObject").at("metadata").at("namespace").str(), "a");
    assert!(done.at("responseObject").at("metadata").at("managedFields").is_null());
    assert!(!done.at("responseObject").at("metadata").at("uid").str().is_empty());
    assert_eq!(done.at("objectRef").at("name").str(), "c");

    let item = format!("{path}/c");
    server.call(Method::DELETE, &item, r#"{"kind":"DeleteOptions","apiVersion":"v1"}"#).await;
    let events = logged.events();
    assert_eq!(events[1].at("requestObject").at("kind").str(), "DeleteOptions");
    assert_eq!(events[1].at("responseStatus").at("status").str(), "Success");
    assert_eq!(events[1].at("responseStatus").at("code").int(), 200);
    server.call(Method::GET, &item, "").await;
    let events = logged.events();
    let status = events[1].at("responseStatus");
    assert_eq!((status.at("reason").str(), status.at("code").int()), ("NotFound", 404));
    assert_eq!(events[1].at("responseObject").at("kind").str(), "Status");

    let (code, _, _) = server.call_as(&["nobody"], Method::GET, "/api/v1/nodes", "").await;
    assert_eq!(code, 403);
    let events = logged.events();
    assert_eq!(events[0].at("annotations").at("authorization.k8s.io/decision").str(), "forbid");
    assert_eq!(events[0].at("responseStatus").at("code").int(), 403);
}

#[tokio::test]
async fn long_answers_are_told_twice() {
    let logged = Logged::start(Format::Json).await;
    let path = "/api/v1/namespaces?watch=true&timeoutSeconds=1";
    let request = http::Request::builder().uri(path).body(bytes::Bytes::new()).unwrap();
    let user = std::sync::Arc::new(auth::UserInfo::new("admin", &["system:masters"]));
    let response = logged.server.api.call(user, request).await;
    assert_eq!(stages(&logged.events()), ["ResponseStarted"]);
    drop(response);
    let events = logged.events();
    assert_eq!(stages(&events), ["ResponseComplete"]);
    assert_eq!(events[0].at("responseStatus").at("code").int(), 200);
    assert_eq!(events[0].at("requestURI").str(), path);
    assert_eq!(events[0].at("verb").str(), "watch");
}

#[tokio::test]
async fn legacy_lines() {
    let logged = Logged::start(Format::Legacy).await;
    logged.server.call(Method::GET, "/api/v1/namespaces/x", "").await;
    let lines = logged.lines();
    let tail = lines[0].split_once("stage=").unwrap().1;
    assert_eq!(
        tail,
        r#""ResponseComplete" ip="::1" method="get" user="admin" groups="\"system:masters\"" as="<self>" asgroups="<lookup>" user-agent="test" namespace="x" uri="/api/v1/namespaces/x" response="404""#
    );
}
