//! The functions, library by library.

pub(crate) mod authz;
pub(crate) mod formats;
pub(crate) mod lists;
pub(crate) mod net;
pub(crate) mod optional;
pub(crate) mod quantities;
pub(crate) mod semver;
pub(crate) mod sets;
pub(crate) mod standard;
pub(crate) mod strings;
pub(crate) mod strings_format;
pub(crate) mod structs;
pub(crate) mod times;
pub(crate) mod urls;

use crate::decls::Library;
use crate::eval::Call;
use crate::val::{Eval, Val};

/// All libraries, in the order in which their overloads are tried.
pub(crate) const LIBRARIES: &[Library] = &[
    standard::LIBRARY,
    times::LIBRARY,
    urls::LIBRARY,
    standard::REGEX,
    lists::KUBERNETES,
    authz::LIBRARY,
    optional::LIBRARY,
    quantities::LIBRARY,
    strings::LIBRARY,
    strings::SINCE_29,
    sets::LIBRARY,
    net::LIBRARY,
    formats::LIBRARY,
    authz::SELECTORS,
    lists::MAP_INSERT,
    semver::LIBRARY,
    lists::EXTENDED,
    structs::JSON_PATCH_LIBRARY,
];

/// The string that an argument must be.
pub(crate) fn string<'v>(call: &Call, args: &'v [Val<'_>], i: usize) -> Eval<&'v value::Str> {
    match args.get(i) {
        Some(Val::String(s)) => Ok(s),
        _ => call.no_overload(args),
    }
}

/// The integer that an argument must be.
pub(crate) fn int(call: &Call, args: &[Val<'_>], i: usize) -> Eval<i64> {
    match args.get(i) {
        Some(Val::Int(n)) => Ok(*n),
        _ => call.no_overload(args),
    }
}

/// The list that an argument must be.
pub(crate) fn list<'v, 'a>(call: &Call, args: &'v [Val<'a>], i: usize) -> Eval<&'v crate::val::List<'a>> {
    match args.get(i) {
        Some(Val::List(l)) => Ok(l),
        _ => call.no_overload(args),
    }
}
