//! How upstream's error texts print schemas and versions: Go's JSON of internal structs, whose fields have no
//! JSON names.

use crate::schema::{Items, OrBool, Rule, Schema};
use meta::quote::{go_json, json_string};
use std::collections::BTreeMap;
use value::{Str, Value};

fn text(s: &str) -> String {
    json_string(s)
}

fn opt<T>(v: Option<T>, show: impl FnOnce(T) -> String) -> String {
    v.map_or_else(|| "null".into(), show)
}

fn list<T>(v: &[T], is_given: bool, show: impl Fn(&T) -> String) -> String {
    if v.is_empty() && !is_given {
        return "null".into();
    }
    format!("[{}]", v.iter().map(show).collect::<Vec<_>>().join(","))
}

fn map<T>(v: &BTreeMap<Str, T>, is_given: bool, show: impl Fn(&T) -> String) -> String {
    if v.is_empty() && !is_given {
        return "null".into();
    }
    let entries: Vec<String> = v.iter().map(|(k, v)| format!("{}:{}", text(k), show(v))).collect();
    format!("{{{}}}", entries.join(","))
}

fn or_bool(v: &OrBool) -> String {
    format!("{{\"Allows\":{},\"Schema\":{}}}", v.allows, opt(v.schema.as_deref(), schema))
}

/// A schema.
pub(crate) fn schema(s: &Schema) -> String {
    let float = |x: Option<f64>| opt(x, |x| go_json(&Value::Number(x.into())).to_string());
    let int = |x: Option<i64>| opt(x, |x| x.to_string());
    let json = |x: &Option<Value>| opt(x.as_ref(), |x| go_json(x).to_string());
    let string = |x: &Option<Str>| opt(x.as_ref(), |x| text(x));
    let fields = [
        ("ID", text(&s.id)),
        ("Schema", text(&s.url)),
        ("Ref", string(&s.reference)),
        ("Description", text(&s.description)),
        ("Type", text(&s.ty)),
        ("Nullable", s.nullable.to_string()),
        ("Format", text(&s.format)),
        ("Title", text(&s.title)),
        ("Default", json(&s.default)),
        ("Maximum", float(s.maximum)),
        ("ExclusiveMaximum", s.exclusive_maximum.to_string()),
        ("Minimum", float(s.minimum)),
        ("ExclusiveMinimum", s.exclusive_minimum.to_string()),
        ("MaxLength", int(s.max_length)),
        ("MinLength", int(s.min_length)),
        ("Pattern", text(&s.pattern)),
        ("MaxItems", int(s.max_items)),
        ("MinItems", int(s.min_items)),
        ("UniqueItems", s.unique_items.to_string()),
        ("MultipleOf", float(s.multiple_of)),
        ("Enum", list(&s.enumeration, s.has_empty("enum"), |x| go_json(x).to_string())),
        ("MaxProperties", int(s.max_properties)),
        ("MinProperties", int(s.min_properties)),
        ("Required", list(&s.required, s.has_empty("required"), |x| text(x))),
        (
            "Items",
            opt(s.items.as_ref(), |items| match items {
                Items::One(s) => format!("{{\"Schema\":{},\"JSONSchemas\":null}}", schema(s)),
                Items::Many(l) => format!("{{\"Schema\":null,\"JSONSchemas\":{}}}", list(l, true, schema)),
            }),
        ),
        ("AllOf", list(&s.all_of, s.has_empty("allOf"), schema)),
        ("OneOf", list(&s.one_of, s.has_empty("oneOf"), schema)),
        ("AnyOf", list(&s.any_of, s.has_empty("anyOf"), schema)),
        ("Not", opt(s.not.as_deref(), schema)),
        ("Properties", map(&s.properties, s.has_empty("properties"), |s| schema(s))),
        ("AdditionalProperties", opt(s.additional_properties.as_ref(), or_bool)),
        ("PatternProperties", map(&s.pattern_properties, s.has_empty("patternProperties"), |s| schema(s))),
        (
            "Dependencies",
            opt(s.dependencies.as_ref(), |d| {
                map(d, true, |d| {
                    let schema = opt(d.schema.as_deref(), schema);
                    format!(
                        "{{\"Schema\":{schema},\"Property\":{}}}",
                        list(&d.properties, false, |p| text(p))
                    )
                })
            }),
        ),
        ("AdditionalItems", opt(s.additional_items.as_ref(), or_bool)),
        ("Definitions", map(&s.definitions, s.has_empty("definitions"), |s| schema(s))),
        (
            "ExternalDocs",
            opt(s.external_docs.as_ref(), |(description, url)| {
                format!("{{\"Description\":{},\"URL\":{}}}", text(description), text(url))
            }),
        ),
        ("Example", json(&s.example)),
        ("XPreserveUnknownFields", opt(s.preserve_unknown, |b| b.to_string())),
        ("XEmbeddedResource", s.embedded_resource.to_string()),
        ("XIntOrString", s.int_or_string.to_string()),
        ("XListMapKeys", list(&s.list_map_keys, s.has_empty("x-kubernetes-list-map-keys"), |x| text(x))),
        ("XListType", string(&s.list_type)),
        ("XMapType", string(&s.map_type)),
        ("XValidations", list(&s.rules, s.has_empty("x-kubernetes-validations"), rule)),
    ];
    object(&fields)
}

/// A rule.
pub(crate) fn rule(r: &Rule) -> String {
    object(&[
        ("Rule", text(&r.rule)),
        ("Message", text(&r.message)),
        ("MessageExpression", text(&r.message_expression)),
        ("Reason", opt(r.reason.as_ref(), |r| text(r))),
        ("FieldPath", text(&r.field_path)),
        ("OptionalOldSelf", opt(r.optional_old_self, |b| b.to_string())),
    ])
}

/// A struct with these fields.
pub(crate) fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
    format!("{{{}}}", fields.join(","))
}
