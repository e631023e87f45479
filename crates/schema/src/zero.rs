//! Which fields are there when they are zero, and what zero looks like: `omitempty` and `omitzero` of Go's
//! `encoding/json`.

use crate::types::{Field, Shape, Struct, TypeId, Types};
use value::{Map, Str, Value};

/// The zero value of a type, as Go prints it.
pub(crate) fn zero(types: &Types, ty: TypeId) -> Value {
    match types.shape(ty) {
        Shape::Struct(s) => zero_struct(types, s),
        Shape::String => Value::from(""),
        Shape::Bool | Shape::SchemaOrBool(_) => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Duration => Value::from("0s"),
        Shape::List(_)
        | Shape::MessageList(_)
        | Shape::Map { .. }
        | Shape::Bytes
        | Shape::Time
        | Shape::MicroTime
        | Shape::RawExtension
        | Shape::FieldsV1
        | Shape::Json
        | Shape::SchemaOrArray(_)
        | Shape::SchemaOrStrings(_)
        | Shape::Any => Value::Null,
    }
}

fn zero_struct(types: &Types, s: &Struct) -> Value {
    let entries = s.sorted.iter().filter_map(|i| {
        let field = s.fields.get(usize::from(*i))?;
        is_always(types, field).then(|| (Str::new_static(field.json), zero_field(types, field)))
    });
    Value::Object(entries.collect::<Map>())
}

/// The zero value of a field: null for a pointer.
pub(crate) fn zero_field(types: &Types, field: &Field) -> Value {
    if field.pointer { Value::Null } else { zero(types, field.ty) }
}

/// Whether a field is printed when it is zero.
pub(crate) fn is_always(types: &Types, field: &Field) -> bool {
    if field.omitzero {
        return false;
    }
    !field.omitempty || (!field.pointer && !can_be_empty(types.shape(field.ty)))
}

/// Whether a field is printed with this value.
pub(crate) fn is_kept(types: &Types, field: &Field, value: &Value) -> bool {
    if !field.omitempty && !field.omitzero {
        return true;
    }
    if field.pointer {
        return !value.is_null() && !is_no_schema(types.shape(field.ty), value);
    }
    if can_be_empty(types.shape(field.ty)) {
        return !is_empty(value);
    }
    !field.omitzero || *value != zero(types, field.ty)
}

/// What `JSONSchemaPropsOrArray` makes of anything but schemas: something that holds none and yet is not nil, until
/// it is stored (apiextensions' `v1/marshal.go`).
pub(crate) const NO_SCHEMA: Value = Value::Bool(false);

/// Whether a value is [`NO_SCHEMA`].
pub(crate) fn is_no_schema(shape: &Shape, value: &Value) -> bool {
    matches!(shape, Shape::SchemaOrArray(_)) && *value == NO_SCHEMA
}

/// Whether a field holds an empty list or map that is not printed: Go's code tells it from none at all.
pub(crate) fn is_unshown_empty(types: &Types, field: &Field, value: &Value) -> bool {
    if is_no_schema(types.shape(field.ty), value) {
        return true;
    }
    let is_empty = match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let collects =
        || matches!(types.shape(field.ty), Shape::List(_) | Shape::MessageList(_) | Shape::Map { .. });
    is_empty && !field.pointer && collects() && (field.omitempty || field.omitzero)
}

/// Whether Go's `omitempty` knows an empty value of the type: structs are never empty.
const fn can_be_empty(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::String
            | Shape::Bool
            | Shape::Int32
            | Shape::Int64
            | Shape::Float64
            | Shape::Bytes
            | Shape::List(_)
            | Shape::MessageList(_)
            | Shape::Map { .. }
            | Shape::Any
    )
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty(),
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == 0.0,
        _ => value.is_empty(),
    }
}
