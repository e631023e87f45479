//! Input that is meant to break things.

use crate::tree;
use crd::definition::HOOKS;
use crd::prune::{self, Track};
use crd::schema::Schema;
use crd::values::{Check, Formats};
use crd::{list_type, metadata};
use kinds::hooks::Context;
use meta::field::Path;
use value::Value;

/// A schema of nested objects, as deep as the typed decoder admits.
fn deep_schema(depth: usize) -> Value {
    let mut schema = tree(r#"{"type":"string"}"#);
    for _ in 0..depth {
        let mut properties = Value::object();
        properties.set("a", schema);
        let mut outer = tree(r#"{"type":"object"}"#);
        outer.set("properties", properties);
        schema = outer;
    }
    schema
}

#[test]
fn deep_schemas() {
    let mut object = tree(
        r#"{"metadata":{"name":"foos.a.b"},"spec":{"group":"a.b","scope":"Cluster","names":{"plural":"foos","kind":"Foo","singular":"foo","listKind":"FooList"}},"status":{"storedVersions":["v1"]}}"#,
    );
    let mut version = tree(r#"{"name":"v1","served":true,"storage":true,"schema":{}}"#);
    if let Some(schema) = version.object_at("schema") {
        schema.set("openAPIV3Schema", deep_schema(190));
    }
    if let Some(spec) = object.object_at("spec") {
        spec.set("versions", vec![version]);
    }
    assert_eq!((HOOKS.validate_create)(&Context::default(), &object).len(), 0);
}

#[test]
fn deep_objects() {
    let schema = Schema::read(&tree(r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#));
    let mut object = tree(&format!("{}1{}", "[".repeat(2000), "]".repeat(2000)));
    prune::prune(&mut object, &schema, true, Track::Paths);
    let strict = Schema::read(&tree(r#"{"type":"object","properties":{"a":{"type":"array"}}}"#));
    let mut holder = Value::object();
    holder.set("a", object);
    prune::prune(&mut holder, &strict, true, Track::Paths);
    Check::new(&strict, Formats::Known).validate(&Path::ROOT, &holder, None);
    metadata::validate(&Path::ROOT, &holder, &strict, true);
}

#[test]
fn long_lists_take_linear_time() {
    let schema = Schema::read(&tree(
        r#"{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","properties":{"k":{"type":"integer","maximum":0}}}}"#,
    ));
    let items: Vec<Value> = (0..50_000_i64)
        .map(|i| {
            let mut item = Value::object();
            item.set("k", i + 1);
            item
        })
        .collect();
    let list = Value::Array(items);
    let pair = crd::correlate::Pair { new: &list, old: &list, schema: &schema };
    assert_eq!(Check::new(&schema, Formats::Known).validate(&Path::ROOT, &list, Some(pair)).len(), 0);
    // Not all are told: their texts would grow without bound.
    let told = Check::new(&schema, Formats::Known).validate(&Path::ROOT, &list, None).len();
    assert!((5_000..50_000).contains(&told), "{told}");
    assert_eq!(list_type::validate(&Path::ROOT, &schema, &list).len(), 0);
}
