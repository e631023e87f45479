//! No write for a new time alone.
//!
//! Upstream: `IgnoreManagedFieldsTimestampsTransformer` in
//! `apiserver/pkg/endpoints/handlers/fieldmanager/equality.go`.

use super::entry::is_same_time;
use crate::DEPTH_MAX;
use crate::types::Trust;
use value::Value;

/// Gives the managed fields of `new` the times of `old`, if that is all in which the objects differ.
/// Decoded objects may differ in empty lists and maps against null, too.
pub fn keep_timestamps(trust: Trust, old: &Value, new: &mut Value) {
    let old_list = old.at("metadata").at("managedFields").items();
    let new_list = new.at("metadata").at("managedFields").items();
    if old_list.len() != new_list.len() || new_list.is_empty() {
        return;
    }
    let pairs = || old_list.iter().zip(new_list);
    let same_time = |(a, b): (&Value, &Value)| is_same_time(a.at("time").as_str(), b.at("time").as_str());
    if pairs().all(same_time) || !pairs().all(|(a, b)| is_same_but(a, b, "time", Trust::Nothing)) {
        return;
    }
    let (m, n) = (old.at("metadata"), new.at("metadata"));
    if !is_same_but(m, n, "managedFields", trust) || !is_same_but(old, new, "metadata", trust) {
        return;
    }
    let times: Vec<Option<Value>> = old_list.iter().map(|e| e.get("time").cloned()).collect();
    let list = new.get_mut("metadata").and_then(|m| m.get_mut("managedFields"));
    for (entry, time) in list.and_then(Value::as_array_mut).into_iter().flatten().zip(times) {
        match time {
            Some(time) => entry.set("time", time),
            None => {
                entry.remove("time");
            }
        }
    }
}

/// Whether two maps have the same entries, one key aside.
fn is_same_but(a: &Value, b: &Value, key: &str, trust: Trust) -> bool {
    let entries = |v: &Value| v.entries().filter(|(k, _)| *k != key).count();
    entries(a) == entries(b)
        && a.entries()
            .filter(|(k, _)| *k != key)
            .all(|(k, v)| b.get(k).is_some_and(|w| is_same(v, w, trust, DEPTH_MAX)))
}

fn is_same(a: &Value, b: &Value, trust: Trust, depth: usize) -> bool {
    match (a, b) {
        (Value::Null, other) | (other, Value::Null) => {
            other.is_null() || (trust == Trust::Decoded && other.is_empty())
        }
        (Value::Object(m), Value::Object(n)) if depth > 0 => {
            let mut pairs = m.iter().zip(n.iter());
            m.len() == n.len() && pairs.all(|((k, v), (l, w))| k == l && is_same(v, w, trust, depth - 1))
        }
        (Value::Array(v), Value::Array(w)) if depth > 0 => {
            v.len() == w.len() && v.iter().zip(w).all(|(v, w)| is_same(v, w, trust, depth - 1))
        }
        _ => a == b,
    }
}
