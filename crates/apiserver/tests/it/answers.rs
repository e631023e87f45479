//! Answers that were compared with those of a kube-apiserver 1.36, a line each.

use crate::server::{Server, until};
use apiserver::admission::Admission;
use apiserver::api::Options;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use value::{Value, json};

pub(crate) const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const JSON: &str = "application/json";

/// A server with what every cluster has.
pub(crate) async fn started() -> Server {
    let server = Server::start(Options::default()).await;
    apiserver::bootstrap::run(&server.api).await;
    server
}

/// Sends a body of a media type; the status and what the answer says at each of the paths.
pub(crate) async fn send(server: &Server, method: &str, path: &str, media: &str, body: &str) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, media)
        .body(Bytes::from(body.to_owned()))
        .unwrap();
    let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, json::parse(&bytes).unwrap_or_default())
}

fn pointer<'v>(object: &'v Value, path: &str) -> &'v Value {
    path.split('/').skip(1).fold(object, |v, step| match (v, step.parse::<usize>()) {
        (Value::Array(list), Ok(i)) => list.get(i).unwrap_or(&Value::Null),
        _ => v.at(step),
    })
}

/// A request and what its answer holds at a path; JSON, empty for nothing.
pub(crate) type Line =
    (&'static str, &'static str, &'static str, &'static str, u16, &'static str, &'static str);

pub(crate) async fn check(server: &Server, lines: &[Line]) {
    for (method, path, media, body, code, at, want) in lines {
        let (got, answer) = send(server, method, path, media, body).await;
        let text = json::to_string(&answer);
        assert_eq!(got, *code, "{method} {path} {body}: {text}");
        let found = pointer(&answer, at);
        let found = if found.is_null() { String::new() } else { json::to_string(found) };
        assert_eq!(found, *want, "{method} {path} {body} at {at}: {text}");
    }
}

const LIMITS: &str = "/api/v1/namespaces/default/limitranges";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// What is left of a pod's requests, with the limits of its namespace and without.
#[tokio::test]
async fn a_plugin_that_is_off_has_no_say() {
    let limits =
        r#"{"metadata":{"name":"a"},"spec":{"limits":[{"type":"Container","default":{"cpu":"1"}}]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    let pod = r#"{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#;
    for (off, resources) in [
        (&[][..], r#"{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}"#),
        // Upstream has `AlwaysPullImages` off without being told.
        (&["LimitRanger", "AlwaysPullImages"], "{}"),
    ] {
        let admission = Arc::new(Admission::without(off).unwrap());
        let server = Server::start(Options { admission, ..Options::default() }).await;
        apiserver::bootstrap::run(&server.api).await;
        check(
            &server,
            &[
                ("POST", LIMITS, JSON, limits, 201, "/metadata/name", r#""a""#),
                ("POST", ACCOUNTS, JSON, account, 201, "/metadata/name", r#""default""#),
                // Plugins look at the cache, which is as new as a list then.
                ("GET", LIMITS, JSON, "", 200, "/items/0/metadata/name", r#""a""#),
                ("POST", PODS, JSON, pod, 201, "/spec/containers/0/resources", resources),
            ],
        )
        .await;
    }
    assert_eq!(Admission::without(&["Limits"]).unwrap_err(), r#"admission plugin "Limits" is unknown"#);
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
const SCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";

/// A continue token of this JSON.
fn token(json: &str) -> String {
    format!("{MAPS}?continue={}", URL_SAFE_NO_PAD.encode(json))
}

#[tokio::test]
async fn options_that_are_odd() {
    const MAP: &str = "/api/v1/namespaces/default/configmaps/a";
    let server = started().await;
    let answer = async |method: &str, path: &str| {
        let (code, answer) = send(&server, method, path, JSON, "").await;
        (code, answer.at("message").str().to_owned())
    };
    for name in ["a", "b"] {
        let map = format!(r#"{{"metadata":{{"name":"{name}"}}}}"#);
        assert_eq!(send(&server, "POST", MAPS, JSON, &map).await.0, 201);
    }

    // A version is a number without a sign, and nothing but zeros is none.
    let wrong = r#"resourceVersion: Invalid value: "+5": strconv.ParseUint: parsing "+5": invalid syntax"#;
    let path = format!("{MAPS}?resourceVersion=%2B5");
    assert_eq!(answer("GET", &path).await, (400, format!("invalid resource version: {wrong}")));
    assert_eq!(answer("GET", &format!("{MAP}?resourceVersion=%2B5")).await, (500, wrong.into()));
    let (code, list) = send(&server, "GET", &format!("{MAPS}?limit=1&resourceVersion=00"), JSON, "").await;
    assert_eq!((code, list.at("items").items().len()), (200, 1));

    for (path, why) in [
        (token("{}"), "server does not recognize this encoded version "),
        (token(r#"{"v":"v2"}"#), "server does not recognize this encoded version v2"),
        (token("[]"), "json: cannot unmarshal array into Go value of type storage.continueToken"),
        (
            token(r#"{"v":"meta.k8s.io/v1","rv":"5"}"#),
            "json: cannot unmarshal string into Go struct field continueToken.rv of type int64",
        ),
        (format!("{MAPS}?continue=YQ=="), "illegal base64 data at input byte 2"),
        // Before it is looked at what else is given.
        (format!("{MAPS}?continue=!&resourceVersion=5"), "illegal base64 data at input byte 0"),
    ] {
        let why = format!("invalid continue token: continue key is not valid: {why}");
        assert_eq!(answer("GET", &path).await, (400, why), "{path}");
    }
    let ahead = token(r#"{"v":"meta.k8s.io/v1","rv":9999999999,"start":"a\u0000"}"#);
    let (code, status) = send(&server, "GET", &ahead, JSON, "").await;
    let cause = status.at("details").at("causes").items()[0].at("reason").str();
    assert_eq!((code, cause), (504, "ResourceVersionTooLarge"));

    // A watch that is over before it begins, and one that begins in what is still to come.
    let watch = format!("{MAPS}?watch=1&timeoutSeconds=-5&resourceVersion=0");
    assert_eq!(send(&server, "GET", &watch, JSON, "").await, (200, Value::Null));
    let ahead = "watch=1&resourceVersion=99999999&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let (code, event) = send(&server, "GET", &format!("{MAPS}?{ahead}"), JSON, "").await;
    assert_eq!((code, event.at("type").str(), event.at("object").at("code").int()), (200, "ERROR", 504));

    check(
        &server,
        &[
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps/a?uid=x",
                JSON,
                "",
                409,
                "/reason",
                "\"Conflict\"",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps/a?resourceVersion=1",
                JSON,
                "",
                409,
                "/details/kind",
                "\"ConfigMap\"",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps/a?uid=&dryRun=All",
                JSON,
                "",
                200,
                "/status",
                "\"Success\"",
            ),
            // The version of a list is at the same time what each object must be of.
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps?resourceVersion=0",
                JSON,
                "",
                409,
                "/details/name",
                "\"a\"",
            ),
            // Without a word about how it is meant, it is meant exactly.
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps?resourceVersion=1",
                JSON,
                "",
                200,
                "/items",
                "[]",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps?limit=1&dryRun=All",
                JSON,
                "",
                200,
                "/metadata/remainingItemCount",
                "1",
            ),
            (
                "POST",
                "/api/v1/namespaces/default/bindings",
                JSON,
                r#"{"target":{"kind":"Node","name":"n"}}"#,
                400,
                "/message",
                "\"Name parameter required.\"",
            ),
        ],
    )
    .await;
    let account = r#"{"metadata":{"name":"default"}}"#;
    assert_eq!(send(&server, "POST", ACCOUNTS, JSON, account).await.0, 201);
    for (class, why) in [
        ("", "resource name may not be empty"),
        ("a/b", "invalid resource name \"a/b\": [may not contain '/']"),
    ] {
        let pod = format!(
            r#"{{"metadata":{{"name":"p"}},"spec":{{"runtimeClassName":"{class}","containers":[{{"name":"c","image":"i"}}]}}}}"#
        );
        let (code, status) = send(&server, "POST", PODS, JSON, &pod).await;
        assert_eq!((code, status.at("message").str()), (500, why));
    }

    // What a merge patch is about has its keys sorted, changed or not.
    let patch = r#"{"metadata":{"name":"a"},"data":5}"#;
    let (code, status) = send(&server, "PATCH", MAP, MERGE, patch).await;
    let message = status.at("message").str();
    assert_eq!(code, 422, "{message}");
    assert!(message.find("creationTimestamp") < message.find(r#"\"name\""#), "{message}");
}

/// Upstream's storage of a claim's status makes no tables, and an address that is empty is shown as that.
#[tokio::test]
async fn tables_of_what_is_odd() {
    let server = started().await;
    let table = async |path: &str| {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let request = Request::builder().uri(path).header(header::ACCEPT, accept).body(Bytes::new()).unwrap();
        let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, json::parse(&bytes).unwrap())
    };
    let claims = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    let claim = r#"{"metadata":{"name":"a"},"spec":{}}"#;
    assert_eq!(send(&server, "POST", claims, JSON, claim).await.0, 201);
    assert_eq!(table(&format!("{claims}/a/status")).await.0, 406);
    assert_eq!(table(&format!("{claims}/a")).await.0, 200);

    let node = r#"{"metadata":{"name":"a"},"status":{"addresses":[{"type":"InternalIP","address":""}]}}"#;
    assert_eq!(send(&server, "POST", "/api/v1/nodes", JSON, node).await.0, 201);
    let (_, nodes) = table("/api/v1/nodes").await;
    let cells = nodes.at("rows").items()[0].at("cells").items();
    assert_eq!((cells[5].str(), cells[6].str()), ("", "<none>"));
}

/// Whoever may watch may do no more by the paths that name the verb.
#[tokio::test]
async fn paths_of_old_change_nothing() {
    const WATCHED: &str = "/api/v1/watch/namespaces/default/configmaps/a";
    let server = started().await;
    let map = r#"{"metadata":{"name":"a"}}"#;
    let not_allowed = "\"the server does not allow this method on the requested resource\"";
    let not_found = "\"the server could not find the requested resource\"";
    check(
        &server,
        &[
            ("POST", MAPS, JSON, map, 201, "/metadata/name", "\"a\""),
            (
                "POST",
                "/api/v1/watch/namespaces/default/configmaps",
                JSON,
                r#"{"metadata":{"name":"b"}}"#,
                405,
                "/message",
                not_allowed,
            ),
            ("PUT", WATCHED, JSON, map, 405, "/message", not_allowed),
            ("PATCH", WATCHED, MERGE, "{}", 405, "/message", not_allowed),
            ("DELETE", WATCHED, JSON, "", 405, "/message", not_allowed),
            ("DELETE", "/api/v1/watch/namespaces/default/configmaps", JSON, "", 405, "/message", not_allowed),
            ("GET", "/api/v1/watch/namespaces/default/pods/x/log", JSON, "", 404, "/message", not_found),
            ("POST", "/api/v1/watch/namespaces/default/pods/x/exec", JSON, "", 404, "/message", not_found),
            (
                "POST",
                "/api/v1/watch/namespaces/default/serviceaccounts/default/token",
                JSON,
                "{}",
                404,
                "/message",
                not_found,
            ),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/watch/selfsubjectaccessreviews",
                JSON,
                "{}",
                404,
                "/message",
                not_found,
            ),
            ("GET", "/api/v1/proxy/namespaces/default/configmaps/a", JSON, "", 404, "/message", not_found),
            ("DELETE", "/api/v1/proxy/namespaces/default/configmaps/a", JSON, "", 404, "/message", not_found),
            ("GET", MAPS, JSON, "", 200, "/items/0/metadata/name", "\"a\""),
            (
                "GET",
                "/api/v1/watch/namespaces/default/configmaps/a?fieldSelector=metadata.name%3Db",
                JSON,
                "",
                400,
                "/message",
                "\"fieldSelector metadata.name doesn't match requested name\"",
            ),
            // Whether it watches is told by the query alone.
            (
                "GET",
                "/api/v1/watch/namespaces/default/configmaps?sendInitialEvents=true",
                JSON,
                "",
                422,
                "/details/causes/0/field",
                "\"sendInitialEvents\"",
            ),
            (
                "GET",
                "/api/v1/watch/namespaces/default?timeoutSeconds=1",
                JSON,
                "",
                200,
                "/object/metadata/name",
                "\"default\"",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_empty_and_what_is_absent() {
    let server = started().await;
    let scaler = r#"{"metadata":{"name":"a"},"spec":{"maxReplicas":2,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"K","name":"n"},"behavior":{"scaleUp":{"policies":[]}}}}"#;
    let policy = r#"{"metadata":{"name":"a"},"spec":{"podSelector":{}}}"#;
    check(
        &server,
        &[
            (
                "POST",
                SCALERS,
                JSON,
                scaler,
                422,
                "/details/causes/0/message",
                r#""Required value: must specify at least one Policy""#,
            ),
            // Upstream compares these specs to the bit: no rules are other than an empty list of rules.
            ("POST", POLICIES, JSON, policy, 201, "/metadata/generation", "1"),
            (
                "PATCH",
                "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/a",
                MERGE,
                r#"{"spec":{"ingress":[]}}"#,
                200,
                "/metadata/generation",
                "2",
            ),
            (
                "POST",
                MAPS,
                JSON,
                r#"{"metadata":{"name":"a","labels":{}},"data":{"x":"y"}}"#,
                201,
                "/metadata/labels",
                "",
            ),
            // Nothing of it is stored, and nobody owns it.
            (
                "GET",
                "/api/v1/namespaces/default/configmaps/a",
                JSON,
                "",
                200,
                "/metadata/managedFields/0/fieldsV1",
                r#"{"f:data":{".":{},"f:x":{}}}"#,
            ),
            (
                "PATCH",
                "/api/v1/namespaces/default/configmaps/a",
                MERGE,
                r#"{"metadata":{"annotations":{}},"data":{"k":"v"}}"#,
                200,
                "/metadata/managedFields/0/fieldsV1",
                r#"{"f:data":{".":{},"f:k":{},"f:x":{}}}"#,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn metadata_is_checked_as_often_as_strategies_do() {
    let server = started().await;
    let labels = r#"{"metadata":{"labels":{"a/b/c":"x"}}}"#;
    for (collection, body, causes) in [
        (MAPS, r#"{"metadata":{"name":"a"}}"#, 4),
        (ROLES, r#"{"metadata":{"name":"a"},"rules":[]}"#, 4),
        (POLICIES, r#"{"metadata":{"name":"a"},"spec":{"podSelector":{}}}"#, 3),
        (
            "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            r#"{"metadata":{"name":"a"},"spec":{"minAvailable":1}}"#,
            2,
        ),
        ("/apis/storage.k8s.io/v1/csidrivers", r#"{"metadata":{"name":"a"},"spec":{}}"#, 3),
        ("/apis/node.k8s.io/v1/runtimeclasses", r#"{"metadata":{"name":"a"},"handler":"h"}"#, 4),
    ] {
        assert_eq!(send(&server, "POST", collection, JSON, body).await.0, 201, "{collection}");
        let (code, answer) = send(&server, "PATCH", &format!("{collection}/a"), MERGE, labels).await;
        assert_eq!(code, 422);
        let found = answer.at("details").at("causes").items();
        let found = found.iter().filter(|c| c.at("field").str() == "metadata.labels").count();
        assert_eq!(found, causes, "{collection}");
    }
}

#[tokio::test]
async fn names_versions_and_dry_runs() {
    let server = started().await;
    let undeterminable =
        r#""the name of the object (a based on URL) was undeterminable: name must be provided""#;
    let item = "/api/v1/namespaces/default/configmaps/a";
    check(
        &server,
        &[
            ("POST", MAPS, JSON, r#"{"metadata":{"name":"a"}}"#, 201, "/metadata/name", r#""a""#),
            // A document of no version is none of the objects that have names in JSON.
            ("PATCH", item, MERGE, r#"{"apiVersion":null}"#, 400, "/message", undeterminable),
            ("PATCH", item, JSON_PATCH, r#"[{"op":"remove","path":"/apiVersion"}]"#, 400, "/message", undeterminable),
            ("PATCH", item, MERGE, r#"{"kind":null}"#, 200, "/kind", r#""ConfigMap""#),
            // What is never stored shows where nothing is stored.
            ("PATCH", item, MERGE, r#"{"metadata":{"selfLink":"x"}}"#, 200, "/metadata/selfLink", ""),
            (
                "PATCH",
                "/api/v1/namespaces/default/configmaps/a?dryRun=All",
                MERGE,
                r#"{"metadata":{"selfLink":"x"}}"#,
                200,
                "/metadata/selfLink",
                r#""x""#,
            ),
            (
                "POST",
                "/api/v1/namespaces/default/configmaps?dryRun=All",
                JSON,
                r#"{"metadata":{"name":"b","resourceVersion":"7"}}"#,
                201,
                "/metadata/resourceVersion",
                r#""7""#,
            ),
            ("POST", MAPS, JSON, r#"{"metadata":{"name":"b","resourceVersion":"7"}}"#, 500, "/reason", ""),
            (
                "GET",
                "/api/v1/namespaces/default/configmaps/..",
                JSON,
                "",
                400,
                "/message",
                r#""Name parameter invalid: \"..\": may not be '..'""#,
            ),
            ("GET", "/api/v1//namespaces/default/configmaps/a", JSON, "", 404, "/details", "{}"),
            (
                "GET",
                "/api/v1/namespaces/default/configmaps/a?resourceVersion=x",
                JSON,
                "",
                500,
                "/message",
                r#""resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax""#,
            ),
            (
                "GET",
                "/api/v1/namespaces/default/configmaps?limit=&labelSelector=!",
                JSON,
                "",
                400,
                "/message",
                r#""strconv.ParseInt: parsing \"\": invalid syntax""#,
            ),
            (
                "PUT",
                "/apis/apps/v1/namespaces/default/deployments/none/scale",
                JSON,
                r#"{"metadata":{"name":"other"}}"#,
                400,
                "/message",
                r#""the name of the object (other) does not match the name on the URL (none)""#,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn deletions_under_way_keep_their_finalizers() {
    let server = started().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = r#"{"metadata":{"name":"a"},"spec":{"nodeName":"n","automountServiceAccountToken":false,"containers":[{"name":"c","image":"i"}]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    let item = "/api/v1/namespaces/default/pods/a";
    check(
        &server,
        &[
            (
                "POST",
                "/api/v1/namespaces/default/serviceaccounts",
                JSON,
                account,
                201,
                "/metadata/name",
                r#""default""#,
            ),
            ("POST", pods, JSON, pod, 201, "/metadata/name", r#""a""#),
            (
                "DELETE",
                item,
                JSON,
                r#"{"propagationPolicy":"Orphan"}"#,
                200,
                "/metadata/finalizers",
                r#"["orphan"]"#,
            ),
            (
                "DELETE",
                item,
                JSON,
                r#"{"propagationPolicy":"Background"}"#,
                200,
                "/metadata/finalizers",
                r#"["orphan"]"#,
            ),
            // A shorter grace begins it anew.
            (
                "DELETE",
                item,
                JSON,
                r#"{"propagationPolicy":"Foreground","gracePeriodSeconds":1}"#,
                200,
                "/metadata/finalizers",
                r#"["foregroundDeletion"]"#,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn evictions_are_not_asked_about_as_deletions() {
    let server = started().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = r#"{"metadata":{"name":"p"},"spec":{"matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["DELETE"],"resources":["pods"]}]},"validations":[{"expression":"false"}]}}"#;
    let binding = r#"{"metadata":{"name":"p"},"spec":{"policyName":"p","validationActions":["Deny"]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    let pod = r#"{"metadata":{"name":"a"},"spec":{"nodeName":"n","automountServiceAccountToken":false,"containers":[{"name":"c","image":"i"}]}}"#;
    for (path, body) in [
        (format!("{group}/validatingadmissionpolicies"), policy),
        (format!("{group}/validatingadmissionpolicybindings"), binding),
        ("/api/v1/namespaces/default/serviceaccounts".to_owned(), account),
        ("/api/v1/namespaces/default/pods".to_owned(), pod),
    ] {
        assert_eq!(send(&server, "POST", &path, JSON, body).await.0, 201, "{path}");
    }
    let item = "/api/v1/namespaces/default/pods/a";
    until(async || send(&server, "DELETE", &format!("{item}?dryRun=All"), JSON, "").await.0 == 422).await;
    let eviction = r#"{"metadata":{"name":"a"}}"#;
    assert_eq!(send(&server, "POST", &format!("{item}/eviction"), JSON, eviction).await.0, 201);
}

#[tokio::test]
async fn custom_resources() {
    let server = started().await;
    let definition = r#"{"metadata":{"name":"bars.x.example.com"},"spec":{"group":"x.example.com","scope":"Cluster","names":{"plural":"bars","kind":"Bar"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"l":{"type":"array","items":{"type":"string"}},"i":{"type":"integer"}},"x-kubernetes-validations":[{"rule":"!has(self.i) || self.i < 9"}]},"status":{"type":"object"}}}}}]}}"#;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(send(&server, "POST", path, JSON, definition).await.0, 201);
    let bars = "/apis/x.example.com/v1/bars";
    until(async || send(&server, "GET", bars, JSON, "").await.0 == 200).await;
    let item = "/apis/x.example.com/v1/bars/a";
    let bar = r#"{"apiVersion":"x.example.com/v1","kind":"Bar","metadata":{"name":"a"},"spec":{"i":1}}"#;
    check(
        &server,
        &[
            ("POST", bars, JSON, bar, 201, "/metadata/generation", "1"),
            // It has no type that knows nil: an empty list is something.
            ("PATCH", item, MERGE, r#"{"spec":{"l":[]}}"#, 200, "/metadata/generation", "2"),
            (
                "PATCH",
                item,
                MERGE,
                r#"{"apiVersion":"x.example.com/v9"}"#,
                422,
                "/details/causes/0/message",
                r#""Invalid value: \"x.example.com/v9\": must be x.example.com/v1""#,
            ),
            (
                "PATCH",
                item,
                MERGE,
                r#"{"apiVersion":null}"#,
                500,
                "/message",
                r#""Internal error occurred: Object 'apiVersion' is missing in 'object has no apiVersion field'""#,
            ),
            (
                "POST",
                bars,
                JSON,
                r#"{"apiVersion":"x.example.com/v1","kind":"Bar","spec":{}}"#,
                422,
                "/details/causes/1/message",
                r#""Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation""#,
            ),
            (
                "DELETE",
                "/apis/x.example.com/v1/bars/a/status",
                JSON,
                "",
                405,
                "/message",
                r#""delete is not supported on resources of kind \"bars.x.example.com\"""#,
            ),
            ("PUT", bars, JSON, "{}", 400, "/message", r#""name must be provided""#),
            ("HEAD", item, JSON, "", 200, "/kind", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_can_be_shown_otherwise() {
    let server = started().await;
    let review = r#"{"spec":{"resourceAttributes":{"verb":"get","resource":"nodes"}}}"#;
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let show = async |method: Method, path: &str, accept: &'static str, body: &str| {
        let mut request =
            Request::builder().method(method).uri(path).body(Bytes::from(body.to_owned())).unwrap();
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, json::parse(&bytes).unwrap_or_default())
    };
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    assert_eq!(show(Method::POST, reviews, table, review).await.0, 406);
    let (code, answer) = show(Method::POST, reviews, partial, review).await;
    assert_eq!((code, answer.at("kind").str()), (201, "PartialObjectMetadata"));
    assert!(answer.get("spec").is_none());
    // A table is asked for in vain, and something else taken.
    let either = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json";
    let (code, answer) = show(Method::POST, reviews, either, review).await;
    assert_eq!((code, answer.at("kind").str()), (201, "SelfSubjectAccessReview"));
}

/// Labels that a default has taken from the pod template are one map with it in Go: what the strategy adds to the
/// template is added to the job, which does not happen to labels that were given.
#[tokio::test(flavor = "multi_thread")]
async fn labels_of_jobs() {
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    const APPLY: &str = "application/apply-patch+yaml";
    let server = started().await;
    let job = |name: &str, labels: &str, more: &str| {
        format!(
            r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"{name}"{labels}}},"spec":{{{more}"template":{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"restartPolicy":"Never","containers":[{{"name":"c","image":"i"}}]}}}}}}}}"#
        )
    };
    let manual = r#""manualSelector":true,"selector":{"matchLabels":{"a":"b"}},"#;
    for (name, labels, more, want) in [
        ("none", "", "", "none"),
        ("empty", r#","labels":{}"#, "", "empty"),
        ("equal", r#","labels":{"a":"b"}"#, "", ""),
        ("manual", "", manual, ""),
    ] {
        let requests = [
            ("POST", format!("{JOBS}?dryRun=All"), JSON),
            ("POST", JOBS.to_owned(), JSON),
            ("PATCH", format!("{JOBS}/applied-{name}?fieldManager=m"), APPLY),
        ];
        for (method, path, media) in requests {
            let prefix = if media == APPLY { "applied-" } else { "" };
            let body = job(&format!("{prefix}{name}"), labels, more);
            let (code, made) = send(&server, method, &path, media, &body).await;
            assert_eq!(code, 201, "{method} {path}: {}", made.at("message").str());
            let want = if want.is_empty() { String::new() } else { format!("{prefix}{want}") };
            assert_eq!(made.at("metadata").at("labels").at("job-name").str(), want, "{method} {path}");
        }
    }
    let (code, made) = send(&server, "POST", JOBS, JSON, &job("", r#","generateName":"g""#, "")).await;
    assert_eq!((code, json::to_string(made.at("metadata").at("labels"))), (201, r#"{"a":"b"}"#.to_owned()));
}

/// What a manager owns in another version of the kind is compared, and contended for, in that version.
#[tokio::test]
async fn managers_of_other_versions() {
    const V1: &str = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    const APPLY: &str = "application/apply-patch+yaml";
    let server = started().await;
    let old = r#"{"metadata":{"name":"a"},"spec":{"maxReplicas":3,"scaleTargetRef":{"kind":"Deployment","name":"x","apiVersion":"apps/v1"},"targetCPUUtilizationPercentage":40}}"#;
    let new = r#"{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},"spec":{"maxReplicas":4,"scaleTargetRef":{"kind":"Deployment","name":"x","apiVersion":"apps/v1"},"behavior":{"scaleDown":{"stabilizationWindowSeconds":5}}}}"#;
    let (code, _) = send(&server, "POST", &format!("{V1}?fieldManager=one"), JSON, old).await;
    assert_eq!(code, 201);
    let apply = format!("{SCALERS}/a?fieldManager=two");
    let (code, answer) = send(&server, "PATCH", &apply, APPLY, new).await;
    let conflict =
        "Apply failed with 1 conflict: conflict with \"one\" using autoscaling/v1: .spec.maxReplicas";
    assert_eq!((code, answer.at("message").str()), (409, conflict));
    let (code, answer) = send(&server, "PATCH", &format!("{apply}&force=true"), APPLY, new).await;
    let managed = answer.at("metadata").at("managedFields").items();
    let owned: Vec<String> = managed
        .iter()
        .map(|e| format!("{} {}", e.at("manager").str(), json::to_string(e.at("fieldsV1").at("f:spec"))))
        .collect();
    assert_eq!(code, 200);
    assert_eq!(
        owned,
        [
            r#"two {"f:behavior":{"f:scaleDown":{"f:stabilizationWindowSeconds":{}}},"f:maxReplicas":{},"f:scaleTargetRef":{"f:apiVersion":{},"f:kind":{},"f:name":{}}}"#,
            r#"one {"f:minReplicas":{},"f:scaleTargetRef":{},"f:targetCPUUtilizationPercentage":{}}"#
        ]
    );
}

/// A custom kind whose versions have different fields and defaults: the generation counts what changes in the
/// version of the request, and an apply that changes nothing gets no defaults.
#[tokio::test(flavor = "multi_thread")]
async fn generations_of_custom_versions() {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let server = started().await;
    let version = |name: &str, storage: bool, fields: &str| {
        format!(
            r#"{{"name":"{name}","served":true,"storage":{storage},"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"spec":{{"type":"object","default":{{}},"properties":{fields}}}}}}}}}}}"#
        )
    };
    let v1 = version(
        "v1",
        true,
        r#"{"a":{"type":"string","default":"x"},"d":{"type":"string","default":"only1"}}"#,
    );
    let v2 = version("v2", false, r#"{"c":{"type":"string","default":"only2"}}"#);
    let definition = format!(
        r#"{{"metadata":{{"name":"gens.g.example.com"}},"spec":{{"group":"g.example.com","scope":"Cluster","names":{{"plural":"gens","kind":"Gen"}},"versions":[{v1},{v2}]}}}}"#
    );
    let (code, _) = send(&server, "POST", DEFINITIONS, JSON, &definition).await;
    assert_eq!(code, 201);
    let gens = "/apis/g.example.com/v2/gens";
    until(async || send(&server, "GET", gens, JSON, "").await.0 == 200).await;
    let apply = "application/apply-patch+yaml";
    let none = r#"{"apiVersion":"g.example.com/v2","kind":"Gen","metadata":{"name":"a"},"spec":{}}"#;
    let (item, applied) =
        ("/apis/g.example.com/v2/gens/a", "/apis/g.example.com/v2/gens/a?fieldManager=m&force=true");
    check(
        &server,
        &[
            ("POST", "/apis/g.example.com/v2/gens", JSON, none, 201, "/metadata/generation", "1"),
            ("PATCH", applied, apply, none, 200, "/metadata/generation", "1"),
            ("PATCH", applied, apply, none, 200, "/spec", "{}"),
            // The default of this version is no field of the stored one, so it comes anew each time.
            ("PATCH", item, MERGE, r#"{"metadata":{"labels":{"a":"b"}}}"#, 200, "/metadata/generation", "2"),
        ],
    )
    .await;
}

/// What an apply makes of a custom object is not decoded: what the schema does not know counts in the generation
/// and is gone once it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn applied_strays() {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let server = started().await;
    let definition = r#"{"metadata":{"name":"holds.g.example.com"},"spec":{"group":"g.example.com","scope":"Cluster","names":{"plural":"holds","kind":"Hold"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"list":{"type":"array","items":{"type":"object"}}}}}}]}}"#;
    let (code, _) = send(&server, "POST", DEFINITIONS, JSON, definition).await;
    assert_eq!(code, 201);
    let holds = "/apis/g.example.com/v1/holds";
    until(async || send(&server, "GET", holds, JSON, "").await.0 == 200).await;
    let (apply, item) =
        ("application/apply-patch+yaml", "/apis/g.example.com/v1/holds/a?fieldManager=m&force=true");
    let body =
        r#"{"apiVersion":"g.example.com/v1","kind":"Hold","metadata":{"name":"a"},"list":[{"stray":1}]}"#;
    check(
        &server,
        &[
            ("POST", "/apis/g.example.com/v1/holds", JSON, body, 201, "/list", "[{}]"),
            ("PATCH", item, apply, body, 200, "/metadata/generation", "2"),
            ("PATCH", item, apply, body, 200, "/list", "[{}]"),
        ],
    )
    .await;
}

/// Managed fields of a configuration that are none.
#[tokio::test]
async fn applied_managed_fields() {
    let server = started().await;
    for (given, why) in [
        ("1.5", ".metadata.managedFields: expected list, got &{1.5}"),
        (r#"{"a":1}"#, ".metadata.managedFields: expected list, got &{map[a:1]}"),
        ("[1]", ".metadata.managedFields[0]: expected map, got &{1}"),
        ("null", ""),
    ] {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a","managedFields":{given}}}}}"#
        );
        let item = format!("{MAPS}/a?fieldManager=m");
        let (code, answer) = send(&server, "PATCH", &item, "application/apply-patch+yaml", &body).await;
        let want = if why.is_empty() {
            (201, String::new())
        } else {
            (500, format!("failed to create typed patch object (/a; /v1, Kind=ConfigMap): {why}"))
        };
        assert_eq!((code, answer.at("message").str().to_owned()), want, "{given}");
    }
}

/// What an answer says to the byte.
#[tokio::test]
async fn texts() {
    let server = started().await;
    let (code, _) =
        send(&server, "POST", MAPS, JSON, r#"{"metadata":{"name":"a","labels":{"a":"b"}}}"#).await;
    assert_eq!(code, 201);
    let get = async |path: &str, accept: &'static str| {
        let mut request = Request::get(path).body(Bytes::new()).unwrap();
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
        let media = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (media, String::from_utf8(bytes.to_vec()).unwrap())
    };
    let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
    let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let flags = "application/json;as=Flagz;g=config.k8s.io;v=v1beta1";
    let status = "application/yaml;as=Statusz;g=config.k8s.io;v=v1alpha1";
    let map = format!("{MAPS}/a");
    for (path, accept, media, parts) in [
        (
            map.as_str(),
            table,
            JSON,
            &[
                r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"#,
                r#""columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"#,
                r#""rows":[{"cells":["a","#,
                r#""object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","namespace":"default","uid":"#,
            ][..],
        ),
        (&map, partial, JSON, &[r#","labels":{"a":"b"},"managedFields":[{"manager":"#][..]),
        (
            "/flagz",
            "*/*",
            "text/plain; charset=utf-8",
            &["\napiserver flagz\nWarning: ", "\nauthorization-mode:[Node,RBAC]\n"],
        ),
        (
            "/flagz",
            flags,
            "application/json;g=config.k8s.io;v=v1beta1;as=Flagz",
            &[
                r#"{"kind":"Flagz","apiVersion":"config.k8s.io/v1beta1","metadata":{"name":"apiserver"},"flags":{"#,
            ],
        ),
        (
            "/flagz",
            JSON,
            JSON,
            &["only the following media types are accepted: application/json, application/yaml, text/plain"],
        ),
        (
            "/statusz",
            "",
            "text/plain; charset=utf-8",
            &["\nPaths: /flagz /healthz /livez /metrics /readyz /statusz /version\n"],
        ),
        (
            "/statusz",
            status,
            "application/yaml;g=config.k8s.io;v=v1alpha1;as=Statusz",
            &["apiVersion: config.k8s.io/v1alpha1\nbinaryVersion: \"1.36\"\n"],
        ),
        // Errors that no encoder fits are indented, and nothing that is indented ends with a newline.
        (&map, "text/html", JSON, &["{\n  \"kind\": \"Status\",\n", "\"code\": 406\n}"]),
        ("/apis/apps?pretty=1", JSON, JSON, &["{\n  \"kind\": \"APIGroup\",\n"]),
        (
            "/apis",
            "application/json,application/yaml;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v2",
            "application/yaml;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            &["apiVersion: apidiscovery.k8s.io/v2\nitems:\n- metadata:\n    name: apiregistration.k8s.io\n"],
        ),
    ] {
        let (got, text) = get(path, accept).await;
        assert_eq!(got, media, "{path} {accept}: {text}");
        let mut rest = text.as_str();
        for part in parts {
            let at = rest.find(part);
            assert!(at.is_some(), "{path} {accept}: no {part} in {text}");
            rest = &rest[at.unwrap_or_default()..];
        }
        assert_eq!(text.starts_with("{\n"), text.starts_with('{') && !text.ends_with('\n'), "{path}: {text}");
    }
}

/// What is wrong with metadata is told once the rest is right, where the kind's own validation does not look at it.
#[tokio::test]
async fn errors_in_two_stages() {
    const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    const EVENTS: &str = "/api/v1/namespaces/default/events";
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let server = started().await;
    let both = r#"{"metadata":{"name":"a","labels":{"a b":"c"}},"spec":{"minAvailable":-1}}"#;
    let label = r#"{"metadata":{"name":"a","labels":{"a b":"c"}},"spec":{"minAvailable":1}}"#;
    let event = r#"{"metadata":{"name":"a","labels":{"a b":"c"}},"involvedObject":{"namespace":"other"}}"#;
    let old = r#"{"apiVersion":"apiextensions.k8s.io/v1beta1","kind":"CustomResourceDefinition"}"#;
    let causes = "/details/causes/0/field";
    check(
        &server,
        &[
            ("POST", BUDGETS, JSON, both, 422, causes, r#""spec.minAvailable""#),
            ("POST", BUDGETS, JSON, both, 422, "/details/causes/1", ""),
            ("POST", BUDGETS, JSON, label, 422, causes, r#""metadata.labels""#),
            ("POST", EVENTS, JSON, event, 422, causes, r#""involvedObject.namespace""#),
            (
                "POST",
                DEFINITIONS,
                JSON,
                old,
                400,
                "/message",
                r#""the API version in the data (apiextensions.k8s.io/v1beta1) does not match the expected API version (apiextensions.k8s.io/v1)""#,
            ),
        ],
    )
    .await;
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments?fieldManager=maker";
const DEPLOYMENT: &str = r#"{"metadata":{"name":"a"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;

/// Who writes what of an object: manager, operation, version, subresource, and whether the replicas are theirs.
async fn owners(server: &Server, path: &str) -> Vec<String> {
    let (_, object) = send(server, "GET", path, JSON, "").await;
    let entries = object.at("metadata").at("managedFields").items();
    let line = |e: &Value| {
        let own = e.at("fieldsV1").at("f:spec").get("f:replicas").is_some();
        let [manager, operation, version, sub] =
            ["manager", "operation", "apiVersion", "subresource"].map(|f| e.at(f).str().to_owned());
        format!("{manager} {operation} {version} {sub} {own}")
    };
    entries.iter().map(line).collect()
}

#[tokio::test]
async fn a_scale_is_written_as_an_object_of_its_own() {
    const APPLY: &str = "application/apply-patch+yaml";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    const SCALE: &str = "/apis/apps/v1/namespaces/default/deployments/a/scale";
    const BY_MERGER: &str = "/apis/apps/v1/namespaces/default/deployments/a/scale?fieldManager=merger";
    const APPLIED: &str = "/apis/apps/v1/namespaces/default/deployments/a/scale?fieldManager=applier";
    const FORCED: &str =
        "/apis/apps/v1/namespaces/default/deployments/a/scale?fieldManager=applier&force=true";
    const OBJECT: &str = "/apis/apps/v1/namespaces/default/deployments/a";
    let four =
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a"},"spec":{"replicas":4}}"#;
    let below =
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a"},"spec":{"replicas":-6}}"#;
    let unknown =
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a"},"spec":{"foo":1}}"#;
    let server = started().await;
    check(
        &server,
        &[
            ("POST", DEPLOYMENTS, JSON, DEPLOYMENT, 201, "/metadata/name", r#""a""#),
            ("PATCH", BY_MERGER, MERGE, r#"{"spec":{"replicas":3}}"#, 200, "/spec/replicas", "3"),
            (
                "PATCH",
                APPLIED,
                APPLY,
                four,
                409,
                "/message",
                r#""Apply failed with 1 conflict: conflict with \"merger\" with subresource \"scale\" using autoscaling/v1: .spec.replicas""#,
            ),
            ("PATCH", FORCED, APPLY, four, 200, "/spec", r#"{"replicas":4}"#),
        ],
    )
    .await;
    let want = ["applier Apply apps/v1 scale true", "maker Update apps/v1  false"];
    assert_eq!(owners(&server, OBJECT).await, want);
    check(
        &server,
        &[
            (
                "PATCH",
                APPLIED,
                APPLY,
                r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"}}"#,
                400,
                "/message",
                r#""invalid object type: apps/v1, Kind=Deployment""#,
            ),
            (
                "PATCH",
                APPLIED,
                APPLY,
                below,
                422,
                "/message",
                r#""Scale.autoscaling \"a\" is invalid: spec.replicas: Invalid value: -6: must be greater than or equal to 0""#,
            ),
            (
                "PATCH",
                APPLIED,
                APPLY,
                unknown,
                500,
                "/message",
                r#""failed to create typed patch object (/a; autoscaling/v1, Kind=Scale): .spec.foo: field not declared in schema""#,
            ),
            (
                "PUT",
                SCALE,
                JSON,
                r#"{"metadata":{"name":"a","namespace":"x"},"spec":{"replicas":8}}"#,
                400,
                "/message",
                r#""the namespace of the provided object does not match the namespace sent on the request""#,
            ),
            ("PUT", SCALE, JSON, r#"{"metadata":{"name":"a","uid":"abc"}}"#, 409, "/reason", r#""Conflict""#),
            ("PATCH", SCALE, MERGE, r#"{"metadata":{"uid":"abc"}}"#, 409, "/reason", r#""Conflict""#),
            (
                "PATCH",
                SCALE,
                MERGE,
                r#"{"metadata":{"name":"abc"}}"#,
                400,
                "/message",
                r#""the name of the object (abc) does not match the name on the URL (a)""#,
            ),
            (
                "PATCH",
                SCALE,
                STRATEGIC,
                r#"{"spec":{"replicas":"x"}}"#,
                422,
                "/message",
                r#"" \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:x]]\": unrecognized type: int32""#,
            ),
            (
                "PATCH",
                SCALE,
                JSON_PATCH,
                r#"[{"op":"test","path":"/spec/replicas","value":1}]"#,
                422,
                "/reason",
                r#""Invalid""#,
            ),
            (
                "PUT",
                "/apis/apps/v1/namespaces/default/deployments/a/scale?fieldManager=putter",
                JSON,
                r#"{"metadata":{"name":"a"},"spec":{"replicas":7}}"#,
                200,
                "/spec",
                r#"{"replicas":7}"#,
            ),
        ],
    )
    .await;
    let want = ["putter Update apps/v1 scale true", "maker Update apps/v1  false"];
    assert_eq!(owners(&server, OBJECT).await, want);
}

#[tokio::test]
async fn admission_sees_the_scale_and_not_the_object() {
    const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    const SCALE: &str = "/apis/apps/v1/namespaces/default/deployments/a/scale";
    let policy = |name: &str, resource: &str, expression: &str| {
        format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"matchConstraints":{{"resourceRules":[{{"apiGroups":["apps"],"apiVersions":["v1"],"operations":["UPDATE"],"resources":["{resource}"]}}]}},"validations":[{{"expression":"{expression}","message":"{name} refused"}}]}}}}"#
        )
    };
    let server = started().await;
    check(&server, &[("POST", DEPLOYMENTS, JSON, DEPLOYMENT, 201, "/metadata/name", r#""a""#)]).await;
    let of_scales = "object.kind == 'Scale' && oldObject.kind == 'Scale' && object.spec.replicas < 5";
    for (name, resource, expression) in
        [("whole", "deployments", "false"), ("scale", "deployments/scale", of_scales)]
    {
        let binding = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"policyName":"{name}","validationActions":["Deny"]}}}}"#
        );
        assert_eq!(send(&server, "POST", POLICIES, JSON, &policy(name, resource, expression)).await.0, 201);
        assert_eq!(send(&server, "POST", BINDINGS, JSON, &binding).await.0, 201);
    }
    let nine = r#"{"spec":{"replicas":9}}"#;
    // Policies act once the caches have them.
    until(|| async { send(&server, "PATCH", SCALE, MERGE, nine).await.0 == 422 }).await;
    let (_, refused) = send(&server, "PATCH", SCALE, MERGE, nine).await;
    let want = "deployments.apps \"a\" is forbidden: ValidatingAdmissionPolicy 'scale' with binding 'scale' denied request: scale refused";
    assert_eq!(refused.at("message").str(), want);
    check(
        &server,
        &[("PATCH", SCALE, MERGE, r#"{"spec":{"replicas":4}}"#, 200, "/spec", r#"{"replicas":4}"#)],
    )
    .await;
}

/// The fields of all causes, in their order.
async fn causes(server: &Server, method: &str, path: &str, media: &str, body: &str) -> Vec<String> {
    let (code, answer) = send(server, method, path, media, body).await;
    assert_eq!(code, 422, "{method} {path}: {answer:?}");
    let causes = answer.at("details").at("causes").items();
    causes.iter().map(|c| c.at("field").str().to_owned()).collect()
}

/// What strategies look at, and when, is not the same for all kinds.
#[tokio::test]
async fn order_of_repeated_errors() {
    const NAMESPACES: &str = "/api/v1/namespaces";
    const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
    const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
    const NODES: &str = "/api/v1/nodes";
    const CLASSES: &str = "/apis/networking.k8s.io/v1/ingressclasses";
    const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
    let service = r#"{"metadata":{"name":"v1.q.example.com"},"spec":{"group":"q.example.com","version":"v1","groupPriorityMinimum":100,"versionPriority":10,"insecureSkipTLSVerify":true,"service":{"name":"a","namespace":"b"}}}"#;
    let address = r#"{"metadata":{"name":"10.9.0.1"},"spec":{"parentRef":{"resource":"services","name":"a","namespace":"default"}}}"#;
    let event = |metadata: &str, more: &str| {
        format!(
            r#"{{"metadata":{metadata},"eventTime":"2026-01-01T00:00:00.000000Z","reportingController":"a.b/c","reportingInstance":"i","action":"a","regarding":{{"namespace":"default"}},{more}}}"#
        )
    };
    let server = started().await;
    for (path, body) in [
        (NAMESPACES, r#"{"metadata":{"name":"e"}}"#.to_owned()),
        (ADDRESSES, address.to_owned()),
        (EVENTS, event(r#"{"name":"e"}"#, r#""reason":"r","type":"Normal""#)),
        (NODES, r#"{"metadata":{"name":"e"}}"#.to_owned()),
        (CLASSES, r#"{"metadata":{"name":"e"},"spec":{"controller":"a.b/c"}}"#.to_owned()),
        (SERVICES, service.to_owned()),
    ] {
        assert_eq!(send(&server, "POST", path, JSON, &body).await.0, 201, "{path}");
    }
    let change = r#"{"metadata":{"labels":{"a b":"c"},"finalizers":["q"],"generateName":"_"},"action":"","spec":{"parentRef":{"resource":"a/b"}}}"#;
    let wrong = event(
        r#"{"name":"B_d","labels":{"a b":"c"},"finalizers":["q"],"generateName":"_"}"#,
        r#""reason":"","type":"X","deprecatedCount":3"#,
    );
    let (labels, finalizers, generate) =
        ("metadata.labels", "metadata.finalizers[0]", "metadata.generateName");
    for (method, path, body, want) in [
        (
            "PATCH",
            format!("{NAMESPACES}/e"),
            change,
            &[labels, labels, generate, labels, finalizers, labels, finalizers][..],
        ),
        (
            "PATCH",
            format!("{ADDRESSES}/10.9.0.1"),
            change,
            &[
                labels,
                labels,
                generate,
                labels,
                finalizers,
                "spec.parentRef.resource",
                labels,
                finalizers,
                "spec.parentRef",
            ],
        ),
        ("PATCH", format!("{EVENTS}/e"), change, &[labels, labels, "action", labels, finalizers, "action"]),
        (
            "PATCH",
            format!("{NODES}/e"),
            change,
            &[labels, labels, generate, labels, finalizers, labels, finalizers],
        ),
        (
            "PATCH",
            format!("{CLASSES}/e"),
            change,
            &[labels, labels, labels, finalizers, generate, labels, finalizers],
        ),
        (
            "PATCH",
            format!("{SERVICES}/v1.q.example.com"),
            change,
            &[labels, labels, labels, generate, labels],
        ),
        (
            "POST",
            EVENTS.to_owned(),
            &wrong,
            &["reason", generate, "metadata.name", labels, finalizers, "type", "count"],
        ),
    ] {
        let media = if method == "POST" { JSON } else { MERGE };
        assert_eq!(causes(&server, method, &path, media, body).await, want, "{method} {path}");
    }
}

/// Names and namespaces of which no key can be made.
#[tokio::test]
async fn odd_paths() {
    const NAME: &str = r#""Name parameter invalid: \"..\": may not be '..'""#;
    const UP: &str = r#""Internal error occurred: invalid resource name \"..\": [may not be '..']""#;
    const PERCENT: &str =
        r#""Internal error occurred: invalid resource name \"a%b\": [may not contain '%']""#;
    const ALL: &str = r#""invalid key: \"/configmaps/..\"""#;
    const ONE: &str = r#""invalid key: \"/configmaps/../a\"""#;
    const HERE: &str = r#""invalid key: \"/configmaps/.\"""#;
    const NOWHERE: &str = r#""the server could not find the requested resource""#;
    const APPLY: &str = "application/apply-patch+yaml";
    let map = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;
    let binding = r#"{"metadata":{"name":".."},"target":{"name":"n"}}"#;
    let eviction = r#"{"metadata":{"name":".."}}"#;
    let server = started().await;
    let lines = [
        ("GET", "/api/v1/namespaces/%2e%2e/configmaps", JSON, "", 500, ALL),
        ("GET", "/api/v1/namespaces/../configmaps?watch=1", JSON, "", 500, ALL),
        ("GET", "/api/v1/watch/namespaces/../configmaps", JSON, "", 500, ALL),
        ("GET", "/api/v1/namespaces/../configmaps?fieldSelector=metadata.name%3Da", JSON, "", 500, ONE),
        ("DELETE", "/api/v1/namespaces/../configmaps", JSON, "", 500, ALL),
        ("GET", "/api/v1/namespaces/%2e/configmaps?resourceVersion=0", JSON, "", 500, HERE),
        ("GET", "/api/v1/namespaces/../configmaps/a", JSON, "", 500, ONE),
        ("PUT", "/api/v1/namespaces/../configmaps/a", JSON, map, 500, ONE),
        ("PATCH", "/api/v1/namespaces/../configmaps/a", MERGE, "{}", 500, ONE),
        ("PATCH", "/api/v1/namespaces/../configmaps/a?fieldManager=m", APPLY, map, 500, ONE),
        ("DELETE", "/api/v1/namespaces/../configmaps/a", JSON, "", 500, ONE),
        ("POST", "/api/v1/namespaces/../configmaps", JSON, map, 500, UP),
        ("POST", "/api/v1/namespaces/../configmaps?dryRun=All", JSON, map, 500, UP),
        ("POST", "/api/v1/namespaces/a%25b/configmaps", JSON, map, 500, PERCENT),
        ("GET", "/api/v1/namespaces/a%25b/configmaps", JSON, "", 200, ""),
        ("GET", "/api/v1/namespaces/a%2Fb/configmaps", JSON, "", 404, NOWHERE),
        ("GET", "/api/v1/namespaces/default/configmaps/a%2Fb", JSON, "", 404, NOWHERE),
        ("GET", "/api/v1/namespaces/a%2Fconfigmaps", JSON, "", 200, ""),
        ("GET", "/api/v1/namespaces/..", JSON, "", 400, NAME),
        // It is no path at all, which is told in plain text.
        ("GET", "/api/v1/namespaces/default/configmaps/%zz", JSON, "", 400, ""),
        ("GET", "/api/v1/nodes/../proxy/", JSON, "", 400, NAME),
        ("GET", "/api/v1/namespaces/default/pods/../log", JSON, "", 400, NAME),
        ("POST", "/api/v1/namespaces/default/pods/../binding", JSON, binding, 400, NAME),
        ("POST", "/api/v1/namespaces/default/pods/../eviction", JSON, eviction, 400, NAME),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/../token", JSON, r#"{"spec":{}}"#, 400, NAME),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/../scale", JSON, "", 400, NAME),
        ("GET", "/api/v1/namespaces/../pods/a/log", JSON, "", 500, r#""invalid key: \"/pods/../a\"""#),
        ("GET", "/api/v1/namespaces/../services", JSON, "", 500, r#""invalid key: \"/services/specs/..\"""#),
        (
            "GET",
            "/apis/apps/v1/namespaces/../deployments/a/scale",
            JSON,
            "",
            500,
            r#""invalid key: \"/deployments/../a\"""#,
        ),
        (
            "GET",
            "/api/v1/namespaces/../services/a/proxy/",
            JSON,
            "",
            500,
            r#""invalid key: \"/services/endpoints/../a\"""#,
        ),
    ];
    let lines = lines
        .map(|(method, path, media, body, code, want)| (method, path, media, body, code, "/message", want));
    check(&server, &lines).await;
}
