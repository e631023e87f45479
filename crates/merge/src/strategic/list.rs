//! Lists that merge: by key if their items are maps, as sets if they are scalars.

use super::facts::FieldFacts;
use super::{DELETE, DIRECTIVE, Error, MERGE, REPLACE, merge_maps};
use crate::order::{go_type, plain};
use std::collections::{HashMap, HashSet};
use value::{Number, Value};

/// What the items of a list are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    Scalar,
}

/// A scalar to look up by, equal as Go's interface values are: of the same type and value.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Absent,
    Bool(bool),
    Int(i64),
    Float(u64),
    String(&'a str),
}

impl<'a> Key<'a> {
    fn of(v: Option<&'a Value>) -> Self {
        match v {
            Some(Value::Bool(b)) => Self::Bool(*b),
            Some(Value::Number(Number::Int(n))) => Self::Int(*n),
            Some(Value::Number(n)) => Self::Float(n.as_f64().to_bits()),
            Some(Value::String(s)) => Self::String(s),
            _ => Self::Absent,
        }
    }

    /// The key of a list item: the item, or its field.
    fn of_item(item: &'a Value, merge_key: &str, kind: Kind) -> Self {
        match kind {
            Kind::Map => Self::of(item.get(merge_key)),
            Kind::Scalar => Self::of(Some(item)),
        }
    }
}

/// Whether two items of a list are the same one.
pub(super) fn is_same_item(a: &Value, b: &Value, merge_key: &str) -> Result<bool, Error> {
    if merge_key.is_empty() {
        return Ok(Key::of(Some(a)) == Key::of(Some(b)));
    }
    let key = |v: &Value| match v {
        Value::Object(m) => match m.get(merge_key) {
            Some(key) => Ok(key.clone()),
            None => Err(Error::no_merge_key(m, merge_key)),
        },
        other => Err(Error::bad_arg_type("map[string]interface {}", other)),
    };
    let (a, b) = (key(a)?, key(b)?);
    Ok(Key::of(Some(&a)) == Key::of(Some(&b)))
}

/// What the items of these lists are: all the same, and no lists.
pub(super) fn element_kind(lists: &[&[Value]]) -> Result<Kind, Error> {
    let mut items = lists.iter().flat_map(|l| l.iter());
    let Some(first) = items.next() else {
        return Err(Error::Other("no elements in any of the given slices".into()));
    };
    if matches!(first, Value::Array(_)) {
        return Err(Error::Unprocessable("lists of lists are not supported".into()));
    }
    if items.any(|v| go_type(v) != go_type(first)) {
        let lists: Vec<String> = lists.iter().map(|l| plain(&Value::Array(l.to_vec()))).collect();
        return Err(Error::Other(format!("list element types are not identical: [{}]", lists.join(" "))));
    }
    Ok(Kind::of(first))
}

/// A merged list.
pub(super) struct Merged {
    /// The list.
    pub(super) list: Vec<Value>,
    /// What upstream's merge, which works in place, has made of the object's list meanwhile: an order of
    /// elements is carried out by that.
    pub(super) server: Vec<Value>,
}

/// Merges a list of the patch into the list of the object.
pub(super) fn merge_lists(
    original: Vec<Value>,
    patch: Vec<Value>,
    field: &FieldFacts,
    deletes: bool,
    depth: usize,
) -> Result<Merged, Error> {
    if original.is_empty() && patch.is_empty() {
        return Ok(Merged { list: Vec::new(), server: Vec::new() });
    }
    let kind = element_kind(&[&original, &patch])?;
    let merge_key = field.merge_key();
    if kind == Kind::Scalar {
        let list = merge_scalars(&original, &patch, merge_key, deletes)?;
        return Ok(Merged { list, server: original });
    }
    if merge_key.is_empty() {
        let kind = field.facts().kind();
        return Err(Error::Other(format!("cannot merge lists without merge key for {kind}")));
    }
    let Directed { original, patch, mut server } = apply_directives(original, patch, merge_key)?;

    let mut merged = original.clone();
    let mut places: HashMap<Key<'_>, usize> = HashMap::with_capacity(original.len() + patch.len());
    for (i, v) in original.iter().enumerate() {
        if let Some(key) = v.get(merge_key) {
            places.entry(Key::of(Some(key))).or_insert(i);
        }
    }
    for item in &patch {
        let Value::Object(m) = item else { return Err(Error::bad_arg_type("map[string]interface {}", item)) };
        let Some(key) = m.get(merge_key) else { return Err(Error::no_merge_key(m, merge_key)) };
        match places.get(&Key::of(Some(key))).copied() {
            Some(i) => {
                let Some(Value::Object(old)) = merged.get_mut(i) else { continue };
                let new = merge_maps(std::mem::take(old), m.clone(), field.facts(), depth)?;
                *old = new;
            }
            None => {
                places.insert(Key::of(Some(key)), merged.len());
                if let Some(place) = server.get_mut(merged.len()) {
                    place.clone_from(item);
                }
                merged.push(item.clone());
            }
        }
    }
    let (ours, servers) = partition(merged, &patch, merge_key)?;
    let list = Order { kind, merge_key }.normalize(ours, servers, &patch, &original)?;
    Ok(Merged { list, server })
}

fn merge_scalars(
    original: &[Value],
    patch: &[Value],
    merge_key: &str,
    deletes: bool,
) -> Result<Vec<Value>, Error> {
    if deletes {
        let gone: HashSet<Key<'_>> = patch.iter().map(|v| Key::of(Some(v))).collect();
        let stays = |v: &&Value| !gone.contains(&Key::of(Some(v)));
        return Ok(original.iter().filter(stays).cloned().collect());
    }
    let mut seen = HashSet::new();
    let both = original.iter().chain(patch);
    let merged: Vec<Value> = both.filter(|v| seen.insert(Key::of(Some(v)))).cloned().collect();
    let (ours, servers) = partition(merged, patch, merge_key)?;
    Order { kind: Kind::Scalar, merge_key }.normalize(ours, servers, patch, original)
}

/// Lists after the directives among the patch's items.
struct Directed {
    original: Vec<Value>,
    patch: Vec<Value>,
    /// The object's list as long as it was: deletions move items to the front and leave the end as it is.
    server: Vec<Value>,
}

/// Carries out the `$patch` directives of a list's items, and takes them out of the patch.
fn apply_directives(original: Vec<Value>, patch: Vec<Value>, merge_key: &str) -> Result<Directed, Error> {
    let mut replace = false;
    let mut rest = Vec::with_capacity(patch.len());
    let mut deleted = Vec::new();
    for v in patch {
        let Value::Object(m) = &v else { return Err(Error::bad_arg_type("map[string]interface {}", &v)) };
        match m.get(DIRECTIVE).map(|d| (d, d.as_str())) {
            None => rest.push(v),
            Some((_, Some(DELETE))) => match m.get(merge_key) {
                Some(key) => deleted.push(key.clone()),
                None => return Err(Error::no_merge_key(m, merge_key)),
            },
            Some((_, Some(REPLACE))) => replace = true,
            Some((_, Some(MERGE))) => {
                let text = "merging lists cannot yet be specified in the patch";
                return Err(Error::Other(text.into()));
            }
            Some((directive, _)) => return Err(Error::bad_patch_type(directive, m.clone())),
        }
    }
    let (original, server) = delete(original, &deleted, merge_key);
    if replace {
        return Ok(Directed { original: rest, patch: Vec::new(), server });
    }
    Ok(Directed { original, patch: rest, server })
}

/// The list without the items of these keys, and the list as long as it was.
fn delete(list: Vec<Value>, keys: &[Value], merge_key: &str) -> (Vec<Value>, Vec<Value>) {
    if keys.is_empty() {
        return (list.clone(), list);
    }
    let mut places: HashMap<Key<'_>, Vec<usize>> = HashMap::new();
    for (i, v) in list.iter().enumerate() {
        if let Some(key) = v.get(merge_key) {
            places.entry(Key::of(Some(key))).or_default().push(i);
        }
    }
    let mut alive = vec![true; list.len()];
    let mut last = list.len().wrapping_sub(1);
    let mut end = Vec::new();
    for i in keys.iter().flat_map(|k| places.remove(&Key::of(Some(k))).unwrap_or_default()) {
        end.extend(list.get(last).cloned());
        alive[i] = false;
        while alive.get(last) == Some(&false) {
            last = last.wrapping_sub(1);
        }
    }
    let kept: Vec<Value> = list.iter().zip(&alive).filter(|(_, a)| **a).map(|(v, _)| v.clone()).collect();
    let server = kept.iter().cloned().chain(end.into_iter().rev()).collect();
    (kept, server)
}

/// Splits a list into items that are among `by`, and the others.
pub(super) fn partition(
    list: Vec<Value>,
    by: &[Value],
    merge_key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    if merge_key.is_empty() {
        let by: HashSet<Key<'_>> = by.iter().map(|v| Key::of(Some(v))).collect();
        return Ok(list.into_iter().partition(|v| by.contains(&Key::of(Some(v)))));
    }
    for v in &list {
        let Value::Object(m) = v else { return Err(Error::bad_arg_type("map[string]interface {}", v)) };
        if !m.contains_key(merge_key) {
            return Err(Error::no_merge_key(m, merge_key));
        }
    }
    if !list.is_empty()
        && let Some(i) = by.iter().position(|v| v.as_object().is_none())
    {
        return Err(Error::Other(format!("value for key {i} is not a map")));
    }
    let by: HashSet<Key<'_>> = by.iter().filter_map(|v| v.get(merge_key)).map(|k| Key::of(Some(k))).collect();
    Ok(list.into_iter().partition(|v| by.contains(&Key::of(v.get(merge_key)))))
}

/// Up to here Go's stable sort is an insertion sort, which shows where its order is no order.
const INSERTION_SORT_MAX: usize = 20;

/// How the items of merged lists are ordered.
pub(super) struct Order<'a> {
    pub(super) kind: Kind,
    pub(super) merge_key: &'a str,
}

impl Order<'_> {
    /// Sorts the patch's items and the server's, each by its own order, and puts the server's between the
    /// patch's by the server's order.
    pub(super) fn normalize(
        &self,
        ours: Vec<Value>,
        servers: Vec<Value>,
        our_order: &[Value],
        server_order: &[Value],
    ) -> Result<Vec<Value>, Error> {
        let ours = self.sort(ours, our_order)?;
        let servers = self.sort(servers, server_order)?;
        let ranks = self.ranks(server_order);
        let rank = |v: Option<&Value>| {
            v.and_then(|v| ranks.get(&Key::of_item(v, self.merge_key, self.kind)).copied())
        };
        let mut out = Vec::with_capacity(ours.len() + servers.len());
        let (mut left, mut right) = (servers.into_iter().peekable(), ours.into_iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (None, None) => return Ok(out),
                (Some(_), None) => left.next(),
                (None, Some(_)) => right.next(),
                (l, r) => match (rank(l), rank(r)) {
                    (Some(l), Some(r)) if l < r => left.next(),
                    _ => right.next(),
                },
            };
            out.extend(next);
        }
    }

    fn ranks<'v>(&self, order: &'v [Value]) -> HashMap<Key<'v>, usize> {
        let mut ranks = HashMap::with_capacity(order.len());
        for (i, v) in order.iter().enumerate() {
            ranks.entry(Key::of_item(v, self.merge_key, self.kind)).or_insert(i);
        }
        ranks
    }

    /// Sorts a list by an order; items to delete come last.
    fn sort(&self, list: Vec<Value>, order: &[Value]) -> Result<Vec<Value>, Error> {
        let mut deleted = Vec::new();
        let mut kept = list;
        if self.kind == Kind::Map {
            for v in kept.iter().chain(order) {
                let Value::Object(m) = v else {
                    return Err(Error::bad_arg_type("map[string]interface {}", v));
                };
                if !m.contains_key(self.merge_key) {
                    return Err(Error::no_merge_key(m, self.merge_key));
                }
            }
            let is_deleted = |v: &Value| v.at(DIRECTIVE).as_str() == Some(DELETE);
            (deleted, kept) = kept.into_iter().partition(is_deleted);
        }
        let ranks = self.ranks(order);
        let rank = |v: &Value| ranks.get(&Key::of_item(v, self.merge_key, self.kind)).copied();
        let mut ranked: Vec<(Option<usize>, Value)> = kept.into_iter().map(|v| (rank(&v), v)).collect();
        if ranked.iter().all(|(r, _)| r.is_some()) || ranked.len() > INSERTION_SORT_MAX {
            ranked.sort_by_key(|(r, _)| *r);
        } else {
            // An unknown item counts as less than any other, in either direction.
            for i in 1..ranked.len() {
                let mut j = i;
                while j > 0 && is_less(ranked[j].0, ranked[j - 1].0) {
                    ranked.swap(j, j - 1);
                    j -= 1;
                }
            }
        }
        Ok(ranked.into_iter().map(|(_, v)| v).chain(deleted).collect())
    }
}

fn is_less(a: Option<usize>, b: Option<usize>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a < b,
        _ => true,
    }
}
