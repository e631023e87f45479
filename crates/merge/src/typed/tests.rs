//! Walks over small trees, and laws over many.

use super::*;
use crate::fields::{Set, v1};
use crate::testing::{Dice, everything, holds_empty, set, tree};
use expect_test::{Expect, expect};
use value::{Value, json};

fn check_valid(text: &str, duplicates: Duplicates, expect: Expect) {
    let ty = everything();
    let got = match validate(&ty.schema, ty.id, &tree(text), duplicates) {
        Ok(()) => "valid".to_owned(),
        Err(e) => e.to_string(),
    };
    expect.assert_eq(&got);
}

#[test]
fn validation() {
    use Duplicates::{Allowed, Refused};
    check_valid("{}", Refused, expect!["valid"]);
    check_valid(r#"{"s":null,"map":null,"list":null,"keyed":null,"x":1}"#, Refused, expect!["valid"]);
    check_valid(r#"{"any":{"a":[{"b":null}],"c":{"d":1}}}"#, Refused, expect!["valid"]);
    check_valid(r#"{"nope":1}"#, Refused, expect![".nope: field not declared in schema"]);
    check_valid(r#"{"n":"x"}"#, Refused, expect![".n: expected numeric (int or float), got string"]);
    check_valid(r#"{"b":1}"#, Refused, expect![".b: expected boolean, got &{1}"]);
    check_valid(r#"{"s":1}"#, Refused, expect![".s: expected string, got &value.valueUnstructured{Value:1}"]);
    check_valid(
        r#"{"map":[1,"a"],"list":{"a":{"b":[]}}}"#,
        Refused,
        expect![[r#"
            errors:
              .list: expected list, got &{map[a:map[b:[]]]}
              .map: expected map, got &{[1 a]}"#]],
    );
    check_valid(
        r#"{"list":["a",1]}"#,
        Refused,
        expect![".list[1]: expected string, got &value.valueUnstructured{Value:1}"],
    );
    check_valid(
        r#"{"set":["a","a","b","a"]}"#,
        Refused,
        expect![[r#"
        errors:
          .set: duplicate entries for key [="a"]
          .set: duplicate entries for key [="a"]"#]],
    );
    check_valid(r#"{"set":["a","a"]}"#, Allowed, expect!["valid"]);
    check_valid(r#"{"numbers":[1,1.0]}"#, Refused, expect![".numbers: duplicate entries for key [=1]"]);
    check_valid(
        r#"{"ports":[{"port":1},{"port":1,"protocol":"TCP"}]}"#,
        Refused,
        expect![[r#".ports: duplicate entries for key [port=1,protocol="TCP"]"#]],
    );
    check_valid(
        r#"{"keyed":[{"name":"a","v":"x"}]}"#,
        Refused,
        expect![[r#".keyed[name="a"].v: expected numeric (int or float), got string"#]],
    );
    check_valid(
        r#"{"keyed":[{"v":1}]}"#,
        Allowed,
        expect![[
            r#".keyed: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)"#
        ]],
    );
    check_valid(
        r#"{"keyed":[null]}"#,
        Allowed,
        expect![".keyed: element 0: associative list with keys may not have a null element"],
    );
    check_valid(
        r#"{"keyed":["a"]}"#,
        Allowed,
        expect![".keyed: element 0: associative list with keys may not have non-map elements"],
    );
    check_valid(
        r#"{"set":[null]}"#,
        Allowed,
        expect![".set: element 0: associative list without keys has an element that's an explicit null"],
    );
    check_valid(
        r#"{"set":[{}]}"#,
        Allowed,
        expect![".set: element 0: associative list without keys has an element that's a map type"],
    );
    check_valid(
        r#"{"set":[[]]}"#,
        Allowed,
        expect![".set: element 0: not supported: associative list with lists as elements"],
    );
}

fn check_set(text: &str, expect: Expect) {
    let ty = everything();
    let got = to_field_set(&ty.schema, ty.id, &tree(text)).unwrap();
    expect.assert_eq(&v1::to_json(&got));
}

#[test]
fn field_sets() {
    check_set(
        r#"{"s":"a","n":null,"list":[],"atomicMap":{},"map":{},"struct":{}}"#,
        expect![[r#"{"f:atomicMap":{},"f:list":{},"f:map":{},"f:n":{},"f:s":{},"f:struct":{}}"#]],
    );
    // An empty list that is owned by item has nothing to own.
    check_set(r#"{"set":[],"keyed":null}"#, expect![[r#"{"f:keyed":{}}"#]]);
    check_set(
        r#"{"map":{"a":"b"},"struct":{"a":"x","b":{"c":"y"}}}"#,
        expect![[r#"{"f:map":{"f:a":{}},"f:struct":{"f:a":{},"f:b":{"f:c":{}}}}"#]],
    );
    check_set(
        r#"{"set":["b","a"],"numbers":[10,9]}"#,
        expect![[r#"{"f:numbers":{"v:9":{},"v:10":{}},"f:set":{"v:\"a\"":{},"v:\"b\"":{}}}"#]],
    );
    check_set(
        r#"{"keyed":[{"name":"b","v":1},{"name":"a","inner":["x"]}]}"#,
        expect![[
            r#"{"f:keyed":{"k:{\"name\":\"a\"}":{".":{},"f:inner":{"v:\"x\"":{}},"f:name":{}},"k:{\"name\":\"b\"}":{".":{},"f:name":{},"f:v":{}}}}"#
        ]],
    );
    // A key's default counts, though the field itself is not there.
    check_set(
        r#"{"ports":[{"port":80}]}"#,
        expect![[r#"{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}"#]],
    );
    // Items that repeat are owned as one.
    check_set(
        r#"{"keyed":[{"name":"a","v":1},{"name":"a"},{"name":"b"}],"set":["x","x"]}"#,
        expect![[
            r#"{"f:keyed":{"k:{\"name\":\"a\"}":{},"k:{\"name\":\"b\"}":{".":{},"f:name":{}}},"f:set":{"v:\"x\"":{}}}"#
        ]],
    );
    check_set(
        r#"{"any":{"a":{"b":1,"c":[1]},"d":{}}}"#,
        expect![[r#"{"f:any":{"f:a":{".":{},"f:b":{},"f:c":{}},"f:d":{}}}"#]],
    );
    check_set(
        r#"{"metadata":{"name":"x","managedFields":[{}],"labels":{"a":"b"}}}"#,
        expect![[r#"{"f:metadata":{"f:labels":{"f:a":{}},"f:name":{}}}"#]],
    );
}

fn check_compare(lhs: &str, rhs: &str, expect: Expect) {
    let ty = everything();
    let c = compare(&ty.schema, ty.id, &tree(lhs), &tree(rhs)).unwrap();
    let mut out = String::new();
    for (sign, set) in [("+", c.added), ("~", c.modified), ("-", c.removed)] {
        if !set.is_empty() {
            out.push_str(&format!("{sign}{}\n", v1::to_json(&set)));
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn comparison() {
    check_compare(
        r#"{"s":"a","n":1}"#,
        r#"{"s":"b","b":true}"#,
        expect![[r#"
        +{"f:b":{}}
        ~{"f:s":{}}
        -{"f:n":{}}
    "#]],
    );
    check_compare(r#"{"n":1,"numbers":[1]}"#, r#"{"n":1.0,"numbers":[1.0]}"#, expect![[""]]);
    check_compare(
        r#"{"map":null}"#,
        r#"{"map":{}}"#,
        expect![[r#"
        ~{"f:map":{}}
    "#]],
    );
    check_compare(
        r#"{"map":null}"#,
        r#"{"map":{"a":"b"}}"#,
        expect![[r#"
        +{"f:map":{"f:a":{}}}
    "#]],
    );
    check_compare(
        r#"{}"#,
        r#"{"map":{"a":"b"},"atomicMap":{"a":"b"},"struct":{"b":{}}}"#,
        expect![[r#"
        +{"f:atomicMap":{},"f:map":{".":{},"f:a":{}},"f:struct":{".":{},"f:b":{}}}
    "#]],
    );
    check_compare(
        r#"{"list":["a","b"]}"#,
        r#"{"list":["b","a"]}"#,
        expect![[r#"
        ~{"f:list":{}}
    "#]],
    );
    check_compare(
        r#"{"set":["a","b"]}"#,
        r#"{"set":["b","a","c"]}"#,
        expect![[r#"
        +{"f:set":{"v:\"c\"":{}}}
    "#]],
    );
    check_compare(
        r#"{"keyed":[{"name":"a","v":1},{"name":"b"}]}"#,
        r#"{"keyed":[{"name":"c"},{"name":"a","v":2}]}"#,
        expect![[r#"
        +{"f:keyed":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}}}
        ~{"f:keyed":{"k:{\"name\":\"a\"}":{"f:v":{}}}}
        -{"f:keyed":{"k:{\"name\":\"b\"}":{".":{},"f:name":{}}}}
    "#]],
    );
    // Repeated items: changed as one, or a mark that comes and goes.
    check_compare(
        r#"{"keyed":[{"name":"a","v":1},{"name":"a"}]}"#,
        r#"{"keyed":[{"name":"a","v":2},{"name":"a"}]}"#,
        expect![[r#"
        ~{"f:keyed":{"k:{\"name\":\"a\"}":{}}}
    "#]],
    );
    check_compare(
        r#"{"keyed":[{"name":"a","v":1},{"name":"a"}]}"#,
        r#"{"keyed":[{"name":"a","v":2}]}"#,
        expect![[r#"
        +{"f:keyed":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:v":{}}}}
        -{"f:keyed":{"k:{\"name\":\"a\"}":{}}}
    "#]],
    );
    check_compare(
        r#"{"set":["a"]}"#,
        r#"{"set":["a","a"]}"#,
        expect![[r#"
        +{"f:set":{"v:\"a\"":{}}}
        -{"f:set":{"v:\"a\"":{}}}
    "#]],
    );
    // Values that change their form.
    check_compare(
        r#"{"any":{"a":1,"b":{"c":1},"d":[1]}}"#,
        r#"{"any":{"a":{"x":1},"b":[1],"d":null}}"#,
        expect![[r#"
        +{"f:any":{"f:a":{"f:x":{}}}}
        ~{"f:any":{"f:a":{},"f:b":{},"f:d":{}}}
        -{"f:any":{"f:b":{"f:c":{}}}}
    "#]],
    );
    check_compare(r#"{"metadata":{"managedFields":[{"a":1}]}}"#, r#"{"metadata":{}}"#, expect![[""]]);
}

fn check_merge(live: &str, config: &str, expect: Expect) {
    let ty = everything();
    let got = merge(&ty.schema, ty.id, &tree(live), &tree(config)).unwrap();
    expect.assert_eq(&json::to_string(&got));
}

#[test]
fn merging() {
    check_merge(r#"{"s":"a","n":1}"#, r#"{"s":"b","b":true}"#, expect![[r#"{"b":true,"n":1,"s":"b"}"#]]);
    check_merge(
        r#"{"map":{"a":"x","b":"y"}}"#,
        r#"{"map":{"a":"z"}}"#,
        expect![[r#"{"map":{"a":"z","b":"y"}}"#]],
    );
    check_merge(
        r#"{"atomicMap":{"a":"x"},"list":["a"]}"#,
        r#"{"atomicMap":{"b":"y"},"list":["b"]}"#,
        expect![[r#"{"atomicMap":{"b":"y"},"list":["b"]}"#]],
    );
    // Nothing is removed by null or an empty container.
    check_merge(
        r#"{"map":{"a":"x"},"keyed":[{"name":"a"}],"s":"a"}"#,
        r#"{"map":null,"keyed":[],"s":null}"#,
        expect![[r#"{"keyed":[{"name":"a"}],"map":{"a":"x"},"s":null}"#]],
    );
    check_merge(
        r#"{"map":null,"keyed":null}"#,
        r#"{"map":{},"keyed":[]}"#,
        expect![[r#"{"keyed":[],"map":{}}"#]],
    );
    check_merge(
        r#"{"any":{"a":{"b":1},"c":1}}"#,
        r#"{"any":{"a":1,"c":{"d":2}}}"#,
        expect![[r#"{"any":{"a":1,"c":{"d":2}}}"#]],
    );
    check_merge(
        r#"{"metadata":{"name":"x","managedFields":[1]}}"#,
        r#"{}"#,
        expect![[r#"{"metadata":{"name":"x"}}"#]],
    );
}

fn check_order(live: &[&str], config: &[&str], expect: &[&str]) {
    let ty = everything();
    let object = |items: &[&str]| {
        let mut v = Value::object();
        v.set("set", items.to_vec());
        v
    };
    let got = merge(&ty.schema, ty.id, &object(live), &object(config)).unwrap();
    let got: Vec<&str> = got.at("set").items().iter().map(Value::str).collect();
    assert_eq!(got, expect, "{live:?} with {config:?}");
}

/// structured-merge-diff's own cases for the order of merged lists.
#[test]
fn order_of_merged_lists() {
    check_order(&["a", "b"], &["b", "a"], &["b", "a"]);
    check_order(&["a", "b", "c"], &["c", "b"], &["a", "c", "b"]);
    check_order(&["c", "d", "e"], &["b", "d"], &["c", "b", "d", "e"].map(|s| s));
    check_order(&["a", "b", "c"], &["a", "c"], &["a", "b", "c"]);
    check_order(&["a", "b", "c"], &["d"], &["a", "b", "c", "d"]);
    check_order(&["a"], &["b", "a"], &["b", "a"]);
    check_order(&["d", "c", "b"], &["c", "e", "b"], &["d", "c", "e", "b"]);
    // Repeated live items: the first place counts.
    check_order(&["a", "a"], &["a"], &["a"]);
    check_order(&["a", "b", "a"], &["c"], &["a", "b", "a", "c"]);
    check_order(&["a", "b", "a", "d"], &["a"], &["a", "b", "d"]);
}

fn check_remove(text: &str, items: &str, expect: Expect) {
    let ty = everything();
    let got = remove_items(&ty.schema, ty.id, &tree(text), &set(items));
    expect.assert_eq(&json::to_string(&got));
}

#[test]
fn removal() {
    let all = r#"{"s":"a","map":{"a":"x","b":"y"},"keyed":[{"name":"a","v":1},{"name":"b"}],"set":["x","y"],"atomicMap":{"a":"b"}}"#;
    check_remove(
        all,
        "{}",
        expect![[
            r#"{"atomicMap":{"a":"b"},"keyed":[{"name":"a","v":1},{"name":"b"}],"map":{"a":"x","b":"y"},"s":"a","set":["x","y"]}"#
        ]],
    );
    check_remove(
        all,
        r#"{"f:s":{},"f:map":{"f:a":{}},"f:keyed":{"k:{\"name\":\"b\"}":{},"k:{\"name\":\"a\"}":{"f:v":{}}},"f:set":{"v:\"x\"":{}}}"#,
        expect![[r#"{"atomicMap":{"a":"b"},"keyed":[{"name":"a"}],"map":{"b":"y"},"set":["y"]}"#]],
    );
    // A container that is emptied stays, and what is atomic has no items.
    check_remove(
        all,
        r#"{"f:map":{"f:a":{},"f:b":{}},"f:set":{"v:\"x\"":{},"v:\"y\"":{}},"f:atomicMap":{"f:a":{}},"f:s":{},"f:keyed":{}}"#,
        expect![[r#"{"atomicMap":{},"map":{},"set":[]}"#]],
    );
    let ty = everything();
    let got = extract_items(
        &ty.schema,
        ty.id,
        &tree(all),
        &set(r#"{"f:keyed":{"k:{\"name\":\"a\"}":{"f:v":{}}},"f:set":{"v:\"y\"":{}}}"#),
    );
    expect![[r#"{"keyed":[{"name":"a","v":1}],"set":["y"]}"#]].assert_eq(&json::to_string(&got));
}

fn check_reconcile(before: &str, expect: Expect) {
    let ty = everything();
    let mut set = set(before);
    let changed = reconcile(&ty.schema, ty.id, &mut set);
    let text = v1::to_json(&set);
    assert_eq!(changed, text != before);
    expect.assert_eq(&text);
}

#[test]
fn reconciling() {
    // What became atomic is owned as a whole.
    check_reconcile(r#"{"f:atomicMap":{"f:a":{}},"f:s":{}}"#, expect![[r#"{"f:atomicMap":{},"f:s":{}}"#]]);
    check_reconcile(r#"{"f:list":{".":{},"v:\"a\"":{}}}"#, expect![[r#"{"f:list":{}}"#]]);
    check_reconcile(
        r#"{"f:any":{"f:a":{"f:b":{}}},"f:gone":{"f:x":{}},"f:list":{}}"#,
        expect![[r#"{"f:any":{"f:a":{"f:b":{}}},"f:gone":{"f:x":{}},"f:list":{}}"#]],
    );
    check_reconcile(
        r#"{"f:set":{},"f:struct":{"f:b":{"f:c":{}}}}"#,
        expect![[r#"{"f:set":{},"f:struct":{"f:b":{"f:c":{}}}}"#]],
    );
}

#[test]
fn laws_by_seed() {
    let ty = everything();
    let (schema, id) = (&ty.schema, ty.id);
    for seed in 0..3_000 {
        let mut dice = Dice(seed);
        let (a, b) = (dice.object(), dice.object());
        let note = format!("seed {seed}: {} and {}", json::to_string(&a), json::to_string(&b));
        assert_eq!(validate(schema, id, &a, Duplicates::Refused), Ok(()), "{note}");
        assert!(compare(schema, id, &a, &a).unwrap().is_same(), "{note}");
        let (there, back) = (compare(schema, id, &a, &b).unwrap(), compare(schema, id, &b, &a).unwrap());
        assert_eq!((&there.added, &there.modified), (&back.removed, &back.modified), "{note}");
        assert_eq!(merge(schema, id, &a, &a).unwrap(), a, "{note}");
        let merged = merge(schema, id, &a, &b).unwrap();
        assert_eq!(merge(schema, id, &merged, &b).unwrap(), merged, "{note}");
        assert_eq!(validate(schema, id, &merged, Duplicates::Refused), Ok(()), "{note}");
        let (set_b, set_merged) =
            (to_field_set(schema, id, &b).unwrap(), to_field_set(schema, id, &merged).unwrap());
        let scalars = set_b.leaves().difference(&set_merged);
        assert!(scalars.is_empty() || holds_empty(&b), "{note}: {scalars}");
        // What is of the type as it stands needs no reconciling.
        assert!(!reconcile(schema, id, &mut to_field_set(schema, id, &a).unwrap()), "{note}");
        assert_eq!(remove_items(schema, id, &a, &Set::new()), a, "{note}");
    }
}

#[test]
fn depth_is_bounded() {
    let mut deep = Value::from(1);
    for _ in 0..2_000 {
        let mut outer = Value::object();
        outer.set("a", deep);
        deep = outer;
    }
    let mut v = Value::object();
    v.set("any", deep.clone());
    let ty = everything();
    let (schema, id) = (&ty.schema, ty.id);
    assert!(validate(schema, id, &v, Duplicates::Refused).is_err());
    assert!(to_field_set(schema, id, &v).is_err());
    assert!(compare(schema, id, &Value::object(), &v).is_err());
    assert!(compare(schema, id, &v, &v).is_err());
    assert!(merge(schema, id, &v, &v).is_err());

    // Where a type has no depth of its own, trees as deep as the parser lets through.
    let text = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    let deep = tree(&text);
    for field in ["s", "list", "map", "x"] {
        let mut v = Value::object();
        v.set(field, deep.clone());
        assert!(validate(schema, id, &v, Duplicates::Refused).is_err());
    }
    assert!(crate::order::equal(&deep, &deep.clone()));
    assert!(crate::order::plain(&deep).contains("..."));
}

#[test]
fn errors_below_a_long_key_stay_small() {
    let ty = everything();
    let key = "k".repeat(100_000);
    let items = vec!["1"; 50_000].join(",");
    let errors = validate(
        &ty.schema,
        ty.id,
        &tree(&format!(r#"{{"any":{{"{key}":1}},"list":[{items}]}}"#)),
        Duplicates::Allowed,
    )
    .expect_err("numbers are no strings");
    assert_eq!(errors.0.len(), 1_000);
    let mut below = ValidationErrors::default();
    below.extend_below(&key, errors);
    assert_eq!(below.0.len(), 2);
    assert!(below.0.iter().all(|e| e.path.starts_with(&key)));
}
