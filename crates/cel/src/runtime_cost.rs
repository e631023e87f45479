//! What calls cost when they run.
//!
//! Upstream counterparts: cel-go `interpreter/runtimecost.go`, apiserver `pkg/cel/library/cost.go`
//! (`CallCost`). Charges of other nodes are in [`eval`](crate::eval).

use crate::opaque::Opaque;
use crate::val::{Eval, Map, Val};

/// Cost of one list, map and struct literal.
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;
/// Cost of going over one character or octet.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// Cost of one character of a regular expression.
pub(crate) const REGEX: f64 = 0.25;
/// Cost of asking the authorizer: two fit into a call's limit.
pub(crate) const AUTHORIZATION: u64 = 350_000;

/// How the cost of a call depends on its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    One,
    Authorization,
    Selector,
    Traversal,
    /// One traversal of the first argument by 0.1.
    First,
    /// Twice that.
    FirstTwice,
    /// Twice the result.
    ResultTwice,
    Regex,
    ContainsIp {
        parses: bool,
    },
    ContainsCidr {
        parses: bool,
    },
    Validate,
    InList,
    /// The shorter of two.
    Shorter,
    Both,
    Contains,
    /// The product of two lists' sizes, times a factor.
    Sets(u64),
    /// A new list, as large as the result.
    NewList,
    Flatten,
    /// Every element of an argument with every other.
    SelfCompare(usize),
}

pub(crate) fn traversal(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// The size of a value that has one; 1 for others and for errors.
pub(crate) fn size(v: Option<&Val<'_>>) -> u64 {
    match v {
        Some(Val::Optional(Some(inner))) => size(Some(inner)),
        Some(v) => v.size().map_or(1, |n| n as u64),
        None => 1,
    }
}

impl Rule {
    /// The rule of a function's overload; an empty `overload` is one known only at run time.
    pub(crate) fn of(function: &str, overload: &str) -> Self {
        match function {
            "check" => Self::Authorization,
            "fieldSelector" | "labelSelector" => Self::Selector,
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => Self::Traversal,
            "url"
            | "lowerAscii"
            | "upperAscii"
            | "substring"
            | "trim"
            | "jsonpatch.escapeKey"
            | "cidr"
            | "isIP"
            | "isCIDR"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver" => Self::First,
            "replace" | "split" | "ip.isCanonical" => Self::FirstTwice,
            "join" => Self::ResultTwice,
            "find" | "findAll" => Self::Regex,
            "ip" => {
                if overload == "cidr_ip" {
                    Self::One
                } else {
                    Self::First
                }
            }
            "containsIP" => Self::ContainsIp { parses: overload == "cidr_contains_ip_string" },
            "containsCIDR" => Self::ContainsCidr { parses: overload == "cidr_contains_cidr_string" },
            "validate" => Self::Validate,
            _ => match overload {
                "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string"
                | "strings_quote" | "string_format" => Self::First,
                "in_list" => Self::InList,
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals" => Self::Shorter,
                "add_string" | "add_bytes" => Self::Both,
                "matches_string" => Self::Regex,
                "contains_string" => Self::Contains,
                "list_sets_contains_list" | "list_sets_intersects_list" => Self::Sets(1),
                "list_sets_equivalent_list" => Self::Sets(2),
                "list_slice" | "lists_range" | "list_reverse" => Self::NewList,
                "list_flatten" | "list_flatten_int" => Self::Flatten,
                "list_distinct" => Self::SelfCompare(0),
                o if o.starts_with("list_") && o.ends_with("_sort") => Self::SelfCompare(0),
                o if o.ends_with("_sortByAssociatedKeys") => Self::SelfCompare(1),
                _ => Self::One,
            },
        }
    }

    /// The cost of a call. An argument or result that is an error is `None`.
    pub(crate) fn cost(self, args: &[Option<&Val<'_>>], result: Option<&Val<'_>>) -> u64 {
        let arg = |i: usize| args.get(i).copied().flatten();
        let sz = |i: usize| size(arg(i));
        match self {
            Self::One => 1,
            Self::Authorization => AUTHORIZATION,
            Self::Selector => {
                let n = sz(1);
                // A list of requirements, one for every second character, of a struct and a list each.
                let requirements = traversal(n, 0.5);
                LIST + traversal(n, TRAVERSAL) + requirements.saturating_mul(LIST + STRUCT)
            }
            Self::Traversal => arg(0).map_or(1, |v| traverse(v, 0)),
            Self::First => traversal(sz(0), TRAVERSAL),
            Self::FirstTwice => traversal(sz(0), 2.0 * TRAVERSAL),
            Self::ResultTwice => traversal(size(result), 2.0 * TRAVERSAL),
            Self::Regex => {
                let text = traversal(1 + sz(0), TRAVERSAL);
                text.saturating_mul(traversal(sz(1), REGEX))
            }
            Self::ContainsIp { parses } => {
                traversal(2 * sz(0), TRAVERSAL) + if parses { traversal(sz(1), TRAVERSAL) } else { 0 }
            }
            Self::ContainsCidr { parses } => {
                let compare = traversal(2 * sz(0), TRAVERSAL) + traversal(sz(0), TRAVERSAL) + 1;
                compare + if parses { traversal(sz(1), TRAVERSAL) } else { 0 }
            }
            Self::Validate => {
                let regex = match arg(0) {
                    Some(Val::Opaque(o)) => match &**o {
                        Opaque::Format(f) => f.regex_size() as u64,
                        _ => return 1,
                    },
                    _ => return 1,
                };
                traversal(1 + sz(1), TRAVERSAL).saturating_mul(traversal(regex, REGEX))
            }
            Self::InList => sz(1),
            Self::Shorter => traversal(sz(0).min(sz(1)), TRAVERSAL),
            Self::Both => traversal(sz(0) + sz(1), TRAVERSAL),
            Self::Sets(factor) => 1 + sz(0).saturating_mul(sz(1)).saturating_mul(factor),
            Self::NewList => size(result).saturating_add(1 + LIST),
            Self::Flatten => {
                let depth = match arg(1) {
                    Some(Val::Int(d)) => u64::try_from(*d).unwrap_or(0),
                    _ => 1,
                };
                sz(0).saturating_mul(depth).saturating_add(1 + LIST)
            }
            Self::SelfCompare(i) => {
                let texts = match arg(i) {
                    Some(Val::List(l)) => matches!(l.get(0), Ok(Val::String(_) | Val::Bytes(_))),
                    _ => false,
                };
                let factor = if texts { 2.0 + TRAVERSAL } else { 2.0 };
                ((sz(i).saturating_mul(sz(i))) as f64 * factor) as u64 + 1 + LIST
            }
            Self::Contains => traversal(sz(0), TRAVERSAL).saturating_mul(traversal(sz(1), TRAVERSAL)),
        }
    }
}

/// The cost of `==`.
pub(crate) fn equal<'a>(a: Option<&Val<'a>>, b: Option<&Val<'a>>) -> u64 {
    match a {
        Some(Val::Opaque(_)) => 1,
        _ => Rule::Shorter.cost(&[a, b], None),
    }
}

/// The cost of going over all of a value.
fn traverse(v: &Val<'_>, depth: usize) -> u64 {
    const DEPTH_MAX: usize = 10_000;
    if depth > DEPTH_MAX {
        return 1;
    }
    let of = |v: Eval<Val<'_>>| v.map_or(1, |v| crate::stack::deep(|| traverse(&v, depth + 1)));
    match v {
        Val::String(s) => (s.len() as f64 * TRAVERSAL) as u64,
        Val::Bytes(b) => (b.len() as f64 * TRAVERSAL) as u64,
        Val::List(l) => l.iter().map(of).sum(),
        Val::Map(m) => map(m, of),
        _ => 1,
    }
}

fn map<'a>(m: &Map<'a>, of: impl Fn(Eval<Val<'a>>) -> u64) -> u64 {
    m.keys()
        .into_iter()
        .map(|k| {
            let value = m.find(&k).ok().flatten();
            of(Ok(k)) + value.map_or(1, |v| of(Ok(v)))
        })
        .sum()
}
