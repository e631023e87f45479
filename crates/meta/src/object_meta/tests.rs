use super::*;
use crate::field::{Path, to_aggregate};
use expect_test::{Expect, expect};

fn object(entries: &[(&str, Value)]) -> Value {
    Value::Object(entries.iter().map(|(k, v)| (Str::from(*k), v.clone())).collect())
}

fn list(items: &[&str]) -> Value {
    items.iter().map(|i| Value::from(*i)).collect::<Vec<_>>().into()
}

fn show(errors: &ErrorList) -> String {
    errors.iter().map(|e| format!("{e}\n")).collect()
}

fn check(scope: Scope, entries: &[(&str, Value)], expected: Expect) {
    let errors = validate(&object(entries), scope, names::name_is_dns_label, &Path::new("metadata"));
    expected.assert_eq(&show(&errors));
}

#[test]
fn valid() {
    let labels = object(&[("app.example.com/name", "web".into()), ("empty", "".into())]);
    check(
        Scope::Namespaced,
        &[
            ("name", "a".into()),
            ("generateName", "a-".into()),
            ("namespace", "default".into()),
            ("labels", labels.clone()),
            ("annotations", object(&[("Example.com/NAME", "any thing".into())])),
            ("finalizers", list(&["example.com/x", "orphan"])),
        ],
        expect![""],
    );
}

#[test]
fn names_and_namespaces() {
    let missing = expect![[r#"
        metadata.name: Required value: name or generateName is required
        metadata.namespace: Required value
    "#]];
    check(Scope::Namespaced, &[], missing);
    let entries = [
        ("name", "a.b".into()),
        ("generateName", "x.y.z-".into()),
        ("namespace", "n".into()),
        ("generation", (-1).into()),
    ];
    check(
        Scope::Cluster,
        &entries,
        expect![[r#"
        metadata.generateName: Invalid value: "x.y.z-": must not contain dots
        metadata.name: Invalid value: "a.b": must not contain dots
        metadata.namespace: Forbidden: not allowed on this type
        metadata.generation: Invalid value: -1: must be greater than or equal to 0
    "#]],
    );
}

#[test]
fn owners() {
    let owner = |kind: &str, controller: bool| {
        object(&[
            ("apiVersion", "v1".into()),
            ("kind", kind.into()),
            ("name", "<n>".into()),
            ("uid", "u".into()),
            ("controller", controller.into()),
        ])
    };
    let entries = [
        ("name", "a".into()),
        ("ownerReferences", vec![owner("Event", true), owner("Pod", true), Value::object()].into()),
        ("finalizers", list(&["orphan", "foregroundDeletion", "a b"])),
    ];
    check(
        Scope::Cluster,
        &entries,
        expect![[r#"
        metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"\u003cn\u003e","uid":"u","controller":true}: /v1, Kind=Event is disallowed from being an owner
        metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Event","name":"\u003cn\u003e","uid":"u","controller":true},{"apiVersion":"v1","kind":"Pod","name":"\u003cn\u003e","uid":"u","controller":true},{"apiVersion":"","kind":"","name":"","uid":""}]: Only one reference can have Controller set to true. Found "true" in references for Event/<n> and Pod/<n>
        metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty
        metadata.ownerReferences.kind: Invalid value: "": must not be empty
        metadata.ownerReferences.name: Invalid value: "": must not be empty
        metadata.ownerReferences.uid: Invalid value: "": must not be empty
        metadata.finalizers: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
        metadata.finalizers: Invalid value: ["orphan","foregroundDeletion","a b"]: finalizer orphan and foregroundDeletion cannot be both set
    "#]],
    );
}

#[test]
fn annotations_have_a_limit_together() {
    let half = "x".repeat(ANNOTATIONS_TOTAL_BYTES_MAX / 2 - 1);
    let annotations = object(&[("a", half.as_str().into()), ("b", half.into())]);
    assert_eq!(validate_annotations(&annotations, &Path::new("a")), []);
    let mut above = annotations;
    above.set("c", "");
    let errors = validate_annotations(&above, &Path::new("a"));
    assert_eq!(to_aggregate(&errors).as_deref(), Some("a: Too long: may not be more than 262144 bytes"));
}

#[test]
fn updates() {
    let old = object(&[
        ("name", "a".into()),
        ("uid", "u".into()),
        ("generation", 3.into()),
        ("creationTimestamp", "2020-01-01T00:00:00Z".into()),
        ("deletionTimestamp", "2020-01-02T00:00:00Z".into()),
        ("finalizers", list(&["x/y"])),
    ]);
    let new = object(&[
        ("name", "<b>".into()),
        ("uid", "<v>".into()),
        ("generation", 2.into()),
        ("finalizers", list(&["x/y", "x/z", "x/a"])),
        ("deletionGracePeriodSeconds", 5.into()),
    ]);
    expect![[r#"
        metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"x/a", "x/z"}
        metadata.resourceVersion: Invalid value: "": must be specified for an update
        metadata.generation: Invalid value: 2: must not be decremented
        metadata.name: Invalid value: "<b>": field is immutable
        metadata.uid: Invalid value: "\u003cv\u003e": field is immutable
        metadata.creationTimestamp: Invalid value: null: field is immutable
        metadata.deletionTimestamp: Invalid value: null: field is immutable
        metadata.deletionGracePeriodSeconds: Invalid value: 5: field is immutable
    "#]].assert_eq(&show(&validate_update(&new, &old, &Path::new("metadata"))));
}
