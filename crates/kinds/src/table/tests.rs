use super::*;
use value::Value;

/// The prefixes and stored versions that differ from the rule, or that one looks for first.
#[test]
fn storage_as_upstream_lays_it_out() {
    let check = |group: &str, version: &str, plural: &str, want: &str| {
        let row = Table::builtin().get(group, version, plural).expect("a built-in row");
        let s = row.storage.as_ref().expect("stored");
        let kind =
            if s.group.is_empty() { s.version.to_string() } else { format!("{}/{}", s.group, s.version) };
        assert_eq!(format!("{} {kind} {:?}", row.key("ns", "n").expect("stored"), s.encoding), want);
    };
    check("", "v1", "pods", "/registry/pods/ns/n v1 Protobuf");
    check("", "v1", "nodes", "/registry/minions/n v1 Protobuf");
    check("", "v1", "services", "/registry/services/specs/ns/n v1 Protobuf");
    check("", "v1", "endpoints", "/registry/services/endpoints/ns/n v1 Protobuf");
    check("", "v1", "replicationcontrollers", "/registry/controllers/ns/n v1 Protobuf");
    check("events.k8s.io", "v1", "events", "/registry/events/ns/n v1 Protobuf");
    check(
        "autoscaling",
        "v1",
        "horizontalpodautoscalers",
        "/registry/horizontalpodautoscalers/ns/n autoscaling/v2 Protobuf",
    );
    check("networking.k8s.io", "v1", "ingresses", "/registry/ingress/ns/n networking.k8s.io/v1 Protobuf");
    check("apps", "v1", "deployments", "/registry/deployments/ns/n apps/v1 Protobuf");
    check(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "/registry/apiextensions.k8s.io/customresourcedefinitions/n apiextensions.k8s.io/v1 Json",
    );
    check(
        "admissionregistration.k8s.io",
        "v1",
        "mutatingadmissionpolicies",
        "/registry/mutatingadmissionpolicies/n admissionregistration.k8s.io/v1beta1 Protobuf",
    );
}

#[test]
fn order_is_that_of_discovery() {
    let groups: Vec<&str> = Table::builtin().groups().iter().map(|(g, _)| *g).collect();
    assert_eq!(
        &groups[..5],
        ["", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]
    );
    let autoscaling = Table::builtin().groups().into_iter().find(|(g, _)| *g == "autoscaling");
    assert_eq!(autoscaling.expect("served").1, ["v2", "v1"]);
}

#[test]
fn virtual_kinds_have_no_storage() {
    let virtual_kinds: Vec<&str> =
        Table::builtin().rows().iter().filter(|r| r.storage.is_none()).map(|r| r.plural.as_str()).collect();
    assert_eq!(
        virtual_kinds,
        [
            "bindings",
            "componentstatuses",
            "selfsubjectreviews",
            "tokenreviews",
            "localsubjectaccessreviews",
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "subjectaccessreviews",
        ]
    );
}

#[test]
fn unknown_fields_are_refused_in_upstreams_words() {
    let check = |group: &str, plural: &str, label: &str, want: &str| {
        let row = Table::builtin().get(group, "v1", plural).expect("a built-in row");
        let got = row.fields.resolve(label);
        assert_eq!(got.map(str::to_string).unwrap_or_else(|e| e), want);
    };
    check("", "pods", "spec.host", "spec.nodeName");
    check("", "pods", "x", "field label not supported: x");
    check("batch", "jobs", "x", "field label \"x\" not supported for Job");
    check(
        "apps",
        "deployments",
        "x",
        "\"x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    );
    check("", "nodes", "metadata.namespace", "field label not supported: metadata.namespace");
    check(
        "resource.k8s.io",
        "resourceslices",
        "x",
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x",
    );
}

#[test]
fn generation_counts_what_the_kind_says() {
    let row = Table::builtin().get("apps", "v1", "deployments").expect("a built-in row");
    let mut old = Value::object();
    row.generation.create(&mut old);
    assert_eq!(old.at("metadata").at("generation").int(), 1);
    let mut new = old.clone();
    new.object_at("status").expect("an object").set("replicas", 3);
    row.generation.update(&mut new, &old);
    assert_eq!(new.at("metadata").at("generation").int(), 1);
    new.object_at("spec").expect("an object").set("replicas", 3);
    row.generation.update(&mut new, &old);
    assert_eq!(new.at("metadata").at("generation").int(), 2);
}
