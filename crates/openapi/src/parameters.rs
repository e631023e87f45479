//! Parameters of operations: the fields of Go's option types, and the variables of paths.

use crate::names;
use crate::texts::of_parameter;
use crate::tree::{object, of_type, set_text};
use schema::types::{Shape, TypeId, Types};
use value::Value;

/// A variable of a path.
pub(crate) fn of_path(name: &str) -> Value {
    let mut parameter = parameter("path", name, "string");
    parameter.set("required", true);
    parameter
}

/// A parameter of the query.
pub(crate) fn of_query(name: &str, ty: &str) -> Value {
    parameter("query", name, ty)
}

fn parameter(place: &str, name: &str, ty: &str) -> Value {
    let mut schema = of_type(ty);
    schema.set("uniqueItems", true);
    let mut parameter = object([("in", place.into()), ("name", name.into()), ("schema", schema)]);
    set_text(&mut parameter, "description", of_parameter(name).to_owned());
    parameter
}

/// The fields of an options type of `meta/v1` as parameters.
pub(crate) fn of_meta(kind: &str) -> Vec<Value> {
    let types = Types::builtin();
    types.by_go_name(&format!("meta/v1.{kind}")).map(of_options).unwrap_or_default()
}

/// The scalar fields of an options type as parameters; lists are given by repeating.
pub(crate) fn of_options(id: TypeId) -> Vec<Value> {
    let types = Types::builtin();
    let definition = names::definition(&types.go_name(id));
    let fields = types.structure(id).map(|s| s.fields.as_slice()).unwrap_or_default();
    let own = fields.iter().filter(|f| f.inlined != "TypeMeta");
    let parameter = own.filter_map(|field| {
        let element = match types.shape(field.ty) {
            Shape::List(element) => *element,
            _ => field.ty,
        };
        let ty = match types.shape(element) {
            Shape::String => "string",
            Shape::Bool => "boolean",
            Shape::Int32 | Shape::Int64 => "integer",
            _ => return None,
        };
        let mut parameter = of_query(field.json, ty);
        let known = explain::of_field(&definition, field.json);
        if !known.is_empty() {
            parameter.set("description", known);
        }
        Some(parameter)
    });
    parameter.collect()
}

/// Sorts by name, each once.
pub(crate) fn sorted(mut parameters: Vec<Value>) -> Vec<Value> {
    let key = |p: &Value| (p.at("name").str().to_owned(), p.at("in").str().to_owned());
    parameters.sort_by_key(key);
    parameters.dedup_by_key(|p| key(p));
    parameters
}
