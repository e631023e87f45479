//! Checks of constants in checked expressions.
//!
//! Upstream counterpart: cel-go `cel/validator.go`.

use crate::ast::{Expr, Kind, Literal};
use crate::checker::Checked;
use crate::issues::Issues;
use crate::library::strings_format;
use crate::program::{walk, walk_where};
use crate::time::{Time, parse_go_duration, parse_rfc3339};
use crate::types::Type;

/// Checks constant durations, timestamps and patterns, and that literals of lists and maps hold one type.
///
/// # Errors
/// What is wrong.
pub(crate) fn validate(source: &str, checked: &Checked, constants: bool) -> Result<(), Issues> {
    let mut issues = Issues::new(source);
    let at = |e: &Expr| checked.positions.get(e.id as usize).copied();
    walk(&checked.expr, &mut |e| {
        let Kind::Call(c) = &e.kind else { return };
        if !constants {
            return;
        }
        let Some(arg) = c.args.first() else { return };
        let Kind::Literal(literal) = &arg.kind else { return };
        let name = c.function.strip_prefix('.').unwrap_or(&c.function);
        let valid = match (name, literal) {
            ("duration", Literal::String(s)) => parse_go_duration(s).is_some(),
            ("timestamp", Literal::String(s)) => {
                parse_rfc3339(s).is_some_and(|t| Time::new(t.seconds(), 0).is_some())
            }
            ("timestamp", Literal::Int(i)) => Time::new(*i, 0).is_some(),
            ("matches", Literal::String(s)) => crate::regexes::compile(s).is_ok(),
            _ => true,
        };
        if !valid {
            issues.report(at(arg), format!("invalid {name} argument"));
        }
    });
    walk(&checked.expr, &mut |e| {
        let Kind::Call(c) = &e.kind else { return };
        if let (Some(target), "format", [args]) = (&c.target, c.function.as_str(), &c.args[..])
            && let (Kind::Literal(Literal::String(template)), Kind::List { elements, .. }) =
                (&target.kind, &args.kind)
            && let Err((arg, message)) = strings_format::check(template, elements, checked)
        {
            issues.report(at(arg.unwrap_or(e)), message);
        }
    });
    let mut mismatch = |e: &Expr, expected: &Type, actual: &Type| {
        issues.report(at(e), format!("expected type '{expected}' but found '{actual}'"));
    };
    let inner = |e: &Expr, optional: bool| {
        let t = checked.type_of(e);
        if optional { t.as_optional().unwrap_or(t).clone() } else { t.clone() }
    };
    // The arguments of string.format may be of all types.
    let below = |e: &Expr| !matches!(&e.kind, Kind::Call(c) if c.function == "format");
    walk_where(&checked.expr, &below, &mut |e| match &e.kind {
        Kind::List { elements, optional } => {
            let types =
                elements.iter().enumerate().map(|(i, x)| (x, inner(x, optional.binary_search(&i).is_ok())));
            let mut first: Option<Type> = None;
            for (x, t) in types {
                match &first {
                    Some(f) if !equivalent(f, &t) => return mismatch(x, f, &t),
                    Some(_) => {}
                    None => first = Some(t),
                }
            }
        }
        Kind::Map(entries) => {
            let mut first: Option<(Type, Type)> = None;
            for p in entries {
                let (k, v) = (inner(&p.key, false), inner(&p.value, p.optional));
                match &first {
                    None => first = Some((k, v)),
                    Some((fk, fv)) => {
                        if !equivalent(fk, &k) {
                            mismatch(&p.key, fk, &k);
                        }
                        if !equivalent(fv, &v) {
                            mismatch(&p.value, fv, &v);
                        }
                    }
                }
            }
        }
        _ => {}
    });
    if issues.is_empty() { Ok(()) } else { Err(issues) }
}

/// Whether two types are the same up to type variables.
fn equivalent(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Param(_), Type::Param(_)) => true,
        (Type::List(a), Type::List(b)) => equivalent(a, b),
        (Type::Map(a), Type::Map(b)) => equivalent(&a.0, &b.0) && equivalent(&a.1, &b.1),
        (Type::Opaque(n, p), Type::Opaque(m, q)) => {
            n == m && p.len() == q.len() && p.iter().zip(q.iter()).all(|(p, q)| equivalent(p, q))
        }
        (Type::Type(a), Type::Type(b)) => match (a, b) {
            (Some(a), Some(b)) => equivalent(a, b),
            (a, b) => a.is_none() == b.is_none(),
        },
        (a, b) => a == b,
    }
}
