//! Declarations of functions: which overloads each has, since which version, and what runs them.
//!
//! Upstream counterparts: cel-go `common/stdlib`, `cel/library.go`, `ext`; apiserver `pkg/cel/library` and
//! `pkg/cel/environment/base.go` (versions).

use std::collections::HashMap;

use value::Str;

use crate::eval::Call;
use crate::types::Type;
use crate::val::{Eval, Val};

/// What runs a function: dispatches by the arguments' types.
pub(crate) type Run = for<'a> fn(&Call, &[Val<'a>]) -> Eval<Val<'a>>;

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) overloads: Vec<Overload>,
    pub(crate) run: Run,
}

/// One signature of a function. Of a member the first argument is the receiver.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    /// Its type variables.
    pub(crate) params: Vec<Str>,
}

/// The functions of one library: signatures as text, and what runs them.
pub(crate) struct Library {
    /// The minor version of Kubernetes that introduced it; 0 if it was there before 1.28.
    pub(crate) since: u32,
    /// Lines `function overload (args) -> result`, or `function overload receiver.(args) -> result`.
    pub(crate) signatures: &'static str,
    pub(crate) runs: &'static [(&'static str, Run)],
}

/// The functions of `libraries` known to version 1.`minor`.
pub(crate) fn functions(libraries: &[Library], minor: u32) -> HashMap<&'static str, Function> {
    let mut out: HashMap<&'static str, Function> = HashMap::new();
    for library in libraries.iter().filter(|l| l.since <= minor) {
        for line in library.signatures.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (name, overload) = signature(line);
            let run = || library.runs.iter().find(|(n, _)| *n == name).map(|(_, r)| *r);
            if let Some(f) = out.get_mut(name) {
                f.overloads.push(overload);
            } else {
                let run = run().unwrap_or(crate::eval::not_callable);
                out.insert(name, Function { name, overloads: vec![overload], run });
            }
        }
    }
    out
}

/// Reads one line of a signature table, which is part of this program.
fn signature(line: &'static str) -> (&'static str, Overload) {
    let mut words = line.splitn(3, ' ');
    let name = words.next().unwrap_or_default();
    let id = words.next().unwrap_or_default();
    let rest = words.next().unwrap_or_default();
    let (left, result) = rest.split_once(" -> ").expect("signature tables are checked by tests");
    let (receiver, args) = left.split_once('(').expect("signature tables are checked by tests");
    let args = args.strip_suffix(')').expect("signature tables are checked by tests");
    let member = receiver.ends_with('.') && !receiver.is_empty();
    // A receiver may itself have parentheses: find the one after the dot.
    let (receiver, args) = match left.rfind(".(") {
        Some(i) => (Some(&left[..i]), &left[i + 2..left.len() - 1]),
        None => {
            debug_assert!(!member);
            (None, args)
        }
    };
    let mut types = Vec::new();
    if let Some(r) = receiver {
        types.push(parse_type(r));
    }
    types.extend(split(args).map(parse_type));
    let result = parse_type(result);
    let mut params = Vec::new();
    for t in types.iter().chain([&result]) {
        collect_params(t, &mut params);
    }
    (name, Overload { id, member: receiver.is_some(), args: types, result, params })
}

/// The parts between commas outside parentheses.
fn split(text: &'static str) -> impl Iterator<Item = &'static str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|s| !s.is_empty())
}

fn parse_type(text: &'static str) -> Type {
    if let Some((head, inner)) = text.split_once('(') {
        let mut inner = split(&inner[..inner.len() - 1]).map(parse_type);
        let mut next = || inner.next().unwrap_or(Type::Dyn);
        return match head {
            "list" => Type::list(next()),
            "map" => {
                let k = next();
                Type::map(k, next())
            }
            "optional" => Type::optional(next()),
            _ => Type::type_of(next()),
        };
    }
    match text {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "dyn" => Type::Dyn,
        "net.IP" | "net.CIDR" => Type::opaque(text),
        _ if text.len() == 1 => Type::param(text),
        _ => Type::Struct(Str::new_static(text)),
    }
}

fn collect_params(t: &Type, into: &mut Vec<Str>) {
    match t {
        Type::Param(n) if !into.contains(n) => into.push(n.clone()),
        Type::List(e) => collect_params(e, into),
        Type::Map(kv) => {
            collect_params(&kv.0, into);
            collect_params(&kv.1, into);
        }
        Type::Opaque(_, p) => p.iter().for_each(|t| collect_params(t, into)),
        Type::Type(Some(t)) => collect_params(t, into),
        _ => {}
    }
}
