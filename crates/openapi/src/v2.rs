//! The document of version 2: everything that is served, in the older form.
//!
//! Made from the documents of version 3: what version 2 cannot say (defaults beside references, choices of
//! types) is left out, as upstream's builder does.

use crate::custom;
use crate::document::{Kind, VERSION, name_of, paths, v3};
use crate::operations::{CUSTOM, media_rank};
use crate::registered;
use crate::shared::share;
use crate::tree::{array, object, strings};
use value::{Map, Str, Value};

const KINDS: &str = "x-kubernetes-group-version-kind";

/// Kinds that every built-in group has.
const EVERYWHERE: [&str; 2] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"];

/// How deep schemas are followed; what lies deeper is cut off.
const DEPTH: u8 = 100;

/// The document.
pub fn v2(kinds: &[Kind<'_>]) -> Value {
    let mut all_paths = Vec::new();
    let mut definitions = Map::new();
    for name in paths(kinds) {
        let Some(mut document) = v3(kinds, &name) else { continue };
        if let Some(Value::Object(paths)) = document.remove("paths") {
            all_paths.extend(paths.into_vec().into_iter().map(|(path, item)| (path, path_item(item))));
        }
        let schemas = document.get_mut("components").and_then(|c| c.remove("schemas"));
        if let Some(Value::Object(schemas)) = schemas {
            for (name, definition) in schemas.into_vec() {
                merge(&mut definitions, name, schema(definition, 0));
            }
        }
    }
    for kind in kinds.iter().filter(|k| k.is_custom()) {
        definitions.insert(custom::name(kind), custom::v2(kind));
    }
    let bearer = object([
        ("type", "apiKey".into()),
        ("name", "authorization".into()),
        ("in", "header".into()),
        ("description", "Bearer Token authentication".into()),
    ]);
    for name in EVERYWHERE {
        if let Some(Value::Array(kinds)) = definitions.get_mut(name).and_then(|d| d.get_mut(KINDS)) {
            registered::add(kinds, &[]);
        }
    }
    let parameters = share(&mut all_paths);
    object([
        ("swagger", "2.0".into()),
        ("info", object([("title", "Kubernetes".into()), ("version", VERSION.into())])),
        ("paths", Map::from_entries(all_paths, |_| {}).into()),
        ("definitions", definitions.into()),
        ("parameters", parameters.into()),
        ("securityDefinitions", object([("BearerToken", bearer)])),
        ("security", array([object([("BearerToken", array([]))])])),
    ])
}

/// Adds a definition; one that is there learns the further kinds it stands for.
fn merge(definitions: &mut Map, name: Str, definition: Value) {
    let Some(there) = definitions.get_mut(&name) else {
        definitions.insert(name, definition);
        return;
    };
    let more = definition.at(KINDS).items().iter();
    if let Some(Value::Array(kinds)) = there.get_mut(KINDS) {
        for kind in more {
            if !kinds.contains(kind) {
                kinds.push(kind.clone());
            }
        }
    }
}

fn path_item(item: Value) -> Value {
    let Value::Object(item) = item else { return item };
    let mut entries = Vec::new();
    for (key, value) in item.into_vec() {
        let value = match value {
            Value::Array(parameters) => array(parameters.into_iter().map(parameter)),
            operation => self::operation(operation),
        };
        entries.push((key, value));
    }
    Map::from_entries(entries, |_| {}).into()
}

/// What version 3 says in a parameter's schema stands in the parameter itself.
fn parameter(mut parameter: Value) -> Value {
    if let Some(Value::Object(schema)) = parameter.remove("schema") {
        for (key, value) in schema.into_vec() {
            parameter.set(&key, value);
        }
    }
    parameter
}

fn operation(mut operation: Value) -> Value {
    let mut parameters: Vec<Value> = match operation.remove("parameters") {
        Some(Value::Array(parameters)) => parameters.into_iter().map(parameter).collect(),
        _ => Vec::new(),
    };
    let mut consumes = Vec::new();
    if let Some(mut body) = operation.remove("requestBody") {
        let required = body.at("required").bool();
        if let Some(Value::Object(content)) = body.remove("content") {
            consumes = media(&content);
            let first = content.into_vec().into_iter().next();
            let schema = first.and_then(|(_, mut media)| media.remove("schema")).unwrap_or_default();
            let mut body =
                object([("in", "body".into()), ("name", "body".into()), ("schema", self::schema(schema, 0))]);
            if required {
                body.set("required", true);
            }
            parameters.insert(0, body);
        }
    }
    let mut produces: Vec<Value> = Vec::new();
    let mut refers = false;
    if let Some(Value::Object(responses)) = operation.remove("responses") {
        let mut entries = Vec::new();
        for (code, mut response) in responses.into_vec() {
            if let Some(Value::Object(content)) = response.remove("content") {
                if produces.is_empty() {
                    produces = media(&content);
                }
                let first = content.into_vec().into_iter().next();
                if let Some(schema) = first.and_then(|(_, mut media)| media.remove("schema")) {
                    refers |= schema.get("$ref").is_some();
                    response.set("schema", self::schema(schema, 0));
                }
            }
            entries.push((code, response));
        }
        operation.set("responses", Map::from_entries(entries, |_| {}));
    }
    if !parameters.is_empty() {
        operation.set("parameters", parameters);
    }
    // Without a body, discovery and custom resources say of both the same, and built-in kinds take anything.
    // Texts that are no kind's say nothing of what they take.
    let is_kinds = operation.get("x-kubernetes-action").is_some();
    if is_kinds && consumes.is_empty() {
        let is_custom = produces.iter().map(Value::str).eq(CUSTOM.iter().copied());
        consumes = if is_custom { produces.clone() } else { vec!["*/*".into()] };
    }
    if is_kinds || refers {
        operation.set("consumes", if is_kinds { consumes } else { produces.clone() });
    }
    operation.set("produces", produces);
    operation.set("schemes", strings(["https"]));
    operation
}

/// The media types of a body, in their usual order.
fn media(content: &Map) -> Vec<Value> {
    let mut names: Vec<&Str> = content.keys().collect();
    names.sort_by_key(|name| media_rank(name));
    names.into_iter().cloned().map(Value::from).collect()
}

/// A schema in the older form.
fn schema(schema: Value, depth: u8) -> Value {
    let Value::Object(schema) = schema else { return schema };
    if depth > DEPTH {
        return Value::object();
    }
    let mut out = Vec::with_capacity(schema.len());
    for (key, value) in schema.into_vec() {
        match key.as_str() {
            "default" | "nullable" | "anyOf" | "not" => {}
            "$ref" => out.push((key, format!("#/definitions/{}", name_of(value.str())).into())),
            // Either a number or a string: clients of this form take strings.
            "oneOf" => out.push(("type".into(), "string".into())),
            "allOf" => {
                if let Some(reference) = value.items().first().and_then(|first| first.get("$ref")) {
                    out.push(("$ref".into(), format!("#/definitions/{}", name_of(reference.str())).into()));
                }
            }
            "items" | "additionalProperties" => out.push((key, self::schema(value, depth + 1))),
            "properties" => {
                let Value::Object(properties) = value else { continue };
                let properties = properties.into_vec().into_iter();
                let properties = properties.map(|(name, s)| (name, self::schema(s, depth + 1))).collect();
                out.push((key, Map::from_entries(properties, |_| {}).into()));
            }
            _ => out.push((key, value)),
        }
    }
    Map::from_entries(out, |_| {}).into()
}
