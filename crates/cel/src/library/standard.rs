//! The language's own functions.
//!
//! Upstream counterpart: cel-go `common/stdlib/standard.go`.

use crate::decls::{Library, Run};
use crate::eval::Call;
use crate::regexes;
use crate::val::{Eval, EvalError, Map, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 0,
    signatures: "
        _?_:_ conditional (bool, A, A) -> A
        _&&_ logical_and (bool, bool) -> bool
        _||_ logical_or (bool, bool) -> bool
        !_ logical_not (bool) -> bool
        @not_strictly_false not_strictly_false (bool) -> bool
        _==_ equals (A, A) -> bool
        _!=_ not_equals (A, A) -> bool
        _+_ add_bytes (bytes, bytes) -> bytes
        _+_ add_double (double, double) -> double
        _+_ add_duration_duration (duration, duration) -> duration
        _+_ add_duration_timestamp (duration, timestamp) -> timestamp
        _+_ add_timestamp_duration (timestamp, duration) -> timestamp
        _+_ add_int64 (int, int) -> int
        _+_ add_list (list(A), list(A)) -> list(A)
        _+_ add_string (string, string) -> string
        _+_ add_uint64 (uint, uint) -> uint
        _/_ divide_double (double, double) -> double
        _/_ divide_int64 (int, int) -> int
        _/_ divide_uint64 (uint, uint) -> uint
        _%_ modulo_int64 (int, int) -> int
        _%_ modulo_uint64 (uint, uint) -> uint
        _*_ multiply_double (double, double) -> double
        _*_ multiply_int64 (int, int) -> int
        _*_ multiply_uint64 (uint, uint) -> uint
        -_ negate_double (double) -> double
        -_ negate_int64 (int) -> int
        _-_ subtract_double (double, double) -> double
        _-_ subtract_duration_duration (duration, duration) -> duration
        _-_ subtract_int64 (int, int) -> int
        _-_ subtract_timestamp_duration (timestamp, duration) -> timestamp
        _-_ subtract_timestamp_timestamp (timestamp, timestamp) -> duration
        _-_ subtract_uint64 (uint, uint) -> uint
        _<_ less_bool (bool, bool) -> bool
        _<_ less_int64 (int, int) -> bool
        _<_ less_int64_double (int, double) -> bool
        _<_ less_int64_uint64 (int, uint) -> bool
        _<_ less_uint64 (uint, uint) -> bool
        _<_ less_uint64_double (uint, double) -> bool
        _<_ less_uint64_int64 (uint, int) -> bool
        _<_ less_double (double, double) -> bool
        _<_ less_double_int64 (double, int) -> bool
        _<_ less_double_uint64 (double, uint) -> bool
        _<_ less_string (string, string) -> bool
        _<_ less_bytes (bytes, bytes) -> bool
        _<_ less_timestamp (timestamp, timestamp) -> bool
        _<_ less_duration (duration, duration) -> bool
        _<=_ less_equals_bool (bool, bool) -> bool
        _<=_ less_equals_int64 (int, int) -> bool
        _<=_ less_equals_int64_double (int, double) -> bool
        _<=_ less_equals_int64_uint64 (int, uint) -> bool
        _<=_ less_equals_uint64 (uint, uint) -> bool
        _<=_ less_equals_uint64_double (uint, double) -> bool
        _<=_ less_equals_uint64_int64 (uint, int) -> bool
        _<=_ less_equals_double (double, double) -> bool
        _<=_ less_equals_double_int64 (double, int) -> bool
        _<=_ less_equals_double_uint64 (double, uint) -> bool
        _<=_ less_equals_string (string, string) -> bool
        _<=_ less_equals_bytes (bytes, bytes) -> bool
        _<=_ less_equals_timestamp (timestamp, timestamp) -> bool
        _<=_ less_equals_duration (duration, duration) -> bool
        _>_ greater_bool (bool, bool) -> bool
        _>_ greater_int64 (int, int) -> bool
        _>_ greater_int64_double (int, double) -> bool
        _>_ greater_int64_uint64 (int, uint) -> bool
        _>_ greater_uint64 (uint, uint) -> bool
        _>_ greater_uint64_double (uint, double) -> bool
        _>_ greater_uint64_int64 (uint, int) -> bool
        _>_ greater_double (double, double) -> bool
        _>_ greater_double_int64 (double, int) -> bool
        _>_ greater_double_uint64 (double, uint) -> bool
        _>_ greater_string (string, string) -> bool
        _>_ greater_bytes (bytes, bytes) -> bool
        _>_ greater_timestamp (timestamp, timestamp) -> bool
        _>_ greater_duration (duration, duration) -> bool
        _>=_ greater_equals_bool (bool, bool) -> bool
        _>=_ greater_equals_int64 (int, int) -> bool
        _>=_ greater_equals_int64_double (int, double) -> bool
        _>=_ greater_equals_int64_uint64 (int, uint) -> bool
        _>=_ greater_equals_uint64 (uint, uint) -> bool
        _>=_ greater_equals_uint64_double (uint, double) -> bool
        _>=_ greater_equals_uint64_int64 (uint, int) -> bool
        _>=_ greater_equals_double (double, double) -> bool
        _>=_ greater_equals_double_int64 (double, int) -> bool
        _>=_ greater_equals_double_uint64 (double, uint) -> bool
        _>=_ greater_equals_string (string, string) -> bool
        _>=_ greater_equals_bytes (bytes, bytes) -> bool
        _>=_ greater_equals_timestamp (timestamp, timestamp) -> bool
        _>=_ greater_equals_duration (duration, duration) -> bool
        _[_] index_list (list(A), int) -> A
        _[_] index_map (map(A, B), A) -> B
        @in in_list (A, list(A)) -> bool
        @in in_map (A, map(A, B)) -> bool
        size size_bytes (bytes) -> int
        size bytes_size bytes.() -> int
        size size_list (list(A)) -> int
        size list_size list(A).() -> int
        size size_map (map(A, B)) -> int
        size map_size map(A, B).() -> int
        size size_string (string) -> int
        size string_size string.() -> int
        type type (A) -> type(A)
        bool bool_to_bool (bool) -> bool
        bool string_to_bool (string) -> bool
        bytes bytes_to_bytes (bytes) -> bytes
        bytes string_to_bytes (string) -> bytes
        double double_to_double (double) -> double
        double int64_to_double (int) -> double
        double string_to_double (string) -> double
        double uint64_to_double (uint) -> double
        duration duration_to_duration (duration) -> duration
        duration int64_to_duration (int) -> duration
        duration string_to_duration (string) -> duration
        dyn to_dyn (A) -> dyn
        int int64_to_int64 (int) -> int
        int double_to_int64 (double) -> int
        int duration_to_int64 (duration) -> int
        int string_to_int64 (string) -> int
        int timestamp_to_int64 (timestamp) -> int
        int uint64_to_int64 (uint) -> int
        string string_to_string (string) -> string
        string bool_to_string (bool) -> string
        string bytes_to_string (bytes) -> string
        string double_to_string (double) -> string
        string duration_to_string (duration) -> string
        string int64_to_string (int) -> string
        string timestamp_to_string (timestamp) -> string
        string uint64_to_string (uint) -> string
        timestamp timestamp_to_timestamp (timestamp) -> timestamp
        timestamp int64_to_timestamp (int) -> timestamp
        timestamp string_to_timestamp (string) -> timestamp
        uint uint64_to_uint64 (uint) -> uint
        uint double_to_uint64 (double) -> uint
        uint int64_to_uint64 (int) -> uint
        uint string_to_uint64 (string) -> uint
        contains contains_string string.(string) -> bool
        endsWith ends_with_string string.(string) -> bool
        startsWith starts_with_string string.(string) -> bool
        matches matches (string, string) -> bool
        matches matches_string string.(string) -> bool
    ",
    runs: &[
        ("!_", |_, a| match a {
            [Val::Bool(b)] => Ok(Val::Bool(!b)),
            _ => Err(EvalError::no_overload()),
        }),
        ("_+_", |c, a| operator(c, &a[0], Val::add(&a[0], &a[1]))),
        ("_-_", |c, a| operator(c, &a[0], Val::subtract(&a[0], &a[1]))),
        ("_*_", |c, a| operator(c, &a[0], Val::multiply(&a[0], &a[1]))),
        ("_/_", |c, a| operator(c, &a[0], Val::divide(&a[0], &a[1]))),
        ("_%_", |c, a| operator(c, &a[0], Val::modulo(&a[0], &a[1]))),
        ("-_", |c, a| operator(c, &a[0], a[0].negate())),
        ("_<_", |c, a| operator(c, &a[0], a[0].compare(&a[1]).map(|o| Val::Bool(o.is_lt())))),
        ("_<=_", |c, a| operator(c, &a[0], a[0].compare(&a[1]).map(|o| Val::Bool(o.is_le())))),
        ("_>_", |c, a| operator(c, &a[0], a[0].compare(&a[1]).map(|o| Val::Bool(o.is_gt())))),
        ("_>=_", |c, a| operator(c, &a[0], a[0].compare(&a[1]).map(|o| Val::Bool(o.is_ge())))),
        ("@in", |_, a| match &a[1] {
            Val::List(l) => l.contains(&a[0]).map(Val::Bool),
            Val::Map(m) => contains_key(m, &a[0]),
            Val::Host(h) => Ok(Val::Bool(a[0].as_str().is_some_and(|k| h.get(k).is_some()))),
            _ => Err(EvalError::no_overload()),
        }),
        ("size", |c, a| match &a[0] {
            v @ (Val::String(_) | Val::Bytes(_) | Val::List(_) | Val::Map(_)) => {
                Ok(Val::Int(v.size().unwrap_or(0) as i64))
            }
            _ => Err(EvalError::new(format!("no such overload: {}", c.function))),
        }),
        ("type", |_, a| Ok(Val::Type(std::rc::Rc::new(a[0].type_of())))),
        ("bool", convert(0)),
        ("bytes", convert(1)),
        ("double", convert(2)),
        ("duration", convert(3)),
        ("dyn", |_, a| Ok(a[0].clone())),
        ("int", convert(4)),
        ("string", convert(5)),
        ("timestamp", convert(6)),
        ("uint", convert(7)),
        ("contains", |_, a| match (&a[0], &a[1]) {
            (Val::String(s), Val::String(t)) => Ok(Val::Bool(s.contains(t.as_str()))),
            _ => Err(EvalError::no_overload()),
        }),
        ("endsWith", |_, a| match (&a[0], &a[1]) {
            (Val::String(s), Val::String(t)) => Ok(Val::Bool(s.ends_with(t.as_str()))),
            _ => Err(EvalError::no_overload()),
        }),
        ("startsWith", |_, a| match (&a[0], &a[1]) {
            (Val::String(s), Val::String(t)) => Ok(Val::Bool(s.starts_with(t.as_str()))),
            _ => Err(EvalError::no_overload()),
        }),
        ("matches", regexes::run_dynamic),
    ],
};

/// What an operator gives. Where the first operand's type does not have the operator at all, upstream's error
/// names it; strings and times answer that themselves, without a name.
fn operator<'a>(call: &Call, first: &Val<'_>, result: Eval<Val<'a>>) -> Eval<Val<'a>> {
    let has = match (call.function, first) {
        (_, Val::String(_) | Val::Duration(_) | Val::Timestamp(_)) => true,
        ("_%_", v) => matches!(v, Val::Int(_) | Val::Uint(_)),
        ("_-_" | "_*_" | "_/_", v) => matches!(v, Val::Int(_) | Val::Uint(_) | Val::Double(_)),
        ("-_", v) => matches!(v, Val::Int(_) | Val::Double(_) | Val::Bool(_)),
        ("_+_", v) => {
            matches!(v, Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Bytes(_) | Val::List(_))
        }
        (_, v) => matches!(v, Val::Int(_) | Val::Uint(_) | Val::Double(_) | Val::Bytes(_) | Val::Bool(_)),
    };
    match result {
        Err(e) if !has && e == EvalError::no_overload() => {
            Err(EvalError::new(format!("no such overload: {}", call.function)))
        }
        r => r,
    }
}

/// The conversion functions; what they do not take has the text of guarded overloads.
const fn convert(to: u8) -> Run {
    match to {
        0 => |c, a| a[0].to_bool().or_else(|e| guarded(c, a, e)),
        1 => |c, a| a[0].to_bytes().or_else(|e| guarded(c, a, e)),
        2 => |c, a| a[0].to_double().or_else(|e| guarded(c, a, e)),
        3 => |c, a| a[0].to_duration().or_else(|e| guarded(c, a, e)),
        4 => |c, a| a[0].to_int().or_else(|e| guarded(c, a, e)),
        5 => |c, a| a[0].to_string_val().or_else(|e| guarded(c, a, e)),
        6 => |c, a| a[0].to_timestamp().or_else(|e| guarded(c, a, e)),
        _ => |c, a| a[0].to_uint().or_else(|e| guarded(c, a, e)),
    }
}

fn guarded<'a>(call: &Call, args: &[Val<'a>], e: EvalError) -> Eval<Val<'a>> {
    if e == EvalError::no_overload() { call.no_overload(args) } else { Err(e) }
}

fn contains_key<'a>(m: &Map<'a>, key: &Val<'a>) -> Eval<Val<'a>> {
    Ok(Val::Bool(m.find(key)?.is_some()))
}

/// `find` and `findAll`.
///
/// Upstream counterpart: apiserver `pkg/cel/library/regex.go`.
pub(crate) const REGEX: Library = Library {
    since: 0,
    signatures: "
        find string_find_string string.(string) -> string
        findAll string_find_all_string string.(string) -> list(string)
        findAll string_find_all_string_int string.(string, int) -> list(string)
    ",
    runs: &[("find", regexes::run_dynamic), ("findAll", regexes::run_dynamic)],
};
