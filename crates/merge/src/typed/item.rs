//! How the items of a list are told apart.
//!
//! Upstream: structured-merge-diff `typed/helpers.go`.

use super::error::ValidationErrors;
use crate::fields::PathElement;
use crate::types::{ListRelation, ListType, Schema};
use meta::quote::quote;
use value::{Str, Value};

/// The path element of an item of a set or list-map.
///
/// # Errors
/// A text that says why the item cannot be told apart.
pub(super) fn path_element(schema: &Schema, list: &ListType, item: &Value) -> Result<PathElement, String> {
    match &list.relation {
        ListRelation::Atomic => Err("invalid indexing of non-associative list".into()),
        ListRelation::Set => check_set_item(item).map(|()| PathElement::Value(Box::new(item.clone()))),
        ListRelation::Map(keys) => keyed(schema, list, keys, item),
    }
}

/// The same check without making the element.
pub(super) fn check(schema: &Schema, list: &ListType, item: &Value) -> Result<(), String> {
    match &list.relation {
        ListRelation::Atomic => Ok(()),
        ListRelation::Set => check_set_item(item),
        ListRelation::Map(keys) => match item {
            Value::Object(m) if keys.iter().any(|k| m.contains_key(k)) => Ok(()),
            _ => keyed(schema, list, keys, item).map(drop),
        },
    }
}

fn check_set_item(item: &Value) -> Result<(), String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
        _ => Ok(()),
    }
}

fn keyed(schema: &Schema, list: &ListType, keys: &[Str], item: &Value) -> Result<PathElement, String> {
    let item = match item {
        Value::Object(m) => m,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(v) = item.get(key) {
            found.push((key.clone(), v.clone()));
            continue;
        }
        let Some(map) = &schema.atom(list.element).map else {
            let why = "associative list may not have non-map types";
            return Err(format!("couldn't find default value for {key}: {why}"));
        };
        if let Some(default) = map.field(key).and_then(|f| f.default.as_ref()) {
            found.push((key.clone(), default.clone()));
        }
    }
    if found.is_empty() && !keys.is_empty() {
        let names: Vec<String> = keys.iter().map(|k| quote(k)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
             default values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(PathElement::key(found))
}

/// The items of a list with one path element.
pub(super) enum Group<'a> {
    /// The only one.
    One(PathElement, &'a Value),
    /// Several: owned together.
    Many(PathElement),
}

/// The items of a list with their path elements, sorted by them; items with the same element stay in
/// written order.
pub(super) struct Sorted<'a> {
    pub(super) items: Vec<(PathElement, usize, &'a Value)>,
}

impl<'a> Sorted<'a> {
    /// # Errors
    /// What is wrong with each item that cannot be told apart.
    pub(super) fn new(
        schema: &Schema,
        list: &ListType,
        values: &'a [Value],
    ) -> Result<Self, ValidationErrors> {
        let mut errors = ValidationErrors::default();
        let mut items = Vec::with_capacity(values.len());
        for (i, v) in values.iter().enumerate() {
            match path_element(schema, list, v) {
                Ok(element) => items.push((element, i, v)),
                Err(e) => errors.push(format!("element {i}: {e}")),
            }
        }
        errors.into_result()?;
        if !items.is_sorted_by(|a, b| a.0 <= b.0) {
            items.sort_by(|a, b| a.0.cmp(&b.0));
        }
        Ok(Self { items })
    }

    /// The items, or marks of repeated ones.
    pub(super) fn into_groups(self) -> impl Iterator<Item = Group<'a>> {
        let mut items = self.items.into_iter().peekable();
        std::iter::from_fn(move || {
            let (element, _, v) = items.next()?;
            let mut many = false;
            while items.next_if(|(e, _, _)| *e == element).is_some() {
                many = true;
            }
            Some(if many { Group::Many(element) } else { Group::One(element, v) })
        })
    }

    /// Runs of items with the same element.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[(PathElement, usize, &'a Value)]> {
        self.items.chunk_by(|a, b| a.0 == b.0)
    }
}
