//! Apply: who manages what, in which version; generations of custom objects.

use super::{JSON, MAPS, MERGE, SCALERS, check, send, started};
use crate::server::until;
use value::json;

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
