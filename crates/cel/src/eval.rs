//! Evaluation, with its cost.
//!
//! Upstream counterparts: cel-go `interpreter/interpretable.go`, `interpreter/attributes.go`,
//! `interpreter/runtimecost.go`. What a node costs is charged where upstream's observer would see it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use std::rc::Rc;

use value::Str;

use crate::decls::Run;
use crate::ops::index_of;
use crate::plan::{Attr, Base, CallNode, Const, Fold, Node, Qualifier, QualifierKey};
use crate::runtime_cost as cost;
use crate::stack::deep;
use crate::val::{Entries, Eval, EvalError, List, Map, StructVal, Val, fail};

/// What a function is told about the call beside the arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    /// Empty if the types decide at run time.
    pub(crate) overload: &'static str,
}

impl Call {
    /// The error for arguments that no overload takes.
    pub(crate) fn no_overload<T>(&self, args: &[Val<'_>]) -> Eval<T> {
        let types: Vec<String> = args.iter().map(|a| a.type_of().runtime_name().to_owned()).collect();
        fail(format!("no such overload: {}({})", self.function, types.join(", ")))
    }
}

/// Runs functions that are never called: the planner has nodes of their own for them.
pub(crate) fn not_callable<'a>(call: &Call, args: &[Val<'a>]) -> Eval<Val<'a>> {
    call.no_overload(args)
}

/// The variables of an evaluation.
#[derive(Clone)]
pub struct Activation<'a> {
    variables: Vec<(Str, Val<'a>)>,
}

impl<'a> Activation<'a> {
    /// No variables.
    pub const fn new() -> Self {
        Self { variables: Vec::new() }
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, v: Val<'a>) -> Self {
        self.set(name, v);
        self
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, v: Val<'a>) {
        match self.variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = v,
            None => self.variables.push((name.into(), v)),
        }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Val<'a>> {
        self.variables.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

impl Default for Activation<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// How much an evaluation may cost, and who may stop it.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'i> {
    /// The most it may cost.
    pub cost: u64,
    /// Set by another thread to stop it.
    pub interrupt: Option<&'i AtomicBool>,
}

/// The most one evaluation may cost: upstream's limit per call.
pub const COST_PER_CALL_MAX: u64 = 1_000_000;

impl Default for Budget<'_> {
    fn default() -> Self {
        Self { cost: COST_PER_CALL_MAX, interrupt: None }
    }
}

impl Budget<'_> {
    /// Upstream's limit per call, or what remains of a larger budget if that is less.
    pub fn remaining(cost: u64) -> Self {
        Self { cost: cost.min(COST_PER_CALL_MAX), interrupt: None }
    }
}

/// Iterations between two looks at [`Budget::interrupt`].
const INTERRUPT_EVERY: u32 = 100;

enum Slot<'a, 'p> {
    Empty,
    /// An accumulator not yet asked for.
    Lazy(&'p Node),
    Set(Eval<Val<'a>>),
}

pub(crate) struct Evaluator<'a, 'p> {
    variables: &'p Activation<'a>,
    slots: Vec<Slot<'a, 'p>>,
    pub(crate) cost: u64,
    budget: Budget<'p>,
    iterations: u32,
    /// Constant lists and maps by their address in the plan.
    constants: HashMap<usize, Val<'a>>,
}

/// Evaluates `root`; also what it cost.
pub(crate) fn evaluate<'a>(
    root: &Node,
    slots: usize,
    variables: &Activation<'a>,
    budget: Budget<'_>,
) -> (Eval<Val<'a>>, u64) {
    let slots = (0..slots).map(|_| Slot::Empty).collect();
    let mut e = Evaluator { variables, slots, cost: 0, budget, iterations: 0, constants: HashMap::new() };
    let result = e.eval(root);
    (result, e.cost)
}

impl<'a, 'p> Evaluator<'a, 'p> {
    fn charge(&mut self, cost: u64) -> Eval<()> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.budget.cost { Err(EvalError::CostLimit) } else { Ok(()) }
    }

    pub(crate) fn eval(&mut self, node: &'p Node) -> Eval<Val<'a>> {
        deep(|| self.eval_here(node))
    }

    fn eval_here(&mut self, node: &'p Node) -> Eval<Val<'a>> {
        match node {
            Node::Const(c @ (Const::List(_) | Const::Map(_))) => Ok(self.constant(c)),
            Node::Const(c) => Ok(c.to_val()),
            Node::Attr(a) => {
                let v = self.resolve(a, false);
                self.keep_cancelled(&v)?;
                self.charge(a.own_cost())?;
                v
            }
            Node::Has(a) => {
                let v = self.resolve(a, true);
                // Upstream takes back the cost of the selection, also where a conditional had none.
                self.cost = self.cost.saturating_sub(1 - a.own_cost());
                v
            }
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Equal(args) | Node::NotEqual(args) => {
                let (a, b) = self.pair(args)?;
                let result = match (&a, &b) {
                    (Ok(a), Ok(b)) => a.equals(b),
                    (Err(e), _) | (_, Err(e)) => Err(e.clone()),
                };
                let (a, b) = (a.as_ref().ok(), b.as_ref().ok());
                if matches!(node, Node::Equal(_)) {
                    self.charge(cost::equal(a, b))?;
                    result.map(Val::Bool)
                } else {
                    self.charge(cost::Rule::Shorter.cost(&[a, b], None))?;
                    result.map(|equal| Val::Bool(!equal))
                }
            }
            Node::Call(c) => self.call(c),
            Node::InSet(set) => {
                let v = self.eval(&set.0)?;
                Ok(Val::Bool(crate::val::Key::of(&v).is_some_and(|k| set.1.contains(&k))))
            }
            Node::List { elements, optional } => {
                let list = self.list(elements, optional);
                self.keep_cancelled(&list)?;
                self.charge(cost::LIST)?;
                list.map(Val::list)
            }
            Node::Map(entries) => {
                let map = self.map(entries);
                self.keep_cancelled(&map)?;
                self.charge(cost::MAP)?;
                map
            }
            Node::Struct { name, fields } => {
                let made = self.structure(name, fields);
                self.keep_cancelled(&made)?;
                self.charge(cost::STRUCT)?;
                made
            }
            Node::Fold(f) => self.fold(f),
            Node::OptionalOr(args) => match self.eval(&args[0])? {
                Val::Optional(None) => self.eval(&args[1]),
                v => Ok(v),
            },
            Node::OptionalOrValue(args) => match self.eval(&args[0])? {
                Val::Optional(None) => self.eval(&args[1]),
                Val::Optional(Some(v)) => Ok((*v).clone()),
                v => Ok(v),
            },
            Node::Append { slot, elements } => self.append(*slot, elements),
            Node::Insert { slot, args } => self.insert(*slot, args),
        }
    }

    /// A constant list or map; built once for an evaluation, since loading it costs nothing.
    fn constant(&mut self, c: &'p Const) -> Val<'a> {
        self.constants.entry(std::ptr::from_ref(c) as usize).or_insert_with(|| c.to_val()).clone()
    }

    /// Stops where an error is one that ends everything; others are for the caller to look at.
    fn keep_cancelled<T>(&self, v: &Eval<T>) -> Eval<()> {
        match v {
            Err(e) if !e.is_absorbable() => Err(e.clone()),
            _ => Ok(()),
        }
    }

    /// Evaluates and keeps an absorbable error as a value of its own.
    fn try_eval(&mut self, node: &'p Node) -> Eval<Eval<Val<'a>>> {
        let v = self.eval(node);
        self.keep_cancelled(&v)?;
        Ok(v)
    }

    fn pair(&mut self, args: &'p [Node; 2]) -> Eval<(Eval<Val<'a>>, Eval<Val<'a>>)> {
        Ok((self.try_eval(&args[0])?, self.try_eval(&args[1])?))
    }

    /// `||` if a true term decides, else `&&`. A deciding term wins over errors before and after it.
    fn logic(&mut self, terms: &'p [Node; 2], decides: bool) -> Eval<Val<'a>> {
        let mut error = None;
        for term in terms {
            match self.try_eval(term)? {
                Ok(Val::Bool(b)) if b == decides => return Ok(Val::Bool(decides)),
                Ok(Val::Bool(_)) => {}
                Ok(_) => error = error.or_else(|| Some(EvalError::no_overload())),
                Err(e) => error = error.or(Some(e)),
            }
        }
        error.map_or(Ok(Val::Bool(!decides)), Err)
    }

    fn call(&mut self, c: &'p CallNode) -> Eval<Val<'a>> {
        if c.args.len() > 2 || c.regex.is_some() {
            return self.call_of_many(c);
        }
        // Both arguments are evaluated, and the call charged, even if the first fails.
        let mut args: [Option<Val<'a>>; 2] = [None, None];
        let mut error = None;
        for (a, slot) in c.args.iter().zip(&mut args) {
            match self.try_eval(a)? {
                Ok(v) => *slot = Some(v),
                Err(e) => error = error.or(Some(e)),
            }
        }
        if c.non_strict {
            self.charge(1)?;
            return Ok(Val::Bool(!matches!(args[0], Some(Val::Bool(false)))));
        }
        if let Some(e) = error {
            let shown = [args[0].as_ref(), args[1].as_ref()];
            if let cost::Rule::SelfCompare(i) = c.cost
                && shown[i].is_none()
            {
                // Its cost is reckoned from a list that is not there.
                return Err(EvalError::Internal(Str::new_static(
                    "interface conversion: *types.Err is not traits.Lister: missing method Add",
                )));
            }
            self.charge(c.cost.cost(&shown[..c.args.len()], None))?;
            return Err(e);
        }
        match args {
            [Some(a), Some(b)] => self.run(c, &[a, b]),
            [Some(a), None] => self.run(c, &[a]),
            _ => self.run(c, &[]),
        }
    }

    /// A call that stops at the first argument that fails. It is only charged if all were evaluated, which
    /// they are if the last one fails.
    fn call_of_many(&mut self, c: &'p CallNode) -> Eval<Val<'a>> {
        let mut args = Vec::with_capacity(c.args.len());
        for a in &c.args {
            match self.try_eval(a)? {
                Ok(v) => args.push(v),
                Err(e) => {
                    if args.len() + 1 == c.args.len() {
                        let mut shown: Vec<_> = args.iter().map(Some).collect();
                        shown.push(None);
                        self.charge(c.cost.cost(&shown, None))?;
                    }
                    return Err(e);
                }
            }
        }
        self.run(c, &args)
    }

    fn run(&mut self, c: &'p CallNode, args: &[Val<'a>]) -> Eval<Val<'a>> {
        let result = match &c.regex {
            Some(regex) => crate::regexes::run(&c.call, regex, args),
            None => (c.run as Run)(&c.call, args),
        };
        let price = match args {
            [a] => c.cost.cost(&[Some(a)], result.as_ref().ok()),
            [a, b] => c.cost.cost(&[Some(a), Some(b)], result.as_ref().ok()),
            _ => {
                let shown: Vec<_> = args.iter().map(Some).collect();
                c.cost.cost(&shown, result.as_ref().ok())
            }
        };
        self.charge(price)?;
        result
    }

    fn list(&mut self, elements: &'p [Node], optional: &[usize]) -> Eval<Vec<Val<'a>>> {
        let mut out = Vec::with_capacity(elements.len());
        for (i, e) in elements.iter().enumerate() {
            let v = self.eval(e)?;
            if optional.binary_search(&i).is_err() {
                out.push(v);
                continue;
            }
            match v {
                Val::Optional(Some(v)) => out.push((*v).clone()),
                Val::Optional(None) => {}
                v => {
                    return fail(format!(
                        "cannot initialize optional list element from non-optional value {v}"
                    ));
                }
            }
        }
        Ok(out)
    }

    fn map(&mut self, entries: &'p [crate::plan::MapNode]) -> Eval<Val<'a>> {
        let mut out = Entries::default();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let value = self.eval(&entry.value)?;
            if !entry.optional {
                out.insert(key, value);
                continue;
            }
            match value {
                Val::Optional(Some(v)) => {
                    out.insert(key, (*v).clone());
                }
                Val::Optional(None) => out.remove(&key),
                v => {
                    return fail(format!(
                        "cannot initialize optional entry '{key}' from non-optional value {v}"
                    ));
                }
            }
        }
        Ok(Val::Map(Map::Entries(Rc::new(out))))
    }

    fn structure(&mut self, name: &Str, fields: &'p [crate::plan::FieldNode]) -> Eval<Val<'a>> {
        let mut out: Vec<(Str, Val<'a>)> = Vec::with_capacity(fields.len());
        for f in fields {
            let mut v = self.eval(&f.value)?;
            if f.optional {
                v = match v {
                    Val::Optional(Some(v)) => (*v).clone(),
                    Val::Optional(None) => {
                        out.retain(|(n, _)| *n != f.name);
                        continue;
                    }
                    v => {
                        return fail(format!(
                            "cannot initialize optional entry '{}' from non-optional value {v}",
                            f.name
                        ));
                    }
                };
            }
            match out.iter_mut().find(|(n, _)| *n == f.name) {
                Some((_, old)) => *old = v,
                None => out.push((f.name.clone(), v)),
            }
        }
        crate::library::structs::make(StructVal { type_name: name.clone(), fields: out })
    }

    fn local(&mut self, slot: usize) -> Eval<Val<'a>> {
        match &self.slots[slot] {
            Slot::Set(v) => v.clone(),
            Slot::Empty => fail("no such attribute(s)"),
            Slot::Lazy(init) => {
                let v = self.try_eval(init)?;
                self.slots[slot] = Slot::Set(v.clone());
                v
            }
        }
    }

    fn step(&mut self) -> Eval<()> {
        self.iterations = self.iterations.wrapping_add(1);
        if self.iterations.is_multiple_of(INTERRUPT_EVERY)
            && self.budget.interrupt.is_some_and(|i| i.load(Ordering::Relaxed))
        {
            return Err(EvalError::Interrupted);
        }
        Ok(())
    }

    fn fold(&mut self, f: &'p Fold) -> Eval<Val<'a>> {
        let range = self.eval(&f.range)?;
        self.slots[f.accu] = Slot::Lazy(&f.init);
        match &range {
            Val::List(l) => {
                for (i, v) in l.iter().enumerate() {
                    if f.two {
                        self.slots[f.slot] = Slot::Set(Ok(Val::Int(i as i64)));
                        self.slots[f.slot + 1] = Slot::Set(v);
                    } else {
                        self.slots[f.slot] = Slot::Set(v);
                    }
                    if !self.turn(f)? {
                        break;
                    }
                }
            }
            Val::Map(m) => {
                for key in m.keys() {
                    if f.two {
                        let v = m
                            .find(&key)
                            .and_then(|v| v.ok_or_else(|| EvalError::new(format!("no such key: {key}"))));
                        self.slots[f.slot + 1] = Slot::Set(v);
                    }
                    self.slots[f.slot] = Slot::Set(Ok(key));
                    if !self.turn(f)? {
                        break;
                    }
                }
            }
            v => {
                let name = v.type_of();
                return fail(format!("got '{}', expected iterable type", name.runtime_name()));
            }
        }
        let result = self.eval(&f.result);
        self.slots[f.accu] = Slot::Empty;
        result
    }

    /// One iteration; whether to go on.
    fn turn(&mut self, f: &'p Fold) -> Eval<bool> {
        if let Ok(Val::Bool(false)) = self.try_eval(&f.condition)? {
            return Ok(false);
        }
        let v = self.try_eval(&f.step)?;
        self.slots[f.accu] = Slot::Set(v);
        self.step()?;
        Ok(true)
    }

    /// Takes an accumulator out of its slot, so that it can be changed in place.
    fn take(&mut self, slot: usize) -> Eval<Eval<Val<'a>>> {
        if let Slot::Lazy(init) = &self.slots[slot] {
            return self.try_eval(init);
        }
        Ok(match std::mem::replace(&mut self.slots[slot], Slot::Empty) {
            Slot::Set(v) => v,
            _ => fail("no such attribute(s)"),
        })
    }

    fn append(&mut self, slot: usize, elements: &'p [Node]) -> Eval<Val<'a>> {
        // The order and the charges of `accumulator + [elements]`.
        let accu = self.take(slot)?;
        self.charge(1)?;
        let added = self.list(elements, &[]);
        self.keep_cancelled(&added)?;
        self.charge(cost::LIST)?;
        self.charge(1)?;
        match accu? {
            Val::List(List::Values(mut values, ty)) => {
                Rc::make_mut(&mut values).extend(added?);
                Ok(Val::List(List::Values(values, ty)))
            }
            v => v.add(&Val::list(added?)),
        }
    }

    fn insert(&mut self, slot: usize, args: &'p [Node]) -> Eval<Val<'a>> {
        let accu = self.take(slot)?;
        self.charge(1)?;
        let three = args.len() == 2;
        if three && let Err(e) = accu {
            return Err(e);
        }
        let mut added = Vec::with_capacity(2);
        let mut error = accu.as_ref().err().cloned();
        for a in args {
            match self.try_eval(a)? {
                Ok(v) => added.push(v),
                Err(e) if three => {
                    // Charged if it was the last argument.
                    self.charge(added.len() as u64)?;
                    return Err(e);
                }
                Err(e) => error = error.or(Some(e)),
            }
        }
        self.charge(1)?;
        if let Some(e) = error {
            return Err(e);
        }
        let Val::Map(Map::Entries(mut entries)) = accu? else { return Err(EvalError::no_overload()) };
        let target = Rc::make_mut(&mut entries);
        match &added[..] {
            [key, value] => Map::insert(target, key.clone(), value.clone())?,
            [Val::Map(m)] => {
                for key in m.keys() {
                    if let Some(value) = m.find(&key)? {
                        Map::insert(target, key, value)?;
                    }
                }
            }
            _ => return Err(EvalError::no_overload()),
        }
        Ok(Val::Map(Map::Entries(entries)))
    }

    fn resolve(&mut self, a: &'p Attr, has: bool) -> Eval<Val<'a>> {
        let base = match &a.base {
            Base::Variable(name) => match self.variables.get(name) {
                Some(v) => v.clone(),
                None => return fail(format!("no such attribute(s): {name}")),
            },
            Base::Local(slot) => self.local(*slot)?,
            Base::Node(n) => self.eval(n)?,
            Base::Conditional(c) => {
                return match self.eval(&c.0)? {
                    Val::Bool(true) => self.resolve(&c.1, has),
                    Val::Bool(false) => self.resolve(&c.2, has),
                    _ => Err(EvalError::no_overload()),
                };
            }
        };
        self.qualify(base, &a.qualifiers, has)
    }

    fn qualify(&mut self, base: Val<'a>, qualifiers: &'p [Qualifier], has: bool) -> Eval<Val<'a>> {
        let mut v = base;
        let mut optional = false;
        if let Val::Optional(inner) = &v {
            match inner {
                Some(inner) => {
                    optional = true;
                    v = inner.undeclared();
                }
                None if has => return Ok(Val::Bool(false)),
                None => return Ok(v),
            }
        }
        for (i, q) in qualifiers.iter().enumerate() {
            optional |= q.optional;
            let test = has && i + 1 == qualifiers.len();
            let absent_is_fine = optional || test;
            let found = match (&q.key, &v) {
                (QualifierKey::Field(name), Val::Map(m)) => match m.find_str(name) {
                    Ok(None) if !absent_is_fine => fail(format!("no such key: {name}")),
                    found => found,
                },
                (QualifierKey::Field(name), v) => find(v, &Val::String(name.clone()), absent_is_fine),
                (QualifierKey::Const(c), v) => find(v, &c.to_val(), absent_is_fine),
                (QualifierKey::Computed(a), _) => {
                    let key = self.resolve(a, false);
                    self.keep_cancelled(&key)?;
                    key.and_then(|key| find(&v, &key, absent_is_fine))
                }
            };
            // What is optional and absent or wrong is not observed, so it costs nothing.
            if !optional || matches!(found, Ok(Some(_))) {
                self.charge(1)?;
            }
            match found? {
                Some(_) if test => return Ok(Val::Bool(true)),
                Some(found) => v = found,
                None if test => return Ok(Val::Bool(false)),
                None => return Ok(Val::Optional(None)),
            }
        }
        Ok(if optional { Val::some(v) } else { v })
    }
}

/// The member of `v` at `key`; with `test`, `None` where there is none.
fn find<'a>(v: &Val<'a>, key: &Val<'a>, test: bool) -> Eval<Option<Val<'a>>> {
    let no_key = || if test { Ok(None) } else { fail(format!("no such key: {key}")) };
    match v {
        Val::Map(m) => match (m, key) {
            (_, Val::String(s)) => m.find_str(s)?,
            _ => m.find(key)?,
        }
        .map_or_else(no_key, |v| Ok(Some(v))),
        Val::List(l) => {
            let i = index_of(key)?;
            match usize::try_from(i) {
                Ok(i) if i < l.len() => l.get(i).map(Some),
                _ if test => Ok(None),
                _ => fail(format!("index out of bounds: {key}")),
            }
        }
        Val::Host(h) => match key {
            Val::String(name) => match h.get(name) {
                Some(v) => v.map(Some),
                None => no_key(),
            },
            _ => no_key(),
        },
        Val::Struct(s) => match key {
            Val::String(name) => match s.fields.iter().find(|(n, _)| n == name) {
                Some((_, v)) => Ok(Some(v.clone())),
                None => no_key(),
            },
            _ => no_key(),
        },
        _ => no_key(),
    }
}
