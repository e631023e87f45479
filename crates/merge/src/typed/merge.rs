//! A partial object laid over a whole one.
//!
//! Upstream: structured-merge-diff `typed/merge.go` with the rule that keeps the right side. Nothing is
//! removed by a merge. The items of a list-map come in the order of the live list if the configuration
//! changes nothing of it, else in its own order, with items that it does not name kept near their neighbours.

use super::error::ValidationErrors;
use super::item::Sorted;
use super::{Form, Narrowed, narrow};
use crate::DEPTH_MAX;
use crate::fields::PathElement;
use crate::types::{ListRelation, ListType, MapType, Schema, TypeId};
use std::cmp::Ordering;
use value::{Map, Value};

/// Lays `config` over `live`; both are valid values of the type. Opaque fields are left out.
///
/// # Errors
/// Repeated items in the configuration, or too deep a value.
pub fn merge(schema: &Schema, ty: TypeId, live: &Value, config: &Value) -> Result<Value, ValidationErrors> {
    Walk { schema }.value(ty, live, config, DEPTH_MAX)
}

struct Walk<'a> {
    schema: &'a Schema,
}

impl Walk<'_> {
    fn value(&self, ty: TypeId, lhs: &Value, rhs: &Value, depth: usize) -> Result<Value, ValidationErrors> {
        if depth == 0 {
            return Err(ValidationErrors::one("exceeded max depth"));
        }
        let atom = self.schema.atom(ty);
        let narrowed = if atom.is_mixed() { narrow(atom, rhs) } else { Narrowed::Any };
        match atom.form(narrowed) {
            Form::Map(map) if !map.atomic => {
                let l = lhs.as_object().filter(|m| !m.is_empty());
                let r = rhs.as_object().filter(|m| !m.is_empty());
                match (l, r) {
                    (Some(l), Some(r)) => self.map(map, l, r, depth),
                    (Some(l), None) => self.map(map, l, &Map::new(), depth),
                    (None, _) => Ok(rhs.clone()),
                }
            }
            Form::List(list) if list.relation != ListRelation::Atomic => {
                let l = lhs.as_array().filter(|a| !a.is_empty());
                let r = rhs.as_array().filter(|a| !a.is_empty());
                match (l, r) {
                    (Some(l), Some(r)) => self.list(list, l, r, depth),
                    (Some(l), None) => Ok(Value::Array(l.to_vec())),
                    (None, _) => Ok(rhs.clone()),
                }
            }
            _ => Ok(rhs.clone()),
        }
    }

    fn map(&self, ty: &MapType, lhs: &Map, rhs: &Map, depth: usize) -> Result<Value, ValidationErrors> {
        let (mut l, mut r) = (lhs.iter().peekable(), rhs.iter().peekable());
        let mut out = Vec::with_capacity(lhs.len().max(rhs.len()));
        loop {
            let order = match (l.peek(), r.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.as_bytes().cmp(b.as_bytes()),
            };
            let left = if order.is_le() { l.next() } else { None };
            let right = if order.is_ge() { r.next() } else { None };
            let Some(key) = left.or(right).map(|(k, _)| k) else { break };
            let entry = ty.type_of(key);
            if entry == Some(TypeId::OPAQUE) {
                continue;
            }
            let value = match (left, right, entry) {
                (Some((_, l)), Some((_, r)), Some(entry)) => self.value(entry, l, r, depth - 1)?,
                (_, Some((_, v)), _) | (Some((_, v)), None, Some(TypeId::DEDUCED)) => v.clone(),
                (Some((_, v)), None, Some(entry)) => self.strip(entry, v, depth - 1),
                (Some((_, v)), None, None) => v.clone(),
                (None, None, _) => break,
            };
            out.push((key.clone(), value));
        }
        Ok(Value::Object(Map::from_entries(out, |_| {})))
    }

    /// A copy without opaque fields, which are struct fields of structs only.
    fn strip(&self, ty: TypeId, v: &Value, depth: usize) -> Value {
        match (&self.schema.atom(ty).map, v) {
            (Some(map), Value::Object(m))
                if depth > 0 && map.fields().iter().any(|f| f.ty == TypeId::OPAQUE) =>
            {
                let kept = m.iter().filter(|(k, _)| map.type_of(k) != Some(TypeId::OPAQUE));
                Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            _ => v.clone(),
        }
    }

    fn list(
        &self,
        ty: &ListType,
        lhs: &[Value],
        rhs: &[Value],
        depth: usize,
    ) -> Result<Value, ValidationErrors> {
        let index = Index::new(self.schema, ty, lhs, rhs)?;
        let mut out = Vec::with_capacity(lhs.len().max(rhs.len()));
        let mut merged = vec![false; index.left.len()];
        // The live item that a configured one lies over; of repeated ones, none.
        let with_live = |r: usize, merged: &mut Vec<bool>| {
            let id = index.right_ids[r];
            merged[id] = true;
            match index.left[id] {
                Found::Once(l) => self.value(ty.element, &lhs[l], &rhs[r], depth - 1),
                Found::Never | Found::Often => Ok(rhs[r].clone()),
            }
        };
        // The items of both, in the order of the configuration, not yet passed.
        let mut shared =
            index.right_ids.iter().copied().filter(|id| !matches!(index.left[*id], Found::Never));
        let mut next_shared = shared.next();
        let (mut l, mut r) = (0, 0);
        while l < lhs.len() || r < rhs.len() {
            if l < lhs.len() && r < rhs.len() {
                let id = index.left_ids[l];
                if id == index.right_ids[r] {
                    out.push(with_live(r, &mut merged)?);
                    l += 1;
                    r += 1;
                    next_shared = shared.next();
                    continue;
                }
                if index.in_right[id] && next_shared.is_some_and(|s| s != id) {
                    // A shared item, but not the one whose turn it is.
                    l += 1;
                    continue;
                }
            }
            if l < lhs.len() {
                let id = index.left_ids[l];
                if !index.in_right[id] {
                    out.push(lhs[l].clone());
                    l += 1;
                    continue;
                }
                if merged[id] {
                    l += 1;
                }
            }
            if r < rhs.len() {
                out.push(with_live(r, &mut merged)?);
                if next_shared == Some(index.right_ids[r]) {
                    next_shared = shared.next();
                }
                r += 1;
            }
        }
        Ok(Value::Array(out))
    }
}

/// The items of two lists with small numbers for their path elements.
struct Index {
    left_ids: Vec<usize>,
    right_ids: Vec<usize>,
    /// By number: where the item is in the left list.
    left: Vec<Found>,
    /// By number: whether the right list has the item.
    in_right: Vec<bool>,
}

#[derive(Clone, Copy)]
enum Found {
    Never,
    Once(usize),
    Often,
}

impl Index {
    fn new(schema: &Schema, ty: &ListType, lhs: &[Value], rhs: &[Value]) -> Result<Self, ValidationErrors> {
        let mut errors = ValidationErrors::default();
        let right = Sorted::new(schema, ty, rhs).unwrap_or_else(|e| {
            errors.0.extend(e.0);
            Sorted { items: Vec::new() }
        });
        for group in right.groups() {
            for (element, _, _) in group.iter().skip(1) {
                errors.push(format!("duplicate entries for key {element}"));
            }
        }
        let left = Sorted::new(schema, ty, lhs).unwrap_or_else(|e| {
            errors.0.extend(e.0);
            Sorted { items: Vec::new() }
        });
        errors.into_result()?;

        let mut all: Vec<(&PathElement, usize, bool)> = Vec::with_capacity(lhs.len() + rhs.len());
        all.extend(left.items.iter().map(|(e, i, _)| (e, *i, true)));
        all.extend(right.items.iter().map(|(e, i, _)| (e, *i, false)));
        all.sort_by(|a, b| a.0.cmp(b.0));
        let mut index = Self {
            left_ids: vec![0; lhs.len()],
            right_ids: vec![0; rhs.len()],
            left: Vec::new(),
            in_right: Vec::new(),
        };
        for (id, group) in all.chunk_by(|a, b| a.0 == b.0).enumerate() {
            let (mut found, mut in_right) = (Found::Never, false);
            for (_, i, is_left) in group {
                if *is_left {
                    index.left_ids[*i] = id;
                    found = if matches!(found, Found::Never) { Found::Once(*i) } else { Found::Often };
                } else {
                    index.right_ids[*i] = id;
                    in_right = true;
                }
            }
            index.left.push(found);
            index.in_right.push(in_right);
        }
        Ok(index)
    }
}
