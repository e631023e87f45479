//! Objects against schemas.

use crate::{lines, tree};
use crd::correlate::Pair;
use crd::prune::{self, Track};
use crd::rules::{BUDGET, Rules};
use crd::schema::{Schema, normalize_numbers};
use crd::values::{Check, Formats};
use crd::{list_type, metadata};
use expect_test::{Expect, expect};
use meta::field::Path;
use value::json;

fn errors(schema: &str, new: &str, old: Option<&str>) -> String {
    let schema = Schema::read(&tree(schema));
    let mut new = tree(new);
    normalize_numbers(&mut new);
    let old = old.map(tree);
    let pair = old.as_ref().map(|old| Pair { new: &new, old, schema: &schema });
    let root = Path::ROOT;
    let mut errors = Check::new(&schema, Formats::Known).validate(&root, &new, pair);
    errors.extend(metadata::validate(&root, &new, &schema, false));
    errors.extend(list_type::validate(&root, &schema, &new));
    if let Some(rules) = Rules::new(&schema, false) {
        errors.extend(rules.validate(&root, &schema, &new, old.as_ref(), pair, BUDGET).0.errors);
    }
    lines(&errors)
}

fn check(schema: &str, new: &str, expect: Expect) {
    expect.assert_eq(&errors(schema, new, None));
}

fn check_update(schema: &str, new: &str, old: &str, expect: Expect) {
    expect.assert_eq(&errors(schema, new, Some(old)));
}

#[test]
fn types() {
    let s = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    check(s, r#"{"a":1.0}"#, expect![""]);
    check(
        s,
        r#"{"a":1.5}"#,
        expect![[r#"
        a: Invalid value: "number": a in body must be of type integer: "number"
        <nil>: Invalid value: "": Checked value must be of type integer (default format) in a
    "#]],
    );
    check(
        s,
        r#"{"a":null}"#,
        expect![[r#"
        a: Invalid value: "null": a in body must be of type integer: "null"
    "#]],
    );
    check(
        s,
        r#"[]"#,
        expect![[r#"
        <nil>: Invalid value: "array":  in body must be of type object: "array"
    "#]],
    );
    let s = r#"{"x-kubernetes-int-or-string":true}"#;
    check(s, "\"1\"", expect![""]);
    check(
        s,
        "true",
        expect![[r#"
        <nil>: Invalid value: "boolean":  in body must be of type integer,string: "boolean"
    "#]],
    );
}

#[test]
fn bounds() {
    check(
        r#"{"type":"number","minimum":1.5,"exclusiveMinimum":true}"#,
        "1.5",
        expect![[r#"
        <nil>: Invalid value: 1.5:  in body should be greater than 1.5
    "#]],
    );
    check(
        r#"{"type":"integer","maximum":3,"multipleOf":2}"#,
        "5",
        expect![[r#"
        <nil>: Invalid value: 5:  in body should be a multiple of 2
        <nil>: Invalid value: 5:  in body should be less than or equal to 3
    "#]],
    );
    check(r#"{"type":"number","multipleOf":0.1}"#, "0.3", expect![""]);
    check(
        r#"{"type":"number","multipleOf":0.5}"#,
        "1",
        expect![[r#"
        <nil>: Invalid value: 0: factor MultipleOf declared for  must be positive: 0
    "#]],
    );
    check(r#"{"type":"number","multipleOf":0.5}"#, "1.5", expect![""]);
    check(
        r#"{"type":"number","multipleOf":0.5}"#,
        "0.75",
        expect![[r#"
        <nil>: Invalid value: 0.75:  in body should be a multiple of 0.5
    "#]],
    );
    check(
        r#"{"type":"string","maxLength":1}"#,
        "\"äö\"",
        expect![[r#"
        <nil>: Too long: may not be more than 1 byte
    "#]],
    );
    check(
        r#"{"type":"array","maxItems":0,"items":{"type":"string"}}"#,
        "[1]",
        expect![[r#"
        [0]: Invalid value: "integer": [0] in body must be of type string: "integer"
        <nil>: Too many: 1: must have at most 0 items
    "#]],
    );
    check(
        r#"{"type":"string","enum":["a","b"]}"#,
        "\"c\"",
        expect![[r#"
        <nil>: Unsupported value: "c": supported values: "a", "b"
    "#]],
    );
}

#[test]
fn alternatives() {
    let s = r#"{"type":"object","oneOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#;
    check(s, r#"{"a":"x"}"#, expect![""]);
    check(
        s,
        "{}",
        expect![[r#"
        <nil>: Invalid value: "": "" must validate one and only one schema (oneOf). Found none valid
        a: Required value
    "#]],
    );
    check(
        s,
        r#"{"a":"x","b":"y"}"#,
        expect![[r#"
        <nil>: Invalid value: "": "" must validate one and only one schema (oneOf). Found 2 valid alternatives
    "#]],
    );
    check(
        r#"{"type":"integer","allOf":[{"minimum":3}],"not":{"maximum":9}}"#,
        "2",
        expect![[r#"
        <nil>: Invalid value: 2:  in body should be greater than or equal to 3
        <nil>: Invalid value: "": "" must validate all the schemas (allOf). None validated
        <nil>: Invalid value: "": "" must not validate the schema (not)
    "#]],
    );
}

#[test]
fn lists() {
    let s = r#"{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"string"}}}}"#;
    check(s, r#"[{"k":"a"},{"k":"b"}]"#, expect![""]);
    check(
        s,
        r#"[{"k":"a"},{"k":"a"},{},{}]"#,
        expect![[r#"
        [1]: Duplicate value: {"k":"a"}
        [3]: Duplicate value: {}
    "#]],
    );
    let s = r#"{"type":"array","x-kubernetes-list-type":"set","items":{"type":"integer"}}"#;
    check(
        s,
        "[1,2,1,1]",
        expect![[r#"
        [2]: Duplicate value: 1
    "#]],
    );
}

#[test]
fn ratcheting() {
    let s = r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^x"},"l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"string"},"v":{"type":"integer","maximum":1}}}}}}"#;
    let old = r#"{"a":"y","l":[{"k":"a","v":5},{"k":"b","v":1}]}"#;
    check_update(s, r#"{"a":"y","l":[{"k":"b","v":1},{"k":"a","v":5}]}"#, old, expect![""]);
    check_update(
        s,
        r#"{"a":"z","l":[{"k":"a","v":6}]}"#,
        old,
        expect![[r#"
        a: Invalid value: "z": a in body should match '^x'
        l[0].v: Invalid value: 6: l[0].v in body should be less than or equal to 1
    "#]],
    );
}

/// Within alternatives nothing is let pass for being unchanged, and nothing seems valid for it.
#[test]
fn alternatives_do_not_ratchet() {
    let not = r#"{"type":"object","properties":{"n":{"type":"integer"},"host":{"type":"string"}},"not":{"properties":{"host":{"maxLength":0}}}}"#;
    check_update(not, r#"{"host":"h","n":2}"#, r#"{"host":"h","n":1}"#, expect![""]);
    let all = r#"{"type":"object","properties":{"n":{"type":"integer"},"host":{"type":"string"}},"allOf":[{"properties":{"host":{"maxLength":0}}}]}"#;
    check_update(
        all,
        r#"{"host":"h","n":2}"#,
        r#"{"host":"h","n":1}"#,
        expect![[r#"
            host: Too long: may not be more than 0 bytes
            <nil>: Invalid value: "": "" must validate all the schemas (allOf). None validated
        "#]],
    );
    // But the whole is.
    check_update(all, r#"{"host":"h","n":1}"#, r#"{"host":"h","n":1}"#, expect![""]);
}

#[test]
fn rules() {
    let s = r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"x-kubernetes-validations":[
        {"rule":"self.a < self.b","fieldPath":".a","reason":"FieldValueForbidden"},
        {"rule":"self.a == oldSelf.a","message":" a stays "},
        {"rule":"oldSelf.hasValue() || self.b == 2","optionalOldSelf":true,"messageExpression":"'b is ' + string(self.b)"},
        {"rule":"self.a / self.b > 0"}]}"#;
    check(
        s,
        r#"{"a":1,"b":2}"#,
        expect![[r#"
        <nil>: Invalid value: failed rule: self.a / self.b > 0
    "#]],
    );
    check(
        s,
        r#"{"a":3,"b":0}"#,
        expect![[r#"
        a: Forbidden: failed rule: self.a < self.b
        <nil>: Invalid value: b is 0
        <nil>: Invalid value: "object": division by zero evaluating rule: self.a / self.b > 0
    "#]],
    );
    check_update(
        s,
        r#"{"a":4,"b":3}"#,
        r#"{"a":3,"b":3}"#,
        expect![[r#"
        a: Forbidden: failed rule: self.a < self.b
        <nil>: Invalid value: a stays
    "#]],
    );
}

fn form(schema: &str, object: &str) -> String {
    let schema = Schema::read(&tree(schema));
    let mut object = tree(object);
    normalize_numbers(&mut object);
    let unknown = prune::prune(&mut object, &schema, true, Track::Paths);
    prune::prune_nulls(&mut object, &schema);
    prune::default(&mut object, &schema);
    format!("{} {unknown:?}", json::to_string(&object))
}

#[test]
fn pruning_and_defaults() {
    let s = r#"{"type":"object","properties":{
        "d":{"type":"object","default":{},"properties":{"a":{"type":"integer","default":3}}},
        "n":{"type":"string","nullable":true,"default":"x"},
        "m":{"type":"object","additionalProperties":{"type":"object","properties":{"q":{"type":"string"}}}},
        "p":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"s":{"type":"object","properties":{}}}},
        "e":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object"}}}}}"#;
    let check = |object: &str, expect: Expect| expect.assert_eq(&form(s, object));
    check(r#"{"kind":"K","zz":1}"#, expect![[r#"{"d":{"a":3},"kind":"K","n":"x"} ["zz"]"#]]);
    check(r#"{"n":null,"d":{"a":null,"b":1}}"#, expect![[r#"{"d":{"a":3},"n":null} ["d.b"]"#]]);
    check(
        r#"{"m":{"x":{"q":"1","r":2}},"p":{"any":[{"z":1}],"s":{"t":1}},"e":{"kind":"E","metadata":{"q":1},"x":1,"spec":{"y":2}}}"#,
        expect![[
            r#"{"d":{"a":3},"e":{"kind":"E","metadata":{"q":1},"spec":{}},"m":{"x":{"q":"1"}},"n":"x","p":{"any":[{"z":1}],"s":{}}} ["e.spec.y", "e.x", "m.x.r", "p.s.t"]"#
        ]],
    );
    check(r#"{"d":[{"a":1},null]}"#, expect![[r#"{"d":[{},null],"n":"x"} ["d[0].a"]"#]]);
}
