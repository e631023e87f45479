//! What one version of an object adds to, changes in and removes from another.
//!
//! Upstream: structured-merge-diff `typed/compare.go`. Both trees are walked at once; what is equal costs no
//! allocation, and sets come out sorted because maps are.

use super::error::ValidationErrors;
use super::item::{Group, Sorted};
use super::{Form, Narrowed, narrow, validate};
use crate::DEPTH_MAX;
use crate::fields::{Filter, Node, PathElement, Set};
use crate::order::equal;
use crate::types::{ListRelation, ListType, MapType, Schema, TypeId};
use std::cmp::Ordering;
use value::{Map, Value};

/// The difference of two values. No field is in more than one of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Fields that only the right value has.
    pub added: Set,
    /// Fields that both have, with other values.
    pub modified: Set,
    /// Fields that only the left value has.
    pub removed: Set,
}

impl Comparison {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Drops the fields that do not count.
    pub fn filter(&mut self, filter: &Filter) {
        filter.apply(&mut self.added);
        filter.apply(&mut self.modified);
        filter.apply(&mut self.removed);
    }

    /// Attaches what was found at and below an item.
    fn attach(&mut self, own: Own, below: Self, element: impl Fn() -> PathElement) {
        if own.added || !below.added.is_empty() {
            self.added.nodes.push(Node { element: element(), member: own.added, below: below.added });
        }
        if own.modified || !below.modified.is_empty() {
            self.modified.nodes.push(Node {
                element: element(),
                member: own.modified,
                below: below.modified,
            });
        }
        if own.removed || !below.removed.is_empty() {
            self.removed.nodes.push(Node { element: element(), member: own.removed, below: below.removed });
        }
    }
}

/// What the difference says of a value itself, as opposed to what is in it.
#[derive(Clone, Copy, Default)]
struct Own {
    added: bool,
    modified: bool,
    removed: bool,
}

/// Compares two valid values of a type.
///
/// # Errors
/// A list item that cannot be told apart, or too deep a value.
pub fn compare(
    schema: &Schema,
    ty: TypeId,
    lhs: &Value,
    rhs: &Value,
) -> Result<Comparison, ValidationErrors> {
    let mut out = Comparison::default();
    Walk { schema }.value(ty, Some(lhs), Some(rhs), DEPTH_MAX, &mut out)?;
    Ok(out)
}

struct Walk<'a> {
    schema: &'a Schema,
}

impl Walk<'_> {
    fn value(
        &self,
        ty: TypeId,
        lhs: Option<&Value>,
        rhs: Option<&Value>,
        depth: usize,
        below: &mut Comparison,
    ) -> Result<Own, ValidationErrors> {
        if depth == 0 {
            return Err(ValidationErrors::one("exceeded max depth"));
        }
        let (lhs, rhs) = match (lhs, rhs) {
            (Some(l), Some(r)) => (l, r),
            (None, Some(v)) => {
                below.added = self.all_of(ty, v, depth)?;
                return Ok(Own { added: true, ..Own::default() });
            }
            (Some(v), None) => {
                below.removed = self.all_of(ty, v, depth)?;
                return Ok(Own { removed: true, ..Own::default() });
            }
            (None, None) => return Ok(Own::default()),
        };
        let atom = self.schema.atom(ty);
        let (left, right) = if atom.is_mixed() {
            (narrow(atom, lhs), narrow(atom, rhs))
        } else {
            (Narrowed::Any, Narrowed::Any)
        };
        let mut own = Own::default();
        if left != right {
            // The value changed its form: it is compared once in either, and what is found is put together.
            let mut found = (Comparison::default(), Comparison::default());
            self.form(atom.form(left), lhs, rhs, depth, &mut found.0, &mut own)?;
            self.form(atom.form(right), lhs, rhs, depth, &mut found.1, &mut own)?;
            for found in [found.0, found.1] {
                below.added.merge(found.added);
                below.modified.merge(found.modified);
                below.removed.merge(found.removed);
            }
            return Ok(own);
        }
        self.form(atom.form(right), lhs, rhs, depth, below, &mut own)?;
        Ok(own)
    }

    /// All that is in a value that only one side has: whatever is there is a member.
    fn all_of(&self, ty: TypeId, v: &Value, depth: usize) -> Result<Set, ValidationErrors> {
        if depth == 0 {
            return Err(ValidationErrors::one("exceeded max depth"));
        }
        let mut set = Set::new();
        match (self.schema.atom(ty).form_of(v), v) {
            (Form::Map(map), Value::Object(m)) if !map.atomic => {
                set.nodes.reserve_exact(m.len());
                for (key, v) in m.iter() {
                    let Some(entry) = map.type_of(key) else { continue };
                    if entry != TypeId::OPAQUE {
                        let below = self.all_of(entry, v, depth - 1)?;
                        let element = PathElement::Field(key.clone());
                        set.nodes.push(Node { element, member: true, below });
                    }
                }
            }
            (Form::List(list), Value::Array(items)) if list.relation != ListRelation::Atomic => {
                set.nodes.reserve_exact(items.len());
                let sorted = Sorted::new(self.schema, list, items)?;
                for group in sorted.into_groups() {
                    let (element, v) = match group {
                        Group::One(element, v) => (element, Some(v)),
                        Group::Many(element) => (element, None),
                    };
                    let below = v.map_or(Ok(Set::new()), |v| self.all_of(list.element, v, depth - 1))?;
                    set.nodes.push(Node { element, member: true, below });
                }
            }
            _ => {}
        }
        Ok(set)
    }

    /// Compares in one form.
    fn form(
        &self,
        form: Form<'_>,
        lhs: &Value,
        rhs: &Value,
        depth: usize,
        below: &mut Comparison,
        own: &mut Own,
    ) -> Result<(), ValidationErrors> {
        match form {
            Form::None => Ok(()),
            Form::Scalar(scalar) => {
                let (l, r) = (validate::check_scalar(scalar, lhs), validate::check_scalar(scalar, rhs));
                if let (Err(l), Err(r)) = (l, r) {
                    let mut errors = ValidationErrors::one(format!("lhs: {l}"));
                    errors.push(format!("rhs: {r}"));
                    return Err(errors);
                }
                own.modified |= !equal(lhs, rhs);
                Ok(())
            }
            Form::Map(map) => {
                let l = lhs.as_object().filter(|m| !m.is_empty());
                let r = rhs.as_object().filter(|m| !m.is_empty());
                if map.atomic || (l.is_none() && r.is_none()) {
                    own.modified |= !equal(lhs, rhs);
                    return Ok(());
                }
                self.map(map, l, r, depth, below)
            }
            Form::List(list) => {
                let l = lhs.as_array().unwrap_or_default();
                let r = rhs.as_array().unwrap_or_default();
                if list.relation == ListRelation::Atomic || (l.is_empty() && r.is_empty()) {
                    own.modified |= !equal(lhs, rhs);
                    return Ok(());
                }
                if l == r { Ok(()) } else { self.list(list, l, r, depth, below) }
            }
        }
    }

    fn map(
        &self,
        ty: &MapType,
        lhs: Option<&Map>,
        rhs: Option<&Map>,
        depth: usize,
        below: &mut Comparison,
    ) -> Result<(), ValidationErrors> {
        let mut l = lhs.into_iter().flat_map(Map::iter).peekable();
        let mut r = rhs.into_iter().flat_map(Map::iter).peekable();
        loop {
            let order = match (l.peek(), r.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.as_bytes().cmp(b.as_bytes()),
            };
            let left = if order.is_le() { l.next() } else { None };
            let right = if order.is_ge() { r.next() } else { None };
            let Some(key) = left.or(right).map(|(k, _)| k) else { return Ok(()) };
            let (left, right) = (left.map(|(_, v)| v), right.map(|(_, v)| v));
            if let (Some(a), Some(b)) = (left, right)
                && is_same_scalar(a, b)
            {
                continue;
            }
            let Some(entry) = ty.type_of(key) else { continue };
            if entry == TypeId::OPAQUE {
                continue;
            }
            let mut found = Comparison::default();
            let own = self.value(entry, left, right, depth - 1, &mut found)?;
            below.attach(own, found, || PathElement::Field(key.clone()));
        }
    }

    fn list(
        &self,
        ty: &ListType,
        lhs: &[Value],
        rhs: &[Value],
        depth: usize,
        below: &mut Comparison,
    ) -> Result<(), ValidationErrors> {
        let (lhs, rhs) = (Sorted::new(self.schema, ty, lhs)?, Sorted::new(self.schema, ty, rhs)?);
        let (mut ls, mut rs) = (lhs.groups().peekable(), rhs.groups().peekable());
        loop {
            let order = match (ls.peek(), rs.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a[0].0.cmp(&b[0].0),
            };
            let l = if order.is_le() { ls.next().unwrap_or_default() } else { &[] };
            let r = if order.is_ge() { rs.next().unwrap_or_default() } else { &[] };
            let Some((element, _, _)) = l.first().or(r.first()) else { return Ok(()) };
            let mut found = Comparison::default();
            let mut one =
                |l: Option<&Value>, r: Option<&Value>| self.value(ty.element, l, r, depth - 1, &mut found);
            let own = match (l, r) {
                ([] | [_], [] | [_]) => one(l.first().map(|i| i.2), r.first().map(|i| i.2))?,
                // Repeated items are one atomic whole.
                ([_, _, ..], [_, _, ..]) => {
                    let same = l.len() == r.len() && l.iter().zip(r).all(|(a, b)| equal(a.2, b.2));
                    Own { modified: !same, ..Own::default() }
                }
                ([_, _, ..], _) => {
                    let own = if let [r] = r { one(None, Some(r.2))? } else { Own::default() };
                    Own { removed: true, ..own }
                }
                (_, [_, _, ..]) => {
                    let own = if let [l] = l { one(Some(l.2), None)? } else { Own::default() };
                    Own { added: true, ..own }
                }
            };
            below.attach(own, found, || element.clone());
        }
    }
}

fn is_same_scalar(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::Null, Value::Null) => true,
        _ => false,
    }
}
