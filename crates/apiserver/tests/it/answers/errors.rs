//! Texts and order of errors.

use super::{JSON, MAPS, MERGE, check, send, started};
use crate::server::Server;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::BodyExt;

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
            &["apiVersion: config.k8s.io/v1alpha1\nbinaryVersion: 1.36.2\n"],
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
    const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let server = started().await;
    let slash = r#"{"metadata":{"name":"a/b"},"spec":{"signerName":"a.b/c"}}"#;
    let named = r#"{"metadata":{"name":"a/b"},"spec":{"signerName":"a.b/c","usages":["client auth"],"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIZU1JR0VBZ0VBTUNJeENqQUlCZ05WQkFvTUFXY3hGREFTQmdOVkJBTU1DMmR2YkdSbGJpMTFjMlZ5TUZrdwpFd1lIS29aSXpqMENBUVlJS29aSXpqMERBUWNEUWdBRUFqRXAvZGdqVUs4cW5iTEhpZ28rdjMrMXcxY1E4Y3ZVCnZTRno4TysyM29vUGlaUFVQSDltK3h1eWJvL3IzNTNSTVRNZGZtaHFqdTJjY0tYRmkyaXBBNkFBTUFvR0NDcUcKU000OUJBTUNBMGtBTUVZQ0lRRFhOUzc1UDl4VjQrLy9vTXNnMFk5TmVyVEFyUlBySHBqNHM1RmpZY3Z1R0FJaApBTHlTOXpLVVg3QlZuTWw3WTBTZFNqa1ZKOHA4TUs3ZTFibWhzcU92VUFGMQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"}}"#;
    let slashed = r#""Invalid value: \"a/b\": may not contain '/'""#;
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
            // Nothing but what all names must be, and that last.
            ("POST", REQUESTS, JSON, slash, 422, causes, r#""spec.request""#),
            ("POST", REQUESTS, JSON, named, 422, "/details/causes/0/message", slashed),
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

/// What nobody writes but who tries everything.
#[tokio::test]
async fn what_is_seldom_given() {
    const STATEFUL: &str = "/apis/apps/v1/namespaces/default/statefulsets";
    const DAEMONS: &str = "/apis/apps/v1/namespaces/default/daemonsets?dryRun=All";
    const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const PODS: &str = "/api/v1/namespaces/default/pods";
    let set = r#"{"metadata":{"name":"a"},"spec":{"selector":{"matchExpressions":[{"key":"c","operator":"In","values":[]}]},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
    let daemon = r#"{"metadata":{"name":"a"},"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":{}},"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
    let attachment = r#"{"metadata":{"name":"a"},"spec":{"attacher":"a.b","nodeName":"n","source":{"inlineVolumeSpec":{"volumeAttributesClassName":"TCP"}}}}"#;
    let definition = r#"{"metadata":{"name":"ws.a.example"},"spec":{"group":"a.example","scope":"Cluster","names":{"plural":"ws","kind":"W"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","allOf":[{"definitions":{"d":{}}}]}},"selectableFields":[{"jsonPath":"*"}]}]}}"#;
    let rooted = r#"{"metadata":{"name":"ws.a.example"},"spec":{"group":"a.example","scope":"Cluster","names":{"plural":"ws","kind":"W"},"versions":[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","allOf":[]}}}]}}"#;
    let pod = r#"{"metadata":{"name":"a"},"spec":{"serviceAccountName":"/","containers":[{"name":"c","image":"i"}]}}"#;
    let server = started().await;
    check(
        &server,
        &[
            ("POST", DEFINITIONS, JSON, rooted, 422, "/details/causes/0/field", r#""spec.validation.openAPIV3Schema""#),
            (
                "POST",
                PODS,
                JSON,
                pod,
                403,
                "/message",
                r#""pods \"a\" is forbidden: error looking up service account default//: invalid resource name \"/\": [may not contain '/']""#,
            ),
            (
                "POST",
                STATEFUL,
                JSON,
                set,
                422,
                "/details/causes/1/message",
                r#""Invalid value: {\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"In\"}]}""#,
            ),
            // Upstream's internal type has no pointers here.
            (
                "POST",
                DAEMONS,
                JSON,
                daemon,
                201,
                "/spec/updateStrategy",
                r#"{"rollingUpdate":{"maxSurge":0,"maxUnavailable":0},"type":"OnDelete"}"#,
            ),
            (
                "POST",
                ATTACHMENTS,
                JSON,
                attachment,
                422,
                "/details/causes/1/field",
                r#""spec.source.inlineVolumeSpec.accessModes""#,
            ),
            ("POST", ATTACHMENTS, JSON, attachment, 422, "/details/causes/3", ""),
            (
                "POST",
                DEFINITIONS,
                JSON,
                definition,
                422,
                "/details/causes/1",
                r#"{"field":"spec.schema.openAPIV3Schema","message":"Invalid value: \"\": OpenAPIV3Schema 'definitions' is not supported","reason":"FieldValueInvalid"}"#,
            ),
        ],
    )
    .await;
}

/// What is told of a pod as it was prepared is told of one that is refused, too.
#[tokio::test]
async fn a_refused_pod_is_warned_of() {
    let server = started().await;
    let pod = r#"{"metadata":{"name":"a","annotations":{"container.apparmor.security.beta.kubernetes.io/c":"unconfined"}},"spec":{"automountServiceAccountToken":false,"restartPolicy":"zz","containers":[{"name":"c","image":"i"}]}}"#;
    let account = r#"{"metadata":{"name":"default"}}"#;
    assert_eq!(
        send(&server, "POST", "/api/v1/namespaces/default/serviceaccounts", JSON, account).await.0,
        201
    );
    let request = Request::post("/api/v1/namespaces/default/pods").header(header::CONTENT_TYPE, JSON);
    let request = request.body(Bytes::from(pod)).unwrap();
    let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
    assert_eq!(response.status(), 422);
    let warning = response.headers()[header::WARNING].to_str().unwrap();
    assert!(warning.contains("deprecated since v1.30"), "{warning}");
}
