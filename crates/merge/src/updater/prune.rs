//! The fields that an apply no longer mentions.
//!
//! A field, list item or map entry goes if the manager applied it last time, does not this time, and nobody
//! else owns it.

use super::Updater;
use crate::fields::Set;
use crate::managed::Entry;
use crate::typed;
use crate::types::Type;
use value::{Str, Value};

/// An object in a version.
#[derive(Clone)]
struct Object {
    value: Value,
    version: Str,
    ty: Type,
}

impl Object {
    /// All fields that it mentions, with the struct fields on the way.
    fn named_set(&self) -> Result<Set, String> {
        let set = typed::to_field_set(&self.ty.schema, self.ty.id, &self.value).map_err(|e| e.to_string())?;
        Ok(set.with_named_fields(&self.ty.schema, self.ty.id))
    }

    fn named(&self, set: &Set) -> Set {
        set.clone().with_named_fields(&self.ty.schema, self.ty.id)
    }

    fn without(&self, items: &Set) -> Self {
        let value = typed::remove_items(&self.ty.schema, self.ty.id, &self.value, items);
        Self { value, version: self.version.clone(), ty: self.ty.clone() }
    }
}

impl Updater<'_> {
    /// Removes from `merged` what the acting manager, whose new set is among `managers`, gives up.
    pub(super) fn prune(
        &self,
        merged: Value,
        managers: &[Entry],
        last: &Set,
        last_version: &Str,
    ) -> Result<Value, String> {
        if last.is_empty() {
            return Ok(merged);
        }
        let merged = Object { value: merged, version: self.version.into(), ty: self.ty.clone() };
        let Some(in_last) = self
            .convert(&merged, last_version)
            .map_err(|e| format!("failed to convert merged object to last applied version: {e}"))?
        else {
            return Ok(merged.value);
        };
        let pruned = in_last.without(&in_last.named(last));
        let pruned = self
            .add_back_owned(&in_last, pruned, managers)
            .map_err(|e| format!("failed add back owned items: {e}"))?;
        let pruned = self
            .add_back_dangling(&in_last, &pruned, last)
            .map_err(|e| format!("failed add back dangling items: {e}"))?;
        match self.convert(&pruned, self.version)? {
            Some(object) => Ok(object.value),
            None => Err(format!("no corresponding type for {}", self.version)),
        }
    }

    /// Adds back what any manager owns, version by version, that of the objects first: conversion may need
    /// what was pruned.
    fn add_back_owned(
        &self,
        merged: &Object,
        mut pruned: Object,
        managers: &[Entry],
    ) -> Result<Object, String> {
        let mut owned: Vec<(&Str, Vec<Set>)> = vec![(&merged.version, Vec::new())];
        for m in managers {
            match owned.iter_mut().find(|(v, _)| *v == &m.version) {
                Some((_, sets)) => sets.push(m.set.clone()),
                None => owned.push((&m.version, vec![m.set.clone()])),
            }
        }
        if !managers.iter().any(|m| m.version == merged.version) {
            owned.remove(0);
        }
        let mut merged = merged.clone();
        for (version, owned) in owned {
            let converted = self
                .convert(&merged, version)
                .map_err(|e| format!("failed to convert merged object at version {version}: {e}"))?;
            let Some(converted) = converted else { continue };
            merged = converted;
            let converted = self
                .convert(&pruned, version)
                .map_err(|e| format!("failed to convert pruned object at version {version}: {e}"))?;
            let Some(converted) = converted else { continue };
            let mut gone = merged.named_set().map_err(|e| {
                format!("failed to create field set from merged object at version {version}: {e}")
            })?;
            let kept = converted.named_set().map_err(|e| {
                format!("failed to create field set from pruned object at version {version}: {e}")
            })?;
            gone.subtract(&kept);
            gone.subtract(&merged.named(&Set::union_all(owned)));
            pruned = merged.without(&gone);
        }
        Ok(pruned)
    }

    /// Adds back what was not the manager's own: what nobody owns, and what only updates wrote.
    fn add_back_dangling(&self, merged: &Object, pruned: &Object, last: &Set) -> Result<Object, String> {
        let Some(pruned) = self
            .convert(pruned, &merged.version)
            .map_err(|e| format!("failed to convert pruned object to last applied version: {e}"))?
        else {
            return Ok(merged.clone());
        };
        let kept = pruned.named_set().map_err(|e| {
            format!("failed to create field set from pruned object in last applied version: {e}")
        })?;
        let mut gone = merged.named_set().map_err(|e| {
            format!("failed to create field set from merged object in last applied version: {e}")
        })?;
        gone.subtract(&kept);
        Ok(merged.without(&gone.intersection(&merged.named(last))))
    }

    /// The object in a version; `None` if the kind is not known there.
    fn convert(&self, object: &Object, version: &str) -> Result<Option<Object>, String> {
        if object.version == version {
            return Ok(Some(object.clone()));
        }
        let Some(ty) = self.type_of(version) else { return Ok(None) };
        let value = self.versions.convert(&object.value, version)?;
        typed::validate(&ty.schema, ty.id, &value, typed::Duplicates::Refused).map_err(|e| e.to_string())?;
        Ok(Some(Object { value, version: version.into(), ty }))
    }
}
