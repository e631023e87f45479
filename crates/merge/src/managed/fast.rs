//! The usual update: all managers wrote in the version of the request, and few own what changes.
//!
//! Entries that a write leaves alone are neither decoded nor encoded. Gives what the plain way
//! ([`super::update::try_update`]) gives, or nothing if the case is not the usual one; a property test
//! compares the two.

use super::entry::{compare_encoded, decode_entry, encode_entry};
use super::update::{is_reset, stripped};
use super::{Entry, Operation, Write, cap, raw};
use crate::fields::Set;
use crate::typed::{self, Comparison};
use std::borrow::Cow;
use value::Value;

/// So many entries at most: they are compared with each other.
const ENTRIES_MAX: usize = 32;

/// What becomes of an entry.
enum Fate {
    /// It stays as it is.
    Stays,
    /// It stays as it is, with the time of the write.
    Stamped,
    /// It is another one now.
    Becomes(Value),
    /// It owns nothing any more.
    Goes,
}

/// The new managed fields (`None` inside: there are none). Takes the entries out of `new` if it succeeds.
pub(super) fn update(write: &Write<'_>, live: &Value, new: &mut Value) -> Option<Option<Value>> {
    let of_new = new.at("metadata").at("managedFields");
    if write.subresource.is_empty() && is_reset(of_new) {
        return None;
    }
    let from_new = write.subresource.is_empty() && !of_new.items().is_empty();
    let list = if from_new { of_new.items() } else { live.at("metadata").at("managedFields").items() };
    if list.len() > ENTRIES_MAX {
        return None;
    }
    if list.is_empty() && !live.at("metadata").at("uid").str().is_empty() {
        return Some(None);
    }
    write.check_decoded(new).ok()?;
    if !std::ptr::eq(live, write.empty) {
        write.check_decoded(live).ok()?;
    }
    let mut compare = typed::compare(&write.ty.schema, write.ty.id, live, new).ok()?;
    if let Some(filter) = write.updater().filter(write.version) {
        compare.filter(filter);
    }
    if list.is_empty() {
        let mut set = compare.modified;
        set.merge(compare.added);
        set.subtract(stripped());
        return Some((!set.is_empty()).then(|| Value::Array(vec![gained(write, set)])));
    }
    let (fates, added) = decide(write, list, &compare)?;

    let list: Cow<'_, [Value]> = if from_new {
        match new.get_mut("metadata").and_then(|m| m.get_mut("managedFields")) {
            Some(Value::Array(items)) => Cow::Owned(std::mem::take(items)),
            _ => return None,
        }
    } else {
        Cow::Borrowed(live.at("metadata").at("managedFields").items())
    };
    let mut out = Vec::with_capacity(list.len() + 1);
    let mut put = |fate: Fate, entry: Cow<'_, Value>| match fate {
        Fate::Stays => out.push(entry.into_owned()),
        Fate::Stamped => {
            let mut entry = entry.into_owned();
            entry.set("time", write.now);
            out.push(entry);
        }
        Fate::Becomes(entry) => out.push(entry),
        Fate::Goes => {}
    };
    match list {
        Cow::Owned(list) => fates.into_iter().zip(list).for_each(|(f, e)| put(f, Cow::Owned(e))),
        Cow::Borrowed(list) => fates.into_iter().zip(list).for_each(|(f, e)| put(f, Cow::Borrowed(e))),
    }
    out.extend(added);
    if !out.is_sorted_by(|a, b| compare_encoded(a, b).is_le()) {
        out.sort_by(compare_encoded);
    }
    Some((!out.is_empty()).then_some(Value::Array(out)))
}

/// What becomes of each entry, and the entry that the writer gets if it had none.
fn decide(write: &Write<'_>, list: &[Value], compare: &Comparison) -> Option<(Vec<Fate>, Option<Value>)> {
    let mut gain = compare.modified.union(&compare.added);
    gain.subtract(stripped());
    let mut gain = Some(gain).filter(|g| !g.is_empty());
    let identity = write.identity(Operation::Update);
    let mut fates = Vec::with_capacity(list.len() + 1);
    let mut updates = 0;
    for (i, entry) in list.iter().enumerate() {
        if !is_usual(write, entry) || list.iter().take(i).any(|other| is_same_manager(other, entry)) {
            return None;
        }
        let is_update = entry.at("operation").str() == "Update";
        let is_own = is_update
            && entry.at("manager").str() == identity.manager
            && entry.at("subresource").str() == identity.subresource;
        let fate = match gain.take_if(|_| is_own) {
            Some(gain) => gains(write, entry, compare, gain)?,
            None => loses(entry, compare)?,
        };
        updates += usize::from(is_update && !matches!(fate, Fate::Goes));
        fates.push(fate);
    }
    let added = gain.map(|set| {
        updates += 1;
        gained(write, set)
    });
    (updates <= cap::UPDATE_MANAGERS_MAX).then_some((fates, added))
}

/// The entry of a writer that had none.
fn gained(write: &Write<'_>, set: Set) -> Value {
    let identity = write.identity(Operation::Update);
    encode_entry(Entry { identity, version: write.version.into(), set, time: Some(write.now.into()) })
}

/// The writer's own entry.
fn gains(write: &Write<'_>, entry: &Value, compare: &Comparison, gain: Set) -> Option<Fate> {
    let fields = entry.at("fieldsV1");
    if raw::contains(fields, &gain)
        && !raw::intersects(fields, &compare.removed)
        && !raw::intersects_but(fields, &compare.modified, &gain)
        && !raw::intersects_but(fields, &compare.added, &gain)
    {
        return Some(Fate::Stamped);
    }
    let mut entry = decode_entry(0, entry).ok()?;
    for changed in [&compare.modified, &compare.added, &compare.removed] {
        entry.set.subtract(changed);
    }
    entry.set.merge(gain);
    entry.time = Some(write.now.into());
    Some(Fate::Becomes(encode_entry(entry)))
}

/// Another manager's entry.
fn loses(entry: &Value, compare: &Comparison) -> Option<Fate> {
    let fields = entry.at("fieldsV1");
    let changes = [&compare.modified, &compare.added, &compare.removed];
    if !changes.iter().any(|set| raw::intersects(fields, set)) {
        return Some(Fate::Stays);
    }
    let mut entry = decode_entry(0, entry).ok()?;
    changes.iter().for_each(|set| entry.set.subtract(set));
    Some(if entry.set.is_empty() { Fate::Goes } else { Fate::Becomes(encode_entry(entry)) })
}

/// Whether an entry is of the request's version and written as we write entries.
fn is_usual(write: &Write<'_>, entry: &Value) -> bool {
    let members = entry.entries().all(|(name, v)| match name.as_str() {
        "fieldsV1" => true,
        "apiVersion" => v.as_str() == Some(write.version),
        "fieldsType" => v.as_str() == Some("FieldsV1"),
        "operation" => matches!(v.as_str(), Some("Update" | "Apply")),
        "manager" | "subresource" | "time" => v.as_str().is_some_and(|s| !s.is_empty()),
        _ => false,
    });
    members
        && ["apiVersion", "fieldsType", "operation"].iter().all(|name| entry.get(name).is_some())
        && raw::is_settled(&write.ty.schema, write.ty.id, entry.at("fieldsV1"))
}

fn is_same_manager(a: &Value, b: &Value) -> bool {
    ["manager", "operation", "subresource"].iter().all(|name| a.at(name).str() == b.at(name).str())
}
