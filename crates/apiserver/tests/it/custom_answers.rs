//! Answers about custom kinds that were compared with those of a kube-apiserver 1.36, a line each.

use crate::answers::{JSON, MERGE, check, send, started};
use crate::server::{Server, until};
use value::json;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const APPLY: &str = "application/apply-patch+yaml";
const YAML: &str = "application/yaml";

/// A server with a cluster-scoped kind of these versions.
async fn serving(plural: &str, kind: &str, versions: &str) -> Server {
    let server = started().await;
    let definition = format!(
        r#"{{"metadata":{{"name":"{plural}.g.example.com"}},"spec":{{"group":"g.example.com","scope":"Cluster","names":{{"plural":"{plural}","kind":"{kind}"}},"versions":{versions}}}}}"#
    );
    let (code, answer) = send(&server, "POST", DEFINITIONS, JSON, &definition).await;
    assert_eq!(code, 201, "{answer:?}");
    let path = format!("/apis/g.example.com/v1/{plural}");
    until(async || send(&server, "GET", &path, JSON, "").await.0 == 200).await;
    server
}

/// Upstream's handler of custom kinds goes by the verb that the path names, whatever the method.
#[tokio::test(flavor = "multi_thread")]
async fn paths_of_old_change_nothing() {
    const ALL: &str = "/apis/g.example.com/v1/olds";
    const WATCHED: &str = "/apis/g.example.com/v1/watch/olds/a?timeoutSeconds=1";
    const STATUS: &str = "/apis/g.example.com/v1/watch/olds/a/status";
    const PROXIED: &str = "/apis/g.example.com/v1/proxy/olds/a";
    let versions = r#"[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object"}}}]"#;
    let server = serving("olds", "Old", versions).await;
    let object = r#"{"apiVersion":"g.example.com/v1","kind":"Old","metadata":{"name":"a"}}"#;
    check(
        &server,
        &[
            ("POST", ALL, JSON, object, 201, "/metadata/name", r#""a""#),
            ("DELETE", WATCHED, JSON, "", 200, "/type", r#""ADDED""#),
            (
                "DELETE",
                PROXIED,
                JSON,
                "",
                405,
                "/message",
                r#""proxy is not supported on resources of kind \"olds.g.example.com\"""#,
            ),
            (
                "GET",
                STATUS,
                JSON,
                "",
                405,
                "/message",
                r#""watch is not supported on resources of kind \"olds.g.example.com\"""#,
            ),
            ("GET", ALL, JSON, "", 200, "/items/0/metadata/name", r#""a""#),
        ],
    )
    .await;
}

/// What the version of a request does not know is lost when a status is written through it.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_through_another_version() {
    const ALL: &str = "/apis/g.example.com/v1/vers";
    const STORED: &str = "/apis/g.example.com/v1/vers/a";
    const STATUS: &str = "/apis/g.example.com/v1/vers/a/status";
    const OTHER: &str = "/apis/g.example.com/v2/vers/a/status";
    const APPLIED: &str = "/apis/g.example.com/v2/vers/a/status?fieldManager=m&force=true";
    const DRY: &str = "/apis/g.example.com/v2/vers/a/status?dryRun=All";
    let versions = r#"[{"name":"v1","served":true,"storage":true,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"a":{"type":"string"},"one":{"type":"string"}}},"status":{"type":"object","properties":{"s":{"type":"string"},"one":{"type":"string"}}}}}}},{"name":"v2","served":true,"storage":false,"subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"a":{"type":"string"},"two":{"type":"string","default":"D"}}},"status":{"type":"object","properties":{"s":{"type":"string"}}}}}}}]"#;
    let server = serving("vers", "Ver", versions).await;
    let object = r#"{"apiVersion":"g.example.com/v1","kind":"Ver","metadata":{"name":"a"},"spec":{"a":"x","one":"y"}}"#;
    let applied =
        r#"{"apiVersion":"g.example.com/v2","kind":"Ver","metadata":{"name":"a"},"status":{"s":"4"}}"#;
    let again = r#"{"spec":{"one":"y"}}"#;
    check(
        &server,
        &[
            ("POST", ALL, JSON, object, 201, "/metadata/generation", "1"),
            (
                "PATCH",
                STATUS,
                MERGE,
                r#"{"status":{"s":"1","one":"z"}}"#,
                200,
                "/spec",
                r#"{"a":"x","one":"y"}"#,
            ),
            ("PATCH", OTHER, MERGE, r#"{"status":{"s":"2"}}"#, 200, "/spec", r#"{"a":"x"}"#),
            ("GET", STORED, JSON, "", 200, "/spec", r#"{"a":"x"}"#),
            ("GET", STORED, JSON, "", 200, "/status", r#"{"s":"2"}"#),
            ("GET", STORED, JSON, "", 200, "/metadata/generation", "1"),
            ("PATCH", STORED, MERGE, again, 200, "/metadata/generation", "2"),
            // One that changes nothing of the status loses them, too.
            ("PATCH", OTHER, MERGE, r#"{"status":{"s":"2"}}"#, 200, "/metadata/generation", "2"),
            ("GET", STORED, JSON, "", 200, "/spec", r#"{"a":"x"}"#),
            ("PATCH", STORED, MERGE, again, 200, "/metadata/generation", "3"),
            ("PATCH", APPLIED, APPLY, applied, 200, "/status", r#"{"s":"4"}"#),
            ("GET", STORED, JSON, "", 200, "/spec", r#"{"a":"x"}"#),
            ("PATCH", STORED, MERGE, again, 200, "/metadata/generation", "4"),
            ("PATCH", DRY, MERGE, r#"{"status":{"s":"5"}}"#, 200, "/spec", r#"{"a":"x"}"#),
            ("GET", STORED, JSON, "", 200, "/spec", r#"{"a":"x","one":"y"}"#),
        ],
    )
    .await;
}

/// A scalar where a schema of items is expected is no schema, and yet not nothing.
#[tokio::test(flavor = "multi_thread")]
async fn generations_of_definitions_with_odd_items() {
    let server = started().await;
    let item = format!("{DEFINITIONS}/its.g.example.com");
    let apply = format!("{item}?fieldManager=m&force=true");
    for (items, generations) in [
        ("5", ["1", "2", "3"]),
        (r#""a""#, ["1", "2", "3"]),
        ("false", ["1", "2", "3"]),
        ("[]", ["1", "2", "3"]),
        ("null", ["1", "1", "1"]),
    ] {
        let definition = format!(
            r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"its.g.example.com"}},"spec":{{"group":"g.example.com","scope":"Cluster","names":{{"plural":"its","kind":"It"}},"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"x":{{"type":"string","items":{items}}}}}}}}}}}]}}}}"#
        );
        for (i, generation) in generations.into_iter().enumerate() {
            let (method, path, media) =
                if i == 0 { ("POST", DEFINITIONS, JSON) } else { ("PATCH", apply.as_str(), APPLY) };
            let (_, answer) = send(&server, method, path, media, &definition).await;
            let got = json::to_string(answer.at("metadata").at("generation"));
            assert_eq!(got, generation, "{method} {items}: {answer:?}");
        }
        let (_, answer) = send(&server, "PATCH", &item, MERGE, r#"{"metadata":{"labels":{"a":"b"}}}"#).await;
        let versions = answer.at("spec").at("versions").items();
        let x = versions[0].path(&["schema", "openAPIV3Schema", "properties", "x"]);
        assert_eq!(json::to_string(x), r#"{"type":"string"}"#);
        assert_eq!(json::to_string(answer.at("metadata").at("generation")), generations[2], "{items}");
        send(&server, "DELETE", &item, JSON, "").await;
        until(async || send(&server, "GET", &item, JSON, "").await.0 == 404).await;
    }
}

/// Embedded metadata of an apply is not brought into form before it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn applied_embedded_metadata() {
    const ITEM: &str = "/apis/g.example.com/v1/embs/a?fieldManager=m&force=true";
    const MERGED: &str = "/apis/g.example.com/v1/embs/a";
    let versions = r#"[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"emb":{"type":"object","x-kubernetes-embedded-resource":true,"x-kubernetes-preserve-unknown-fields":true}}}}}]"#;
    let server = serving("embs", "Emb", versions).await;
    let object = r#"{"apiVersion":"g.example.com/v1","kind":"Emb","metadata":{"name":"a"},"emb":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","labels":{},"annotations":{}}}}"#;
    check(
        &server,
        &[
            ("PATCH", ITEM, APPLY, object, 201, "/emb/metadata", r#"{"name":"x"}"#),
            ("PATCH", ITEM, APPLY, object, 200, "/metadata/generation", "2"),
            ("PATCH", ITEM, APPLY, object, 200, "/emb/metadata", r#"{"name":"x"}"#),
            (
                "PATCH",
                MERGED,
                MERGE,
                r#"{"emb":{"metadata":{"labels":{}}}}"#,
                200,
                "/metadata/generation",
                "3",
            ),
        ],
    )
    .await;
}

/// What YAML's scalars are once they have gone through JSON.
#[tokio::test(flavor = "multi_thread")]
async fn scalars_of_yaml() {
    const ALL: &str = "/apis/g.example.com/v1/yams";
    let versions = r#"[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},"int":{"type":"integer"},"str":{"type":"string"}}}}}]"#;
    let server = serving("yams", "Yam", versions).await;
    let body = |name: &str| {
        format!(
            "apiVersion: g.example.com/v1\nkind: Yam\nmetadata:\n  name: {name}\nint: 3.0\nfree: {{l: [3.0, 1e3, 0x10, 0o7, 0777, yes, ~, 2001-01-01, 1_000, .5, 1e20, 1e21, 12345678901234567890, -0.0, 1:30, 3.5]}}\n"
        )
    };
    let want = r#"[3,1000,16,7,511,true,null,"2001-01-01",1000,0.5,100000000000000000000,1e+21,12345678901234567000,0,"1:30",3.5]"#;
    for (method, path, media, name) in [
        ("POST", ALL, YAML, "a"),
        ("PATCH", "/apis/g.example.com/v1/yams/b?fieldManager=m", APPLY, "b"),
        ("PATCH", "/apis/g.example.com/v1/yams/b?fieldManager=m", APPLY, "b"),
    ] {
        let (_, answer) = send(&server, method, path, media, &body(name)).await;
        assert_eq!(json::to_string(answer.at("free").at("l")), want, "{method}: {answer:?}");
        assert_eq!(json::to_string(answer.at("int")), "3");
        assert_eq!(json::to_string(answer.at("metadata").at("generation")), "1", "{method}");
    }
}

/// What a webhook is to convert is judged in the version that it came in, before anybody is asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_converts_is_judged_before() {
    const HOOKS: &str = "/apis/h.example.com/v1beta1/hooks";
    let server = started().await;
    let schema = r#""schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}}}}"#;
    let definition = format!(
        r#"{{"metadata":{{"name":"hooks.h.example.com"}},"spec":{{"group":"h.example.com","scope":"Cluster","names":{{"plural":"hooks","kind":"Hook"}},"conversion":{{"strategy":"Webhook","webhook":{{"conversionReviewVersions":["v1"],"clientConfig":{{"service":{{"name":"a","namespace":"b"}}}}}}}},"versions":[{{"name":"v1","served":true,"storage":true,{schema}}},{{"name":"v1beta1","served":true,"storage":false,{schema}}}]}}}}"#
    );
    assert_eq!(send(&server, "POST", DEFINITIONS, JSON, &definition).await.0, 201);
    until(async || send(&server, "GET", HOOKS, JSON, "").await.0 == 200).await;
    let wrong =
        r#"{"apiVersion":"h.example.com/v1beta1","kind":"Hook","metadata":{"name":"a"},"spec":{"n":"x"}}"#;
    let missing =
        r#"{"apiVersion":"h.example.com/v1beta1","kind":"Hook","metadata":{"generateName":"a"},"spec":{}}"#;
    let right =
        r#"{"apiVersion":"h.example.com/v1beta1","kind":"Hook","metadata":{"name":"a"},"spec":{"n":1}}"#;
    check(
        &server,
        &[
            ("POST", HOOKS, JSON, wrong, 422, "/details/causes/0/field", r#""spec.n""#),
            ("POST", HOOKS, JSON, missing, 422, "/details/causes/0/field", r#""spec.n""#),
            ("POST", HOOKS, JSON, right, 500, "/details", ""),
        ],
    )
    .await;
}

/// A deprecated version says so on every path of its objects.
#[tokio::test(flavor = "multi_thread")]
async fn deprecation_is_told_of_subresources_too() {
    let versions = r#"[{"name":"v1","served":true,"storage":true,"deprecated":true,"deprecationWarning":"old","subresources":{"status":{}},"schema":{"openAPIV3Schema":{"type":"object"}}}]"#;
    let server = serving("pasts", "Past", versions).await;
    for path in ["a/status", "a/scale", "a", ""] {
        let path = format!("/apis/g.example.com/v1/pasts/{path}");
        let request = http::Request::get(path.as_str()).body(bytes::Bytes::new()).unwrap();
        let response = server.api.call(apiserver::bootstrap::loopback(), request).await;
        let warnings: Vec<_> = response.headers().get_all(http::header::WARNING).into_iter().collect();
        assert_eq!(warnings, ["299 - \"old\""], "{path}");
    }
}

/// Null for what the same manager applied before takes its items away, and leaves it empty.
#[tokio::test(flavor = "multi_thread")]
async fn applied_nulls() {
    const A: &str = "/apis/g.example.com/v1/nulls/a?fieldManager=m";
    let versions = r#"[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"sub":{"type":"object","properties":{"a":{"type":"string"}}},"map":{"type":"object","additionalProperties":{"type":"string"}}}}}}}}]"#;
    let server = serving("nulls", "Null", versions).await;
    let object = |spec: &str| {
        format!(
            r#"{{"apiVersion":"g.example.com/v1","kind":"Null","metadata":{{"name":"a"}},"spec":{spec}}}"#
        )
    };
    for (spec, want) in [
        (r#"{"sub":{"a":"1"},"map":{"x":"y"}}"#, r#"{"map":{"x":"y"},"sub":{"a":"1"}}"#),
        (r#"{"sub":null,"map":{"x":"y"}}"#, r#"{"map":{"x":"y"},"sub":{}}"#),
        ("null", "{}"),
    ] {
        let (_, answer) = send(&server, "PATCH", A, APPLY, &object(spec)).await;
        assert_eq!(json::to_string(answer.at("spec")), want, "{spec}: {answer:?}");
    }
}
