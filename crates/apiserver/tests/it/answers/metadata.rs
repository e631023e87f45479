//! Names, labels and what is empty, as the strategies of the kinds see them.

use super::{JSON, JSON_PATCH, MAPS, MERGE, SCALERS, check, send, started};
use value::json;

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";

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

/// What an update's preparation drops counts in the generation where upstream looks before it drops.
#[tokio::test]
async fn generations_of_what_is_dropped() {
    const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/a";
    let plain = r#"{"metadata":{"name":"a"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":[]}"#;
    let topology = r#"{"metadata":{"name":"a"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"deprecatedTopology":{"a":"b"}}],"ports":[]}"#;
    let server = started().await;
    check(
        &server,
        &[
            ("POST", SLICES, JSON, plain, 201, "/metadata/generation", "1"),
            ("PUT", SLICE, JSON, plain, 200, "/metadata/generation", "1"),
            ("PUT", SLICE, JSON, topology, 200, "/metadata/generation", "2"),
            ("PUT", SLICE, JSON, plain, 200, "/endpoints/0", r#"{"addresses":["10.0.0.1"],"conditions":{}}"#),
        ],
    )
    .await;
}

/// Objects that an update or an apply makes: versions are of no consequence, and a UID is that of another object.
#[tokio::test]
async fn objects_that_changes_make() {
    const APPLY: &str = "application/apply-patch+yaml";
    const MAP: &str = "/api/v1/namespaces/default/configmaps/a?fieldManager=m";
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a";
    let server = started().await;
    check(
        &server,
        &[
            (
                "PATCH",
                MAP,
                APPLY,
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid":"u"}}"#,
                409,
                "/message",
                r#""Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid u, and no existing object was found""#,
            ),
            (
                "PATCH",
                MAP,
                APPLY,
                r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"5"}}"#,
                201,
                "/metadata/name",
                r#""a""#,
            ),
            (
                "PUT",
                LEASE,
                JSON,
                r#"{"metadata":{"name":"a","uid":"u","resourceVersion":"5"}}"#,
                409,
                "/message",
                r#""Operation cannot be fulfilled on leases.coordination.k8s.io \"a\": StorageError: invalid object, Code: 4, Key: /registry/leases/default/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: u, UID in object meta: ""#,
            ),
            (
                "PUT",
                LEASE,
                JSON,
                r#"{"metadata":{"name":"a","resourceVersion":"x"}}"#,
                500,
                "/message",
                r#""strconv.ParseUint: parsing \"x\": invalid syntax""#,
            ),
            (
                "PUT",
                LEASE,
                JSON,
                r#"{"metadata":{"name":"a","resourceVersion":"5"}}"#,
                201,
                "/metadata/name",
                r#""a""#,
            ),
            ("PUT", MAP, JSON, r#"{"metadata":{"name":"b","uid":"u"}}"#, 400, "/reason", r#""BadRequest""#),
        ],
    )
    .await;
}
