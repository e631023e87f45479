//! Structural schemas of custom resources.

use super::*;
use crate::fields::v1;
use crate::testing::{everything, tree};
use crate::typed::{Duplicates, to_field_set, validate};
use expect_test::{Expect, expect};

fn check(schema: &str, object: &str, expect: Expect) {
    let ty = type_of(&tree(schema), false);
    let object = tree(object);
    let got = match validate(&ty.schema, ty.id, &object, Duplicates::Refused) {
        Err(e) => e.to_string(),
        Ok(()) => v1::to_json(&to_field_set(&ty.schema, ty.id, &object).unwrap()),
    };
    expect.assert_eq(&got);
}

#[test]
fn schemas() {
    let any = r#"{"kind":"K","metadata":{"labels":{"a":"b"},"managedFields":[{}]},"spec":{"a":{"b":[1]}}}"#;
    check(
        "null",
        any,
        expect![[
            r#"{"f:kind":{},"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{".":{},"f:a":{".":{},"f:b":{}}}}"#
        ]],
    );
    // An object of which nothing is said but that it is one has no unknown fields.
    check(r#"{"type":"object"}"#, any, expect![".spec: field not declared in schema"]);
    check(
        r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#,
        any,
        expect![[
            r#"{"f:kind":{},"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{".":{},"f:a":{".":{},"f:b":{}}}}"#
        ]],
    );
    check(
        r#"{"type":"object","properties":{"spec":{"type":"object"}}}"#,
        any,
        expect![[r#"{"f:kind":{},"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:a":{".":{},"f:b":{}}}}"#]],
    );
    // What is preserved above is preserved below.
    let preserving = r#"{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-preserve-unknown-fields":true,
        "properties":{"t":{"type":"object","properties":{"x":{"type":"string"}}}}}}}"#;
    check(
        preserving,
        r#"{"spec":{"u":{"v":1},"t":{"x":"a","y":{"z":1}}}}"#,
        expect![[r#"{"f:spec":{"f:t":{"f:x":{},"f:y":{".":{},"f:z":{}}},"f:u":{".":{},"f:v":{}}}}"#]],
    );
    let embedded = r#"{"type":"object","properties":{"template":{"type":"object","x-kubernetes-embedded-resource":true,
        "x-kubernetes-preserve-unknown-fields":true}}}"#;
    check(
        embedded,
        r#"{"template":{"kind":"K","metadata":{"finalizers":["a"],"managedFields":[{}]},"x":1}}"#,
        expect![[
            r#"{"f:template":{"f:kind":{},"f:metadata":{"f:finalizers":{"v:\"a\"":{}},"f:managedFields":{}},"f:x":{}}}"#
        ]],
    );
    let lists = r#"{"type":"object","properties":{"l":{"type":"array"},"m":{"type":"object","additionalProperties":{"type":"array","items":{"type":"integer"}}},
        "t":{"type":"string","format":"date-time"},"additional":{"type":"object","additionalProperties":true}}}"#;
    check(
        lists,
        r#"{"l":[{"a":1}],"m":{"a":[1]},"t":1,"additional":{"x":{"y":1}}}"#,
        expect![[r#"{"f:additional":{"f:x":{".":{},"f:y":{}}},"f:l":{},"f:m":{"f:a":{}},"f:t":{}}"#]],
    );
}

#[test]
fn deep_schemas() {
    let mut schema = tree(r#"{"type":"string"}"#);
    for _ in 0..2_000 {
        let mut outer = tree(r#"{"type":"object"}"#);
        let mut properties = value::Value::object();
        properties.set("a", schema);
        outer.set("properties", properties);
        schema = outer;
    }
    let ty = type_of(&schema, false);
    assert!(validate(&ty.schema, ty.id, &tree(r#"{"a":{"a":{"a":1}}}"#), Duplicates::Refused).is_err());
    assert!(everything().schema.atom(everything().id).map.is_some());
}
