//! What an expression costs at least and at most, before it runs.
//!
//! Upstream counterparts: cel-go `checker/cost.go`, apiserver `pkg/cel/library/cost.go`
//! (`EstimateCallCost`). The numbers decide which custom resource definitions are accepted, so every rule
//! here is part of the API.

use std::collections::HashMap;
use std::ops::Add;

use value::Str;

use crate::ast::{Call, Comprehension, Expr, Id, Kind, Literal, op};
use crate::checker::{Checked, Reference};
use crate::runtime_cost::{AUTHORIZATION, LIST, MAP, REGEX, STRUCT, TRAVERSAL};
use crate::stack::deep;
use crate::types::Type;

/// Bounds of the size of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeEstimate {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

/// Bounds of the cost of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostEstimate {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

fn by_factor(x: u64, factor: f64) -> u64 {
    let product = x as f64 * factor;
    if product >= 18446744073709551616.0 { u64::MAX } else { product.ceil() as u64 }
}

impl SizeEstimate {
    const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    const fn fixed(n: u64) -> Self {
        Self { min: n, max: n }
    }

    fn add(self, o: Self) -> Self {
        Self { min: self.min.saturating_add(o.min), max: self.max.saturating_add(o.max) }
    }

    fn multiply(self, o: Self) -> Self {
        Self { min: self.min.saturating_mul(o.min), max: self.max.saturating_mul(o.max) }
    }

    fn union(self, o: Self) -> Self {
        Self { min: self.min.min(o.min), max: self.max.max(o.max) }
    }

    fn factor(self, f: f64) -> CostEstimate {
        CostEstimate { min: by_factor(self.min, f), max: by_factor(self.max, f) }
    }

    fn times(self, c: CostEstimate) -> CostEstimate {
        CostEstimate { min: self.min.saturating_mul(c.min), max: self.max.saturating_mul(c.max) }
    }
}

impl CostEstimate {
    const fn fixed(n: u64) -> Self {
        Self { min: n, max: n }
    }

    fn multiply(self, o: Self) -> Self {
        Self { min: self.min.saturating_mul(o.min), max: self.max.saturating_mul(o.max) }
    }

    fn union(self, o: Self) -> Self {
        Self { min: self.min.min(o.min), max: self.max.max(o.max) }
    }

    fn factor(self, f: f64) -> Self {
        Self { min: by_factor(self.min, f), max: by_factor(self.max, f) }
    }
}

impl Add for CostEstimate {
    type Output = Self;

    /// The cost of both.
    fn add(self, o: Self) -> Self {
        Self { min: self.min.saturating_add(o.min), max: self.max.saturating_add(o.max) }
    }
}

/// A node whose size is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Node<'n> {
    /// Where the value comes from: a variable, then field names and `@items`, `@keys`, `@values`,
    /// `@indices`. Empty if it does not come straight from a variable.
    pub path: &'n [Str],
    /// Its type.
    pub ty: &'n Type,
}

/// Knows sizes of values that come from outside.
pub trait SizeEstimator {
    /// The bounds, if known.
    fn estimate_size(&self, node: &Node<'_>) -> Option<SizeEstimate>;
}

/// Knows no sizes.
#[derive(Clone, Copy, Debug)]
pub struct NoSizes;

impl SizeEstimator for NoSizes {
    fn estimate_size(&self, _: &Node<'_>) -> Option<SizeEstimate> {
        None
    }
}

/// Estimates the cost of a checked expression.
pub(crate) fn estimate(checked: &Checked, sizes: &dyn SizeEstimator) -> CostEstimate {
    let mut c = Coster {
        checked,
        sizes,
        paths: HashMap::new(),
        locals: HashMap::new(),
        computed: HashMap::new(),
        entries: HashMap::new(),
    };
    c.cost(&checked.expr)
}

/// Sizes of the keys and values of a container.
#[derive(Clone, Copy)]
struct EntrySize {
    list: bool,
    key: SizeEstimate,
    val: SizeEstimate,
}

#[derive(Clone)]
struct Local {
    path: Vec<Str>,
    size: Option<SizeEstimate>,
    entry: Option<EntrySize>,
}

/// An argument as the functions' rules see it.
struct Arg<'n> {
    path: Vec<Str>,
    ty: Type,
    expr: &'n Expr,
    size: Option<SizeEstimate>,
}

struct CallEstimate {
    cost: CostEstimate,
    result: Option<SizeEstimate>,
}

impl From<CostEstimate> for CallEstimate {
    fn from(cost: CostEstimate) -> Self {
        Self { cost, result: None }
    }
}

struct Coster<'c> {
    checked: &'c Checked,
    sizes: &'c dyn SizeEstimator,
    paths: HashMap<Id, Vec<Str>>,
    locals: HashMap<Str, Vec<Local>>,
    computed: HashMap<Id, SizeEstimate>,
    entries: HashMap<Id, EntrySize>,
}

/// Fields of a path beyond this many say nothing more: no schema nests so deep.
const PATH_MAX: usize = 1000;

fn extend(mut path: Vec<Str>, part: &str) -> Vec<Str> {
    if path.len() < PATH_MAX {
        path.push(part.into());
    }
    path
}

impl Coster<'_> {
    fn ty(&self, e: &Expr) -> &Type {
        self.checked.type_of(e)
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|s| s.last())
    }

    fn path(&self, e: &Expr) -> Vec<Str> {
        if let Kind::Ident(name) = &e.kind
            && let Some(l) = self.local(name)
        {
            return l.path.clone();
        }
        self.paths.get(&e.id).cloned().unwrap_or_default()
    }

    fn cost(&mut self, e: &Expr) -> CostEstimate {
        deep(|| self.cost_here(e))
    }

    fn cost_here(&mut self, e: &Expr) -> CostEstimate {
        match &e.kind {
            Kind::Unspecified | Kind::Literal(_) => CostEstimate::default(),
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |l| l.path.clone());
                self.paths.insert(e.id, path);
                CostEstimate::fixed(1)
            }
            Kind::Select { operand, field, test_only } => {
                let mut sum = self.cost(operand);
                if *test_only {
                    return sum; // has() itself is free in Kubernetes
                }
                if matches!(self.ty(operand), Type::Map(_) | Type::Struct(_) | Type::Param(_)) {
                    sum = sum.add(CostEstimate::fixed(1));
                }
                let path = extend(self.path(operand), field);
                self.paths.insert(e.id, path);
                sum
            }
            Kind::Call(c) => self.call(e, c),
            Kind::List { elements, .. } => {
                let mut sum = CostEstimate::default();
                let mut val = SizeEstimate { min: if elements.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for x in elements {
                    sum = sum.add(self.cost(x));
                    val = val.union(self.size_or_unknown(x));
                }
                self.entries.insert(e.id, EntrySize { list: true, key: SizeEstimate::fixed(1), val });
                sum.add(CostEstimate::fixed(LIST))
            }
            Kind::Map(pairs) => {
                let mut sum = CostEstimate::default();
                let mut key = SizeEstimate { min: if pairs.is_empty() { 0 } else { u64::MAX }, max: 0 };
                let mut val = key;
                for p in pairs {
                    sum = sum.add(self.cost(&p.key)).add(self.cost(&p.value));
                    key = key.union(self.size_or_unknown(&p.key));
                    val = val.union(self.size_or_unknown(&p.value));
                }
                self.entries.insert(e.id, EntrySize { list: false, key, val });
                sum.add(CostEstimate::fixed(MAP))
            }
            Kind::Struct { fields, .. } => {
                let sum = fields.iter().fold(CostEstimate::default(), |sum, f| sum.add(self.cost(&f.value)));
                sum.add(CostEstimate::fixed(STRUCT))
            }
            Kind::Comprehension(c) if c.is_bind() => {
                let sum = self.cost(&c.range).add(self.cost(&c.init));
                self.push_value(&c.accu, &c.init);
                let sum = sum.add(self.cost(&c.result));
                self.pop(&c.accu);
                self.copy_sizes(e, &c.result);
                sum
            }
            Kind::Comprehension(c) => self.comprehension(e, c),
        }
    }

    fn push(&mut self, name: &Str, local: Local) {
        self.locals.entry(name.clone()).or_default().push(local);
    }

    fn pop(&mut self, name: &str) {
        if let Some(stack) = self.locals.get_mut(name) {
            stack.pop();
        }
    }

    fn push_value(&mut self, name: &Str, e: &Expr) {
        let local = Local { path: self.path(e), size: self.size(e), entry: self.entry_size(e) };
        self.push(name, local);
    }

    fn push_iteration(&mut self, name: &Str, range: &Expr, keys: bool, single: bool) {
        let entry = self.entry_size(range);
        let list = entry.map_or_else(|| matches!(self.ty(range), Type::List(_)), |e| e.list);
        let keys = if single { !list } else { keys };
        let size = entry.map(|e| if keys { e.key } else { e.val });
        let part = match (keys, list) {
            (true, true) => "@indices",
            (true, false) => "@keys",
            (false, true) => "@items",
            (false, false) => "@values",
        };
        let path = extend(self.path(range), part);
        self.push(name, Local { path, size, entry: None });
    }

    fn comprehension(&mut self, e: &Expr, c: &Comprehension) -> CostEstimate {
        let mut sum = self.cost(&c.range).add(self.cost(&c.init));
        self.push_value(&c.accu, &c.init);
        match &c.var2 {
            Some(second) => {
                self.push_iteration(&c.var, &c.range, true, false);
                self.push_iteration(second, &c.range, false, false);
            }
            None => self.push_iteration(&c.var, &c.range, false, true),
        }
        let turn = self.cost(&c.condition).add(self.cost(&c.step));
        self.pop(&c.var);
        if let Some(second) = &c.var2 {
            self.pop(second);
        }
        sum = sum.add(self.cost(&c.result));
        self.pop(&c.accu);
        let count = self.size_or_unknown(&c.range);
        sum = sum.add(count.times(turn));
        match c.init.kind {
            Kind::Literal(_) => {
                if let Some(s) = self.size(&c.init) {
                    self.computed.insert(e.id, s);
                }
            }
            Kind::List { .. } | Kind::Map(_) => {
                self.computed.insert(e.id, count);
                if let Some(s) = self.entry_size(&c.step) {
                    self.entries.insert(e.id, s);
                }
            }
            _ => {}
        }
        sum
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(s) = self.size(from) {
            self.computed.insert(to.id, s);
        }
        if let Some(s) = self.entry_size(from) {
            self.entries.insert(to.id, s);
        }
    }

    fn size(&mut self, e: &Expr) -> Option<SizeEstimate> {
        if let Some(s) = self.computed.get(&e.id) {
            return Some(*s);
        }
        if let Some(n) = literal_size(e) {
            return Some(SizeEstimate::fixed(n));
        }
        let path = self.path(e);
        if let Some(s) = self.sizes.estimate_size(&Node { path: &path, ty: self.ty(e) }) {
            self.computed.insert(e.id, s);
            return Some(s);
        }
        if self.ty(e).is_scalar() {
            return Some(SizeEstimate::fixed(1));
        }
        match &e.kind {
            Kind::Ident(name) => self.local(name).and_then(|l| l.size),
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, e: &Expr) -> SizeEstimate {
        self.size(e).unwrap_or(SizeEstimate::UNKNOWN)
    }

    fn entry_size(&self, e: &Expr) -> Option<EntrySize> {
        if let Some(s) = self.entries.get(&e.id) {
            return Some(*s);
        }
        match &e.kind {
            Kind::Ident(name) => self.local(name).and_then(|l| l.entry),
            _ => None,
        }
    }

    fn arg<'n>(&mut self, e: &'n Expr) -> Arg<'n> {
        let mut path = self.path(e);
        if path.first().is_some_and(|p| p == "__result__" || p == crate::macros::ACCUMULATOR) {
            path.clear();
        }
        Arg { path, ty: self.ty(e).clone(), expr: e, size: self.size(e) }
    }

    fn call(&mut self, e: &Expr, call: &Call) -> CostEstimate {
        if call.function == "dyn"
            && let Some(arg) = call.args.first()
        {
            let cost = self.cost(arg);
            self.copy_sizes(e, arg);
            return cost.add(CostEstimate::fixed(1));
        }
        let mut args = Vec::with_capacity(call.args.len());
        let mut costs = Vec::with_capacity(call.args.len());
        for a in &call.args {
            costs.push(self.cost(a));
            args.push(self.arg(a));
        }
        let checked = self.checked;
        let Some(Reference::Function { name, overloads, namespaced }) = checked.reference(e) else {
            return CostEstimate::default();
        };
        let mut sum = CostEstimate::default();
        let target = call.target.as_ref().filter(|_| !namespaced).map(|t| {
            sum = self.cost(t);
            self.arg(t)
        });
        let mut cost = CostEstimate { min: u64::MAX, max: 0 };
        let mut result: Option<SizeEstimate> = None;
        for overload in overloads {
            let one = self.function(e, name, overload, target.as_ref(), &args, &costs);
            cost = cost.union(one.cost);
            if let Some(s) = one.result {
                result = Some(result.map_or(s, |r| r.union(s)));
            }
            if let (Some(container), "index_list" | "index_map") = (call.args.first(), *overload) {
                result = self.entry_size(container).map(|s| s.val);
                let part = if *overload == "index_list" { "@items" } else { "@values" };
                let path = extend(self.path(container), part);
                self.paths.insert(e.id, path);
            }
            if result.is_none() {
                result = self.size(e);
            }
        }
        if let Some(s) = result {
            self.computed.insert(e.id, s);
        }
        sum.add(cost)
    }

    fn function(
        &mut self,
        e: &Expr,
        name: &str,
        overload: &str,
        target: Option<&Arg<'_>>,
        args: &[Arg<'_>],
        costs: &[CostEstimate],
    ) -> CallEstimate {
        let arg_sum = costs.iter().fold(CostEstimate::default(), |sum, c| sum.add(*c));
        if let Some(one) = self.of_overload(overload, target, args) {
            return CallEstimate { cost: one.cost.add(arg_sum), result: one.result };
        }
        if let Some(one) = self.kubernetes(name, overload, target, args) {
            return CallEstimate { cost: one.cost.add(arg_sum), result: one.result };
        }
        let size = |a: &Arg<'_>| a.size.unwrap_or(SizeEstimate::UNKNOWN);
        let with = |cost: CostEstimate, result: Option<SizeEstimate>| CallEstimate {
            cost: cost.add(arg_sum),
            result,
        };
        match (overload, target, args) {
            ("string_format", Some(t), _) => with(size(t).factor(TRAVERSAL), None),
            ("string_to_bytes", _, [a]) => {
                let s = size(a);
                // Upstream's multiplication wraps around here.
                with(s.factor(TRAVERSAL), Some(SizeEstimate { min: s.min, max: s.max.wrapping_mul(4) }))
            }
            ("bytes_to_string", _, [a]) => {
                let s = size(a);
                with(s.factor(TRAVERSAL), Some(SizeEstimate { min: s.min / 4, max: s.max }))
            }
            ("strings_quote", _, [a]) => {
                let s = size(a);
                let result =
                    SizeEstimate { min: s.min.wrapping_add(2), max: s.max.wrapping_mul(2).wrapping_add(2) };
                with(s.factor(TRAVERSAL), Some(result))
            }
            ("starts_with_string" | "ends_with_string", _, [a]) => with(size(a).factor(TRAVERSAL), None),
            ("in_list", _, [_, list]) => with(size(list).factor(1.0), None),
            ("matches_string", Some(t), [pattern]) => {
                let text = size(t).add(SizeEstimate::fixed(1)).factor(TRAVERSAL);
                with(text.multiply(size(pattern).factor(REGEX)), None)
            }
            ("contains_string", Some(t), [part]) => {
                with(size(t).factor(TRAVERSAL).multiply(size(part).factor(TRAVERSAL)), None)
            }
            ("logical_or" | "logical_and", _, [_, _]) => {
                let cost = CostEstimate { min: costs[0].min, max: costs[0].add(costs[1]).max };
                cost.into()
            }
            ("conditional", _, [_, then, otherwise]) => {
                let result = size(then).union(size(otherwise));
                self.join_entries(e, then.expr, otherwise.expr);
                let cost = costs[0].add(costs[1].union(costs[2]));
                CallEstimate { cost, result: Some(result) }
            }
            ("add_string" | "add_bytes" | "add_list", _, [a, b]) => {
                let result = size(a).add(size(b));
                self.join_entries(e, a.expr, b.expr);
                let cost =
                    if overload == "add_list" { CostEstimate::fixed(1) } else { result.factor(TRAVERSAL) };
                with(cost, Some(result))
            }
            (
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals",
                _,
                [a, b],
            ) => {
                let max = size(a).max.min(size(b).max);
                with(CostEstimate { min: u64::from(max > 0), max }.factor(TRAVERSAL), None)
            }
            _ => with(CostEstimate::fixed(1), None),
        }
    }

    fn join_entries(&mut self, e: &Expr, a: &Expr, b: &Expr) {
        if let (Some(a), Some(b)) = (self.entry_size(a), self.entry_size(b)) {
            let joined = EntrySize { list: a.list, key: a.key.union(b.key), val: a.val.union(b.val) };
            self.entries.insert(e.id, joined);
        }
    }

    fn arg_size(&self, a: &Arg<'_>) -> SizeEstimate {
        a.size
            .or_else(|| self.sizes.estimate_size(&Node { path: &a.path, ty: &a.ty }))
            .unwrap_or(SizeEstimate::UNKNOWN)
    }

    /// The element type of a list, and the size of its elements.
    fn element(&self, list: &Arg<'_>) -> Option<(Type, SizeEstimate)> {
        let ty = match &list.ty {
            Type::List(e) => (**e).clone(),
            Type::Map(kv) => kv.0.clone(),
            Type::Opaque(_, p) => p.first()?.clone(),
            Type::Type(Some(t)) => (**t).clone(),
            _ => return None,
        };
        let path = if list.path.is_empty() { Vec::new() } else { extend(list.path.clone(), "@items") };
        let size = self.sizes.estimate_size(&Node { path: &path, ty: &ty }).unwrap_or(SizeEstimate::UNKNOWN);
        Some((ty, size))
    }

    /// The rules that the libraries of lists and sets bring for their overloads.
    fn of_overload(
        &self,
        overload: &str,
        target: Option<&Arg<'_>>,
        args: &[Arg<'_>],
    ) -> Option<CallEstimate> {
        let size = |a: &Arg<'_>| self.arg_size(a);
        let new_list = |factor: f64, list: SizeEstimate| {
            let cost = list.factor(factor).add(CostEstimate::fixed(1)).add(CostEstimate::fixed(LIST));
            Some(CallEstimate { cost, result: Some(list) })
        };
        // A literal's value where it is an integer.
        let literal = |a: &Arg<'_>, default: u64| match &a.expr.kind {
            Kind::Literal(Literal::Int(i)) => u64::try_from(*i).unwrap_or(0),
            _ => default,
        };
        let squared = |a: &Arg<'_>, texts: bool| {
            let s = size(a);
            new_list(if texts { 2.0 + TRAVERSAL } else { 2.0 }, s.multiply(s))
        };
        let texts = overload.starts_with("list_string_") || overload.starts_with("list_bytes_");
        match (overload, target, args) {
            (
                "list_sets_contains_list" | "list_sets_intersects_list" | "list_sets_equivalent_list",
                _,
                [a, b],
            ) => {
                let factor = if overload == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
                Some(size(a).multiply(size(b)).factor(factor).add(CostEstimate::fixed(1)).into())
            }
            ("list_slice", Some(t), [start, end]) => {
                let n = literal(end, size(t).max).wrapping_sub(literal(start, 0));
                new_list(1.0, SizeEstimate::fixed(n))
            }
            ("list_flatten" | "list_flatten_int", Some(t), [] | [_]) => {
                let depth = args.first().map_or(1, |d| literal(d, u64::MAX));
                new_list(depth as f64, size(t))
            }
            ("lists_range", None, [n]) => new_list(1.0, SizeEstimate::fixed(literal(n, u64::MAX))),
            ("list_reverse", Some(t), []) => new_list(1.0, size(t)),
            ("list_distinct", Some(t), []) => squared(t, false),
            (o, Some(t), []) if o.starts_with("list_") && o.ends_with("_sort") => squared(t, texts),
            (o, Some(_), [keys]) if o.ends_with("_sortByAssociatedKeys") => squared(keys, texts),
            _ => None,
        }
    }

    /// The rules of Kubernetes' libraries, which go before the language's own.
    fn kubernetes(
        &self,
        name: &str,
        overload: &str,
        target: Option<&Arg<'_>>,
        args: &[Arg<'_>],
    ) -> Option<CallEstimate> {
        let size = |a: &Arg<'_>| self.arg_size(a);
        let one = || Some(CostEstimate::fixed(1).into());
        match name {
            "check" => Some(CostEstimate::fixed(AUTHORIZATION).into()),
            "serviceAccount" | "path" | "group" | "resource" | "subresource" | "namespace" | "name"
            | "allowed" | "reason" | "error" | "errored" => one(),
            "fieldSelector" | "labelSelector" => {
                let [a] = args else { return None };
                let s = size(a);
                let requirements = s.factor(0.5).factor((LIST + STRUCT) as f64);
                Some(CostEstimate::fixed(LIST).add(s.factor(TRAVERSAL)).add(requirements).into())
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let t = target?;
                let Some((ty, element)) = self.element(t) else {
                    return Some(size(t).factor(TRAVERSAL).into());
                };
                let mut each = CostEstimate::fixed(1);
                if matches!(ty, Type::String | Type::Bytes) {
                    each = each.add(element.factor(TRAVERSAL));
                }
                Some(size(t).times(each).into())
            }
            "url" | "jsonpatch.escapeKey" => {
                let [a] = args else { return None };
                Some(CallEstimate { cost: size(a).factor(TRAVERSAL), result: Some(size(a)) })
            }
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                let s = size(target?);
                Some(CallEstimate { cost: s.factor(TRAVERSAL), result: Some(s) })
            }
            "replace" => {
                let (t, [from, to, ..]) = (target?, args) else { return None };
                Some(replace(size(t), size(from), size(to)))
            }
            "split" => {
                let s = size(target?);
                let mut max = s.max;
                if let Some(Kind::Literal(Literal::Int(i))) = args.get(1).map(|a| &a.expr.kind) {
                    max = *i as u64;
                }
                Some(CallEstimate {
                    cost: s.factor(2.0 * TRAVERSAL),
                    result: Some(SizeEstimate { min: 0, max }),
                })
            }
            "join" => {
                let t = target?;
                let list = size(t);
                let mut s = self.element(t).map_or(SizeEstimate::fixed(0), |(_, e)| list.multiply(e));
                if let Some(separator) = args.first() {
                    let between =
                        SizeEstimate { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
                    s = s.add(size(separator).multiply(between));
                }
                Some(CallEstimate { cost: s.factor(TRAVERSAL), result: Some(s) })
            }
            "find" | "findAll" => {
                let (t, [pattern, ..]) = (target?, args) else { return None };
                let s = size(t);
                let text = s.add(SizeEstimate::fixed(1)).factor(TRAVERSAL);
                let cost = text.multiply(size(pattern).factor(REGEX));
                Some(CallEstimate { cost, result: Some(SizeEstimate { min: 0, max: s.max }) })
            }
            "ip" if overload == "cidr_ip" => one(),
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                Some(size(args.first()?).factor(TRAVERSAL).into())
            }
            "ip.isCanonical" => Some(size(args.first()?).factor(2.0 * TRAVERSAL).into()),
            "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery" => one(),
            "containsIP" | "containsCIDR" => {
                let a = args.first()?;
                let octets = SizeEstimate { min: 4, max: 16 };
                let mut cost = octets.add(octets).factor(TRAVERSAL);
                if name == "containsCIDR" {
                    cost = cost.add(octets.factor(TRAVERSAL)).add(CostEstimate::fixed(1));
                }
                if matches!(overload, "cidr_contains_ip_string" | "cidr_contains_cidr_string") {
                    cost = cost.add(size(a).factor(TRAVERSAL));
                }
                Some(cost.into())
            }
            "validate" => {
                const LONGEST_REGEX: f64 = 128.0;
                Some(size(args.first()?).factor(TRAVERSAL).factor(LONGEST_REGEX * REGEX).into())
            }
            op::EQUALS => equality(args),
            _ => None,
        }
    }
}

fn equality(args: &[Arg<'_>]) -> Option<CallEstimate> {
    const LONGEST_FORMAT: u64 = 64;
    let [a, b] = args else { return None };
    if a.ty != b.ty {
        return None;
    }
    let bounded = |max| Some(CostEstimate { min: 1, max }.factor(TRAVERSAL).into());
    match &a.ty {
        Type::Opaque(n, _) if n == "net.IP" || n == "net.CIDR" => Some(CostEstimate::fixed(1).into()),
        Type::Struct(n) => match n.as_str() {
            "kubernetes.Quantity"
            | "kubernetes.Semver"
            | "kubernetes.authorization.Authorizer"
            | "kubernetes.authorization.PathCheck"
            | "kubernetes.authorization.GroupCheck"
            | "kubernetes.authorization.ResourceCheck"
            | "kubernetes.authorization.Decision" => Some(CostEstimate::fixed(1).into()),
            "kubernetes.NamedFormat" => bounded(LONGEST_FORMAT),
            // Upstream asks the right side twice.
            "kubernetes.URL" => bounded(b.size.map_or(1, |s| s.max)),
            _ => None,
        },
        _ => None,
    }
}

fn replace(s: SizeEstimate, from: SizeEstimate, to: SizeEstimate) -> CallEstimate {
    let (mut count, mut kept) = (SizeEstimate::fixed(0), SizeEstimate::fixed(0));
    // The longest result.
    if from.min == 0 {
        count.max = s.max.saturating_add(1);
        kept.max = s.max;
    } else if to.max <= from.min {
        kept.max = s.max;
    } else {
        count.max = (s.max as f64 / from.min as f64).ceil() as u64;
    }
    // The shortest.
    if from.max == 0 {
        count.min = s.min.saturating_add(1);
        kept.min = s.min;
    } else if from.max <= to.min {
        kept.min = s.min;
    } else {
        count.min = (s.min as f64 / from.max as f64).ceil() as u64;
    }
    CallEstimate { cost: s.factor(2.0 * TRAVERSAL), result: Some(count.multiply(to).add(kept)) }
}

fn literal_size(e: &Expr) -> Option<u64> {
    Some(match &e.kind {
        Kind::Literal(Literal::String(s)) => s.chars().count() as u64,
        Kind::Literal(Literal::Bytes(b)) => b.len() as u64,
        Kind::Literal(_) => 1,
        Kind::List { elements, .. } => elements.len() as u64,
        Kind::Map(entries) => entries.len() as u64,
        _ => return None,
    })
}
