//! Paths with gaps, and what is asked of them.

use super::{JSON, MERGE, check, send, started};
use crate::server::Server;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::BodyExt;

const NOT_THERE: &str = r#""the server could not find the requested resource""#;
const NO_NAME: &str = r#""name must be provided""#;
const NO_NAMESPACE: &str = r#""Namespace parameter required.""#;

/// No segment is left out because it is empty.
#[tokio::test]
async fn gaps() {
    let server = started().await;
    let message = "/message";
    let object = r#"{"metadata":{"name":"a"}}"#;
    check(
        &server,
        &[
            (
                "GET",
                "/api/v1/namespaces//configmaps?labelSelector=no",
                JSON,
                "",
                200,
                "/kind",
                r#""ConfigMapList""#,
            ),
            ("DELETE", "/api/v1/namespaces//configmaps?labelSelector=no", JSON, "", 200, "/items", "[]"),
            ("GET", "/api/v1/namespaces//configmaps/a", JSON, "", 400, message, NO_NAMESPACE),
            ("PUT", "/api/v1/namespaces//configmaps/a", JSON, object, 400, message, NO_NAMESPACE),
            ("PATCH", "/api/v1/namespaces//configmaps/a", MERGE, "{}", 400, message, NO_NAMESPACE),
            ("DELETE", "/api/v1/namespaces//configmaps/a", JSON, "", 400, message, NO_NAMESPACE),
            ("GET", "/api/v1/namespaces//pods/a/status", JSON, "", 400, message, NO_NAMESPACE),
            ("POST", "/api/v1/namespaces//pods//binding", JSON, "{}", 400, message, NO_NAME),
            (
                "POST",
                "/api/v1/namespaces//configmaps",
                JSON,
                object,
                422,
                message,
                r#""ConfigMap \"a\" is invalid: metadata.namespace: Required value""#,
            ),
            ("GET", "/api/v1/namespaces//status", JSON, "", 400, message, NO_NAME),
            ("GET", "/api/v1/nodes//status", JSON, "", 400, message, NO_NAME),
            ("GET", "/api/v1/nodes//proxy", JSON, "", 400, message, NO_NAME),
            ("GET", "/api/v1/namespaces/default/pods//log", JSON, "", 400, message, NO_NAME),
            ("GET", "/api/v1/namespaces/default/configmaps//a", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api/v1/namespaces/default/configmaps/a//b", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api/v1/namespaces/default//configmaps", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api/v1//pods", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api//v1/pods", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api/v1/watch//pods", JSON, "", 404, message, NOT_THERE),
            ("GET", "/apis/apps//deployments", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api/v1/namespaces/default/pods/p/status/x", JSON, "", 404, message, NOT_THERE),
            (
                "POST",
                "/api/v1/namespaces/default/serviceaccounts/a/token/x",
                JSON,
                "{}",
                404,
                message,
                NOT_THERE,
            ),
            ("PUT", "/api/v1/namespaces/default/finalize/x", JSON, "{}", 404, message, NOT_THERE),
            ("GET", "/api/v1/namespaces/default/namespaces", JSON, "", 404, message, NOT_THERE),
            ("GET", "/api/v1/namespaces/default/namespaces/default", JSON, "", 404, message, NOT_THERE),
        ],
    )
    .await;
    // What is no resource's is told in plain text.
    let text = async |path: &str| {
        let request = Request::get(path).body(Bytes::new()).unwrap();
        let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    };
    for path in ["/apis//v1/x", "//api/v1/nodes", "/apis/x.io/v1//y"] {
        assert_eq!(text(path).await, (404, "404 page not found\n".to_owned()), "{path}");
    }
    for path in ["/api/v1/watch", "/apis/apps/v1/proxy"] {
        let why = format!("unable to determine kind and namespace from url, {path}?a=b&amp;c=d\n");
        let want =
            format!("Internal Server Error: \"{path}?a=b&amp;c=d\": failed to create RequestInfo: {why}");
        assert_eq!(text(&format!("{path}?a=b&c=d")).await, (500, want));
    }
}

#[tokio::test]
async fn what_is_asked_of_one_object() {
    let server = started().await;
    let deployment = r#"{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","image":"b"}]}}}}"#;
    let pod = r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a","image":"b"}]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    for (path, object) in [
        ("/apis/apps/v1/namespaces/default/deployments", deployment),
        ("/api/v1/namespaces/default/serviceaccounts", account),
        ("/api/v1/namespaces/default/pods", pod),
    ] {
        let (code, answer) = send(&server, "POST", path, JSON, object).await;
        assert!(matches!(code, 201 | 409), "{answer:?}");
    }
    const EXPORT: &str = r#""the export parameter, deprecated since v1.14, is no longer supported""#;
    const OTHER: &str =
        r#""the namespace of the provided object does not match the namespace sent on the request""#;
    const UNKNOWN: &str = r#""the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf""#;
    let message = "/message";
    check(
        &server,
        &[
            ("GET", "/apis/apps/v1/namespaces/default/deployments/d?export=", JSON, "", 400, message, EXPORT),
            (
                "GET",
                "/apis/apps/v1/namespaces/default/deployments/none?export=1",
                JSON,
                "",
                400,
                message,
                EXPORT,
            ),
            (
                "GET",
                "/apis/apps/v1/namespaces/default/deployments/d/scale?export=x",
                JSON,
                "",
                400,
                message,
                EXPORT,
            ),
            ("GET", "/api/v1/componentstatuses/x?export=1", JSON, "", 400, message, EXPORT),
            (
                "GET",
                "/apis/apps/v1/namespaces/default/deployments/d?export=False",
                JSON,
                "",
                200,
                "/kind",
                r#""Deployment""#,
            ),
            (
                "GET",
                "/apis/apps/v1/namespaces/default/deployments?export=1",
                JSON,
                "",
                200,
                "/kind",
                r#""DeploymentList""#,
            ),
            (
                "POST",
                "/api/v1/namespaces/default/pods/none/eviction",
                JSON,
                r#"{"metadata":{"name":"none","namespace":"x"}}"#,
                400,
                message,
                OTHER,
            ),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/namespaces//localsubjectaccessreviews",
                JSON,
                r#"{"spec":{"user":"a"}}"#,
                400,
                message,
                r#""namespace is required on this type: ""#,
            ),
            (
                "POST",
                "/api/v1/namespaces/default/configmaps",
                "application/json;foo",
                account,
                415,
                message,
                UNKNOWN,
            ),
            (
                "DELETE",
                "/api/v1/namespaces/default/configmaps/x",
                "application/json;;",
                "{}",
                415,
                message,
                UNKNOWN,
            ),
        ],
    )
    .await;
    let binding = r#"{"metadata":{"name":"p","resourceVersion":"1"},"target":{"kind":"Node","name":"n"}}"#;
    let path = "/api/v1/namespaces/default/pods/p/binding";
    let (code, answer) = send(&server, "POST", path, JSON, binding).await;
    let why = "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: ";
    assert!(code == 409 && answer.at("message").str().contains(why), "{answer:?}");
    transformed(&server).await;
}

/// What a form that was asked for does not fit.
async fn transformed(server: &Server) {
    const SCALE: &str = "/apis/apps/v1/namespaces/default/deployments/d/scale";
    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
    const NO_LIST: &str = "you requested PartialObjectMetadataList, but the requested object is not a list";
    let whole = |text: &str| format!("{NO_LIST} ({text})");
    let slice = r#"{"metadata":{"name":"e"},"addressType":"IPv4","endpoints":[],"ports":[{"name":""}]}"#;
    assert_eq!(send(server, "POST", SLICES, JSON, slice).await.0, 201);
    let event = r#"{"metadata":{"name":"e"},"type":"Normal","reason":"r","action":"a","note":"note","reportingController":"c.example/x","reportingInstance":"i","eventTime":"2026-01-01T00:00:00.000000Z","regarding":{"kind":"Pod","namespace":"default","name":"p"}}"#;
    assert_eq!(send(server, "POST", EVENTS, JSON, event).await.0, 201);
    for (method, path, body, form, code, part) in [
        ("GET", SCALE, "", "PartialObjectMetadata", 200, r#""metadata":{"name":"d""#.to_owned()),
        ("GET", SCALE, "", "PartialObjectMetadataList", 406, whole("*autoscaling.Scale")),
        ("POST", REVIEWS, "{}", "PartialObjectMetadataList", 422, "Invalid".to_owned()),
        (
            "POST",
            REVIEWS,
            r#"{"spec":{"nonResourceAttributes":{"path":"/"}}}"#,
            "PartialObjectMetadataList",
            406,
            whole("*authorization.SelfSubjectAccessReview"),
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/finalize",
            r#"{"metadata":{"name":"default"}}"#,
            "Table",
            406,
            "only the following media types are accepted".to_owned(),
        ),
        (
            "GET",
            "/api/v1/namespaces?watch=1&timeoutSeconds=1",
            "",
            "PartialObjectMetadataList",
            200,
            String::new(),
        ),
        (
            "GET",
            "/api/v1/pods?watch=1&timeoutSeconds=1&includeObject=foo",
            "",
            "Table",
            400,
            r#"Unable to convert to Table as requested: includeObject: Invalid value: \"foo\""#.to_owned(),
        ),
        (
            "GET",
            &format!("{EVENTS}?watch=1&timeoutSeconds=1"),
            "",
            "Table",
            200,
            r#""Normal","r","pod/p","","c.example/x, i","note""#.to_owned(),
        ),
        (
            "GET",
            &format!("{SLICES}/e"),
            "",
            "Table",
            200,
            r#""cells":["e","IPv4","\u003cunset\u003e","\u003cunset\u003e""#.to_owned(),
        ),
    ] {
        let accept = format!("application/json;as={form};g=meta.k8s.io;v=v1");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, JSON)
            .body(Bytes::from(body))
            .unwrap();
        let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
        let found = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(found, code, "{path} as {form}: {text}");
        assert!(text.contains(&part) && text.is_empty() == part.is_empty(), "{path} as {form}: {text}");
    }
}
