//! Options of reads, forms of answers, odd paths.

use super::{ACCOUNTS, JSON, MAPS, MERGE, PODS, check, send, started};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::BodyExt;
use value::{Value, json};

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
