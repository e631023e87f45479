//! Definitions of custom resources: the author's schema with what all objects have.
//!
//! Upstream: `apiextensions-apiserver/pkg/controller/openapi/builder` and `…/openapi/v2`.

use crate::document::Kind;
use crate::names::reversed;
use crate::texts;
use crate::tree::{array, gvk, object, of_type, reference, set_text, strings};
use value::{Map, Value, json};

/// How deep schemas are followed; what lies deeper stays as it is.
const DEPTH: u8 = 100;
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// A kind whose texts on `apiVersion`, `kind` and `metadata` are those of all kinds.
const TYPICAL: &str = "io.k8s.api.core.v1.ConfigMap";

/// The name of the definition.
pub(crate) fn name(kind: &Kind<'_>) -> String {
    format!("{}.{}.{}", reversed(&kind.row.group), kind.row.version, kind.row.kind)
}

/// The definition in version 3.
pub(crate) fn v3(kind: &Kind<'_>) -> Value {
    let mut schema = match author(kind) {
        Some(schema) => with_native(unfolded(schema, 0), true),
        None => of_type("object"),
    };
    finish(kind, &mut schema);
    schema
}

/// The definition in version 2, whose readers trip over unknown fields, nulls and choices.
pub(crate) fn v2(kind: &Kind<'_>) -> Value {
    let mut schema = match author(kind).filter(|_| !kind.preserves_unknown) {
        Some(schema) if !schema.at("x-kubernetes-preserve-unknown-fields").bool() => {
            let mut schema = with_native(simple(schema, 0), false);
            rename_references(&mut schema, 0);
            schema
        }
        _ => of_type("object"),
    };
    finish(kind, &mut schema);
    schema
}

/// What the author wrote, if anything.
fn author(kind: &Kind<'_>) -> Option<Value> {
    json::parse(kind.schema?).ok()
}

fn finish(kind: &Kind<'_>, schema: &mut Value) {
    let row = kind.row;
    schema.set("x-kubernetes-group-version-kind", array([gvk(&row.group, &row.version, &row.kind)]));
    set_selectable(kind, schema);
}

/// Says which fields can be selected by.
fn set_selectable(kind: &Kind<'_>, schema: &mut Value) {
    let fields = kind.row.fields.fields.iter().filter(|f| !f.label.starts_with("metadata."));
    let fields: Vec<Value> = fields.map(|f| object([("fieldPath", f.label.clone().into())])).collect();
    if !fields.is_empty() {
        schema.set("x-kubernetes-selectable-fields", fields);
    }
}

/// `apiVersion`, `kind` and `metadata` of the object, and of objects embedded in it.
fn with_native(schema: Value, everywhere: bool) -> Value {
    let mut schema = embedded(schema, everywhere, 0);
    add_native(&mut schema, |_, text| text);
    schema
}

/// `text` makes the text of a field from that of all kinds.
fn add_native(schema: &mut Value, text: impl Fn(&str, String) -> String) {
    let mut properties = schema.remove("properties").filter(|p| p.as_object().is_some());
    let properties = properties.get_or_insert_with(Value::object);
    for key in ["apiVersion", "kind"] {
        let mut property = of_type("string");
        set_text(&mut property, "description", text(key, explain::of_field(TYPICAL, key)));
        properties.set(key, property);
    }
    properties.set("metadata", metadata(OBJECT_META, explain::of_field(TYPICAL, "metadata")));
    schema.set("properties", std::mem::take(properties));
}

/// A reference with a text.
pub(crate) fn metadata(definition: &str, description: String) -> Value {
    let mut metadata = object([("allOf", array([reference(definition)]))]);
    set_text(&mut metadata, "description", description);
    metadata
}

/// `everywhere` also where unknown fields are kept, which readers of version 2 would then refuse.
fn embedded(schema: Value, everywhere: bool, depth: u8) -> Value {
    let mut schema = inside(schema, depth, &|s, d| embedded(s, everywhere, d));
    let keeps = schema.at("x-kubernetes-preserve-unknown-fields").bool();
    if schema.at("x-kubernetes-embedded-resource").bool() && (everywhere || !keeps) {
        add_native(&mut schema, |key, text| texts::of_embedded(key, &text));
        let mut required: Vec<Value> = schema.at("required").items().to_vec();
        for key in ["kind", "apiVersion"] {
            if !required.iter().any(|r| r.str() == key) {
                required.push(key.into());
            }
        }
        schema.set("required", required);
    }
    schema
}

/// Says in plain OpenAPI what `x-kubernetes-int-or-string` means.
fn unfolded(schema: Value, depth: u8) -> Value {
    let mut schema = inside(schema, depth, &unfolded);
    if !schema.at("x-kubernetes-int-or-string").bool() {
        return schema;
    }
    let either = || array([of_type("integer"), of_type("string")]);
    let is_either = |v: &Value| *v == either();
    let first = schema.at("allOf").items().first();
    if is_either(schema.at("anyOf")) || first.is_some_and(|f| is_either(f.at("anyOf"))) {
        return schema;
    }
    if schema.get("anyOf").is_none() {
        schema.set("anyOf", either());
    } else {
        let mut all = vec![object([("anyOf", either())])];
        all.extend(schema.at("allOf").items().iter().cloned());
        schema.set("allOf", all);
    }
    schema
}

/// What version 2 can say of a schema.
fn simple(schema: Value, depth: u8) -> Value {
    let mut schema = schema;
    for key in ["allOf", "oneOf", "anyOf", "not", "default"] {
        schema.remove(key);
    }
    let preserves = schema.at("x-kubernetes-preserve-unknown-fields").bool();
    if schema.at("nullable").bool() {
        schema.remove("type");
        schema.remove("nullable");
    }
    if schema.get("type").is_none() || preserves {
        schema.remove("items");
        schema.remove("properties");
    }
    let ty = schema.at("type").str();
    if (ty == "array" && schema.get("items").is_none()) || (ty == "object" && preserves) {
        schema.remove("type");
    }
    // What may be null need not be there.
    let nullable = |s: &Value| s.at("nullable").bool();
    let mut required: Vec<Value> = schema.at("required").items().to_vec();
    required.retain(|name| !schema.at("properties").get(name.str()).is_some_and(nullable));
    if nullable(schema.at("additionalProperties")) {
        required.clear();
    }
    if required.is_empty() {
        schema.remove("required");
    } else {
        schema.set("required", required);
    }
    inside(schema, depth, &simple)
}

/// Applies a step to the schemas right inside.
fn inside(mut schema: Value, depth: u8, step: &dyn Fn(Value, u8) -> Value) -> Value {
    if depth >= DEPTH {
        return schema;
    }
    if let Some(Value::Object(properties)) = schema.remove("properties") {
        let properties = properties.into_vec().into_iter();
        let properties = properties.map(|(name, s)| (name, step(s, depth + 1))).collect();
        schema.set("properties", Map::from_entries(properties, |_| {}));
    }
    for key in ["items", "additionalProperties"] {
        if schema.at(key).as_object().is_some()
            && let Some(inner) = schema.remove(key)
        {
            schema.set(key, step(inner, depth + 1));
        }
    }
    schema
}

/// References as version 2 has them: beside other keywords.
fn rename_references(schema: &mut Value, depth: u8) {
    let inner = std::mem::take(schema);
    let mut out = inside(inner, depth, &|mut s, d| {
        rename_references(&mut s, d);
        s
    });
    let target = out.at("allOf").items().first().and_then(|f| f.get("$ref")).map(|r| r.str().to_owned());
    if let Some(target) = target {
        out.remove("allOf");
        out.set("$ref", target.replace("#/components/schemas/", "#/definitions/"));
    }
    *schema = out;
}

/// The definition of lists.
pub(crate) fn list(kind: &Kind<'_>) -> Value {
    let row = kind.row;
    let mut properties = Value::object();
    for key in ["apiVersion", "kind"] {
        let mut property = of_type("string");
        set_text(&mut property, "description", explain::of_field(TYPICAL, key));
        properties.set(key, property);
    }
    let list_meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
    properties.set("metadata", metadata(list_meta, texts::of_list("metadata").to_owned()));
    let mut items = object([("type", "array".into()), ("items", reference(&name(kind)))]);
    items.set("description", texts::of_list("items"));
    properties.set("items", items);
    let mut list = object([
        ("type", "object".into()),
        ("description", texts::list_of(&row.kind).into()),
        ("required", strings(["items"])),
        ("properties", properties),
        ("x-kubernetes-group-version-kind", array([gvk(&row.group, &row.version, &row.list_kind)])),
    ]);
    // Upstream says it of lists, too.
    set_selectable(kind, &mut list);
    list
}
