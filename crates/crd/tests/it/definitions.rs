//! Definitions through the hooks of their row.

use crate::{lines, tree};
use crd::definition::HOOKS;
use expect_test::{Expect, expect};
use kinds::hooks::Context;
use value::{Value, json};

fn definition(schema: &str) -> Value {
    let text = format!(
        r#"{{"metadata":{{"name":"foos.a.b"}},"spec":{{"group":"a.b","scope":"Cluster","names":{{"plural":"foos","kind":"Foo"}},"versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{schema}}}}}]}}}}"#
    );
    let mut object = tree(&text);
    (HOOKS.default)(&mut object);
    (HOOKS.prepare_create)(&Context::default(), &mut object);
    object
}

fn check(schema: &str, expect: Expect) {
    let errors = (HOOKS.validate_create)(&Context::default(), &definition(schema));
    expect.assert_eq(&lines(&errors));
}

#[test]
fn defaults() {
    let object = definition(r#"{"type":"object"}"#);
    let spec = object.at("spec");
    expect![[r#"{"kind":"Foo","listKind":"FooList","plural":"foos","singular":"foo"} {"strategy":"None"} {"storedVersions":["v1"]}"#]]
        .assert_eq(&format!(
            "{} {} {}",
            json::to_string(spec.at("names")),
            json::to_string(spec.at("conversion")),
            json::to_string(object.at("status"))
        ));
}

#[test]
fn schemas() {
    check(r#"{"type":"object"}"#, expect![""]);
    check(
        r#"{"properties":{"a":{}}}"#,
        expect![[r#"
        spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields
        spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root
    "#]],
    );
    check(
        r#"{"type":"object","properties":{"a":{"type":"string","default":1}}}"#,
        expect![[r#"
        spec.validation.openAPIV3Schema.properties[a].default: Invalid value: "integer":  in body must be of type string: "integer"
    "#]],
    );
    check(
        r#"{"type":"object","properties":{"a":{"type":"array","items":[{"type":"string"}]}}}"#,
        expect![[r#"
        spec.validation.openAPIV3Schema.properties[a].items: Forbidden: items must be a schema object and not an array
    "#]],
    );
}

#[test]
fn rules() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"integer","x-kubernetes-validations":[{"rule":"self == 'x'"}]}}}"#,
        expect![[r#"
            spec.validation.openAPIV3Schema.properties[a].x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self == 'x'","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:6: found no matching overload for '_==_' applied to '(int, string)'
             | self == 'x'
             | .....^
        "#]],
    );
    check(
        r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"x-kubernetes-validations":[{"rule":"self.all(x, self.all(y, x == y))"}]}}}"#,
        expect![[r#"
            spec.validation.openAPIV3Schema.properties[a].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
            spec.validation.openAPIV3Schema.properties[a].x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema
            spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)
        "#]],
    );
}

#[test]
fn unchanged_rules_may_be_expensive() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"},"x-kubernetes-validations":[{"rule":"self.all(x, self.all(y, x == y))"}]}}}"#;
    let old = definition(schema);
    let errors = (HOOKS.validate_update)(&Context::default(), &old, &old);
    // The sum of all rules still counts.
    assert!(!lines(&errors).contains("estimated rule cost exceeds"), "{}", lines(&errors));
}

#[test]
fn updates() {
    let mut old = definition(r#"{"type":"object"}"#);
    let mut new = old.clone();
    if let Some(spec) = new.object_at("spec") {
        spec.set("group", "c.d");
        spec.set("scope", "Namespaced");
    }
    let check = |new: &Value, old: &Value, expect: Expect| {
        expect.assert_eq(&lines(&(HOOKS.validate_update)(&Context::default(), new, old)));
    };
    check(
        &new,
        &old,
        expect![[r#"
        spec.group: Invalid value: "c.d": field is immutable
    "#]],
    );
    let established = tree(r#"[{"type":"Established","status":"True"}]"#);
    if let Some(status) = old.object_at("status") {
        status.set("conditions", established);
    }
    check(
        &new,
        &old,
        expect![[r#"
        spec.scope: Invalid value: "Namespaced": field is immutable
        spec.group: Invalid value: "c.d": field is immutable
    "#]],
    );
}
