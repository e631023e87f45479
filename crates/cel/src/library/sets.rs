//! Lists as sets.
//!
//! Upstream counterpart: cel-go `ext/sets.go`.

use std::collections::HashSet;

use crate::decls::Library;
use crate::library::list;
use crate::val::{Eval, Key, List, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 29,
    signatures: "
        sets.contains list_sets_contains_list (list(T), list(T)) -> bool
        sets.equivalent list_sets_equivalent_list (list(T), list(T)) -> bool
        sets.intersects list_sets_intersects_list (list(T), list(T)) -> bool
    ",
    runs: &[
        ("sets.contains", |c, a| contains(list(c, a, 0)?, list(c, a, 1)?).map(Val::Bool)),
        ("sets.equivalent", |c, a| {
            let (a, b) = (list(c, a, 0)?, list(c, a, 1)?);
            Ok(Val::Bool(contains(a, b)? && contains(b, a)?))
        }),
        ("sets.intersects", |c, a| {
            let (a, b) = (list(c, a, 0)?, list(c, a, 1)?);
            let set = Set::of(b);
            for v in a.iter() {
                if v.is_ok_and(|v| set.contains(&v).unwrap_or(false)) {
                    return Ok(Val::Bool(true));
                }
            }
            Ok(Val::Bool(false))
        }),
    ],
};

fn contains<'a>(whole: &List<'a>, part: &List<'a>) -> Eval<bool> {
    let set = Set::of(whole);
    for v in part.iter() {
        if !set.contains(&v?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A list with an index, if its elements can be hashed.
struct Set<'l, 'a> {
    list: &'l List<'a>,
    index: Option<HashSet<Key>>,
}

impl<'l, 'a> Set<'l, 'a> {
    fn of(list: &'l List<'a>) -> Self {
        let index = list
            .iter()
            .map(|v| v.ok().filter(|v| !matches!(v, Val::Double(_))).and_then(|v| Key::of(&v)))
            .collect();
        Self { list, index }
    }

    fn contains(&self, v: &Val<'a>) -> Eval<bool> {
        match (&self.index, Key::of(v)) {
            (Some(index), Some(k)) => Ok(index.contains(&k)),
            _ => self.list.contains(v),
        }
    }
}
