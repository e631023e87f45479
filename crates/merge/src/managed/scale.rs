//! Managed fields between an object and its `scale` subresource.
//!
//! `Scale` objects carry the entries of those who own the object's replicas, as owners of the scale's
//! replicas; after a write to the scale they are carried back. Upstream: `managedfields/scalehandler.go`.

use super::{Entry, decode, encode};
use crate::fields::{Path, Set};
use value::{Str, Value};

/// The version of `Scale`.
const SCALE_VERSION: Str = Str::new_static("autoscaling/v1");

/// Where the replicas are, by version of the kind; `None` in versions of custom resources without a scale
/// subresource.
pub type ReplicasPaths = [(Str, Option<Path>)];

fn path_in<'a>(paths: &'a ReplicasPaths, version: &str) -> Option<Option<&'a Path>> {
    paths.iter().find(|(v, _)| v == version).map(|(_, p)| p.as_ref())
}

fn replicas_in_scale() -> Path {
    Path::fields(&["spec", "replicas"])
}

fn set_of(path: &Path) -> Set {
    let mut set = Set::new();
    set.insert(&path.0);
    set
}

/// The managed fields of the `Scale` of an object with this list of managed fields.
///
/// # Errors
/// A text that says what is malformed.
pub fn to_scale(parent: &Value, paths: &ReplicasPaths) -> Result<Option<Value>, String> {
    let mut out = Vec::new();
    for entry in decode(parent)? {
        let Some(Some(path)) = path_in(paths, &entry.version) else { continue };
        if entry.set.has(&path.0) {
            out.push(Entry { set: set_of(&replicas_in_scale()), version: SCALE_VERSION, ..entry });
        }
    }
    Ok(encode(out))
}

/// The managed fields of the object, after a write gave its `Scale` the list `scale`. `version` is that of
/// the object's kind in the request.
///
/// # Errors
/// A text that says what is malformed.
pub fn to_parent(
    parent: &Value,
    scale: &Value,
    version: &str,
    paths: &ReplicasPaths,
) -> Result<Option<Value>, String> {
    let mut scale = decode(scale)?;
    let parent = decode(parent)?;
    let times: Vec<_> = parent.iter().map(|e| (e.identity.clone(), e.time.clone())).collect();
    let mut out: Vec<Entry> = Vec::new();
    for mut entry in parent {
        let Some(path) = path_in(paths, &entry.version) else { continue };
        let Some(path) = path.filter(|p| entry.set.has(&p.0)) else {
            out.push(entry);
            continue;
        };
        match scale.iter().position(|s| s.identity == entry.identity) {
            Some(i) => {
                scale.remove(i);
            }
            // Somebody else has the replicas now.
            None => entry.set.subtract(&set_of(path)),
        }
        if !entry.set.is_empty() {
            out.push(entry);
        }
    }
    let path = path_in(paths, version).flatten().ok_or("no replicas path")?;
    for entry in scale.into_iter().filter(|e| e.set.has(&replicas_in_scale().0)) {
        let time = times.iter().find(|(i, _)| *i == entry.identity).and_then(|(_, t)| t.clone());
        let entry = Entry { identity: entry.identity, version: version.into(), set: set_of(path), time };
        match out.iter_mut().find(|e| e.identity == entry.identity) {
            Some(same) => *same = entry,
            None => out.push(entry),
        }
    }
    Ok(encode(out))
}
