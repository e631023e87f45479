//! Sets, their algebra and their written form.

use super::*;
use crate::testing::{Dice, set, tree};
use expect_test::{Expect, expect};
use value::Value;

fn check_text(paths: &[&[PathElement]], expect: Expect) {
    let mut set = Set::new();
    paths.iter().for_each(|p| set.insert(p));
    let text = v1::to_json(&set);
    expect.assert_eq(&text);
    assert_eq!(v1::from_tree(&tree(&text)), Ok(set.clone()), "reads what it writes");
    assert_eq!(v1::from_tree(&v1::to_tree(&set)), Ok(set));
}

fn f(name: &str) -> PathElement {
    PathElement::field(name)
}

fn k(name: &str, v: impl Into<Value>) -> PathElement {
    PathElement::key(vec![(name.into(), v.into())])
}

#[test]
fn fields_v1() {
    check_text(&[], expect!["{}"]);
    check_text(
        &[&[f("b")], &[f("a")], &[f("a"), f("x")]],
        expect![[r#"{"f:a":{".":{},"f:x":{}},"f:b":{}}"#]],
    );
    // In the order of path elements: numbers by value, fields before keys before values before indexes.
    check_text(
        &[
            &[PathElement::Index(10)],
            &[PathElement::Index(9)],
            &[PathElement::value(true)],
            &[PathElement::value("a")],
            &[PathElement::value(Value::from(443))],
            &[PathElement::value(Value::from(80))],
            &[k("port", Value::from(443))],
            &[k("port", Value::from(80)), f("x")],
            &[f("z")],
        ],
        expect![[
            r#"{"f:z":{},"k:{\"port\":80}":{"f:x":{}},"k:{\"port\":443}":{},"v:80":{},"v:443":{},"v:\"a\"":{},"v:true":{},"i:9":{},"i:10":{}}"#
        ]],
    );
    // Two writers at work: Go escapes for HTML inside, and not outside.
    check_text(
        &[&[f("<&>\"\\\n")], &[k("na<me", "<&>\u{2028}\"")], &[PathElement::value("\u{1}ü")]],
        expect![[
            r#"{"f:<&>\"\\\n":{},"k:{\"na<me\":\"\\u003c\\u0026\\u003e\\u2028\\\"\"}":{},"v:\"\\u0001ü\"":{}}"#
        ]],
    );
    check_text(
        &[&[PathElement::key(vec![("b".into(), Value::Null), ("a".into(), 1.into())])]],
        expect![[r#"{"k:{\"a\":1,\"b\":null}":{}}"#]],
    );
}

fn check_read(text: &str, expect: Expect) {
    let got = match v1::from_tree(&tree(text)) {
        Ok(set) => v1::to_json(&set),
        Err(e) => e,
    };
    expect.assert_eq(&got);
}

#[test]
fn fields_v1_of_others() {
    // Unknown kinds of keys are dropped, and a node that has nothing else is a member.
    check_read(r#"{"x:a":{},"f:a":{"y:b":{}}}"#, expect![[r#"{"f:a":{}}"#]]);
    check_read(r#"{"f:a":{".":{}},"f:b":null}"#, expect![[r#"{"f:a":{},"f:b":{}}"#]]);
    // Numbers go through a float64.
    check_read(r#"{"v:1.0":{},"v:1e3":{},"v:1":{}}"#, expect![[r#"{"v:1":{},"v:1000":{}}"#]]);
    check_read(r#"{"v:9007199254740993":{}}"#, expect![[r#"{"v:9007199254740992":{}}"#]]);
    check_read(r#"{"k:{ \"b\" : 1, \"a\":2 }":{}}"#, expect![[r#"{"k:{\"a\":2,\"b\":1}":{}}"#]]);
    check_read(r#"{"f":{}}"#, expect!["parsing key as path element: key must be 2 characters long:"]);
    check_read(r#"{"foo":{}}"#, expect!["parsing key as path element: missing colon: foo"]);
    check_read(r#"{"ü":{}}"#, expect!["parsing key as path element: missing colon: ü"]);
    check_read(
        r#"{"i:x":{}}"#,
        expect![[r#"parsing key as path element: strconv.Atoi: parsing "x": invalid syntax"#]],
    );
    check_read(r#"{"f:a":1}"#, expect!["ReadMapCB: expect { or n, but found something else"]);
    check_read(r#"[]"#, expect!["ReadMapCB: expect { or n, but found something else"]);
    check_read(r#"null"#, expect!["{}"]);
    for broken in [r#"{"k:{":{}}"#, r#"{"v:":{}}"#, r#"{"k:1":{}}"#, r#"{"v:1 2":{}}"#] {
        assert!(v1::from_tree(&tree(broken)).is_err(), "{broken}");
    }
}

#[test]
fn depth_is_bounded() {
    let deep = |n: usize| {
        let mut v = Value::object();
        for _ in 0..n {
            let mut outer = Value::object();
            outer.set("f:a", v);
            v = outer;
        }
        v
    };
    assert!(v1::from_tree(&deep(crate::DEPTH_MAX - 1)).is_ok());
    assert!(v1::from_tree(&deep(crate::DEPTH_MAX + 1)).is_err());
    assert!(v1::from_tree(&deep(5_000)).is_err());
    let key = format!("k:{{\"a\":{}}}", "[".repeat(100_000));
    assert!(v1::parse_element(&key).is_err());
    let key = format!("v:{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(v1::parse_element(&key).is_err());
    let key = format!("v:{}{}", "[".repeat(400), "]".repeat(400));
    assert_eq!(v1::element_text(&v1::parse_element(&key).unwrap().unwrap()), key);
}

#[test]
fn paths_as_text() {
    let path = Path(vec![
        f("spec"),
        PathElement::key(vec![("port".into(), 80.into()), ("name".into(), "a\"b".into())]),
        PathElement::value("x"),
        PathElement::Index(3),
    ]);
    expect![[r#".spec[name="a\"b",port=80][="x"][3]"#]].assert_eq(&path.to_string());
}

#[test]
fn algebra() {
    let (a, b) =
        (set(r#"{"f:a":{".":{},"f:b":{"f:c":{}}},"f:d":{}}"#), set(r#"{"f:a":{"f:b":{}},"f:e":{}}"#));
    expect![[r#"{"f:a":{".":{},"f:b":{".":{},"f:c":{}}},"f:d":{},"f:e":{}}"#]]
        .assert_eq(&v1::to_json(&a.union(&b)));
    expect!["{}"].assert_eq(&v1::to_json(&a.intersection(&b)));
    // A plain difference leaves what is below a removed member, a recursive one does not.
    expect![[r#"{"f:a":{".":{},"f:b":{"f:c":{}}},"f:d":{}}"#]].assert_eq(&v1::to_json(&a.difference(&b)));
    expect![[r#"{"f:a":{},"f:d":{}}"#]].assert_eq(&v1::to_json(&a.recursive_difference(&b)));
    expect![[r#"{"f:a":{"f:b":{"f:c":{}}},"f:d":{}}"#]].assert_eq(&v1::to_json(&a.leaves()));
    assert_eq!(a.len(), 3);
    expect![[r#"
        .a
        .d
        .a.b.c"#]]
    .assert_eq(&a.to_string());
}

#[test]
fn laws_by_seed() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let (a, b, c) = (dice.set(), dice.set(), dice.set());
        let note = format!("seed {seed}");
        assert_eq!(a.union(&b), b.union(&a), "{note}");
        assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)), "{note}");
        assert_eq!(Set::union_all(vec![a.clone(), b.clone(), c.clone()]), a.union(&b).union(&c), "{note}");
        assert_eq!(a.intersection(&b), b.intersection(&a), "{note}");
        assert_eq!(a.intersection(&b), a.difference(&a.difference(&b)), "{note}");
        assert_eq!(a.union(&b), a.difference(&b).union(&b), "{note}");
        assert_eq!(a.union(&a), a, "{note}");
        assert!(a.difference(&a).is_empty() && a.recursive_difference(&a).is_empty(), "{note}");
        assert!(a.union(&b).contains(&a) && a.contains(&a.intersection(&b)), "{note}");
        assert_eq!(a.contains(&b), b.difference(&a).is_empty(), "{note}");
        assert_eq!(a.difference(&b).len() + a.intersection(&b).len(), a.len(), "{note}");
        for path in a.union(&b).paths() {
            let (in_a, in_b) = (a.has(&path.0), b.has(&path.0));
            assert!(in_a || in_b, "{note}");
            assert_eq!(a.intersection(&b).has(&path.0), in_a && in_b, "{note}");
            assert_eq!(a.difference(&b).has(&path.0), in_a && !in_b, "{note}");
        }
        let mut again = Set::new();
        a.paths().iter().for_each(|p| again.insert(&p.0));
        assert_eq!(again, a, "{note}");
        assert_eq!(v1::from_tree(&v1::to_tree(&a)).as_ref(), Ok(&a), "{note}");
        let text = v1::to_json(&a);
        assert_eq!(v1::from_tree(&tree(&text)).as_ref(), Ok(&a), "{note}");
    }
}

#[test]
fn filters() {
    let all = set(
        r#"{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{".":{},"f:replicas":{}},"f:status":{"f:x":{}}}"#,
    );
    let filtered = |filter: Filter| {
        let mut set = all.clone();
        filter.apply(&mut set);
        v1::to_json(&set)
    };
    expect![[r#"{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{".":{},"f:replicas":{}}}"#]]
        .assert_eq(&filtered(Filter::exclude(&[&["status"]])));
    expect![[r#"{"f:spec":{".":{},"f:replicas":{}},"f:status":{"f:x":{}}}"#]]
        .assert_eq(&filtered(Filter::exclude(&[&["metadata", "labels"]])));
    let pattern =
        Pattern::new().with(&[Some(f("spec")), Some(f("replicas"))]).with(&[None, Some(f("labels")), None]);
    expect![[r#"{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{}}"#]]
        .assert_eq(&filtered(Filter::Include(pattern)));
}
