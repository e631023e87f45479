//! The set of fields that a value mentions.
//!
//! Upstream: structured-merge-diff `typed/tofieldset.go`.

use super::Form;
use super::error::ValidationErrors;
use super::item::{Group, Sorted};
use crate::DEPTH_MAX;
use crate::fields::{Node, PathElement, Set};
use crate::types::{ListRelation, Schema, TypeId};
use value::Value;

/// Every leaf, list item and map entry of a valid value.
///
/// # Errors
/// A list item that cannot be told apart, or too deep a value.
pub fn to_field_set(schema: &Schema, ty: TypeId, v: &Value) -> Result<Set, ValidationErrors> {
    let mut set = Set::new();
    walk(schema, ty, v, DEPTH_MAX, &mut set)?;
    Ok(set)
}

/// Fills `below` with what is below the value; says whether the value itself is a leaf.
fn walk(
    schema: &Schema,
    ty: TypeId,
    v: &Value,
    depth: usize,
    below: &mut Set,
) -> Result<bool, ValidationErrors> {
    if depth == 0 {
        return Err(ValidationErrors::one("exceeded max depth"));
    }
    match (schema.atom(ty).form_of(v), v) {
        (Form::None, _) => Ok(false),
        (Form::Scalar(_), _) => Ok(true),
        (Form::Map(map), _) if map.atomic => Ok(true),
        (Form::List(list), _) if list.relation == ListRelation::Atomic => Ok(true),
        (Form::Map(map), Value::Object(m)) => {
            below.nodes.reserve(m.len());
            for (key, v) in m.iter() {
                let (entry, named) = match map.field(key) {
                    Some(field) => (Some(field.ty), true),
                    None => (map.element, false),
                };
                let mut set = Set::new();
                let Some(entry) = entry else { continue };
                if entry == TypeId::OPAQUE {
                    continue;
                }
                let leaf = walk(schema, entry, v, depth - 1, &mut set)?;
                let empty = match v {
                    Value::Null => true,
                    Value::Object(m) => m.is_empty(),
                    _ => false,
                };
                let member = leaf || empty || !named;
                if member || !set.is_empty() {
                    below.nodes.push(Node { element: PathElement::Field(key.clone()), member, below: set });
                }
            }
            Ok(false)
        }
        (Form::List(list), Value::Array(items)) => {
            let sorted = Sorted::new(schema, list, items)?;
            for group in sorted.into_groups() {
                let mut set = Set::new();
                let element = match group {
                    Group::One(element, v) => {
                        walk(schema, list.element, v, depth - 1, &mut set)?;
                        element
                    }
                    // Items that repeat are owned together, as a whole.
                    Group::Many(element) => element,
                };
                below.nodes.push(Node { element, member: true, below: set });
            }
            Ok(false)
        }
        (Form::Map(_) | Form::List(_), _) => Ok(false),
    }
}
