//! Quantities.
//!
//! Upstream counterpart: apiserver `pkg/cel/library/quantity.go`.

use meta::quantity::{Format, Quantity};

use crate::decls::Library;
use crate::eval::Call;
use crate::library::string;
use crate::opaque::Opaque;
use crate::val::{Eval, EvalError, Val};

pub(crate) const LIBRARY: Library = Library {
    since: 28,
    signatures: "
        quantity string_to_quantity (string) -> kubernetes.Quantity
        isQuantity is_quantity_string (string) -> bool
        sign quantity_sign (kubernetes.Quantity) -> int
        isGreaterThan quantity_is_greater_than kubernetes.Quantity.(kubernetes.Quantity) -> bool
        isLessThan quantity_is_less_than kubernetes.Quantity.(kubernetes.Quantity) -> bool
        compareTo quantity_compare_to kubernetes.Quantity.(kubernetes.Quantity) -> int
        asApproximateFloat quantity_get_float kubernetes.Quantity.() -> double
        asInteger quantity_get_int kubernetes.Quantity.() -> int
        isInteger quantity_is_integer kubernetes.Quantity.() -> bool
        add quantity_add kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity
        add quantity_add_int kubernetes.Quantity.(int) -> kubernetes.Quantity
        sub quantity_sub kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity
        sub quantity_sub_int kubernetes.Quantity.(int) -> kubernetes.Quantity
    ",
    runs: &[
        ("quantity", |c, a| match Quantity::parse(string(c, a, 0)?) {
            Ok(q) => Ok(Val::opaque(Opaque::Quantity(q))),
            Err(e) => Err(EvalError::new(e.to_string())),
        }),
        ("isQuantity", |c, a| Ok(Val::Bool(Quantity::parse(string(c, a, 0)?).is_ok()))),
        ("sign", |c, a| Ok(Val::Int(quantity(c, a, 0)?.sign().into()))),
        ("isGreaterThan", |c, a| compare(c, a, |o| Val::Bool(o.is_gt()))),
        ("isLessThan", |c, a| compare(c, a, |o| Val::Bool(o.is_lt()))),
        ("compareTo", |c, a| compare(c, a, |o| Val::Int(o as i64))),
        ("asApproximateFloat", |c, a| Ok(Val::Double(quantity(c, a, 0)?.as_f64()))),
        ("asInteger", |c, a| match quantity(c, a, 0)?.as_i64() {
            Some(i) => Ok(Val::Int(i)),
            None => Err(EvalError::new("cannot convert value to integer")),
        }),
        ("isInteger", |c, a| Ok(Val::Bool(quantity(c, a, 0)?.as_i64().is_some()))),
        ("add", |c, a| change(c, a, Quantity::add)),
        ("sub", |c, a| change(c, a, Quantity::sub)),
    ],
};

/// The functions that quantities and semantic versions both have.
fn compare<'a>(call: &Call, args: &[Val<'a>], result: fn(std::cmp::Ordering) -> Val<'a>) -> Eval<Val<'a>> {
    match args {
        [Val::Opaque(a), Val::Opaque(b)] => match (&**a, &**b) {
            (Opaque::Quantity(a), Opaque::Quantity(b)) => Ok(result(a.cmp(b))),
            (Opaque::Semver(a), Opaque::Semver(b)) => Ok(result(a.cmp(b))),
            _ => call.no_overload(args),
        },
        _ => call.no_overload(args),
    }
}

fn quantity<'v>(call: &Call, args: &'v [Val<'_>], i: usize) -> Eval<&'v Quantity> {
    match args.get(i) {
        Some(Val::Opaque(o)) => match &**o {
            Opaque::Quantity(q) => Ok(q),
            _ => call.no_overload(args),
        },
        _ => call.no_overload(args),
    }
}

fn change<'a>(call: &Call, args: &[Val<'a>], by: fn(&mut Quantity, &Quantity)) -> Eval<Val<'a>> {
    let mut q = quantity(call, args, 0)?.clone();
    match &args[1] {
        Val::Int(i) => by(&mut q, &Quantity::new(*i, Format::DecimalExponent)),
        _ => by(&mut q, quantity(call, args, 1)?),
    }
    Ok(Val::opaque(Opaque::Quantity(q)))
}
