//! Optional values.
//!
//! Upstream counterpart: cel-go `cel/library.go` (`OptionalTypes`, all versions).

use crate::decls::Library;
use crate::library::list;
use crate::val::{EvalError, Val, fail};

pub(crate) const LIBRARY: Library = Library {
    since: 28,
    signatures: "
        optional.of optional_of (V) -> optional(V)
        optional.ofNonZeroValue optional_ofNonZeroValue (V) -> optional(V)
        optional.none optional_none () -> optional(V)
        value optional_value optional(V).() -> V
        hasValue optional_hasValue optional(V).() -> bool
        or optional_or_optional optional(V).(optional(V)) -> optional(V)
        orValue optional_orValue_value optional(V).(V) -> V
        _?._ select_optional_field (dyn, string) -> optional(V)
        _[?_] list_optindex_optional_int (list(V), int) -> optional(V)
        _[?_] optional_list_optindex_optional_int (optional(list(V)), int) -> optional(V)
        _[?_] map_optindex_optional_value (map(K, V), K) -> optional(V)
        _[?_] optional_map_optindex_optional_value (optional(map(K, V)), K) -> optional(V)
        _[_] optional_list_index_int (optional(list(V)), int) -> optional(V)
        _[_] optional_map_index_value (optional(map(K, V)), K) -> optional(V)
        last list_last list(V).() -> optional(V)
        first list_first list(V).() -> optional(V)
        optional.unwrap optional_unwrap (list(optional(V))) -> list(V)
        unwrapOpt optional_unwrapOpt list(optional(V)).() -> list(V)
    ",
    runs: &[
        ("optional.of", |_, a| Ok(Val::some(a[0].clone()))),
        ("optional.ofNonZeroValue", |_, a| {
            Ok(if a[0].is_zero() { Val::Optional(None) } else { Val::some(a[0].clone()) })
        }),
        ("optional.none", |_, _| Ok(Val::Optional(None))),
        ("value", |c, a| match &a[0] {
            Val::Optional(Some(v)) => Ok((**v).clone()),
            Val::Optional(None) => fail("optional.none() dereference"),
            _ => c.no_overload(a),
        }),
        ("hasValue", |c, a| match &a[0] {
            Val::Optional(v) => Ok(Val::Bool(v.is_some())),
            _ => c.no_overload(a),
        }),
        ("first", |c, a| {
            let l = list(c, a, 0)?;
            if l.is_empty() { Ok(Val::Optional(None)) } else { l.get(0).map(Val::some) }
        }),
        ("last", |c, a| {
            let l = list(c, a, 0)?;
            if l.is_empty() { Ok(Val::Optional(None)) } else { l.get(l.len() - 1).map(Val::some) }
        }),
        ("optional.unwrap", unwrap),
        ("unwrapOpt", unwrap),
    ],
};

fn unwrap<'a>(call: &crate::eval::Call, args: &[Val<'a>]) -> crate::val::Eval<Val<'a>> {
    let mut out = Vec::new();
    for v in list(call, args, 0)?.iter() {
        match v? {
            Val::Optional(Some(v)) => out.push((*v).clone()),
            Val::Optional(None) => {}
            v => return Err(EvalError::new(format!("value {v} is not optional"))),
        }
    }
    Ok(Val::list(out))
}
