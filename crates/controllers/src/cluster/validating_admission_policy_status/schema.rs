//! Types of kinds, from the OpenAPI document that has them.
//!
//! Upstream: apiserver `pkg/cel/openapi/resolver`, `pkg/cel/openapi`.

use super::matched::Kind;
use cel::DeclType;
use crd::schema::{Items, OrBool, Schema};
use std::sync::Arc;
use value::Value;

/// How many schemas one kind is made of at most, what is referred to counted wherever it is: references of references
/// multiply. The largest kinds there are have some ten thousand.
const SCHEMAS_MAX: usize = 100_000;
/// How deep they lie in each other at most; twice what a Pod needs.
const DEPTH_MAX: usize = 100;
/// Where definitions are referred to.
const PREFIX: &str = "#/components/schemas/";

/// The type of a kind's objects, called `name`, as a document of version 3 tells; `None` where it says nothing that
/// expressions could go by.
///
/// # Errors
/// Why the kind has no schema: it is not in the document, or not whole, or more than the limits allow.
pub(super) fn decl_type(document: &Value, kind: &Kind, name: &str) -> Result<Option<Arc<DeclType>>, String> {
    let definitions = document.at("components").at("schemas");
    let is_kind = |definition: &Value| {
        let kinds = definition.at("x-kubernetes-group-version-kind").items();
        let is_it = |k: &Value| {
            k.at("group").str() == kind.group
                && k.at("version").str() == kind.version
                && k.at("kind").str() == kind.kind
        };
        kinds.iter().any(is_it)
    };
    let found = definitions.entries().find(|(_, definition)| is_kind(definition));
    let (definition, _) = found.ok_or_else(|| format!("no definition of {kind}"))?;
    let mut whole = Whole { definitions, open: Vec::new(), schemas: 0 };
    let schema = whole.referred(definition, 0)?;
    Ok(crd::decl::object_type(&schema, name))
}

/// Makes schemas whole: definitions stand where they are referred to.
struct Whole<'d> {
    definitions: &'d Value,
    /// The definitions within which the schema lies.
    open: Vec<&'d str>,
    schemas: usize,
}

impl<'d> Whole<'d> {
    fn schema(&mut self, schema: &'d Value, depth: usize) -> Result<Schema, String> {
        match reference(schema, 0) {
            Some(name) => self.referred(name, depth),
            None => self.read(schema, depth),
        }
    }

    fn referred(&mut self, name: &'d str, depth: usize) -> Result<Schema, String> {
        if self.open.contains(&name) {
            // Upstream's end of circles: an object without fields.
            return Ok(Schema { ty: "object".into(), ..Schema::default() });
        }
        let definition = self.definitions.get(name).ok_or_else(|| format!("no definition {name:?}"))?;
        self.open.push(name);
        let schema = self.read(definition, depth)?;
        self.open.pop();
        Ok(schema)
    }

    /// What types are made of; the limits of values do not matter to them.
    fn read(&mut self, schema: &'d Value, depth: usize) -> Result<Schema, String> {
        self.schemas += 1;
        if self.schemas > SCHEMAS_MAX || depth > DEPTH_MAX {
            return Err(format!("more than {SCHEMAS_MAX} schemas, or {DEPTH_MAX} in each other"));
        }
        let ty = schema.at("type");
        let ty = ty.as_str().or_else(|| ty.items().first()?.as_str()).unwrap_or_default();
        let format = schema.at("format").str();
        let mut out = Schema {
            ty: ty.into(),
            format: format.into(),
            // Built-in kinds have the format, custom ones the extension.
            int_or_string: format == "int-or-string" || schema.at("x-kubernetes-int-or-string").bool(),
            embedded_resource: schema.at("x-kubernetes-embedded-resource").bool(),
            ..Schema::default()
        };
        for (name, property) in schema.at("properties").entries() {
            let property = self.schema(property, depth + 1)?;
            out.properties.insert(name.clone(), Box::new(property));
        }
        if let items @ Value::Object(_) = schema.at("items") {
            out.items = Some(Items::One(Box::new(self.schema(items, depth + 1)?)));
        }
        if let additional @ Value::Object(_) = schema.at("additionalProperties") {
            let additional = Box::new(self.schema(additional, depth + 1)?);
            out.additional_properties = Some(OrBool { allows: true, schema: Some(additional) });
        }
        Ok(out)
    }
}

/// The definition that a schema refers to: itself, or within `allOf`, which lets it have a text or default beside.
fn reference(schema: &Value, depth: usize) -> Option<&str> {
    if let Some(reference) = schema.at("$ref").as_str() {
        return Some(reference.strip_prefix(PREFIX).unwrap_or(reference));
    }
    let parts = if depth < DEPTH_MAX { schema.at("allOf").items() } else { &[] };
    parts.iter().find_map(|part| reference(part, depth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinds::expressions::Typed;
    use value::json::parse;

    fn kind(kind: &str) -> Kind {
        Kind { group: "g".into(), version: "v1".into(), kind: kind.into() }
    }

    fn document(definitions: &str) -> Value {
        parse(format!(r#"{{"components": {{"schemas": {definitions}}}}}"#).as_bytes()).expect("a document")
    }

    const DEFINITIONS: &str = r##"{
        "g.v1.A": {"type": "object", "x-kubernetes-group-version-kind": [
                {"group": "", "version": "v1", "kind": "A"}, {"group": "g", "version": "v1", "kind": "A"}],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": {"default": {}, "allOf": [{"$ref": "#/components/schemas/Meta"}]},
                "spec": {"$ref": "#/components/schemas/Spec"},
                "again": {"$ref": "#/components/schemas/Spec"}}},
        "Meta": {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}}}},
        "Spec": {"type": "object", "properties": {
            "inner": {"$ref": "#/components/schemas/Spec"},
            "list": {"type": "array", "items": {"allOf": [{"$ref": "#/components/schemas/Port"}]}},
            "map": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Port"}},
            "amount": {"$ref": "#/components/schemas/Quantity"},
            "at": {"type": "string", "format": "date-time"},
            "free": {"type": "object", "additionalProperties": true},
            "whole": {"type": "object", "x-kubernetes-embedded-resource": true},
            "a-b": {"type": "object"}, "x-y": {"type": ["integer", "null"]}}},
        "Port": {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"},
        "Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "g.v1.Bare": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "Bare"}]},
        "g.v1.Untyped": {"x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "Untyped"}]},
        "g.v1.Broken": {"type": "object", "properties": {"spec": {"$ref": "#/components/schemas/Gone"}},
            "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "Broken"}]}
    }"##;

    #[test]
    fn types_of_definitions() {
        let document = document(DEFINITIONS);
        let of = |name: &str| decl_type(&document, &kind(name), &format!("{name}0"));
        let (a, bare) = (of("A").expect("a schema"), of("Bare").expect("a schema"));
        let field = |name: &str, text: &str, at: &str| {
            let undefined = format!("undefined field '{name}'");
            format!("ERROR: <input>:1:{}: {undefined}\n | {text}\n | {at}^", at.len() + 1)
        };
        let cases = [
            (&a, "object.metadata.labels['a'] + object.kind", "ok: string".to_owned()),
            (&a, "object.spec.list[0] == 'a' || object.spec.list[0] > 1", "ok: bool".to_owned()),
            (&a, "object.spec.map['x']", "ok: dyn".to_owned()),
            (&a, "object.spec.at", "ok: timestamp".to_owned()),
            (&a, "object.spec.x__dash__y", "ok: int".to_owned()),
            (&a, "object.spec.a__dash__b", "ok: A0.spec.a__dash__b".to_owned()),
            (&a, "object.spec.whole.metadata.name", "ok: string".to_owned()),
            (&a, "object.spec", "ok: A0.spec".to_owned()),
            (&a, "object.again.whole", "ok: A0.again.whole".to_owned()),
            // Upstream sees nothing where no type is told, so neither in amounts.
            (&a, "object.spec.amount", field("amount", "object.spec.amount", "...........")),
            (&a, "object.spec.inner.at", field("at", "object.spec.inner.at", ".................")),
            (&a, "object.spec.free.at", field("at", "object.spec.free.at", "................")),
            (&bare, "object.metadata.name + object.apiVersion", "ok: string".to_owned()),
            (&bare, "object.metadata.labels", field("labels", "object.metadata.labels", "...............")),
        ];
        for (ty, text, expected) in cases {
            let types = Typed::new(ty.as_ref());
            let told = types.check(text).map_or_else(|issues| issues.to_string(), |ty| format!("ok: {ty}"));
            assert_eq!(told, expected, "{text}");
        }
        assert!(matches!(of("Untyped"), Ok(None)));
        assert_eq!(of("None").err().as_deref(), Some("no definition of g/v1, Kind=None"));
        assert_eq!(of("Broken").err().as_deref(), Some(r#"no definition "Gone""#));
    }

    #[test]
    fn schemas_have_an_end() {
        let root = r#""x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "A"}]"#;
        // Each has the next one twice.
        let twice = |i: usize| {
            let next = format!(r##"{{"$ref": "#/components/schemas/{}"}}"##, i + 1);
            format!(r#""{i}": {{"type": "object", {root}, "properties": {{"a": {next}, "b": {next}}}}}"#)
        };
        let definitions: Vec<String> = (0..40).map(twice).collect();
        let bomb = document(&format!("{{{}, \"40\": {{}}}}", definitions.join(",")));
        assert!(decl_type(&bomb, &kind("A"), "A0").is_err());
        let n = DEPTH_MAX + 2;
        let deep = format!(
            "{}{}",
            r#"{"type": "array", "items": "#.repeat(n),
            "}".repeat(n).replacen('}', "{}}", 1)
        );
        let deep =
            document(&format!(r#"{{"A": {{{root}, "type": "object", "properties": {{"a": {deep}}}}}}}"#));
        assert!(decl_type(&deep, &kind("A"), "A0").is_err());
    }
}
