//! Whether a value is of a type.
//!
//! Upstream: structured-merge-diff `typed/validate.go`.

use super::error::{ValidationError, ValidationErrors};
use super::{Form, item};
use crate::DEPTH_MAX;
use crate::order::{go_type, plain};
use crate::types::{ListRelation, ListType, MapType, Scalar, Schema, TypeId};
use meta::quote::quote;
use std::collections::HashSet;
use value::{Map, Value};

/// Whether two items of a set or list-map may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// Yes: in stored objects, which upstream's validation lets have them.
    Allowed,
    /// No: in applied configurations.
    Refused,
}

/// Checks a value against a type, in full.
///
/// # Errors
/// All that is wrong.
pub fn validate(
    schema: &Schema,
    ty: TypeId,
    v: &Value,
    duplicates: Duplicates,
) -> Result<(), ValidationErrors> {
    let walk = Walk { schema, duplicates, full: true };
    let mut errors = ValidationErrors::default();
    walk.value(ty, v, DEPTH_MAX, &mut errors);
    errors.into_result()
}

/// Checks what may be wrong with an object that the schema's codec produced; duplicates are allowed.
///
/// # Errors
/// All that is wrong.
pub fn validate_decoded(schema: &Schema, ty: TypeId, v: &Value) -> Result<(), ValidationErrors> {
    let walk = Walk { schema, duplicates: Duplicates::Allowed, full: false };
    let mut errors = ValidationErrors::default();
    walk.value(ty, v, DEPTH_MAX, &mut errors);
    errors.into_result()
}

struct Walk<'a> {
    schema: &'a Schema,
    duplicates: Duplicates,
    full: bool,
}

impl Walk<'_> {
    fn value(&self, ty: TypeId, v: &Value, depth: usize, errors: &mut ValidationErrors) {
        if !self.full && !self.schema.needs_check(ty) {
            return;
        }
        if depth == 0 {
            errors.push("exceeded max depth");
            return;
        }
        match self.schema.atom(ty).form_of(v) {
            Form::Map(map) => match v {
                Value::Object(m) => self.map(map, m, depth, errors),
                Value::Null => {}
                _ => errors.push(format!("expected map, got {}", go_value(v))),
            },
            Form::List(list) => match v {
                Value::Array(items) => self.list(list, items, depth, errors),
                Value::Null => {}
                _ => errors.push(format!("expected list, got {}", go_value(v))),
            },
            Form::Scalar(scalar) => {
                if let Err(e) = check_scalar(scalar, v) {
                    errors.push(e);
                }
            }
            Form::None => {}
        }
    }

    fn map(&self, ty: &MapType, m: &Map, depth: usize, errors: &mut ValidationErrors) {
        for (key, v) in m.iter() {
            let Some(entry) = ty.type_of(key) else {
                let message = "field not declared in schema".into();
                errors.0.push(ValidationError { path: format!(".{key}"), message });
                return;
            };
            if !self.full && !self.schema.needs_check(entry) {
                continue;
            }
            let before = errors.0.len();
            self.value(entry, v, depth - 1, errors);
            if errors.0.len() > before {
                errors.put_below(before, &format!(".{key}"));
            }
            if errors.is_full() {
                return;
            }
        }
    }

    fn list(&self, ty: &ListType, items: &[Value], depth: usize, errors: &mut ValidationErrors) {
        let duplicates = match self.duplicates {
            Duplicates::Refused if ty.relation != ListRelation::Atomic => self.duplicates(ty, items),
            _ => HashSet::new(),
        };
        let descend = self.full || self.schema.needs_check(ty.element);
        for (i, v) in items.iter().enumerate() {
            if let Err(e) = item::check(self.schema, ty, v) {
                errors.push(format!("element {i}: {e}"));
                return;
            }
            let element = || match ty.relation {
                ListRelation::Atomic => format!("[{i}]"),
                _ => item::path_element(self.schema, ty, v).map_or_else(|_| String::new(), |e| e.to_string()),
            };
            if duplicates.contains(&i) {
                errors.push(format!("duplicate entries for key {}", element()));
            }
            if descend {
                let mut below = ValidationErrors::default();
                self.value(ty.element, v, depth - 1, &mut below);
                if !below.0.is_empty() {
                    errors.extend_below(element(), below);
                }
            }
            if errors.is_full() {
                return;
            }
        }
    }

    /// The positions of items that repeat an earlier one.
    fn duplicates(&self, ty: &ListType, items: &[Value]) -> HashSet<usize> {
        let elements = items.iter().enumerate();
        let elements = elements.map_while(|(i, v)| Some((item::path_element(self.schema, ty, v).ok()?, i)));
        let mut elements: Vec<_> = elements.collect();
        elements.sort();
        elements.windows(2).filter(|w| w[0].0 == w[1].0).map(|w| w[1].1).collect()
    }
}

pub(super) fn check_scalar(scalar: Scalar, v: &Value) -> Result<(), String> {
    match (scalar, v) {
        (_, Value::Null)
        | (Scalar::Numeric, Value::Number(_))
        | (Scalar::String, Value::String(_))
        | (Scalar::Boolean, Value::Bool(_))
        | (Scalar::Untyped, Value::Number(_) | Value::String(_) | Value::Bool(_)) => Ok(()),
        (Scalar::Numeric, _) => Err(format!("expected numeric (int or float), got {}", go_type(v))),
        (Scalar::String, _) => Err(format!("expected string, got {}", go_syntax(v))),
        (Scalar::Boolean, _) => Err(format!("expected boolean, got {}", go_value(v))),
        (Scalar::Untyped, _) => Err(format!("expected any scalar, got {}", go_value(v))),
    }
}

/// A value as `%v` prints the wrapper that upstream's walk holds it in.
pub(crate) fn go_value(v: &Value) -> String {
    format!("&{{{}}}", plain(v))
}

/// A value as `%#v` prints that wrapper.
fn go_syntax(v: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{}}}", syntax(v, DEPTH_MAX))
}

fn syntax(v: &Value, depth: usize) -> String {
    match v {
        Value::Null => "interface {}(nil)".into(),
        Value::String(s) => quote(s),
        Value::Bool(_) | Value::Number(_) => plain(v),
        _ if depth == 0 => "...".into(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|v| syntax(v, depth - 1)).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(m) => {
            let entry = |(k, v): (&value::Str, &Value)| format!("{}:{}", quote(k), syntax(v, depth - 1));
            let entries: Vec<String> = m.iter().map(entry).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
    }
}
