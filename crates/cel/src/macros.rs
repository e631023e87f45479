//! Calls that are rewritten while parsing: `has`, the comprehensions, `optMap`, `sortBy`.
//!
//! Upstream counterparts: cel-go `parser/macro.go`, `ext/comprehensions.go`, `ext/lists.go` (`sortBy`),
//! `cel/library.go` (`optMap`, `optFlatMap`).

use value::Str;

use crate::ast::{Comprehension, Expr, Kind, Literal, MapEntry, StructField, op};
use crate::parser::{Builder, call};
use crate::stack::deep;

/// The accumulator of comprehensions; no source text can name it.
pub(crate) const ACCUMULATOR: &str = "@result";
/// Its old name, which iteration variables still must not take.
const OLD_ACCUMULATOR: &str = "__result__";
const UNUSED: &str = "#unused";
/// Inserts into the map under construction.
pub(crate) const MAP_INSERT: &str = "cel.@mapInsert";
/// Sorts by keys computed beforehand.
pub(crate) const SORT_BY_KEYS: &str = "@sortByAssociatedKeys";

/// Which macros an environment has, beyond the standard ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Set {
    /// `optMap`, `optFlatMap`, and the syntax `.?`, `[?`, `{?`.
    pub(crate) optional: bool,
    pub(crate) two_variables: bool,
    pub(crate) sort_by: bool,
}

/// Makes the expansion of a macro called at a position, or reports why it cannot.
pub(crate) type Expand = fn(&mut Builder, u32, Option<Expr>, Vec<Expr>) -> Expr;

impl Set {
    /// The macro of that name, number of arguments and call style.
    pub(crate) fn find(self, name: &str, args: usize, member: bool) -> Option<Expand> {
        Some(match (name, args, member) {
            ("has", 1, false) => has,
            ("all", 2, true) => |b, p, t, a| quantifier(b, p, t, a, Quantifier::All),
            ("exists", 2, true) => |b, p, t, a| quantifier(b, p, t, a, Quantifier::Exists),
            ("exists_one" | "existsOne", 2, true) => |b, p, t, a| quantifier(b, p, t, a, Quantifier::One),
            ("all", 3, true) if self.two_variables => |b, p, t, a| quantifier(b, p, t, a, Quantifier::All),
            ("exists", 3, true) if self.two_variables => {
                |b, p, t, a| quantifier(b, p, t, a, Quantifier::Exists)
            }
            ("exists_one" | "existsOne", 3, true) if self.two_variables => {
                |b, p, t, a| quantifier(b, p, t, a, Quantifier::One)
            }
            ("transformList", 3 | 4, true) if self.two_variables => {
                |b, p, t, a| transform(b, p, t, a, To::List)
            }
            ("transformMap", 3 | 4, true) if self.two_variables => {
                |b, p, t, a| transform(b, p, t, a, To::Map)
            }
            ("transformMapEntry", 3 | 4, true) if self.two_variables => {
                |b, p, t, a| transform(b, p, t, a, To::Entries)
            }
            ("map", 2 | 3, true) => map,
            ("filter", 2, true) => filter,
            ("optMap", 2, true) if self.optional => |b, p, t, a| opt_map(b, p, t, a, false),
            ("optFlatMap", 2, true) if self.optional => |b, p, t, a| opt_map(b, p, t, a, true),
            ("sortBy", 2, true) if self.sort_by => sort_by,
            _ => return None,
        })
    }
}

/// Makes nodes at the position of one macro call.
struct Maker<'b> {
    b: &'b mut Builder,
    at: u32,
}

impl Maker<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.b.node(self.at, 0, kind)
    }

    fn call(&mut self, name: &str, args: Vec<Expr>) -> Expr {
        self.node(call(name, None, args))
    }

    fn member(&mut self, name: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.node(call(name, Some(target), args))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.into()))
    }

    fn accu(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn literal(&mut self, l: Literal) -> Expr {
        self.node(Kind::Literal(l))
    }

    fn bool(&mut self, b: bool) -> Expr {
        self.literal(Literal::Bool(b))
    }

    fn list(&mut self, elements: Vec<Expr>) -> Expr {
        self.node(Kind::List { elements, optional: Vec::new() })
    }

    fn comprehension(&mut self, c: Comprehension) -> Expr {
        self.node(Kind::Comprehension(Box::new(c)))
    }

    /// Names `init` as `name` within `result`.
    fn bind(&mut self, name: Str, init: Expr, result: Expr) -> Expr {
        let range = self.list(Vec::new());
        let condition = self.bool(false);
        let step = self.ident(&name);
        self.comprehension(Comprehension {
            range,
            var: UNUSED.into(),
            var2: None,
            accu: name,
            init,
            condition,
            step,
            result,
        })
    }

    /// A copy with ids of its own.
    fn copy(&mut self, e: &Expr) -> Expr {
        deep(|| self.copy_here(e))
    }

    fn copy_here(&mut self, e: &Expr) -> Expr {
        if self.b.is_full() {
            return self.node(Kind::Unspecified); // the parser reports the size
        }
        let id = self.b.id(self.b.position(e.id));
        let kind = match &e.kind {
            Kind::Unspecified => Kind::Unspecified,
            Kind::Literal(l) => Kind::Literal(l.clone()),
            Kind::Ident(name) => Kind::Ident(name.clone()),
            Kind::Select { operand, field, test_only } => Kind::Select {
                operand: Box::new(self.copy(operand)),
                field: field.clone(),
                test_only: *test_only,
            },
            Kind::Call(c) => {
                let args = c.args.iter().map(|a| self.copy(a)).collect();
                let target = c.target.as_ref().map(|t| self.copy(t));
                call(&c.function, target, args)
            }
            Kind::List { elements, optional } => Kind::List {
                elements: elements.iter().map(|e| self.copy(e)).collect(),
                optional: optional.clone(),
            },
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|e| MapEntry {
                        key: self.copy(&e.key),
                        value: self.copy(&e.value),
                        optional: e.optional,
                    })
                    .collect(),
            ),
            Kind::Struct { name, fields } => Kind::Struct {
                name: name.clone(),
                fields: fields
                    .iter()
                    .map(|f| StructField {
                        id: self.b.id(self.at),
                        name: f.name.clone(),
                        value: self.copy(&f.value),
                        optional: f.optional,
                    })
                    .collect(),
            },
            Kind::Comprehension(c) => Kind::Comprehension(Box::new(Comprehension {
                range: self.copy(&c.range),
                var: c.var.clone(),
                var2: c.var2.clone(),
                accu: c.accu.clone(),
                init: self.copy(&c.init),
                condition: self.copy(&c.condition),
                step: self.copy(&c.step),
                result: self.copy(&c.result),
            })),
        };
        Expr { id, depth: e.depth, kind }
    }
}

fn simple_name(e: &Expr) -> Option<Str> {
    match &e.kind {
        Kind::Ident(name) => Some(name.clone()),
        _ => None,
    }
}

/// The one or two iteration variables at the head of `args`.
fn variables(
    b: &mut Builder,
    at: u32,
    args: &[Expr],
    two: bool,
    not_a_name: &str,
) -> Result<(Str, Option<Str>), Expr> {
    // Upstream gives the error at the argument a position, but reports it without a node when there is none.
    let _ = at;
    let mut name = |e: &Expr| simple_name(e).ok_or_else(|| b.error(b.position(e.id), not_a_name));
    let first = name(&args[0])?;
    let second = if two { Some(name(&args[1])?) } else { None };
    if second.as_ref() == Some(&first) {
        return Err(b.error(b.position(args[1].id), format!("duplicate variable name: {first}")));
    }
    for (i, v) in [Some(&first), second.as_ref()].into_iter().enumerate() {
        if v.is_some_and(|v| v == ACCUMULATOR || v == OLD_ACCUMULATOR) {
            let at = b.position(args[i].id);
            return Err(b.error(at, "iteration variable overwrites accumulator variable"));
        }
    }
    Ok((first, second))
}

fn has(b: &mut Builder, at: u32, _: Option<Expr>, mut args: Vec<Expr>) -> Expr {
    match args.pop().map(|a| (a.id, a.kind)) {
        Some((_, Kind::Select { operand, field, test_only: _ })) => {
            b.node(at, 0, Kind::Select { operand, field, test_only: true })
        }
        Some((id, _)) => b.error(b.position(id), "invalid argument to has() macro"),
        None => b.error(at, "invalid argument to has() macro"),
    }
}

#[derive(Clone, Copy)]
enum Quantifier {
    All,
    Exists,
    One,
}

fn quantifier(b: &mut Builder, at: u32, target: Option<Expr>, mut args: Vec<Expr>, q: Quantifier) -> Expr {
    let (var, var2) = match variables(b, at, &args, args.len() == 3, "argument must be a simple name") {
        Ok(v) => v,
        Err(e) => return e,
    };
    let (Some(range), Some(predicate)) = (target, args.pop()) else { return b.error(at, "no target") };
    let mut m = Maker { b, at };
    let (init, condition, step, result);
    match q {
        Quantifier::All => {
            init = m.bool(true);
            let accu = m.accu();
            condition = m.call(op::NOT_STRICTLY_FALSE, vec![accu]);
            let accu = m.accu();
            step = m.call(op::AND, vec![accu, predicate]);
            result = m.accu();
        }
        Quantifier::Exists => {
            init = m.bool(false);
            let accu = m.accu();
            let not = m.call(op::NOT, vec![accu]);
            condition = m.call(op::NOT_STRICTLY_FALSE, vec![not]);
            let accu = m.accu();
            step = m.call(op::OR, vec![accu, predicate]);
            result = m.accu();
        }
        Quantifier::One => {
            init = m.literal(Literal::Int(0));
            condition = m.bool(true);
            let (accu, one) = (m.accu(), m.literal(Literal::Int(1)));
            let add = m.call(op::ADD, vec![accu, one]);
            let accu = m.accu();
            step = m.call(op::CONDITIONAL, vec![predicate, add, accu]);
            let (accu, one) = (m.accu(), m.literal(Literal::Int(1)));
            result = m.call(op::EQUALS, vec![accu, one]);
        }
    }
    let accu = ACCUMULATOR.into();
    m.comprehension(Comprehension { range, var, var2, accu, init, condition, step, result })
}

/// A comprehension that adds to its accumulator, perhaps under a condition.
fn gather(
    m: &mut Maker<'_>,
    range: Expr,
    (var, var2): (Str, Option<Str>),
    init: Expr,
    filter: Option<Expr>,
    mut step: Expr,
) -> Expr {
    let condition = m.bool(true);
    if let Some(filter) = filter {
        let accu = m.accu();
        step = m.call(op::CONDITIONAL, vec![filter, step, accu]);
    }
    let result = m.accu();
    let accu = ACCUMULATOR.into();
    m.comprehension(Comprehension { range, var, var2, accu, init, condition, step, result })
}

fn append(m: &mut Maker<'_>, element: Expr) -> Expr {
    let accu = m.accu();
    let list = m.list(vec![element]);
    m.call(op::ADD, vec![accu, list])
}

fn map(b: &mut Builder, at: u32, target: Option<Expr>, mut args: Vec<Expr>) -> Expr {
    let vars = match variables(b, at, &args, false, "argument is not an identifier") {
        Ok(v) => v,
        Err(e) => return e,
    };
    let (Some(range), Some(transform)) = (target, args.pop()) else { return b.error(at, "no target") };
    let filter = if args.len() == 2 { args.pop() } else { None };
    let mut m = Maker { b, at };
    let init = m.list(Vec::new());
    let step = append(&mut m, transform);
    gather(&mut m, range, vars, init, filter, step)
}

fn filter(b: &mut Builder, at: u32, target: Option<Expr>, mut args: Vec<Expr>) -> Expr {
    let vars = match variables(b, at, &args, false, "argument is not an identifier") {
        Ok(v) => v,
        Err(e) => return e,
    };
    let (Some(range), Some(predicate), Some(element)) = (target, args.pop(), args.pop()) else {
        return b.error(at, "no target");
    };
    let mut m = Maker { b, at };
    let init = m.list(Vec::new());
    let step = append(&mut m, element);
    gather(&mut m, range, vars, init, Some(predicate), step)
}

#[derive(Clone, Copy)]
enum To {
    List,
    Map,
    Entries,
}

fn transform(b: &mut Builder, at: u32, target: Option<Expr>, mut args: Vec<Expr>, to: To) -> Expr {
    let vars = match variables(b, at, &args, true, "argument must be a simple name") {
        Ok(v) => v,
        Err(e) => return e,
    };
    let (Some(range), Some(transform)) = (target, args.pop()) else { return b.error(at, "no target") };
    let filter = if args.len() == 3 { args.pop() } else { None };
    let mut m = Maker { b, at };
    let (init, step);
    match to {
        To::List => {
            init = m.list(Vec::new());
            step = append(&mut m, transform);
        }
        To::Map => {
            init = m.node(Kind::Map(Vec::new()));
            let (accu, key) = (m.accu(), m.ident(&vars.0));
            step = m.call(MAP_INSERT, vec![accu, key, transform]);
        }
        To::Entries => {
            init = m.node(Kind::Map(Vec::new()));
            let accu = m.accu();
            step = m.call(MAP_INSERT, vec![accu, transform]);
        }
    }
    gather(&mut m, range, vars, init, filter, step)
}

fn opt_map(b: &mut Builder, at: u32, target: Option<Expr>, mut args: Vec<Expr>, flat: bool) -> Expr {
    let Some(name) = simple_name(&args[0]) else {
        let macro_name = if flat { "optFlatMap" } else { "optMap" };
        let position = b.position(args[0].id);
        return b.error(position, format!("{macro_name}() variable name must be a simple identifier"));
    };
    let (Some(target), Some(body)) = (target, args.pop()) else { return b.error(at, "no target") };
    let mut m = Maker { b, at };
    let copy = m.copy(&target);
    let present = m.member("hasValue", target, Vec::new());
    let inner = m.member("value", copy, Vec::new());
    let mut then = m.bind(name, inner, body);
    if !flat {
        then = m.call("optional.of", vec![then]);
    }
    let none = m.call("optional.none", Vec::new());
    m.call(op::CONDITIONAL, vec![present, then, none])
}

fn sort_by(b: &mut Builder, at: u32, target: Option<Expr>, args: Vec<Expr>) -> Expr {
    const INPUT: &str = "@__sortBy_input__";
    let Some(target) = target else { return b.error(at, "no target") };
    if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. } | Kind::Unspecified) {
        let position = b.position(target.id);
        return b.error(
            position,
            "sortBy can only be applied to a list, identifier, comprehension, call or select expression",
        );
    }
    let input = Maker { b, at }.ident(INPUT);
    let keys = map(b, at, Some(input), args);
    let mut m = Maker { b, at };
    let input = m.ident(INPUT);
    let sorted = m.member(SORT_BY_KEYS, input, vec![keys]);
    m.bind(INPUT.into(), target, sorted)
}
