//! The subresource `scale`.

use super::{JSON, JSON_PATCH, MERGE, check, send, started};
use crate::server::{Server, until};
use value::Value;

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
