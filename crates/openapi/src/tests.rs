use crate::names::definition as go_definition;
use crate::{Kind, paths, v2, v3};
use expect_test::{Expect, expect};
use kinds::Table;
use kinds::table::Subresource;
use value::{Value, json};

fn kinds() -> Vec<Kind<'static>> {
    Table::builtin().rows().iter().map(|row| Kind { row, schema: None, preserves_unknown: false }).collect()
}

/// Without sentences, which are not ours.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut out = Value::object();
            for (key, value) in map.iter().filter(|(k, v)| *k != "description" || v.as_str().is_none()) {
                out.set(key, bare(value));
            }
            out
        }
        Value::Array(items) => Value::Array(items.iter().map(bare).collect()),
        other => other.clone(),
    }
}

#[test]
fn names_of_definitions() {
    assert_eq!(go_definition("k8s.io/api/core/v1.Pod"), "io.k8s.api.core.v1.Pod");
    assert_eq!(
        go_definition("k8s.io/kube-aggregator/pkg/apis/apiregistration/v1.APIService"),
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService"
    );
}

/// As a real server names the operations of such kinds.
#[test]
fn names_of_operations() {
    let names = |group: &str, version: &str, kind: &str, namespaced: bool| {
        let mut row = kinds::Row::custom(group, version, kind, "plurals");
        row.namespaced = namespaced;
        let kinds = [Kind { row: &row, schema: None, preserves_unknown: false }];
        let document = v3(&kinds, &format!("apis/{group}/{version}")).expect("is served");
        let mut names = Vec::new();
        for (_, item) in document.at("paths").entries() {
            for operation in ["get", "delete"].into_iter().filter_map(|method| item.get(method)) {
                names.push(format!(
                    "{} {}",
                    operation.at("tags").items()[0].str(),
                    operation.at("operationId").str()
                ));
            }
        }
        names.sort_unstable();
        names.join("\n")
    };
    expect![[r#"
        acmeCertManagerIo_v1 deleteAcmeCertManagerIoV1CollectionNamespacedChallenge
        acmeCertManagerIo_v1 deleteAcmeCertManagerIoV1NamespacedChallenge
        acmeCertManagerIo_v1 listAcmeCertManagerIoV1ChallengeForAllNamespaces
        acmeCertManagerIo_v1 listAcmeCertManagerIoV1NamespacedChallenge
        acmeCertManagerIo_v1 readAcmeCertManagerIoV1NamespacedChallenge"#]]
    .assert_eq(&names("acme.cert-manager.io", "v1", "Challenge", true));
    expect![[r#"
        acidZalanDo_v1 deleteAcidZalanDoV1CollectionNamespacedpostgresql
        acidZalanDo_v1 deleteAcidZalanDoV1Namespacedpostgresql
        acidZalanDo_v1 listAcidZalanDoV1Namespacedpostgresql
        acidZalanDo_v1 listAcidZalanDoV1PostgresqlForAllNamespaces
        acidZalanDo_v1 readAcidZalanDoV1Namespacedpostgresql"#]]
    .assert_eq(&names("acid.zalan.do", "v1", "postgresql", true));
    expect![[r#"
        AB23cK8sXIo_v1beta1 deleteAB23cK8sXIoV1beta1CollectionthingA2
        AB23cK8sXIo_v1beta1 deleteAB23cK8sXIoV1beta1ThingA2
        AB23cK8sXIo_v1beta1 listAB23cK8sXIoV1beta1ThingA2
        AB23cK8sXIo_v1beta1 readAB23cK8sXIoV1beta1ThingA2"#]]
    .assert_eq(&names("1-a.b2-3c.k8s-x.io", "v1beta1", "thing-a2", false));
}

#[test]
fn every_document_is_there_and_whole() {
    let kinds = kinds();
    for path in paths(&kinds) {
        let document = v3(&kinds, &path).expect("every name has a document");
        let schemas = document.path(&["components", "schemas"]);
        let text = json::to_string(&document);
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(schemas.get(name).is_some(), "{path}: {name} is missing");
        }
    }
    assert!(v3(&kinds, "apis/nope/v1").is_none());
    assert!(v3(&kinds, "api/v2").is_none());
    assert!(v3(&kinds, "apis/").is_none());
}

/// The structure of every document is upstream's: names, types, formats, required fields, extensions,
/// values, defaults, paths, operations, parameters, answers. To see a difference, compare the document with that
/// of a real server; the files that upstream publishes are of one with all features on, and leave out values.
#[test]
fn documents_have_upstreams_structure() {
    let kinds = kinds();
    let fnv = |text: &str| {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
    };
    let mut names = Vec::new();
    for line in include_str!("upstream.txt").lines().filter(|l| !l.starts_with('#')) {
        let (name, hash) = line.split_once('\t').expect("two columns");
        let document = if name == "v2" { unshared(v2(&kinds)) } else { v3(&kinds, name).expect("is served") };
        assert_eq!(format!("{:016x}", fnv(&json::to_string(&bare(&document)))), hash, "{name}");
        names.push(name);
    }
    names.retain(|name| *name != "v2");
    names.sort_unstable();
    assert_eq!(names, paths(&kinds));
}

/// A document of version 2 with parameters in the places of references to them.
fn unshared(mut document: Value) -> Value {
    let shared = document.remove("parameters").expect("there are shared parameters");
    let resolve = |list: &mut Value| {
        let Value::Array(list) = list else { panic!("parameters are a list") };
        for parameter in list {
            if let Some(reference) = parameter.get("$ref") {
                let name = reference.str().strip_prefix("#/parameters/").expect("is a shared one");
                *parameter = shared.get(name).expect(name).clone();
            }
        }
    };
    let Some(Value::Object(paths)) = document.get_mut("paths") else { panic!("there are paths") };
    for (_, item) in paths.iter_mut() {
        let Value::Object(item) = item else { panic!("paths are objects") };
        for (key, value) in item.iter_mut() {
            let list = if key == "parameters" { Some(value) } else { value.get_mut("parameters") };
            list.into_iter().for_each(resolve);
        }
    }
    document
}

/// Names of shared parameters are upstream's where what they say is.
#[test]
fn shared_parameters() {
    let document = v2(&kinds());
    let names: Vec<&str> = document.at("parameters").entries().map(|(name, _)| name.as_str()).collect();
    for name in ["body-2Y1dVQaQ", "body-78PwaGsr", "namespace-vgWSWtn3", "path-z6Ciiujn"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    // What names its kind is not shared.
    let parameters = document.path(&["paths", "/api/v1/namespaces/{namespace}/pods/{name}", "parameters"]);
    let [name, namespace, _] = parameters.items() else { panic!("three parameters: {parameters:?}") };
    assert_eq!(name.at("description").str(), "name of the Pod");
    assert_eq!(json::to_string(namespace), r##"{"$ref":"#/parameters/namespace-vgWSWtn3"}"##);
}

/// Every parameter of a query or path says what it does.
#[test]
fn parameters_have_texts() {
    let document = unshared(v2(&kinds()));
    for (path, item) in document.at("paths").entries() {
        let own = item.entries().flat_map(|(_, operation)| operation.at("parameters").items());
        for parameter in item.at("parameters").items().iter().chain(own) {
            let is_told = !parameter.at("description").str().is_empty();
            assert!(is_told || parameter.at("in").str() == "body", "{path}: {}", parameter.at("name").str());
        }
    }
    for (name, definition) in document.at("definitions").entries() {
        let is_told = !definition.at("description").str().is_empty();
        assert!(is_told, "{name} has no text");
    }
}

#[test]
fn values_of_enums() {
    let document = v3(&kinds(), "api/v1").expect("is served");
    let check = |schema: &str, field: &str, expect: Expect| {
        let property = document.path(&["components", "schemas", schema, "properties", field]);
        expect.assert_eq(&json::to_string(property.at("enum")));
    };
    check(
        "io.k8s.api.core.v1.PodSpec",
        "dnsPolicy",
        expect![[r#"["ClusterFirst","ClusterFirstWithHostNet","Default","None"]"#]],
    );
    check("io.k8s.api.core.v1.PodSpec", "nodeName", expect!["null"]);
    for line in include_str!("enums.txt").lines().filter(|l| !l.starts_with('#')) {
        let (name, values) = line.split_once('\t').unwrap_or((line, ""));
        let types = schema::types::Types::builtin();
        let id = types.by_go_name(name).unwrap_or_else(|| panic!("{name} is no type"));
        assert!(!values.is_empty() || types.get(id).values().next().is_some(), "{name} has no values");
    }
}

/// What `kubectl explain` shows of them.
#[test]
fn texts_of_enums() {
    let document = v3(&kinds(), "api/v1").expect("is served");
    let older = v2(&kinds());
    let check = |schema: &str, field: &str, values: &[&str]| {
        let place = ["components", "schemas", schema, "properties", field];
        let text = document.path(&place).at("description").str();
        assert_eq!(older.path(&["definitions", schema, "properties", field]).at("description").str(), text);
        let named = text.split_once("\n\nPossible enum values:\n").map_or("", |(_, named)| named);
        let want: Vec<String> = values.iter().map(|value| format!(" - `\"{value}\"`")).collect();
        assert_eq!(named, want.join("\n"));
    };
    check("io.k8s.api.core.v1.PodSpec", "restartPolicy", &["Always", "Never", "OnFailure"]);
    check("io.k8s.api.core.v1.Container", "imagePullPolicy", &["Always", "IfNotPresent", "Never"]);
    // The values of these are those of their elements, and of none.
    check("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "accessModes", &[]);
    check("io.k8s.api.core.v1.PodSpec", "nodeName", &[]);
}

/// A row and schema of a custom resource.
fn custom(schema: &str) -> (kinds::Row, &[u8]) {
    let row = kinds::Row::custom("stable.example.com", "v1", "CronTab", "crontabs");
    (row, schema.as_bytes())
}

#[test]
fn custom_resources() {
    let (row, schema) = custom(
        r#"{"type":"object","required":["spec"],"properties":{"spec":{"type":"object","properties":{
            "port":{"x-kubernetes-int-or-string":true},
            "maybe":{"type":"integer","nullable":true,"default":3},
            "any":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
            "whole":{"type":"object","x-kubernetes-embedded-resource":true}}}}}"#,
    );
    let kinds = [Kind { row: &row, schema: Some(schema), preserves_unknown: false }];
    let documents = paths(&kinds);
    let own: Vec<&str> = documents.iter().map(String::as_str).filter(|n| n.contains("stable")).collect();
    assert_eq!(own, ["apis/stable.example.com/v1"]);
    let name = "com.example.stable.v1.CronTab";
    let document = v3(&kinds, "apis/stable.example.com/v1").expect("is served");
    expect![[r##"{"properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]},"spec":{"properties":{"any":{"type":"object","x-kubernetes-preserve-unknown-fields":true},"maybe":{"default":3,"nullable":true,"type":"integer"},"port":{"anyOf":[{"type":"integer"},{"type":"string"}],"x-kubernetes-int-or-string":true},"whole":{"properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]}},"required":["kind","apiVersion"],"type":"object","x-kubernetes-embedded-resource":true}},"type":"object"}},"required":["spec"],"type":"object","x-kubernetes-group-version-kind":[{"group":"stable.example.com","kind":"CronTab","version":"v1"}]}"##]]
    .assert_eq(&json::to_string(&bare(document.path(&["components", "schemas", name]))));
    let document = v2(&kinds);
    expect![[r##"{"properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"$ref":"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},"spec":{"properties":{"any":{"x-kubernetes-preserve-unknown-fields":true},"maybe":{},"port":{"x-kubernetes-int-or-string":true},"whole":{"properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"$ref":"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}},"required":["kind","apiVersion"],"type":"object","x-kubernetes-embedded-resource":true}},"type":"object"}},"required":["spec"],"type":"object","x-kubernetes-group-version-kind":[{"group":"stable.example.com","kind":"CronTab","version":"v1"}]}"##]]
    .assert_eq(&json::to_string(&bare(document.path(&["definitions", name]))));
}

/// The texts of an object in an object are the server's, whatever the author says of them.
#[test]
fn texts_of_embedded_objects() {
    let (row, schema) = custom(
        r#"{"type":"object","properties":{"apiVersion":{"description":"mine"},"items":{"type":"array","items":{
            "type":"object","x-kubernetes-embedded-resource":true,"properties":{
                "apiVersion":{"type":"string","description":"mine","maxLength":3},
                "kind":{"type":"string","description":"mine","enum":["A"]},
                "metadata":{"type":"object","description":"mine"}}}}}}"#,
    );
    let kinds = [Kind { row: &row, schema: Some(schema), preserves_unknown: false }];
    let document = v2(&kinds);
    let own = document.path(&["definitions", "com.example.stable.v1.CronTab", "properties"]);
    let embedded = own.path(&["items", "items", "properties"]);
    let text = |of: &Value, key: &str| of.at(key).at("description").str().to_owned();
    let version = text(embedded, "apiVersion");
    assert!(version.starts_with("apiVersion defines ") && !version.contains("Servers"), "{version}");
    assert!(version.contains(" of an object. More info: https://"), "{version}");
    let kind = text(embedded, "kind");
    let begin =
        "kind is a string value representing the type of this object. In CamelCase. More info: https://";
    assert!(kind.starts_with(begin), "{kind}");
    assert!(
        text(own, "apiVersion").starts_with("APIVersion ") && text(own, "apiVersion").contains("Servers")
    );
    assert_eq!(own.at("metadata"), embedded.at("metadata"));
    expect![[r#"{"type":"string"}"#]].assert_eq(&json::to_string(&bare(embedded.at("kind"))));
}

/// What a real server says of a custom resource beside one's own built-in kinds.
#[test]
fn custom_resources_beside_built_in_kinds() {
    let (mut row, schema) = custom(r#"{"type":"object"}"#);
    let deployments = Table::builtin().get("apps", "v1", "deployments").expect("is built in");
    let scale = deployments.subresources.iter().find(|s| s.name == "scale").expect("can be scaled");
    row.subresources.push(Subresource { go_type: "".into(), ..scale.clone() });
    let mut kinds = kinds();
    kinds.push(Kind { row: &row, schema: Some(schema), preserves_unknown: false });
    let document = v3(&kinds, "apis/stable.example.com/v1").expect("is served");
    let path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale";
    let answer = document.path(&["paths", path, "get", "responses", "200", "content", "application/json"]);
    expect![[r##"{"schema":{"$ref":"#/components/schemas/io.k8s.api.autoscaling.v1.Scale"}}"##]]
        .assert_eq(&json::to_string(answer));
    let options = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
    let registered = document.path(&["components", "schemas", options, "x-kubernetes-group-version-kind"]);
    assert_eq!(registered.items().len(), 53, "{registered:?}");
    let document = v2(&kinds);
    expect![[r#"["application/json","application/yaml"]"#]]
        .assert_eq(&json::to_string(document.path(&["paths", path, "get", "consumes"])));
    let registered = document.path(&["definitions", options, "x-kubernetes-group-version-kind"]);
    assert_eq!(registered.items().len(), 60, "{registered:?}");
}

#[test]
fn deep_schemas_and_odd_ones() {
    let mut schema = Value::object();
    for _ in 0..5_000 {
        let mut outer = Value::object();
        outer.set("items", schema);
        schema = outer;
    }
    let row = kinds::Row::custom("g.example", "v1", "Deep", "deeps");
    let schema = json::to_string(&schema).into_bytes();
    let kinds = [Kind { row: &row, schema: Some(&schema), preserves_unknown: false }];
    let document = v2(&kinds);
    assert!(!crate::gnostic::v2(&document).is_empty());
    let document = v3(&kinds, "apis/g.example/v1").expect("is served");
    assert!(!crate::gnostic::v3(&document).is_empty());
    let (row, schema) = custom(r#"{"properties":7,"required":"x","items":[1],"type":{},"allOf":3}"#);
    let kinds = [Kind { row: &row, schema: Some(schema), preserves_unknown: false }];
    assert!(!crate::gnostic::v2(&v2(&kinds)).is_empty());
}
