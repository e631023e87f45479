//! Functions on lists.
//!
//! Upstream counterparts: apiserver `pkg/cel/library/lists.go`; cel-go `ext/lists.go` (version 3),
//! `ext/comprehensions.go` (`cel.@mapInsert`).

use std::cmp::Ordering;
use std::rc::Rc;

use crate::decls::Library;
use crate::eval::Call;
use crate::library::{int, list, strings};
use crate::val::{Entries, Eval, EvalError, List, Map, Val, fail};

pub(crate) const KUBERNETES: Library = Library {
    since: 0,
    signatures: "
        isSorted list_int_is_sorted_bool list(int).() -> bool
        isSorted list_uint_is_sorted_bool list(uint).() -> bool
        isSorted list_double_is_sorted_bool list(double).() -> bool
        isSorted list_bool_is_sorted_bool list(bool).() -> bool
        isSorted list_duration_is_sorted_bool list(duration).() -> bool
        isSorted list_timestamp_is_sorted_bool list(timestamp).() -> bool
        isSorted list_string_is_sorted_bool list(string).() -> bool
        isSorted list_bytes_is_sorted_bool list(bytes).() -> bool
        sum list_int_sum_int list(int).() -> int
        sum list_uint_sum_uint list(uint).() -> uint
        sum list_double_sum_double list(double).() -> double
        sum list_duration_sum_duration list(duration).() -> duration
        max list_int_max_int list(int).() -> int
        max list_uint_max_uint list(uint).() -> uint
        max list_double_max_double list(double).() -> double
        max list_bool_max_bool list(bool).() -> bool
        max list_duration_max_duration list(duration).() -> duration
        max list_timestamp_max_timestamp list(timestamp).() -> timestamp
        max list_string_max_string list(string).() -> string
        max list_bytes_max_bytes list(bytes).() -> bytes
        min list_int_min_int list(int).() -> int
        min list_uint_min_uint list(uint).() -> uint
        min list_double_min_double list(double).() -> double
        min list_bool_min_bool list(bool).() -> bool
        min list_duration_min_duration list(duration).() -> duration
        min list_timestamp_min_timestamp list(timestamp).() -> timestamp
        min list_string_min_string list(string).() -> string
        min list_bytes_min_bytes list(bytes).() -> bytes
        indexOf list_a_index_of_int list(A).(A) -> int
        lastIndexOf list_a_last_index_of_int list(A).(A) -> int
    ",
    runs: &[
        ("isSorted", |c, a| {
            let mut previous: Option<Val<'_>> = None;
            for v in list(c, a, 0)?.iter() {
                let v = v?;
                if let Some(p) = previous
                    && p.compare(&v).is_ok_and(Ordering::is_gt)
                {
                    return Ok(Val::Bool(false));
                }
                previous = Some(v);
            }
            Ok(Val::Bool(true))
        }),
        ("sum", sum),
        ("max", |c, a| extreme(c, a, Ordering::Less)),
        ("min", |c, a| extreme(c, a, Ordering::Greater)),
        ("indexOf", |c, a| match &a[0] {
            Val::String(_) => strings::index_of(c, a),
            _ => position(list(c, a, 0)?, &a[1], false),
        }),
        ("lastIndexOf", |c, a| match &a[0] {
            Val::String(_) => strings::last_index_of(c, a),
            _ => position(list(c, a, 0)?, &a[1], true),
        }),
    ],
};

fn sum<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    // An empty list sums to the zero of the type that the overload names.
    let mut total = match call.overload {
        "list_uint_sum_uint" => Val::Uint(0),
        "list_double_sum_double" => Val::Double(0.0),
        "list_duration_sum_duration" => Val::Duration(0),
        _ => Val::Int(0),
    };
    for (i, v) in list(call, args, 0)?.iter().enumerate() {
        let v = v?;
        total = if i == 0 && call.overload.is_empty() { v } else { total.add(&v)? };
    }
    Ok(total)
}

fn extreme<'a>(call: &Call, args: &[Val<'a>], replaced_if: Ordering) -> Eval<Val<'a>> {
    let mut best: Option<Val<'a>> = None;
    for v in list(call, args, 0)?.iter() {
        let v = v?;
        best = Some(match best {
            Some(b) if b.compare(&v).is_ok_and(|o| o == replaced_if) => v,
            Some(b) => b,
            None => v,
        });
    }
    best.ok_or_else(|| EvalError::new(format!("{} called on empty list", call.function)))
}

fn position<'a>(l: &List<'a>, v: &Val<'a>, last: bool) -> Eval<Val<'a>> {
    let is = |i: &usize| l.get(*i).and_then(|e| e.equals(v)).unwrap_or(false);
    let mut indices = 0..l.len();
    let found = if last { indices.rfind(is) } else { indices.find(is) };
    Ok(Val::Int(found.map_or(-1, |i| i as i64)))
}

pub(crate) const EXTENDED: Library = Library {
    since: 34,
    signatures: "
        slice list_slice list(T).(int, int) -> list(T)
        flatten list_flatten list(list(T)).() -> list(T)
        flatten list_flatten_int list(dyn).(int) -> list(dyn)
        sort list_int_sort list(int).() -> list(int)
        sort list_uint_sort list(uint).() -> list(uint)
        sort list_double_sort list(double).() -> list(double)
        sort list_bool_sort list(bool).() -> list(bool)
        sort list_google.protobuf.Duration_sort list(duration).() -> list(duration)
        sort list_google.protobuf.Timestamp_sort list(timestamp).() -> list(timestamp)
        sort list_string_sort list(string).() -> list(string)
        sort list_bytes_sort list(bytes).() -> list(bytes)
        @sortByAssociatedKeys list_int_sortByAssociatedKeys list(T).(list(int)) -> list(T)
        @sortByAssociatedKeys list_uint_sortByAssociatedKeys list(T).(list(uint)) -> list(T)
        @sortByAssociatedKeys list_double_sortByAssociatedKeys list(T).(list(double)) -> list(T)
        @sortByAssociatedKeys list_bool_sortByAssociatedKeys list(T).(list(bool)) -> list(T)
        @sortByAssociatedKeys list_google.protobuf.Duration_sortByAssociatedKeys list(T).(list(duration)) -> list(T)
        @sortByAssociatedKeys list_google.protobuf.Timestamp_sortByAssociatedKeys list(T).(list(timestamp)) -> list(T)
        @sortByAssociatedKeys list_string_sortByAssociatedKeys list(T).(list(string)) -> list(T)
        @sortByAssociatedKeys list_bytes_sortByAssociatedKeys list(T).(list(bytes)) -> list(T)
        lists.range lists_range (int) -> list(int)
        reverse list_reverse list(T).() -> list(T)
        distinct list_distinct list(T).() -> list(T)
    ",
    runs: &[
        ("slice", slice),
        ("flatten", |c, a| {
            let depth = if a.len() > 1 { int(c, a, 1)? } else { 1 };
            if depth < 0 {
                return fail("level must be non-negative");
            }
            let mut out = Vec::new();
            flatten(list(c, a, 0)?, depth, &mut out)?;
            Ok(Val::list(out))
        }),
        ("sort", |c, a| {
            let l = list(c, a, 0)?;
            sort_by(l, l)
        }),
        (crate::macros::SORT_BY_KEYS, |c, a| sort_by(list(c, a, 0)?, list(c, a, 1)?)),
        ("lists.range", |c, a| {
            // Upstream makes any list; one that cannot be paid for is not made here.
            const RANGE_MAX: i64 = crate::eval::COST_PER_CALL_MAX as i64;
            let n = int(c, a, 0)?;
            if n > RANGE_MAX {
                return Err(EvalError::CostLimit);
            }
            Ok(Val::list((0..n).map(Val::Int).collect()))
        }),
        ("reverse", |c, a| {
            let l = list(c, a, 0)?;
            (0..l.len()).rev().map(|i| l.get(i)).collect::<Eval<Vec<_>>>().map(Val::list)
        }),
        ("distinct", distinct),
    ],
};

fn slice<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let (l, start, end) = (list(call, args, 0)?, int(call, args, 1)?, int(call, args, 2)?);
    let cannot = |why: String| fail(format!("cannot slice({start}, {end}), {why}"));
    if start < 0 || end < 0 {
        return cannot("negative indexes not supported".into());
    }
    if start > end {
        return cannot("start index must be less than or equal to end index".into());
    }
    if l.len() < end as usize {
        return cannot(format!("list is length {}", l.len()));
    }
    (start as usize..end as usize).map(|i| l.get(i)).collect::<Eval<Vec<_>>>().map(Val::list)
}

fn flatten<'a>(l: &List<'a>, depth: i64, out: &mut Vec<Val<'a>>) -> Eval<()> {
    // Lists nest as deep as the data they come from, which its decoder limits; this is the guard.
    const DEPTH_MAX: i64 = 10_000;
    let depth = depth.min(DEPTH_MAX);
    for v in l.iter() {
        match v? {
            Val::List(inner) if depth > 0 => crate::stack::deep(|| flatten(&inner, depth - 1, out))?,
            v => out.push(v),
        }
    }
    Ok(())
}

fn sort_by<'a>(l: &List<'a>, keys: &List<'a>) -> Eval<Val<'a>> {
    if l.len() != keys.len() {
        return fail(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements respectively",
            l.len(),
            keys.len()
        ));
    }
    let mut pairs = Vec::with_capacity(l.len());
    for i in 0..l.len() {
        pairs.push((keys.get(i)?, l.get(i)?));
    }
    let Some((first, _)) = pairs.first() else { return Ok(Val::List(l.clone())) };
    if first.compare(first).is_err() && !matches!(first, Val::Double(_)) {
        return fail("list elements must be comparable");
    }
    let kind = std::mem::discriminant(first);
    if pairs.iter().any(|(k, _)| std::mem::discriminant(k) != kind) {
        return fail("list elements must have the same type");
    }
    pairs.sort_by(|a, b| match (&a.0, &b.0) {
        // A total order, also with NaN.
        (Val::Double(a), Val::Double(b)) => a.total_cmp(b),
        (a, b) => a.compare(b).unwrap_or(Ordering::Equal),
    });
    Ok(Val::list(pairs.into_iter().map(|(_, v)| v).collect()))
}

fn distinct<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    let l = list(call, args, 0)?;
    let mut seen = std::collections::HashSet::new();
    let mut out: Vec<Val<'a>> = Vec::new();
    for v in l.iter() {
        let v = v?;
        let new = match crate::val::Key::of(&v) {
            // NaN equals nothing, not even itself.
            Some(_) if matches!(v, Val::Double(d) if d.is_nan()) => true,
            Some(k) => seen.insert(k),
            None => !out.iter().any(|o| v.equals(o).unwrap_or(false)),
        };
        if new {
            out.push(v);
        }
    }
    Ok(Val::list(out))
}

pub(crate) const MAP_INSERT: Library = Library {
    since: 32,
    signatures: "
        cel.@mapInsert @mapInsert_map_key_value (map(K, V), K, V) -> map(K, V)
        cel.@mapInsert @mapInsert_map_map (map(K, V), map(K, V)) -> map(K, V)
    ",
    runs: &[(crate::macros::MAP_INSERT, |c, a| {
        // Reached only outside of comprehensions that start from an empty map.
        let Val::Map(m) = &a[0] else { return c.no_overload(a) };
        let mut out = Entries::default();
        for key in m.keys() {
            if let Some(v) = m.find(&key)? {
                Map::insert(&mut out, key, v)?;
            }
        }
        match &a[1..] {
            [key, v] => Map::insert(&mut out, key.clone(), v.clone())?,
            [Val::Map(more)] => {
                for key in more.keys() {
                    if let Some(v) = more.find(&key)? {
                        Map::insert(&mut out, key, v)?;
                    }
                }
            }
            _ => return c.no_overload(a),
        }
        Ok(Val::Map(Map::Entries(Rc::new(out))))
    })],
};
