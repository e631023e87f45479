//! Type assignability and substitution of type variables.
//!
//! Upstream counterpart: cel-go `checker/types.go`, `checker/mapping.go`.

use std::collections::HashMap;
use std::sync::Arc;

use value::Str;

use crate::types::Type;

/// How deep types may nest. Type variables can grow types beyond what the source spells out.
const DEPTH_MAX: usize = 300;

/// What type variables stand for.
#[derive(Debug, Default)]
pub(crate) struct Mapping {
    map: HashMap<Str, Type>,
    /// What to undo, newest last: the variable and what it stood for before.
    trail: Vec<(Str, Option<Type>)>,
}

impl Mapping {
    fn find(&self, t: &Type) -> Option<&Type> {
        match t {
            Type::Param(name) => self.map.get(name),
            _ => None,
        }
    }

    fn add(&mut self, variable: &Type, t: Type) {
        if let Type::Param(name) = variable {
            let old = self.map.insert(name.clone(), t);
            self.trail.push((name.clone(), old));
        }
    }

    /// Whether each of `from` can be assigned to its fellow in `to`; if so, keeps what that means for
    /// type variables.
    pub(crate) fn assignable(&mut self, from: &[&Type], to: &[&Type]) -> bool {
        self.trail.clear();
        let ok = from.len() == to.len() && from.iter().zip(to).all(|(a, b)| self.assign(a, b, 0));
        if !ok {
            while let Some((name, old)) = self.trail.pop() {
                match old {
                    Some(t) => self.map.insert(name, t),
                    None => self.map.remove(&name),
                };
            }
        }
        ok
    }

    fn assign(&mut self, a: &Type, b: &Type, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        if matches!(b, Type::Param(_)) {
            let (valid, has) = self.valid_substitution(a, b, depth);
            if valid {
                return true;
            }
            if has {
                return false;
            }
        }
        if matches!(a, Type::Param(_)) {
            return self.valid_substitution(b, a, depth).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        let all = |m: &mut Self, p: &[Type], q: &[Type]| {
            p.len() == q.len() && p.iter().zip(q).all(|(p, q)| m.assign(p, q, depth + 1))
        };
        match (a, b) {
            (Type::Null, t) | (t, Type::Null) => nullable(t),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(p), Type::List(q)) => self.assign(p, q, depth + 1),
            (Type::Map(p), Type::Map(q)) => {
                self.assign(&p.0, &q.0, depth + 1) && self.assign(&p.1, &q.1, depth + 1)
            }
            (Type::Opaque(n, p), Type::Opaque(m, q)) => n == m && all(self, p, q),
            (a, b) => a == b,
        }
    }

    fn valid_substitution(&mut self, t: &Type, variable: &Type, depth: usize) -> (bool, bool) {
        if t == variable {
            return (true, true);
        }
        if let Some(sub) = self.find(variable).cloned() {
            if *t == sub {
                return (true, true);
            }
            if self.assign(t, &sub, depth + 1) {
                let general = most_general(t, &sub);
                if self.not_referenced(variable, &general, 0) {
                    self.add(variable, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.not_referenced(variable, t, 0) {
            self.add(variable, t.clone());
            return (true, false);
        }
        (false, false)
    }

    fn not_referenced(&self, variable: &Type, within: &Type, depth: usize) -> bool {
        if variable == within || depth > DEPTH_MAX {
            return false;
        }
        match within {
            Type::Param(_) => self.find(within).is_none_or(|s| self.not_referenced(variable, s, depth + 1)),
            Type::List(e) => self.not_referenced(variable, e, depth + 1),
            Type::Map(kv) => {
                self.not_referenced(variable, &kv.0, depth + 1)
                    && self.not_referenced(variable, &kv.1, depth + 1)
            }
            Type::Opaque(_, p) => p.iter().all(|t| self.not_referenced(variable, t, depth + 1)),
            Type::Type(Some(t)) => self.not_referenced(variable, t, depth + 1),
            _ => true,
        }
    }

    /// `t` with known type variables replaced; with `to_dyn`, unknown ones by `dyn`.
    pub(crate) fn substitute(&self, t: &Type, to_dyn: bool) -> Type {
        self.substitute_within(t, to_dyn, 0)
    }

    fn substitute_within(&self, t: &Type, to_dyn: bool, depth: usize) -> Type {
        if depth > DEPTH_MAX {
            return Type::Dyn;
        }
        let go = |t: &Type| self.substitute_within(t, to_dyn, depth + 1);
        match t {
            Type::Param(_) => match self.find(t) {
                Some(s) => go(s),
                None if to_dyn => Type::Dyn,
                None => t.clone(),
            },
            Type::List(e) => Type::list(go(e)),
            Type::Map(kv) => Type::map(go(&kv.0), go(&kv.1)),
            Type::Opaque(n, p) if !p.is_empty() => Type::Opaque(n.clone(), p.iter().map(go).collect()),
            Type::Type(Some(t)) => Type::Type(Some(Arc::new(go(t)))),
            t => t.clone(),
        }
    }
}

fn nullable(t: &Type) -> bool {
    matches!(t, Type::Null | Type::Opaque(..) | Type::Struct(_) | Type::Duration | Type::Timestamp)
}

/// The more general of two types that unify.
pub(crate) fn most_general(a: &Type, b: &Type) -> Type {
    if less_specific(a, b, 0) { a.clone() } else { b.clone() }
}

fn less_specific(a: &Type, b: &Type, depth: usize) -> bool {
    if a.is_dyn() || matches!(a, Type::Param(_)) {
        return true;
    }
    if b.is_dyn() || matches!(b, Type::Param(_)) || depth > DEPTH_MAX {
        return false;
    }
    match (a, b) {
        (Type::Opaque(n, p), Type::Opaque(m, q)) => {
            n == m
                && p.len() == q.len()
                && p.iter().zip(q.iter()).all(|(p, q)| less_specific(p, q, depth + 1))
        }
        (Type::List(p), Type::List(q)) => less_specific(p, q, depth + 1),
        (Type::Map(p), Type::Map(q)) => {
            less_specific(&p.0, &q.0, depth + 1) && less_specific(&p.1, &q.1, depth + 1)
        }
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a == b,
    }
}

/// `t` with the variables `params` renamed to fresh ones.
pub(crate) fn instantiate(t: &Type, params: &[Str], fresh: &[Type]) -> Type {
    let go = |t: &Type| instantiate(t, params, fresh);
    match t {
        Type::Param(n) => params.iter().position(|p| p == n).map_or_else(|| t.clone(), |i| fresh[i].clone()),
        Type::List(e) => Type::list(go(e)),
        Type::Map(kv) => Type::map(go(&kv.0), go(&kv.1)),
        Type::Opaque(n, p) => Type::Opaque(n.clone(), p.iter().map(go).collect()),
        Type::Type(Some(t)) => Type::Type(Some(Arc::new(go(t)))),
        t => t.clone(),
    }
}
