//! Admission webhooks over the wire.
//!
//! Texts and order are upstream's: `k8s.io/apiserver/pkg/admission/plugin/webhook`.

use crate::server::{Server, until};
use crate::webhook::{Answer, Webhook};
use apiserver::api::Options;
use apiserver::audit::{Audit, Config, LogConfig};
use base64::Engine;
use http::{HeaderMap, Method};
use value::{Value, json};

const NAMESPACES: &str = "/api/v1/namespaces";
const CONFIGMAPS: &str = "/api/v1/namespaces/n/configmaps";
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
const ADMIN: [&str; 2] = ["admin", "system:masters"];

/// An answer to a review; `more` is what stands in it besides.
fn review(question: &Value, allowed: bool, more: &str) -> Answer {
    let uid = question.at("request").at("uid").str();
    let text = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{uid}","allowed":{allowed}{more}}}}}"#
    );
    Answer::Say(json::parse(text.as_bytes()).unwrap())
}

fn patch(question: &Value, patch: &str) -> Answer {
    let patch = base64::engine::general_purpose::STANDARD.encode(patch);
    review(question, true, &format!(r#","patchType":"JSONPatch","patch":"{patch}""#))
}

/// One webhook per path; what each does is told by the path. What is measured has a name of its own, as all tests of
/// this process are measured together.
fn answer(path: &str, question: &Value) -> Answer {
    let object = question.at("request").at("object");
    match path.strip_suffix("/measured").unwrap_or(path) {
        "/yes" => review(question, true, ""),
        "/no" | "/marker" => {
            review(question, false, r#","status":{"message":"not today","reason":"TooLate","code":418}"#)
        }
        "/silent-no" => review(question, false, ""),
        "/warn" => review(
            question,
            true,
            r#","warnings":["mind the gap","and the step"],"auditAnnotations":{"seen":"yes"}"#,
        ),
        // Adds what is not there yet: the second time there is nothing to do, nor to what is deleted.
        "/first" if !object.is_null() && object.at("data").at("first").is_null() => {
            patch(question, r#"[{"op":"add","path":"/data/first","value":"1"}]"#)
        }
        "/second" if !object.is_null() && object.at("data").at("second").is_null() => {
            patch(question, r#"[{"op":"add","path":"/data/second","value":"2"}]"#)
        }
        "/bad-patch" => patch(question, r#"[{"op":"remove","path":"/data/nothing"}]"#),
        "/no-type" => review(question, true, r#","patch":"W10=""#),
        "/other-uid" => {
            let Answer::Say(mut answer) = review(question, true, "") else { unreachable!() };
            if let Some(response) = answer.get_mut("response") {
                response.set("uid", "another");
            }
            Answer::Say(answer)
        }
        "/broken" => Answer::Fail(500, "out of order"),
        "/hang" => Answer::Hang,
        _ => review(question, true, ""),
    }
}

struct Cluster {
    server: Server,
    webhook: Webhook,
    audit: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let audit = tempfile::tempdir().unwrap();
        let policy_file = audit.path().join("policy.yaml");
        let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {level: Request, resources: [{group: \"\", resources: [configmaps]}]}\n";
        std::fs::write(&policy_file, policy).unwrap();
        let log = LogConfig::new(audit.path().join("log"));
        let options =
            Options { audit: Some(Audit::open(&Config { policy_file, log }).unwrap()), ..Options::default() };
        let server = Server::start(options).await;
        let webhook = Webhook::start(answer).await;
        for labels in ["n", "free"] {
            let namespace = format!(
                r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{labels}","labels":{{"is":"{labels}"}}}}}}"#
            );
            assert_eq!(server.call(Method::POST, NAMESPACES, &namespace).await.0, 201);
        }
        Self { server, webhook, audit }
    }

    /// Configures webhooks of a kind, each a path and further fields, and waits until they are heeded.
    async fn configure(&self, kind: &str, name: &str, webhooks: &[(&str, &str)]) {
        // The first one tells by its no that the configuration is known.
        let selector = r#","objectSelector":{"matchLabels":{"name":"marker"}}"#;
        let marker = self.webhook("/marker", selector).replacen("marker.", &format!("marker.{name}."), 1);
        let all = webhooks.iter().map(|(path, more)| self.webhook(path, more));
        let webhooks: Vec<String> = [marker].into_iter().chain(all).collect();
        let object = format!(
            r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{kind}","metadata":{{"name":"{name}"}},"webhooks":[{}]}}"#,
            webhooks.join(",")
        );
        let path = format!("{CONFIGURATIONS}/{}s", kind.to_lowercase());
        let (code, made) = self.server.call(Method::POST, &path, &object).await;
        assert_eq!(code, 201, "{}", made.at("message").str());
        until(|| async { self.is_marked(name).await }).await;
        self.webhook.asked();
    }

    /// Whether the webhooks of a configuration are heeded.
    async fn is_marked(&self, configuration: &str) -> bool {
        let (_, _, answer) = self.create(&format!("{CONFIGMAPS}?dryRun=All"), "marker").await;
        answer.at("message").str().contains(&format!("\"marker.{configuration}"))
    }

    fn webhook(&self, path: &str, more: &str) -> String {
        let config = String::from_utf8(json::to_vec(&self.webhook.client_config(path))).unwrap();
        let name = format!("{}.example.org", path.trim_start_matches('/').replace('/', "-"));
        format!(
            r#"{{"name":"{name}","sideEffects":"None","admissionReviewVersions":["v1"],"clientConfig":{config},"rules":[{{"operations":["*"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"]}}]{more}}}"#
        )
    }

    async fn clear(&self) {
        for kind in ["mutating", "validating"] {
            let path = format!("{CONFIGURATIONS}/{kind}webhookconfigurations");
            assert_eq!(self.server.call(Method::DELETE, &path, "").await.0, 200);
        }
        until(|| async { !self.is_marked("").await }).await;
        self.webhook.asked();
    }

    async fn create(&self, path: &str, name: &str) -> (u16, HeaderMap, Value) {
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"name":"{name}"}}}},"data":{{"a":"b"}}}}"#
        );
        let (code, headers, body) = self.server.call_as(&ADMIN, Method::POST, path, &object).await;
        (code, headers, json::parse(&body).unwrap())
    }

    /// The paths that were asked since the last time.
    fn paths(&self) -> Vec<String> {
        self.webhook.asked().into_iter().map(|(path, _)| path).collect()
    }

    /// The annotations of the last request in the audit log.
    fn annotations(&self) -> Value {
        let log = std::fs::read_to_string(self.audit.path().join("log")).unwrap();
        json::parse(log.lines().last().unwrap().as_bytes()).unwrap().at("annotations").clone()
    }
}

#[tokio::test]
async fn calls_are_measured() {
    let cluster = Cluster::start().await;
    let ignores = r#","failurePolicy":"Ignore""#;
    let hooks = [("/yes/measured", ""), ("/no/measured", ""), ("/broken/measured", ignores)];
    cluster.configure("ValidatingWebhookConfiguration", "c", &hooks).await;
    cluster.clear().await;
    // Those that were asked while the configuration came to be known count, too.
    cluster.configure("MutatingWebhookConfiguration", "c", &[("/broken/measured", "")]).await;
    let (code, ..) = cluster.create(CONFIGMAPS, "a").await;
    assert_eq!(code, 500);
    let (_, _, body) = cluster.server.call_as(&ADMIN, Method::GET, "/metrics", "").await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let is_counted = |name: &str, labels: &str| {
        let start = format!("apiserver_admission_webhook_{name}{{{labels}}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        assert!(line.is_some_and(|n| n.parse::<u64>().unwrap() > 0), "{start}{text}");
    };
    let of = |hook: &str| format!("name=\"{hook}-measured.example.org\",operation=\"CREATE\"");
    let (yes, no, broken) = (of("yes"), of("no"), of("broken"));
    is_counted("request_total", &format!("code=\"200\",{yes},rejected=\"false\",type=\"validating\""));
    is_counted("request_total", &format!("code=\"418\",{no},rejected=\"true\",type=\"validating\""));
    is_counted("request_total", &format!("code=\"500\",{broken},rejected=\"false\",type=\"validating\""));
    is_counted("request_total", &format!("code=\"500\",{broken},rejected=\"true\",type=\"admit\""));
    is_counted(
        "rejection_count",
        &format!("error_type=\"no_error\",{no},rejection_code=\"418\",type=\"validating\""),
    );
    is_counted(
        "rejection_count",
        &format!("error_type=\"calling_webhook_error\",{broken},rejection_code=\"500\",type=\"admit\""),
    );
    is_counted("fail_open_count", "name=\"broken-measured.example.org\",type=\"validating\"");
    is_counted("admission_duration_seconds_count", &format!("{yes},rejected=\"false\",type=\"validating\""));
}

#[tokio::test]
async fn mutating_webhooks_see_what_those_before_them_made() {
    let cluster = Cluster::start().await;
    let again = r#","reinvocationPolicy":"IfNeeded""#;
    cluster.configure("ValidatingWebhookConfiguration", "v", &[("/last", "")]).await;
    // Mutating ones are asked before: the marker of these is heard once they are known.
    cluster
        .configure("MutatingWebhookConfiguration", "m", &[("/first", again), ("/yes", ""), ("/second", "")])
        .await;
    let (code, _, made) = cluster.create(CONFIGMAPS, "a").await;
    assert_eq!(code, 201, "{}", made.at("message").str());
    let data = made.at("data");
    assert_eq!(json::to_vec(data), br#"{"a":"b","first":"1","second":"2"}"#);
    let asked = cluster.webhook.asked();
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    // The first is asked again, as a later one has changed the object; the others are not.
    assert_eq!(paths, ["/first", "/yes", "/second", "/first", "/last"]);
    let shown = |at: usize| asked[at].1.at("request").at("object").at("data").clone();
    assert_eq!(json::to_vec(&shown(1)), br#"{"a":"b","first":"1"}"#);
    assert_eq!(shown(4), *data);

    let request = asked[0].1.at("request");
    assert_eq!(request.at("operation").str(), "CREATE");
    assert_eq!((request.at("namespace").str(), request.at("name").str()), ("n", "a"));
    assert_eq!(json::to_vec(request.at("kind")), br#"{"group":"","kind":"ConfigMap","version":"v1"}"#);
    assert_eq!(
        json::to_vec(request.at("requestResource")),
        br#"{"group":"","resource":"configmaps","version":"v1"}"#
    );
    assert_eq!(request.at("userInfo").at("username").str(), "admin");
    assert_eq!(request.at("options").at("kind").str(), "CreateOptions");
    assert!(request.at("oldObject").is_null() && !request.at("dryRun").bool());

    let told = cluster.annotations();
    let mutation = |index: usize, mutated: bool, name: &str| {
        format!(r#"{{"configuration":"m","webhook":"{name}.example.org","mutated":{mutated}}}"#)
            + &index.to_string()
    };
    let found = |round: usize, index: usize| {
        let key = format!("mutation.webhook.admission.k8s.io/round_{round}_index_{index}");
        told.at(&key).str().to_owned() + &index.to_string()
    };
    assert_eq!(found(0, 1), mutation(1, true, "first"));
    assert_eq!(found(0, 2), mutation(2, false, "yes"));
    assert_eq!(found(0, 3), mutation(3, true, "second"));
    assert_eq!(found(1, 1), mutation(1, false, "first"));
    assert_eq!(
        told.at("patch.webhook.admission.k8s.io/round_0_index_1").str(),
        r#"{"configuration":"m","webhook":"first.example.org","patch":[{"op":"add","path":"/data/first","value":"1"}],"patchType":"JSONPatch"}"#
    );

    // What is there already is shown as it was and as it becomes, and when it goes.
    let update =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"first":"1","second":"2"}}"#;
    let path = format!("{CONFIGMAPS}/a");
    assert_eq!(cluster.server.call(Method::PUT, &path, update).await.0, 200);
    let asked = cluster.webhook.asked();
    let request = asked[0].1.at("request");
    assert_eq!(request.at("operation").str(), "UPDATE");
    assert_eq!(request.at("oldObject").at("data").at("a").str(), "b");
    assert!(request.at("object").at("data").at("a").is_null());
    assert_eq!(cluster.server.call(Method::DELETE, &path, "").await.0, 200);
    let asked = cluster.webhook.asked();
    let request = asked[0].1.at("request");
    assert_eq!(request.at("operation").str(), "DELETE");
    assert!(request.at("object").is_null() && !request.at("oldObject").is_null());
}

#[tokio::test]
async fn a_no_is_told_in_its_words() {
    let cluster = Cluster::start().await;
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        cluster.configure(kind, "c", &[("/no", "")]).await;
        let (code, _, status) = cluster.create(CONFIGMAPS, "a").await;
        let message = r#"admission webhook "no.example.org" denied the request: not today"#;
        assert_eq!((code, status.at("message").str()), (418, message));
        assert_eq!(status.at("reason").str(), "TooLate");
        cluster.clear().await;
        cluster.configure(kind, "c", &[("/silent-no", "")]).await;
        let (code, _, status) = cluster.create(CONFIGMAPS, "a").await;
        let message = r#"admission webhook "silent-no.example.org" denied the request without explanation"#;
        assert_eq!((code, status.at("message").str()), (400, message));
        cluster.clear().await;
    }
    cluster.configure("ValidatingWebhookConfiguration", "c", &[("/warn", "")]).await;
    let (code, headers, _) = cluster.create(CONFIGMAPS, "a").await;
    let warnings: Vec<&str> = headers.get_all("warning").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!((code, &*warnings), (201, &[r#"299 - "mind the gap""#, r#"299 - "and the step""#][..]));
    assert_eq!(cluster.annotations().at("warn.example.org/seen").str(), "yes");
}

#[tokio::test]
async fn one_that_was_taken_away_is_not_asked_again() {
    let cluster = Cluster::start().await;
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        cluster.configure(kind, "c", &[("/no", "")]).await;
        let path = format!("{CONFIGURATIONS}/{}s", kind.to_lowercase());
        assert_eq!(cluster.server.call(Method::DELETE, &format!("{path}/c"), "").await.0, 200);
        // Admission looks where this list comes from.
        let cached = format!("{path}?resourceVersion=0");
        let is_gone =
            || async { cluster.server.call(Method::GET, &cached, "").await.1.at("items").items().is_empty() };
        until(is_gone).await;
        assert_eq!(cluster.create(&format!("{CONFIGMAPS}?dryRun=All"), "a").await.0, 201);
    }
}

#[tokio::test]
async fn failures_count_or_do_not() {
    let cluster = Cluster::start().await;
    let called = |path: &str, seconds: u32, why: &str| {
        let (name, url) = (path.trim_start_matches('/'), cluster.webhook.url(path));
        format!(
            r#"failed calling webhook "{name}.example.org": failed to call webhook: Post "{url}?timeout={seconds}s": {why}"#
        )
    };
    let plain = |path: &str, why: &str| {
        format!(r#"failed calling webhook "{}.example.org": {why}"#, path.trim_start_matches('/'))
    };
    let kind = "MutatingWebhookConfiguration";
    for (path, more, why) in [
        ("/hang", r#","timeoutSeconds":1"#, called("/hang", 1, "context deadline exceeded")),
        (
            "/broken",
            "",
            plain(
                "/broken",
                r#"failed to call webhook: an error on the server ("out of order") has prevented the request from succeeding"#,
            ),
        ),
        (
            "/no-type",
            "",
            plain(
                "/no-type",
                "received invalid webhook response: webhook returned response.patch but not response.patchType",
            ),
        ),
    ] {
        cluster.configure(kind, "c", &[(path, more)]).await;
        let (code, _, status) = cluster.create(CONFIGMAPS, "a").await;
        let message = format!("Internal error occurred: {why}");
        assert_eq!((code, status.at("message").str()), (500, message.as_str()), "{path}");
        cluster.clear().await;
        // Nobody minds, but the audit log tells.
        let ignores = format!(r#","failurePolicy":"Ignore"{more}"#);
        cluster.configure(kind, "c", &[(path, &ignores)]).await;
        assert_eq!(cluster.create(CONFIGMAPS, "a").await.0, 201, "{path}");
        let key = "failed-open.mutation.webhook.admission.k8s.io/round_0_index_1";
        assert_eq!(cluster.annotations().at(key).str(), format!("{}.example.org", &path[1..]));
        cluster.clear().await;
        assert_eq!(cluster.server.call(Method::DELETE, &format!("{CONFIGMAPS}/a"), "").await.0, 200);
    }
    // An answer to another question, and a patch that does not fit, are the webhook's own fault.
    cluster.configure(kind, "c", &[("/other-uid", "")]).await;
    let (code, _, status) = cluster.create(CONFIGMAPS, "a").await;
    assert_eq!(code, 500);
    assert!(status.at("message").str().contains("received invalid webhook response: expected response.uid="));
    cluster.clear().await;
    cluster.configure(kind, "c", &[("/bad-patch", r#","failurePolicy":"Ignore""#)]).await;
    let (code, _, status) = cluster.create(CONFIGMAPS, "a").await;
    assert_eq!((code, status.at("reason").str()), (500, "InternalError"));
}

#[tokio::test]
async fn only_who_is_concerned_is_asked() {
    let cluster = Cluster::start().await;
    let kind = "ValidatingWebhookConfiguration";
    let elsewhere = "/api/v1/namespaces/free/configmaps";
    let selector = r#","namespaceSelector":{"matchLabels":{"is":"n"}}"#;
    cluster.configure(kind, "c", &[("/no", selector)]).await;
    assert_eq!(cluster.create(CONFIGMAPS, "a").await.0, 418);
    assert_eq!(cluster.create(elsewhere, "a").await.0, 201);
    assert_eq!(cluster.paths().len(), 1);
    cluster.clear().await;

    let selector =
        r#","objectSelector":{"matchExpressions":[{"key":"name","operator":"In","values":["b"]}]}"#;
    cluster.configure(kind, "c", &[("/no", selector)]).await;
    assert_eq!(cluster.create(CONFIGMAPS, "a").await.0, 201);
    assert_eq!(cluster.create(CONFIGMAPS, "b").await.0, 418);
    assert_eq!(cluster.paths().len(), 1);
    cluster.clear().await;

    let conditions = r#","matchConditions":[{"name":"c","expression":"request.operation == 'CREATE' && object.metadata.name.startsWith('x')"},{"name":"d","expression":"object.data.a == 'b'"}]"#;
    cluster.configure(kind, "c", &[("/no", conditions)]).await;
    assert_eq!(cluster.create(CONFIGMAPS, "c").await.0, 201);
    assert_eq!(cluster.create(CONFIGMAPS, "x1").await.0, 418);
    assert_eq!(cluster.paths().len(), 1);
    cluster.clear().await;
    // One that cannot be judged is as a webhook that fails.
    let conditions = r#","matchConditions":[{"name":"c","expression":"object.metadata.name == 'marker' || object.data.none == 'b'"}]"#;
    cluster.configure(kind, "c", &[("/no", conditions)]).await;
    let (code, _, status) = cluster.create(CONFIGMAPS, "d").await;
    assert_eq!(code, 403);
    assert!(status.at("message").str().contains("no such key: none"), "{}", status.at("message").str());
    cluster.clear().await;
    let ignored = format!(r#"{conditions},"failurePolicy":"Ignore""#);
    cluster.configure(kind, "c", &[("/no", &ignored)]).await;
    assert_eq!(cluster.create(CONFIGMAPS, "d").await.0, 201);
    assert_eq!(cluster.paths().len(), 0);
    cluster.clear().await;

    // Dry runs are told, and nothing comes of them.
    cluster.configure(kind, "c", &[("/yes", "")]).await;
    assert_eq!(cluster.create(&format!("{CONFIGMAPS}?dryRun=All"), "e").await.0, 201);
    let asked = cluster.webhook.asked();
    assert!(asked[0].1.at("request").at("dryRun").bool());
    assert_eq!(json::to_vec(asked[0].1.at("request").at("options").at("dryRun")), br#"["All"]"#);
    assert_eq!(cluster.server.call(Method::GET, &format!("{CONFIGMAPS}/e"), "").await.0, 404);
    // What configures webhooks is not theirs to refuse.
    let everything =
        r#","rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]}]"#;
    let object = cluster.webhook("/no", "");
    let rules = object.find(r#","rules""#).unwrap();
    let object = format!(
        r#"{{"apiVersion":"admissionregistration.k8s.io/v1","kind":"{kind}","metadata":{{"name":"all"}},"webhooks":[{}{everything}}}]}}"#,
        &object[..rules]
    );
    let path = format!("{CONFIGURATIONS}/validatingwebhookconfigurations");
    assert_eq!(cluster.server.call(Method::POST, &path, &object).await.0, 201);
    let dry_run = format!("{CONFIGMAPS}?dryRun=All");
    until(|| async { cluster.create(&dry_run, "f").await.0 == 418 }).await;
    assert_eq!(cluster.server.call(Method::DELETE, &format!("{path}/all"), "").await.0, 200);
}
