//! Patches recorded from a real server, and corners of our own.

use super::*;
use crate::testing::tree;
use expect_test::{Expect, expect};
use value::json;

fn go_type(kind: &str) -> schema::TypeId {
    let name = match kind {
        "Deployment" => "apps/v1.Deployment".to_owned(),
        kind => format!("core/v1.{kind}"),
    };
    schema::Types::builtin().by_go_name(&name).unwrap()
}

#[test]
fn recorded_patches() {
    for case in tree(include_str!("recorded.json")).items() {
        let (name, original) = (case.at("case").str(), case.at("original"));
        let ty = go_type(original.at("kind").str());
        match apply(original.clone(), case.at("patch").clone(), ty) {
            Ok(mut v) => {
                if let Some(metadata) = v.get_mut("metadata") {
                    ["managedFields", "creationTimestamp"].iter().for_each(|k| drop(metadata.remove(k)));
                }
                assert_eq!(json::to_string(&v), json::to_string(case.at("want")), "{name}");
            }
            Err(e) => {
                assert_eq!(
                    json::to_string(&e.to_status().to_value()),
                    json::to_string(case.at("status")),
                    "{name}"
                );
            }
        }
    }
}

/// Patches the spec of a Pod.
fn check(spec: &str, patch: &str, expect: Expect) {
    let whole = |spec: &str| {
        let mut v = Value::object();
        v.set("spec", tree(spec));
        v
    };
    let got = match apply(whole(spec), whole(patch), go_type("Pod")) {
        Ok(v) => json::to_string(v.at("spec")),
        Err(Error::BadRequest(text)) => format!("400: {text}"),
        Err(Error::Unprocessable(text)) => format!("422: {text}"),
        Err(Error::Other(text)) => format!("500: {text}"),
    };
    expect.assert_eq(&got);
}

#[test]
fn maps() {
    check(r#"{"a":1,"b":{"c":1}}"#, r#"{"a":null,"b":null,"d":null}"#, expect!["{}"]);
    check(
        r#"{"nodeSelector":{"a":"1"}}"#,
        r#"{"nodeSelector":{"b":"2","$patch":"replace"}}"#,
        expect![[r#"{"nodeSelector":{"b":"2"}}"#]],
    );
    check(
        r#"{"nodeSelector":{"a":"1"}}"#,
        r#"{"nodeSelector":{"$patch":"delete"}}"#,
        expect![[r#"{"nodeSelector":{}}"#]],
    );
    check(
        r#"{"nodeSelector":{"a":"1"}}"#,
        r#"{"nodeSelector":{"$patch":"merge","b":"1"}}"#,
        expect!["500: unknown patch type: merge in map: map[$patch:merge b:1]"],
    );
    check(r#"{}"#, r#"{"$patch":5}"#, expect!["500: unknown patch type: %!s(int64=5) in map: map[$patch:5]"]);
    // What is new comes without directives and nulls.
    check(
        "{}",
        r#"{"nodeSelector":{"a":null,"b":"1"},"securityContext":{"$patch":"delete"},"containers":[{"name":"a","$patch":"delete"},{"name":"b","image":null}]}"#,
        expect![[r#"{"containers":[{"name":"b"}],"nodeSelector":{"b":"1"}}"#]],
    );
    check(
        r#"{"affinity":{"x":{}}}"#,
        r#"{"affinity":{"x":{"y":1}}}"#,
        expect![[r#"500: unable to find api field in struct Affinity for the json field "x""#]],
    );
    check(
        r#"{"nodeSelector":{"a":{}}}"#,
        r#"{"nodeSelector":{"a":{}}}"#,
        expect!["500: merging an object in json but data type is not struct, instead is: map"],
    );
    check(
        r#"{"volumes":[{"name":"v","emptyDir":{}}]}"#,
        r#"{"volumes":[{"name":"v","$retainKeys":["name","secret"],"secret":{"secretName":"s"}}]}"#,
        expect![[r#"{"volumes":[{"name":"v","secret":{"secretName":"s"}}]}"#]],
    );
    check(
        r#"{"securityContext":{}}"#,
        r#"{"securityContext":{"$retainKeys":["a"],"b":1}}"#,
        expect!["400: invalid patch format of retainKeys"],
    );
    check(
        r#"{"securityContext":{}}"#,
        r#"{"securityContext":{"$retainKeys":{}}}"#,
        expect!["400: invalid patch format of retainKeys"],
    );
}

#[test]
fn keyed_lists() {
    let two = r#"{"containers":[{"name":"a","image":"1"},{"name":"b","image":"1"}]}"#;
    check(
        two,
        r#"{"containers":[{"name":"b","image":"2"}]}"#,
        expect![[r#"{"containers":[{"image":"1","name":"a"},{"image":"2","name":"b"}]}"#]],
    );
    // New items come before those of the server that follow.
    check(
        two,
        r#"{"containers":[{"name":"c"}]}"#,
        expect![[r#"{"containers":[{"name":"c"},{"image":"1","name":"a"},{"image":"1","name":"b"}]}"#]],
    );
    check(
        two,
        r#"{"containers":[{"name":"a","$patch":"delete"},{"name":"x","$patch":"delete"}]}"#,
        expect![[r#"{"containers":[{"image":"1","name":"b"}]}"#]],
    );
    check(
        two,
        r#"{"containers":[{"$patch":"replace"},{"name":"c"}]}"#,
        expect![[r#"{"containers":[{"name":"c"}]}"#]],
    );
    check(
        two,
        r#"{"containers":[{"$patch":"delete"}]}"#,
        expect!["500: map: map[$patch:delete] does not contain declared merge key: name"],
    );
    check(
        two,
        r#"{"containers":[{"$patch":"merge"}]}"#,
        expect!["500: merging lists cannot yet be specified in the patch"],
    );
    check(
        two,
        r#"{"containers":[{"image":"x"}]}"#,
        expect!["500: map: map[image:x] does not contain declared merge key: name"],
    );
    check(
        two,
        r#"{"containers":["a"]}"#,
        expect!["500: list element types are not identical: [[map[image:1 name:a] map[image:1 name:b]] [a]]"],
    );
    check(
        two,
        r#"{"containers":[[]]}"#,
        expect![
            "500: list element types are not identical: [[map[image:1 name:a] map[image:1 name:b]] [[]]]"
        ],
    );
    check(r#"{"containers":[]}"#, r#"{"containers":[[]]}"#, expect!["422: lists of lists are not supported"]);
    // Not merged: replaced as it stands.
    check(
        r#"{"tolerations":[{"key":"a"}]}"#,
        r#"{"tolerations":[{"key":"b"}]}"#,
        expect![[r#"{"tolerations":[{"key":"b"}]}"#]],
    );
}

#[test]
fn orders() {
    let three = r#"{"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]}"#;
    check(
        three,
        r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"a"}]}"#,
        expect![[r#"{"containers":[{"name":"b"},{"name":"c"},{"name":"a"}]}"#]],
    );
    check(
        three,
        r#"{"$setElementOrder/containers":[{"name":"c"},{"name":"d"},{"name":"a"}],"containers":[{"name":"d"},{"name":"b","$patch":"delete"}]}"#,
        expect![[r#"{"containers":[{"name":"c"},{"name":"d"},{"name":"a"}]}"#]],
    );
    check(
        three,
        r#"{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"b"}]}"#,
        expect![[r#"
            500: The order in patch list:
            [map[name:b]]
             doesn't match $setElementOrder list:
            [map[name:a]]
        "#]],
    );
    check(
        three,
        r#"{"$setElementOrder/containers":{}}"#,
        expect!["500: expected a []interface {}, but received a map[string]interface {}"],
    );
    check(three, r#"{"$setElementOrder":[]}"#, expect!["400: invalid patch format of setElementOrder list"]);
    check(
        three,
        r#"{"$setElementOrder/nope":[]}"#,
        expect![[r#"500: unable to find api field in struct PodSpec for the json field "nope""#]],
    );
    check(
        three,
        r#"{"$setElementOrder/nodeSelector":[]}"#,
        expect!["500: expected slice or array type, but got: struct"],
    );
    check("{}", r#"{"$setElementOrder/containers":[]}"#, expect!["{}"]);
    // Upstream merges in place and then goes by the order of what it has overwritten.
    let two = r#"{"containers":[{"name":"c"},{"name":"d"}]}"#;
    check(
        two,
        r#"{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"c","$patch":"delete"},{"name":"b"}]}"#,
        expect![[r#"{"containers":[{"name":"d"},{"name":"b"}]}"#]],
    );
    // A directive after the last item of the order counts as an item.
    check(
        two,
        r#"{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"name":"c"},{"name":"d","$patch":"replace"}]}"#,
        expect![[r#"
            500: The order in patch list:
            [map[name:c] map[$patch:replace name:d]]
             doesn't match $setElementOrder list:
            [map[name:c]]
        "#]],
    );
}

#[test]
fn lists_of_scalars() {
    let check = |original: &str, patch: &str, expect: Expect| {
        let whole = |finalizers: &str| tree(&format!(r#"{{"metadata":{finalizers}}}"#));
        let got = match apply(whole(original), whole(patch), go_type("Pod")) {
            Ok(v) => json::to_string(v.at("metadata")),
            Err(e) => e.to_string(),
        };
        expect.assert_eq(&got);
    };
    let abc = r#"{"finalizers":["a","b","c"]}"#;
    check(abc, r#"{"finalizers":["d","b"]}"#, expect![[r#"{"finalizers":["d","a","b","c"]}"#]]);
    check(
        abc,
        r#"{"$deleteFromPrimitiveList/finalizers":["a","c","x"]}"#,
        expect![[r#"{"finalizers":["b"]}"#]],
    );
    check(
        abc,
        r#"{"$deleteFromPrimitiveList/finalizers":["a"],"$setElementOrder/finalizers":["c","b"]}"#,
        expect![[r#"{"finalizers":["c","b"]}"#]],
    );
    check(abc, r#"{"$deleteFromPrimitiveList":["a"]}"#, expect!["invalid patch format of primitive list"]);
    check("{}", r#"{"$deleteFromPrimitiveList/finalizers":["a"]}"#, expect!["{}"]);
    check(abc, r#"{"finalizers":[1]}"#, expect!["list element types are not identical: [[a b c] [1]]"]);
}

#[test]
fn documents() {
    let pod = go_type("Pod");
    assert_eq!(apply(tree("{}"), Value::Null, pod), Ok(Value::object()));
    for (patch, text) in [("[]", "array"), ("1", "number"), ("\"a\"", "string"), ("true", "bool")] {
        let e = apply(tree("{}"), tree(patch), pod).unwrap_err();
        assert_eq!(
            e.to_string(),
            format!("json: cannot unmarshal {text} into Go value of type map[string]interface {{}}")
        );
        assert_eq!(e.to_status().code, 400);
    }
    assert_eq!(Error::unsupported().to_status().code, 400);
}

#[test]
fn hostile_patches() {
    // Deep: refused or cut, not a crash.
    let crd = schema::Types::builtin().by_go_name("apiextensions/v1.CustomResourceDefinition").unwrap();
    let mut deep = tree(r#"{"type":"object"}"#);
    for _ in 0..2_000 {
        let mut outer = Value::object();
        outer.set("not", deep);
        deep = outer;
    }
    let whole = |schema: &Value| {
        let mut v = tree(r#"{"spec":{"versions":[{"name":"v","schema":{}}]}}"#);
        let version = &mut v.get_mut("spec").unwrap().get_mut("versions").unwrap().as_array_mut().unwrap()[0];
        version.get_mut("schema").unwrap().set("openAPIV3Schema", schema.clone());
        v
    };
    let mut schema = Value::object();
    schema.set("schema", whole(&deep).at("spec").at("versions").items()[0].at("schema").clone());
    assert!(apply(whole(&deep), whole(&deep), crd).is_ok()); // versions do not merge
    let props = schema::Types::builtin().by_go_name("apiextensions/v1.JSONSchemaProps").unwrap();
    assert!(apply(deep.clone(), deep, props).is_err());

    // Long: by index.
    let long = |from: usize| {
        let items = (from..from + 20_000).map(|i| {
            let mut v = Value::object();
            v.set("name", format!("c{i}"));
            v
        });
        let mut v = Value::object();
        let mut spec = Value::object();
        spec.set("containers", items.collect::<Vec<_>>());
        v.set("spec", spec);
        v
    };
    let merged = apply(long(0), long(10_000), go_type("Pod")).unwrap();
    assert_eq!(merged.path(&["spec", "containers"]).items().len(), 30_000);
}

#[test]
fn a_patch_is_shown_as_it_is_once_it_has_been_followed() {
    let shown =
        |original: &str, patch: &str| crate::order::plain(&super::laid_on(&tree(original), tree(patch)));
    expect!["map[a:map[b:<nil> c:map[]] d:map[e:[<nil> map[]]]]"].assert_eq(&shown(
        r#"{"a":{"b":1}}"#,
        r#"{"a":{"b":null,"c":{"x":null}},"d":{"e":[null,{"y":null}],"f":null}}"#,
    ));
    expect!["map[foo:1 spec:map[] strategy:map[type:Recreate] u:map[v:1]]"].assert_eq(&shown(
        r#"{"strategy":{"type":"A"},"spec":{"containers":[]},"u":{}}"#,
        r#"{"foo":1,"strategy":{"$retainKeys":["type"],"type":"Recreate"},"spec":{"$setElementOrder/containers":[{"name":"c"}],"containers":[{"name":"c"}]},"u":{"$patch":"replace","v":1}}"#,
    ));
}
