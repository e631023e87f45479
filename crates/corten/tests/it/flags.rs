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
    ] {
        let told = Process::refused(root.path(), &["--only", "api", flag]);
        assert!(told.contains(why), "{flag}: {told}");
    }
    let none = ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0", "--bind=127.0.0.1:0"];
    let told = Process::refused(root.path(), &[&["--only", "api"], &none[..]].concat());
    assert!(told.contains("one must be more than 0"), "{told}");
}
