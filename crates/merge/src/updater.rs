//! What a write does to the sets of all managers: update and apply.
//!
//! Upstream: structured-merge-diff `merge/update.go`. Managers may have written in other versions than the
//! request's; [`Versions`] gives types and conversion.

mod conflict;
mod prune;

pub use conflict::Conflict;

use crate::fields::{Filter, Set};
use crate::managed::{Entry, Identity, Operation};
use crate::typed::{self, Comparison};
use crate::types::Type;
use value::{Str, Value};

/// The versions of a kind.
pub trait Versions {
    /// The type of the kind in a version (`apps/v1`), or `None` if it is not known there: what managers
    /// own in such a version is forgotten.
    fn type_of(&self, version: &str) -> Option<Type>;

    /// Converts an object of the kind, whose `apiVersion` says what it is, to another version.
    ///
    /// # Errors
    /// A text that says why it cannot be converted.
    fn convert(&self, object: &Value, version: &str) -> Result<Value, String>;
}

/// A kind that has one version only.
#[derive(Clone, Debug)]
pub struct OneVersion {
    /// The version.
    pub version: Str,
    /// Its type.
    pub ty: Type,
}

impl Versions for OneVersion {
    fn type_of(&self, version: &str) -> Option<Type> {
        (version == self.version).then(|| self.ty.clone())
    }

    fn convert(&self, _: &Value, version: &str) -> Result<Value, String> {
        Err(format!("no conversion to {version}"))
    }
}

/// Which fields a resource resets, by version.
pub type ResetFields = [(Str, Filter)];

/// Why the managers cannot be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Other managers own what is applied.
    Conflicts(Vec<Conflict>),
    /// Anything else.
    Failed(String),
}

impl Error {
    fn failed(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }
}

/// What an apply gives.
#[derive(Debug)]
pub struct Applied {
    /// The new object (without managed fields, before defaulting); `None` if it equals the live one.
    pub object: Option<Value>,
    /// The managers.
    pub managers: Vec<Entry>,
}

/// Computes field sets over a write.
#[derive(Clone, Copy)]
pub struct Updater<'a> {
    /// The request's version, in which the objects are.
    pub version: &'a str,
    /// The type in that version.
    pub ty: &'a Type,
    /// The other versions.
    pub versions: &'a dyn Versions,
    /// The fields that do not count.
    pub reset_fields: &'a ResetFields,
}

impl Updater<'_> {
    /// Takes from the managers what changed from `live` to `new`, and returns it: it is the writer's now.
    ///
    /// # Errors
    /// Objects that cannot be compared or converted.
    pub fn update(&self, live: &Value, new: &Value, managers: &mut Vec<Entry>) -> Result<Set, Error> {
        self.reconcile(managers)?;
        let compare = self.settle(live, new, managers, None, Force::Yes)?;
        let mut set = compare.modified;
        set.merge(compare.added);
        if let Some(filter) = self.filter(self.version) {
            filter.apply(&mut set);
        }
        Ok(set)
    }

    /// Lays `config` over `live` for a manager.
    ///
    /// # Errors
    /// Conflicts, unless `force` is given; objects that cannot be merged, compared or converted.
    pub fn apply(
        &self,
        live: &Value,
        config: &Value,
        mut managers: Vec<Entry>,
        manager: &Identity,
        force: Force,
    ) -> Result<Applied, Error> {
        self.reconcile(&mut managers)?;
        let (schema, ty) = (&self.ty.schema, self.ty.id);
        let merged = typed::merge(schema, ty, live, config);
        let mut new = merged.map_err(|e| Error::failed("failed to merge config", e))?;
        let set = typed::to_field_set(schema, ty, config);
        let mut set = set.map_err(|e| Error::failed("failed to get field set", e))?;
        if let Some(filter) = self.filter(self.version) {
            filter.apply(&mut set);
        }

        let position = managers.iter().position(|m| m.identity == *manager);
        let position = position.unwrap_or_else(|| {
            managers.push(Entry {
                identity: manager.clone(),
                version: "".into(),
                set: Set::new(),
                time: None,
            });
            managers.len() - 1
        });
        let entry = &mut managers[position];
        let last = std::mem::replace(&mut entry.set, set);
        let last_version = std::mem::replace(&mut entry.version, self.version.into());
        // What was applied last time and is again is not pruned; often that is all.
        if !(last_version == self.version && entry.set.contains(&last)) {
            new = self
                .prune(new, &managers, &last, &last_version)
                .map_err(|e| Error::failed("failed to prune fields", e))?;
        }
        self.settle(live, &new, &mut managers, Some(manager), force)?;
        let changed = !is_same_object(live, &new);
        Ok(Applied { object: changed.then_some(new), managers })
    }

    pub(crate) fn filter(&self, version: &str) -> Option<&Filter> {
        self.reset_fields.iter().find(|(v, _)| v == version).map(|(_, f)| f)
    }

    fn type_of(&self, version: &str) -> Option<Type> {
        if version == self.version { Some(self.ty.clone()) } else { self.versions.type_of(version) }
    }

    /// Adapts sets to changes of the schema; drops those in versions that are no more.
    fn reconcile(&self, managers: &mut Vec<Entry>) -> Result<(), Error> {
        managers.retain_mut(|m| {
            if m.version == self.version {
                typed::reconcile(&self.ty.schema, self.ty.id, &mut m.set);
                return true;
            }
            let Some(ty) = self.versions.type_of(&m.version) else { return false };
            typed::reconcile(&ty.schema, ty.id, &mut m.set);
            true
        });
        Ok(())
    }

    /// Takes from all managers but `acting` what changed; forgets those that own nothing any more.
    fn settle(
        &self,
        live: &Value,
        new: &Value,
        managers: &mut Vec<Entry>,
        acting: Option<&Identity>,
        force: Force,
    ) -> Result<Comparison, Error> {
        let compared = typed::compare(&self.ty.schema, self.ty.id, live, new);
        let mut compare = compared.map_err(|e| Error::failed("failed to compare objects", e))?;
        if let Some(filter) = self.filter(self.version) {
            compare.filter(filter);
        }
        let mut others: Vec<(Str, Option<Comparison>)> = Vec::new();
        for m in managers.iter().filter(|m| Some(&m.identity) != acting) {
            if m.version != self.version && others.iter().all(|(v, _)| *v != m.version) {
                others.push((m.version.clone(), self.compare_in(&m.version, live, new)?));
            }
        }
        let is_missing = |v: &Str| others.iter().any(|(o, c)| o == v && c.is_none());
        managers.retain(|m| Some(&m.identity) == acting || !is_missing(&m.version));
        let compare_for = |version: &str| {
            let other = others.iter().find(|(v, _)| v == version);
            other.and_then(|(_, c)| c.as_ref()).unwrap_or(&compare)
        };

        if force == Force::No {
            let mut conflicts = Vec::new();
            for m in managers.iter().filter(|m| Some(&m.identity) != acting) {
                let c = compare_for(&m.version);
                let mut set = m.set.intersection(&c.modified);
                set.merge(m.set.intersection(&c.added));
                set.for_each(&mut |path| {
                    conflicts
                        .push(Conflict { manager: m.identity.clone(), path: crate::Path(path.to_vec()) });
                });
            }
            if !conflicts.is_empty() {
                return Err(Error::Conflicts(conflicts));
            }
        }
        for m in managers.iter_mut().filter(|m| Some(&m.identity) != acting) {
            let c = compare_for(&m.version);
            m.set.subtract(&c.modified);
            m.set.subtract(&c.added);
            m.set.subtract(&c.removed);
        }
        managers.retain(|m| !m.set.is_empty());
        Ok(compare)
    }

    /// The comparison in another version; `None` if the kind is not known there.
    fn compare_in(&self, version: &str, live: &Value, new: &Value) -> Result<Option<Comparison>, Error> {
        let Some(ty) = self.versions.type_of(version) else { return Ok(None) };
        let convert = |object: &Value, which: &str| {
            let object = self.versions.convert(object, version);
            let object =
                object.map_err(|e| Error::failed(&format!("failed to convert {which} object"), e))?;
            typed::validate(&ty.schema, ty.id, &object, typed::Duplicates::Refused)
                .map_err(|e| Error::failed(&format!("failed to convert {which} object"), e))?;
            Ok(object)
        };
        let (live, new) = (convert(live, "old")?, convert(new, "new")?);
        let mut compare = typed::compare(&ty.schema, ty.id, &live, &new)
            .map_err(|e| Error::failed("failed to compare objects", e))?;
        if let Some(filter) = self.filter(version) {
            compare.filter(filter);
        }
        Ok(Some(compare))
    }
}

/// Whether an apply takes fields that others own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It fails with conflicts.
    No,
    /// It takes them.
    Yes,
}

/// Whether two objects are equal but for their managed fields.
fn is_same_object(a: &Value, b: &Value) -> bool {
    let rest = |v: &Value, without: &str| v.entries().filter(|(k, _)| *k != without).count();
    let same_rest = |a: &Value, b: &Value, without: &str| {
        let mut entries = a.entries().filter(|(k, _)| *k != without);
        rest(a, without) == rest(b, without)
            && entries.all(|(k, v)| b.get(k).is_some_and(|w| crate::order::equal(v, w)))
    };
    let (m, n) = (a.at("metadata"), b.at("metadata"));
    let same_meta = match (m, n) {
        (Value::Object(_), Value::Object(_)) => same_rest(m, n, "managedFields"),
        _ => crate::order::equal(m, n) && a.get("metadata").is_some() == b.get("metadata").is_some(),
    };
    same_meta && same_rest(a, b, "metadata")
}

impl Entry {
    pub(crate) fn applied(&self) -> bool {
        self.identity.operation == Operation::Apply
    }
}

#[cfg(test)]
mod tests;
