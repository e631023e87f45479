//! Type checking: gives every node a type and every call its overloads.
//!
//! Upstream counterpart: cel-go `checker/checker.go`.

use value::Str;

use crate::ast::{Call, Comprehension, Expr, Id, Kind, Literal, MapEntry, StructField, op};
use crate::decls::{Function, Overload};
use crate::env::Env;
use crate::issues::Issues;
use crate::parser::Parsed;
use crate::stack::deep;
use crate::types::Type;
use crate::unify::{Mapping, instantiate, most_general};

/// What a name or call in the tree means.
#[derive(Clone, Debug)]
pub(crate) enum Reference {
    /// A variable, by its full name.
    Variable(Str),
    /// A type.
    Type(Type),
    /// A function and the overloads that may apply.
    Function { name: &'static str, overloads: Vec<&'static str>, namespaced: bool },
}

/// A checked expression.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) expr: Expr,
    pub(crate) positions: Vec<u32>,
    /// Types by node id.
    types: Vec<Option<Type>>,
    /// References by node id.
    references: Vec<Option<Reference>>,
}

impl Checked {
    pub(crate) fn type_of(&self, e: &Expr) -> &Type {
        self.types.get(e.id as usize).and_then(Option::as_ref).unwrap_or(&Type::Dyn)
    }

    pub(crate) fn reference(&self, e: &Expr) -> Option<&Reference> {
        self.references.get(e.id as usize)?.as_ref()
    }
}

/// Checks a parsed expression.
///
/// # Errors
/// Everything that does not fit.
pub(crate) fn check(source: &str, parsed: Parsed, env: &Env) -> Result<Checked, Issues> {
    let n = parsed.positions.len();
    let mut c = Checker {
        env,
        positions: &parsed.positions,
        issues: Issues::new(source),
        types: vec![None; n],
        references: vec![None; n],
        mapping: Mapping::default(),
        fresh: 0,
        scopes: Vec::new(),
    };
    c.check(&parsed.expr);
    if !c.issues.is_empty() {
        return Err(c.issues);
    }
    let mapping = c.mapping;
    let types = c.types.into_iter().map(|t| t.map(|t| mapping.substitute(&t, true))).collect();
    let references = c.references;
    Ok(Checked { expr: parsed.expr, types, references, positions: parsed.positions })
}

struct Checker<'e> {
    env: &'e Env,
    positions: &'e [u32],
    issues: Issues,
    types: Vec<Option<Type>>,
    references: Vec<Option<Reference>>,
    mapping: Mapping,
    fresh: usize,
    /// Variables of comprehensions, innermost last.
    scopes: Vec<(Str, Type)>,
}

impl Checker<'_> {
    fn error(&mut self, id: Id, message: String) {
        let position = self.positions.get(id as usize).copied();
        self.issues.report(position, message);
    }

    fn set(&mut self, e: &Expr, t: Type) {
        if let Some(slot) = self.types.get_mut(e.id as usize) {
            *slot = Some(t);
        }
    }

    fn get(&self, e: &Expr) -> Type {
        self.types.get(e.id as usize).and_then(Clone::clone).unwrap_or(Type::Error)
    }

    fn refer(&mut self, e: &Expr, r: Reference) {
        if let Some(slot) = self.references.get_mut(e.id as usize) {
            *slot = Some(r);
        }
    }

    fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        self.mapping.assignable(&[a], &[b])
    }

    fn fresh_variable(&mut self) -> Type {
        self.fresh += 1;
        Type::Param(format!("_var{}", self.fresh - 1).into())
    }

    fn mismatch(&mut self, id: Id, expected: &Type, actual: &Type) {
        self.error(id, format!("expected type '{expected}' but found '{actual}'"));
    }

    fn undeclared(&mut self, e: &Expr, name: &str) {
        self.set(e, Type::Error);
        self.error(e.id, format!("undeclared reference to '{name}' (in container '')"));
    }

    /// A variable or type by name.
    fn lookup(&self, name: &str) -> Option<(Reference, Type)> {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some((n, t)) = self.scopes.iter().rev().find(|(n, _)| n == name) {
            return Some((Reference::Variable(n.clone()), t.clone()));
        }
        if let Some((n, t)) = self.env.variable(name) {
            return Some((Reference::Variable(n.clone()), t.clone()));
        }
        let t = self.env.find_type(name)?;
        Some((Reference::Type(t.clone()), Type::type_of(t)))
    }

    fn check(&mut self, e: &Expr) {
        deep(|| self.check_here(e));
    }

    fn check_here(&mut self, e: &Expr) {
        match &e.kind {
            Kind::Unspecified => self.set(e, Type::Error),
            Kind::Literal(l) => self.set(e, literal_type(l)),
            Kind::Ident(name) => match self.lookup(name) {
                Some((r, t)) => {
                    self.set(e, t);
                    self.refer(e, r);
                }
                None => self.undeclared(e, name),
            },
            Kind::Select { operand, field, test_only } => self.select(e, operand, field, *test_only),
            Kind::Call(c) => self.call(e, c),
            Kind::List { elements, optional } => self.list(e, elements, optional),
            Kind::Map(entries) => self.map(e, entries),
            Kind::Struct { name, fields } => self.structure(e, name, fields),
            Kind::Comprehension(c) => self.comprehension(e, c),
        }
    }

    fn select(&mut self, e: &Expr, operand: &Expr, field: &str, test_only: bool) {
        // A qualified name, unless its head is a plain variable.
        if !test_only
            && !self.head_is_variable(operand)
            && let Some(name) = e.qualified_name()
            && let Some((r, t)) = self.lookup(&name)
        {
            self.set(e, t);
            self.refer(e, r);
            return;
        }
        let t = self.field(e, operand, field, false);
        let t = if test_only { Type::Bool } else { self.mapping.substitute(&t, false) };
        self.set(e, t);
    }

    /// Whether a chain of selections starts at a variable, and so is no qualified name itself.
    fn head_is_variable(&self, mut e: &Expr) -> bool {
        loop {
            match &e.kind {
                Kind::Ident(name) if self.env.has_variables_under(name) => return false,
                Kind::Ident(name) => {
                    return self.scopes.iter().any(|(n, _)| n == name) || self.env.variable(name).is_some();
                }
                Kind::Select { operand, .. } => e = operand,
                _ => return true,
            }
        }
    }

    fn field(&mut self, e: &Expr, operand: &Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let operand_type = self.mapping.substitute(&self.get(operand), false);
        let (target, is_optional) = match operand_type.as_optional() {
            Some(t) => (t.clone(), true),
            None => (operand_type, false),
        };
        let result = match &target {
            Type::Map(kv) => kv.1.clone(),
            Type::Struct(name) => self.struct_field(e.id, name, field).unwrap_or(Type::Error),
            Type::Param(_) => {
                self.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            _ => {
                self.error(e.id, format!("type '{target}' does not support field selection"));
                Type::Dyn
            }
        };
        if is_optional || optional { Type::optional(result) } else { result }
    }

    fn struct_field(&mut self, id: Id, type_name: &str, field: &str) -> Option<Type> {
        match self.env.struct_field(type_name, field) {
            None => {
                self.error(id, format!("unexpected failed resolution of '{type_name}'"));
                None
            }
            Some(None) => {
                self.error(id, format!("undefined field '{field}'"));
                None
            }
            Some(t) => t,
        }
    }

    fn call(&mut self, e: &Expr, call: &Call) {
        if call.function == op::OPT_SELECT {
            return self.opt_select(e, call);
        }
        for arg in &call.args {
            self.check(arg);
        }
        let Some(target) = &call.target else {
            let name = call.function.strip_prefix('.').unwrap_or(&call.function);
            return match self.env.function(name) {
                Some(f) => self.resolve(e, f, None, &call.args, false),
                None => self.undeclared(e, &call.function),
            };
        };
        if let Some(prefix) = target.qualified_name()
            && let Some(f) =
                self.env.function(format!("{}.{}", prefix.trim_start_matches('.'), call.function).as_str())
        {
            return self.resolve(e, f, None, &call.args, true);
        }
        self.check(target);
        match self.env.function(&call.function) {
            Some(f) => self.resolve(e, f, Some(target), &call.args, false),
            None => self.undeclared(e, &call.function),
        }
    }

    fn opt_select(&mut self, e: &Expr, call: &Call) {
        let [operand, field] = &call.args[..] else { return };
        let Kind::Literal(Literal::String(name)) = &field.kind else { return };
        let t = self.field(e, operand, name, true);
        let t = self.mapping.substitute(&t, false);
        self.set(e, t);
        self.refer(
            e,
            Reference::Function {
                name: op::OPT_SELECT,
                overloads: vec!["select_optional_field"],
                namespaced: false,
            },
        );
    }

    fn resolve(&mut self, e: &Expr, f: &Function, target: Option<&Expr>, args: &[Expr], namespaced: bool) {
        let arg_types: Vec<Type> = target.into_iter().chain(args).map(|a| self.get(a)).collect();
        if f.name == op::AND || f.name == op::OR {
            return self.logic(e, f, args, &arg_types);
        }
        let mut overloads = Vec::new();
        let mut result: Option<Type> = None;
        for overload in f.overloads.iter().filter(|o| o.member == target.is_some()) {
            let Some(t) = self.try_overload(overload, &arg_types) else { continue };
            overloads.push(overload.id);
            result = Some(match result {
                None => t,
                Some(r) if r.is_dyn() || r == t => r,
                Some(_) => Type::Dyn,
            });
        }
        match result {
            Some(t) => {
                self.set(e, t);
                self.refer(e, Reference::Function { name: f.name, overloads, namespaced });
            }
            None => {
                let shown: Vec<String> =
                    arg_types.iter().map(|t| self.mapping.substitute(t, true).to_string()).collect();
                let signature = match (target, shown.split_first()) {
                    (Some(_), Some((first, rest))) => format!("{first}.({})", rest.join(", ")),
                    _ => format!("({})", shown.join(", ")),
                };
                self.error(
                    e.id,
                    format!("found no matching overload for '{}' applied to '{signature}'", f.name),
                );
                self.set(e, Type::Error);
            }
        }
    }

    fn logic(&mut self, e: &Expr, f: &Function, args: &[Expr], arg_types: &[Type]) {
        let mut ok = true;
        for (arg, t) in args.iter().zip(arg_types) {
            if !self.assignable(t, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, t);
                ok = false;
            }
        }
        self.set(e, if ok { Type::Bool } else { Type::Error });
        let overloads = f.overloads.iter().map(|o| o.id).collect();
        self.refer(e, Reference::Function { name: f.name, overloads, namespaced: false });
    }

    /// The result type, if the overload takes these arguments.
    fn try_overload(&mut self, overload: &Overload, arg_types: &[Type]) -> Option<Type> {
        if overload.args.len() != arg_types.len() {
            // Upstream instantiates type variables before it counts the arguments: keep their numbering.
            self.fresh += overload.params.len();
            return None;
        }
        let from: Vec<&Type> = arg_types.iter().collect();
        if overload.params.is_empty() {
            let to: Vec<&Type> = overload.args.iter().collect();
            return self.mapping.assignable(&from, &to).then(|| overload.result.clone());
        }
        let fresh: Vec<Type> = overload.params.iter().map(|_| self.fresh_variable()).collect();
        let to: Vec<Type> = overload.args.iter().map(|a| instantiate(a, &overload.params, &fresh)).collect();
        let to: Vec<&Type> = to.iter().collect();
        if !self.mapping.assignable(&from, &to) {
            return None;
        }
        let result = instantiate(&overload.result, &overload.params, &fresh);
        Some(self.mapping.substitute(&result, false))
    }

    /// The type of an element that is marked optional: what is inside the optional.
    fn unwrap_optional(&mut self, e: &Expr, t: Type) -> Type {
        match t.as_optional() {
            Some(inner) => inner.clone(),
            None => {
                if !t.is_dyn() {
                    self.mismatch(e.id, &Type::optional(t.clone()), &t);
                }
                t
            }
        }
    }

    /// The type of elements of both types. Where they differ the literal is dynamic; a
    /// [validator](crate::validators) refuses it if all else is right.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.assignable(&previous, &current) { most_general(&previous, &current) } else { Type::Dyn }
    }

    fn list(&mut self, e: &Expr, elements: &[Expr], optional: &[usize]) {
        let mut element_type = None;
        for (i, element) in elements.iter().enumerate() {
            self.check(element);
            let mut t = self.get(element);
            if optional.binary_search(&i).is_ok() {
                t = self.unwrap_optional(element, t);
            }
            element_type = Some(self.join(element_type, t));
        }
        let t = element_type.unwrap_or_else(|| self.fresh_variable());
        self.set(e, Type::list(t));
    }

    fn map(&mut self, e: &Expr, entries: &[MapEntry]) {
        let (mut key_type, mut value_type) = (None, None);
        for entry in entries {
            self.check(&entry.key);
            let t = self.get(&entry.key);
            key_type = Some(self.join(key_type, t));
            self.check(&entry.value);
            let mut t = self.get(&entry.value);
            if entry.optional {
                t = self.unwrap_optional(&entry.value, t);
            }
            value_type = Some(self.join(value_type, t));
        }
        let k = key_type.unwrap_or_else(|| self.fresh_variable());
        let v = value_type.unwrap_or_else(|| self.fresh_variable());
        self.set(e, Type::map(k, v));
    }

    fn structure(&mut self, e: &Expr, name: &str, fields: &[StructField]) {
        let Some((reference, ident_type)) = self.lookup(name) else {
            return self.undeclared(e, name);
        };
        let mut result = Type::Error;
        match &ident_type {
            Type::Error => {}
            Type::Type(Some(t)) => match &**t {
                t @ (Type::Struct(_) | Type::Timestamp | Type::Duration | Type::Dyn | Type::Null) => {
                    result = t.clone();
                }
                t => self.error(e.id, format!("'{}' is not a message type", t.declared_name())),
            },
            t => self.error(e.id, format!("'{}' is not a type", t.declared_name())),
        }
        self.refer(e, reference);
        self.set(e, result.clone());
        let type_name = match &result {
            Type::Struct(n) => n.to_string(),
            t => t.runtime_name().to_owned(),
        };
        for f in fields {
            self.check(&f.value);
            let field_type = self.struct_field(f.id, &type_name, &f.name).unwrap_or(Type::Error);
            let mut t = self.get(&f.value);
            if f.optional {
                t = self.unwrap_optional(&f.value, t);
            }
            if !self.assignable(&field_type, &t) {
                self.error(
                    f.id,
                    format!(
                        "expected type of field '{}' is '{field_type}' but provided type is '{t}'",
                        f.name
                    ),
                );
            }
        }
    }

    fn comprehension(&mut self, e: &Expr, c: &Comprehension) {
        self.check(&c.range);
        self.check(&c.init);
        let range_type = self.mapping.substitute(&self.get(&c.range), false);
        let accu_type = self.get(&c.init);
        self.scopes.push((c.accu.clone(), accu_type.clone()));
        let two = c.var2.is_some();
        let (var, var2) = match &range_type {
            Type::List(element) if two => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Error),
            Type::Map(kv) => (kv.0.clone(), kv.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.assignable(&Type::Dyn, &range_type);
                (Type::Dyn, Type::Dyn)
            }
            t => {
                let message = format!(
                    "expression of type '{t}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.error(c.range.id, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((c.var.clone(), var));
        if let Some(name) = &c.var2 {
            self.scopes.push((name.clone(), var2));
        }
        self.check(&c.condition);
        self.assert(&c.condition, &Type::Bool);
        self.check(&c.step);
        self.assert(&c.step, &accu_type);
        self.scopes.truncate(self.scopes.len() - 1 - usize::from(two));
        self.check(&c.result);
        self.scopes.pop();
        let t = self.mapping.substitute(&self.get(&c.result), false);
        self.set(e, t);
    }

    fn assert(&mut self, e: &Expr, expected: &Type) {
        let t = self.get(e);
        if !self.assignable(expected, &t) {
            self.mismatch(e.id, expected, &t);
        }
    }
}

fn literal_type(l: &Literal) -> Type {
    match l {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
