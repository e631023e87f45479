//! What is told of the types in policies, by a whole control plane: the schemas are those that it serves.

use crate::parts::{get, send};
use crate::process::{Api, until};
use http::Method;
use serde_json::{Value, json};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

fn policy(name: &str, resource: [&str; 3], validations: &[Value]) -> Value {
    let [group, version, plural] = resource;
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [{
                "operations": ["CREATE"], "apiGroups": [group], "apiVersions": [version], "resources": [plural]}]},
            "validations": validations,
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_of_policies_are_checked() {
    let root = tempfile::tempdir().unwrap();
    let server = Api::whole(root.path());
    let client = server.client();
    let post = async |path: &str, object: Value| send(&client, Method::POST, path, JSON, object).await;
    // The status once the check of a generation is done.
    let checked = async |name: &str, generation: i64| {
        let path = format!("{POLICIES}/{name}");
        let is_done = async || get(&client, &path).await["status"]["observedGeneration"] == generation;
        until("a checked policy", is_done).await;
        get(&client, &path).await
    };
    let apps = ["apps", "v1", "deployments"];
    let right =
        json!({"expression": "object.spec.replicas > 1 && params.data['a'] == object.metadata.labels['a']"});
    let wrong = json!({
        "expression": "object.spec.replicas > '1'", "messageExpression": "'got ' + object.spec.replicas"});
    post(POLICIES, policy("right", apps, &[right])).await;
    post(POLICIES, policy("wrong", apps, &[wrong])).await;
    assert_eq!(checked("right", 1).await["status"], json!({"observedGeneration": 1, "typeChecking": {}}));
    let told = checked("wrong", 1).await;
    let warnings = json!([
        {"fieldRef": "spec.validations[0].expression", "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found \
            no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n \
            | .....................^\n"},
        {"fieldRef": "spec.validations[0].messageExpression", "warning": "apps/v1, Kind=Deployment: ERROR: \
            <input>:1:8: found no matching overload for '_+_' applied to '(string, int)'\n \
            | 'got ' + object.spec.replicas\n | .......^\n"},
    ]);
    assert_eq!(told["status"]["typeChecking"], json!({"expressionWarnings": warnings}));
    let owners = told["metadata"]["managedFields"].as_array().unwrap();
    let owner = owners.iter().find(|owner| owner["subresource"] == "status").unwrap();
    let facts = ["manager", "operation"].map(|key| owner[key].as_str().unwrap());
    assert_eq!(facts, ["validatingadmissionpolicy-status", "Apply"]);

    // Another generation is looked at again, and what is right then is no longer warned of.
    let mended = json!({"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}});
    send(&client, Method::PATCH, &format!("{POLICIES}/wrong"), MERGE, mended).await;
    let mended = checked("wrong", 2).await["status"].clone();
    assert_eq!(mended, json!({"observedGeneration": 2, "typeChecking": {}}));

    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "replicas": {"type": "integer"}, "at": {"x-kubernetes-int-or-string": true}}}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.stable.example.com"},
        "spec": {
            "group": "stable.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
    let served = async || get(&client, "/openapi/v3/apis/stable.example.com/v1").await.is_object();
    until("a served definition", served).await;
    let validations = ["object.spec.replicas > '1'", "object.spec.maxRetries < 10", "object.spec.at == 'a'"];
    let validations = validations.map(|text| json!({"expression": text}));
    post(POLICIES, policy("custom", ["stable.example.com", "v1", "things"], &validations)).await;
    let told = checked("custom", 1).await["status"]["typeChecking"]["expressionWarnings"].clone();
    let field = "stable.example.com/v1, Kind=Thing: ERROR: <input>:1:12: undefined field 'maxRetries'\n \
                 | object.spec.maxRetries < 10\n | ...........^\n";
    assert_eq!((told.as_array().unwrap().len(), told[1]["warning"].as_str()), (2, Some(field)), "{told}");
    assert_eq!(told[0]["fieldRef"], "spec.validations[0].expression");
}
