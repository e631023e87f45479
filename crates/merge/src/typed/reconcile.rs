//! Field sets written under an older schema.
//!
//! A list or map that has become atomic is owned as a whole by whoever owned some of it. The other
//! direction needs nothing. Upstream: structured-merge-diff `typed/reconcile_schema.go`.

use super::Form;
use crate::fields::{Node, PathElement, Set};
use crate::types::{ListRelation, Schema, TypeId};

/// Adapts a set to the schema; says whether it changed.
pub fn reconcile(schema: &Schema, ty: TypeId, set: &mut Set) -> bool {
    if !differs(schema, ty, set, false) {
        return false;
    }
    change(schema, ty, set);
    true
}

/// Whether the type is owned as a whole while the set knows items of it.
fn has_become_atomic(form: Form<'_>, set: &Set, is_leaf: bool) -> bool {
    match form {
        Form::List(list) => !is_leaf && list.relation == ListRelation::Atomic,
        Form::Map(map) => !is_leaf && !map.is_deduced() && map.atomic && !set.is_empty(),
        Form::Scalar(_) | Form::None => false,
    }
}

/// The type of an element of a container, as far as sets are reconciled.
fn type_below(form: Form<'_>, element: &PathElement) -> Option<TypeId> {
    match form {
        Form::List(list) => Some(list.element),
        Form::Map(map) if map.is_deduced() => None,
        Form::Map(map) => match element {
            PathElement::Field(name) => map.type_of(name),
            _ => map.element,
        },
        Form::Scalar(_) | Form::None => None,
    }
}

fn differs(schema: &Schema, ty: TypeId, set: &Set, is_leaf: bool) -> bool {
    let form = schema.atom(ty).form(super::Narrowed::Any);
    if has_become_atomic(form, set, is_leaf) {
        return true;
    }
    set.nodes.iter().any(|n| {
        let leaf = n.member && n.below.is_empty();
        // A member without items cannot differ.
        !leaf && type_below(form, &n.element).is_some_and(|ty| differs(schema, ty, &n.below, leaf))
    })
}

fn change(schema: &Schema, ty: TypeId, set: &mut Set) {
    let form = schema.atom(ty).form(super::Narrowed::Any);
    for Node { element, member, below } in &mut set.nodes {
        let leaf = *member && below.is_empty();
        let Some(ty) = type_below(form, element) else { continue };
        if leaf {
            continue;
        }
        if has_become_atomic(schema.atom(ty).form(super::Narrowed::Any), below, leaf) {
            *member = true;
            *below = Set::new();
        } else {
            change(schema, ty, below);
        }
    }
}
