//! Flags of the server that are upstream's.

use crate::process::{Api, Process};
use http::Method;

const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
    - {level: Metadata, nonResourceURLs: [\"/version\"]}\n- {level: None}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_written_as_its_flags_say() {
    let root = tempfile::tempdir().unwrap();
    let (policy, log) = (root.path().join("policy.yaml"), root.path().join("audit.log"));
    std::fs::write(&policy, POLICY).unwrap();
    let flags = [
        &format!("--audit-policy-file={}", policy.display()),
        &format!("--audit-log-path={}", log.display()),
        "--audit-log-format=legacy",
        "--audit-log-mode=batch",
        "--audit-log-batch-buffer-size=10",
        "--audit-log-compress",
        "--audit-log-truncate-enabled",
        "--audit-log-truncate-max-event-size=100000",
    ];
    let server = Api::start(root.path(), &flags);
    server.client().raw(Method::GET, "/version", None).await.unwrap();
    let told = server.client().raw_accept(Method::GET, "/flagz", None, "text/plain").await.unwrap();
    let told = String::from_utf8(told.to_vec()).unwrap();
    for line in
        ["audit-log-batch-buffer-size:10", "audit-log-compress:true", "audit-log-maxage:366", "only:api"]
    {
        assert!(told.lines().any(|l| l == line), "no {line} in {told}");
    }
    // What waits is written before the end.
    server.process.end();
    let lines = std::fs::read_to_string(&log).unwrap();
    let line = lines.lines().next().unwrap();
    assert!(line.contains(r#"method="get" user="admin""#) && line.ends_with(r#"response="200""#), "{line}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let root = tempfile::tempdir().unwrap();
    for (flag, why) in [
        ("--audit-log-format=xml", r#"invalid audit log format xml, allowed formats are "legacy,json""#),
        ("--audit-log-mode=soon", r#"allowed modes are "batch,blocking,blocking-strict""#),
        ("--max-requests-inflight=-1", "invalid value"),
        ("--controllers=*,-foo", r#""foo" is not in the list of known controllers"#),
        ("--service-cluster-ip-range=10.96.0.0/30", "range must be at least 8 IP addresses"),
    ] {
        let told = Process::refused(root.path(), &["--only", "api", flag]);
        assert!(told.contains(why), "{flag}: {told}");
    }
    let none = ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0", "--bind=127.0.0.1:0"];
    let told = Process::refused(root.path(), &[&["--only", "api"], &none[..]].concat());
    assert!(told.contains("one must be more than 0"), "{told}");
}

/// Whoever has the port is named, and nothing is made.
#[test]
fn a_port_that_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let told = Process::refused(root.path(), &["--only", "api", "--bind", &address.to_string()]);
    let said = format!("error: cannot listen on {address}: TCP {address} for the API server is taken by ");
    assert!(told.starts_with(&said), "{told}");
    let advice = format!(" (process {}); stop it, or take another port by --bind\n", std::process::id());
    assert!(told.ends_with(&advice), "{told}");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

/// On a full disk the log is lost and nothing else: an error, and a warning on the way to one.
#[test]
fn logs_that_cannot_be_written_are_no_panic() {
    let root = tempfile::tempdir().unwrap();
    let (none, there) = (root.path().join("none"), root.path().join("there"));
    for root in [&none, &there] {
        std::fs::create_dir(root).unwrap();
    }
    std::fs::write(there.join("up-options.json"), "no options").unwrap();
    for root in [none, there] {
        assert_eq!(
            Process::unheard(&["down", "--root", root.to_str().unwrap()]),
            Some(1),
            "{}",
            root.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_issued_in_the_domain_of_the_cluster() {
    const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
    const ISSUER: &str = "https://kubernetes.default.svc.example.org";
    let root = tempfile::tempdir().unwrap();
    let server = Api::start(root.path(), &["--cluster-domain=example.org"]);
    let client = server.client();
    let json = |text: &'static str| Some(("application/json", text.into()));
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a"}}"#;
    client.raw(Method::POST, ACCOUNTS, json(account)).await.unwrap();
    let request = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}"#;
    let made = client.raw(Method::POST, &format!("{ACCOUNTS}/a/token"), json(request)).await.unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
    assert_eq!(made["spec"]["audiences"], serde_json::json!([ISSUER]));
    let review = serde_json::json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": made["status"]["token"]}});
    let body = Some(("application/json", review.to_string().into()));
    let known = client.raw(Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", body).await.unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
    assert_eq!(known["status"]["user"]["username"], "system:serviceaccount:default:a");
    let told = client.raw(Method::GET, "/.well-known/openid-configuration", None).await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["issuer"], ISSUER);
}
