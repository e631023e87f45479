//! From a checked tree to nodes that evaluate.
//!
//! Upstream counterparts: cel-go `interpreter/planner.go`, `interpreter/decorators.go` (constant folding).
//! The shape of the plan decides what an evaluation costs, so it follows upstream's: selections and indices
//! become qualifiers of an attribute, literals of constants are folded, `in` over constants is a set test.

use std::collections::HashSet;
use std::sync::Arc;

use value::Str;

use crate::ast::{self, Comprehension, Expr, Kind, Literal, op};
use crate::checker::{Checked, Reference};
use crate::decls::Run;
use crate::env::Env;
use crate::eval::Call;
use crate::macros;
use crate::runtime_cost::Rule;
use crate::stack::deep;
use crate::types::Type;
use crate::val::{Key, Val};

/// A value that a program holds.
#[derive(Clone, Debug)]
pub(crate) enum Const {
    Literal(Literal),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Type(Type),
    Duration(i64),
    Timestamp(crate::time::Time),
}

impl Const {
    pub(crate) fn to_val<'a>(&self) -> Val<'a> {
        match self {
            Self::Literal(l) => match l {
                Literal::Null => Val::Null,
                Literal::Bool(b) => Val::Bool(*b),
                Literal::Int(i) => Val::Int(*i),
                Literal::Uint(u) => Val::Uint(*u),
                Literal::Double(d) => Val::Double(*d),
                Literal::String(s) => Val::String(s.clone()),
                Literal::Bytes(b) => Val::Bytes((&**b).into()),
            },
            Self::List(l) => Val::list(l.iter().map(Self::to_val).collect()),
            Self::Map(m) => Val::map(m.iter().map(|(k, v)| (k.to_val(), v.to_val()))),
            Self::Type(t) => Val::Type(std::rc::Rc::new(t.clone())),
            Self::Duration(d) => Val::Duration(*d),
            Self::Timestamp(t) => Val::Timestamp(*t),
        }
    }

    fn of(v: &Val<'_>) -> Option<Self> {
        Some(Self::Literal(match v {
            Val::Bool(b) => Literal::Bool(*b),
            Val::Int(i) => Literal::Int(*i),
            Val::Uint(u) => Literal::Uint(*u),
            Val::Double(d) => Literal::Double(*d),
            Val::String(s) => Literal::String(s.clone()),
            Val::Bytes(b) => Literal::Bytes((&**b).into()),
            Val::Type(t) => return Some(Self::Type((**t).clone())),
            Val::Duration(d) => return Some(Self::Duration(*d)),
            Val::Timestamp(t) => return Some(Self::Timestamp(*t)),
            _ => return None,
        }))
    }
}

#[derive(Debug)]
pub(crate) enum Node {
    Const(Const),
    Attr(Attr),
    /// `has(attr)`: the last qualifier is only tested.
    Has(Attr),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    Equal(Box<[Self; 2]>),
    NotEqual(Box<[Self; 2]>),
    Call(Box<CallNode>),
    /// `x in [constants]`
    InSet(Box<(Self, HashSet<Key>)>),
    List {
        elements: Vec<Self>,
        optional: Vec<usize>,
    },
    Map(Vec<MapNode>),
    Struct {
        name: Str,
        fields: Vec<FieldNode>,
    },
    Fold(Box<Fold>),
    /// `optional.or(optional)` and `optional.orValue(value)`
    OptionalOr(Box<[Self; 2]>),
    OptionalOrValue(Box<[Self; 2]>),
    /// The accumulator plus a list literal, in place.
    Append {
        slot: usize,
        elements: Vec<Self>,
    },
    /// `cel.@mapInsert(accumulator, key, value)` or `(accumulator, map)`, in place.
    Insert {
        slot: usize,
        args: Vec<Self>,
    },
}

#[derive(Debug)]
pub(crate) struct CallNode {
    pub(crate) call: Call,
    pub(crate) run: Run,
    pub(crate) cost: Rule,
    pub(crate) args: Vec<Node>,
    /// A regular expression that is known beforehand.
    pub(crate) regex: Option<Arc<regex::Regex>>,
    /// Runs also on an error (`@not_strictly_false`).
    pub(crate) non_strict: bool,
}

#[derive(Debug)]
pub(crate) struct MapNode {
    pub(crate) key: Node,
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct FieldNode {
    pub(crate) name: Str,
    pub(crate) value: Node,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) slot: usize,
    pub(crate) two: bool,
    pub(crate) accu: usize,
    pub(crate) init: Node,
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
}

/// A base and what is selected from it.
#[derive(Debug)]
pub(crate) struct Attr {
    pub(crate) base: Base,
    pub(crate) qualifiers: Vec<Qualifier>,
}

#[derive(Debug)]
pub(crate) enum Base {
    Variable(Str),
    Local(usize),
    Node(Box<Node>),
    Conditional(Box<(Node, Attr, Attr)>),
}

#[derive(Debug)]
pub(crate) struct Qualifier {
    pub(crate) key: QualifierKey,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) enum QualifierKey {
    Field(Str),
    Const(Const),
    /// Computed; shared because both branches of a conditional get the same qualifiers.
    Computed(Arc<Attr>),
}

impl Attr {
    fn new(base: Base) -> Self {
        Self { base, qualifiers: Vec::new() }
    }

    fn qualify(&mut self, q: Qualifier) {
        match &mut self.base {
            // Upstream qualifies both branches, which matters for what it costs.
            Base::Conditional(c) => {
                c.1.qualify(q.share());
                c.2.qualify(q);
            }
            _ => self.qualifiers.push(q),
        }
    }

    /// What the attribute itself costs beside its qualifiers.
    pub(crate) fn own_cost(&self) -> u64 {
        u64::from(!matches!(self.base, Base::Conditional(_)))
    }
}

impl Qualifier {
    fn share(&self) -> Self {
        let key = match &self.key {
            QualifierKey::Field(s) => QualifierKey::Field(s.clone()),
            QualifierKey::Const(c) => QualifierKey::Const(c.clone()),
            QualifierKey::Computed(a) => QualifierKey::Computed(a.clone()),
        };
        Self { key, optional: self.optional }
    }
}

/// A planned expression.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    /// How many slots for local variables an evaluation needs.
    pub(crate) slots: usize,
}

/// Plans a checked expression.
///
/// # Errors
/// The text of what fails already here: a conversion of a constant, a regular expression.
pub(crate) fn plan(checked: &Checked, env: &Env) -> Result<Plan, String> {
    let mut p = Planner { checked, env, scopes: Vec::new(), slots: 0 };
    let root = p.node(&checked.expr)?;
    Ok(Plan { root, slots: p.slots })
}

struct Planner<'c> {
    checked: &'c Checked,
    env: &'c Env,
    /// Local variables, innermost last; the index is the slot.
    scopes: Vec<Str>,
    slots: usize,
}

impl Planner<'_> {
    fn push(&mut self, name: &Str) -> usize {
        self.scopes.push(name.clone());
        self.slots = self.slots.max(self.scopes.len());
        self.scopes.len() - 1
    }

    fn nodes(&mut self, exprs: &[Expr]) -> Result<Vec<Node>, String> {
        exprs.iter().map(|e| self.node(e)).collect()
    }

    fn node(&mut self, e: &Expr) -> Result<Node, String> {
        deep(|| self.node_here(e))
    }

    fn node_here(&mut self, e: &Expr) -> Result<Node, String> {
        Ok(match &e.kind {
            Kind::Unspecified => return Err("unsupported expr".to_owned()),
            Kind::Literal(l) => Node::Const(Const::Literal(l.clone())),
            Kind::Ident(name) => self.ident(e, name),
            Kind::Select { operand, field, test_only } => {
                if let Some(r) = self.checked.reference(e) {
                    return Ok(match r {
                        Reference::Type(t) => Node::Const(Const::Type(t.clone())),
                        Reference::Variable(name) => Node::Attr(Attr::new(Base::Variable(name.clone()))),
                        Reference::Function { .. } => return Err("unsupported expr".to_owned()),
                    });
                }
                let operand = self.node(operand)?;
                let mut attr = into_attr(operand);
                attr.qualify(Qualifier { key: QualifierKey::Field(field.clone()), optional: false });
                if *test_only { Node::Has(attr) } else { Node::Attr(attr) }
            }
            Kind::Call(c) => self.call(e, c)?,
            Kind::List { elements, optional } => {
                let elements = self.nodes(elements)?;
                match fold_list(&elements) {
                    Some(l) if optional.is_empty() => Node::Const(l),
                    _ => Node::List { elements, optional: optional.clone() },
                }
            }
            Kind::Map(entries) => {
                let mut nodes = Vec::with_capacity(entries.len());
                for entry in entries {
                    let key = self.node(&entry.key)?;
                    let value = self.node(&entry.value)?;
                    nodes.push(MapNode { key, value, optional: entry.optional });
                }
                fold_map(&nodes).map_or_else(|| Node::Map(nodes), Node::Const)
            }
            Kind::Struct { name, fields } => {
                let name = match self.checked.reference(e) {
                    Some(Reference::Type(Type::Struct(n))) => n.clone(),
                    _ => return Err(format!("unknown type: {name}")),
                };
                let mut nodes = Vec::with_capacity(fields.len());
                for f in fields {
                    nodes.push(FieldNode {
                        name: f.name.clone(),
                        value: self.node(&f.value)?,
                        optional: f.optional,
                    });
                }
                Node::Struct { name, fields: nodes }
            }
            Kind::Comprehension(c) => self.fold(c)?,
        })
    }

    fn ident(&self, e: &Expr, name: &Str) -> Node {
        if let Some(Reference::Type(t)) = self.checked.reference(e) {
            return Node::Const(Const::Type(t.clone()));
        }
        let name = name.strip_prefix('.').map_or_else(|| name.clone(), Str::from);
        Node::Attr(Attr::new(match self.scopes.iter().rposition(|n| *n == name) {
            Some(slot) => Base::Local(slot),
            None => Base::Variable(name),
        }))
    }

    fn fold(&mut self, c: &Comprehension) -> Result<Node, String> {
        let range = self.node(&c.range)?;
        let init = self.node(&c.init)?;
        let accu = self.push(&c.accu);
        let slot = self.push(&c.var);
        if let Some(v) = &c.var2 {
            self.push(v);
        }
        let condition = self.node(&c.condition)?;
        let gathers = matches!(init, Node::Const(Const::List(ref l)) if l.is_empty())
            || matches!(init, Node::Const(Const::Map(ref m)) if m.is_empty());
        let mut step = self.node(&c.step)?;
        if gathers && c.accu == macros::ACCUMULATOR {
            step = in_place(step, accu);
        }
        self.scopes.truncate(slot);
        let result = self.node(&c.result)?;
        self.scopes.truncate(accu);
        Ok(Node::Fold(Box::new(Fold {
            range,
            slot,
            two: c.var2.is_some(),
            accu,
            init,
            condition,
            step,
            result,
        })))
    }

    fn call(&mut self, e: &Expr, c: &ast::Call) -> Result<Node, String> {
        let Some(Reference::Function { name, overloads, namespaced }) = self.checked.reference(e) else {
            return Err(format!("no such overload: {}", c.function));
        };
        let mut args = Vec::with_capacity(c.args.len() + 1);
        if let Some(target) = c.target.as_ref().filter(|_| !namespaced) {
            args.push(self.node(target)?);
        }
        for a in &c.args {
            args.push(self.node(a)?);
        }
        let overload = if let [one] = &overloads[..] { *one } else { "" };
        let pair = |args: Vec<Node>| {
            <[Node; 2]>::try_from(args).map(Box::new).map_err(|_| format!("no such overload: {name}"))
        };
        Ok(match *name {
            op::AND => Node::And(pair(args)?),
            op::OR => Node::Or(pair(args)?),
            op::EQUALS => Node::Equal(pair(args)?),
            op::NOT_EQUALS => Node::NotEqual(pair(args)?),
            op::CONDITIONAL => conditional(args)?,
            op::INDEX => index(*pair(args)?, false),
            op::OPT_INDEX | op::OPT_SELECT => index(*pair(args)?, true),
            "or" if matches!(overload, "" | "optional_or_optional") && args.len() == 2 => {
                Node::OptionalOr(pair(args)?)
            }
            "orValue" if matches!(overload, "" | "optional_orValue_value") && args.len() == 2 => {
                Node::OptionalOrValue(pair(args)?)
            }
            op::IN if overload == "in_list" => {
                let [element, list] = *pair(args)?;
                match &list {
                    Node::Const(Const::List(l)) if l.is_empty() => {
                        Node::Const(Const::Literal(Literal::Bool(false)))
                    }
                    Node::Const(Const::List(l)) => match constant_set(l) {
                        Some(set) => Node::InSet(Box::new((element, set))),
                        None => self.plain_call(name, overload, vec![element, list])?,
                    },
                    _ => self.plain_call(name, overload, vec![element, list])?,
                }
            }
            _ => {
                let converted = is_conversion(name) && matches!(args[..], [Node::Const(_)]);
                let node = self.plain_call(name, overload, args)?;
                if converted { fold_conversion(node)? } else { node }
            }
        })
    }

    fn plain_call(
        &self,
        name: &'static str,
        overload: &'static str,
        args: Vec<Node>,
    ) -> Result<Node, String> {
        let run =
            self.env.function(name).map(|f| f.run).ok_or_else(|| format!("no such overload: {name}"))?;
        let mut regex = None;
        if matches!(name, "matches" | "find" | "findAll")
            && let Some(Node::Const(Const::Literal(Literal::String(pattern)))) = args.get(1)
        {
            regex = Some(Arc::new(crate::regexes::compile(pattern)?));
        }
        Ok(Node::Call(Box::new(CallNode {
            call: Call { function: name, overload },
            run,
            cost: Rule::of(name, overload),
            args,
            regex,
            non_strict: name == op::NOT_STRICTLY_FALSE,
        })))
    }
}

fn into_attr(node: Node) -> Attr {
    match node {
        Node::Attr(a) => a,
        n => Attr::new(Base::Node(Box::new(n))),
    }
}

fn conditional(args: Vec<Node>) -> Result<Node, String> {
    let [condition, then, otherwise] =
        <[Node; 3]>::try_from(args).map_err(|_| format!("no such overload: {}", op::CONDITIONAL))?;
    let branches = Box::new((condition, into_attr(then), into_attr(otherwise)));
    Ok(Node::Attr(Attr::new(Base::Conditional(branches))))
}

fn index([operand, index]: [Node; 2], optional: bool) -> Node {
    let mut attr = into_attr(operand);
    let key = match index {
        Node::Const(Const::Literal(Literal::String(s))) => QualifierKey::Field(s),
        Node::Const(c) => QualifierKey::Const(c),
        n => QualifierKey::Computed(Arc::new(into_attr(n))),
    };
    attr.qualify(Qualifier { key, optional });
    Node::Attr(attr)
}

fn constant(node: &Node) -> Option<Const> {
    match node {
        Node::Const(c) => Some(c.clone()),
        _ => None,
    }
}

fn fold_list(elements: &[Node]) -> Option<Const> {
    elements.iter().map(constant).collect::<Option<Vec<_>>>().map(Const::List)
}

fn fold_map(entries: &[MapNode]) -> Option<Const> {
    if entries.iter().any(|e| e.optional) {
        return None;
    }
    let pairs = entries.iter().map(|e| Some((constant(&e.key)?, constant(&e.value)?)));
    pairs.collect::<Option<Vec<_>>>().map(Const::Map)
}

/// The elements as hashed keys, if they are all primitive.
fn constant_set(list: &[Const]) -> Option<HashSet<Key>> {
    list.iter()
        .map(|c| match c {
            Const::Literal(Literal::Null | Literal::Bytes(_)) => None,
            Const::Literal(Literal::Double(d)) if d.is_nan() => None,
            Const::Literal(_) => Key::of(&c.to_val()),
            _ => None,
        })
        .collect()
}

fn is_conversion(name: &str) -> bool {
    matches!(
        name,
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    )
}

/// A conversion of a constant, done now.
fn fold_conversion(node: Node) -> Result<Node, String> {
    let Node::Call(call) = &node else { return Ok(node) };
    let [Node::Const(arg)] = &call.args[..] else { return Ok(node) };
    if call.call.function == "dyn" {
        return Ok(Node::Const(arg.clone()));
    }
    match (call.run)(&call.call, &[arg.to_val()]) {
        Ok(v) => Ok(Const::of(&v).map_or(node, Node::Const)),
        Err(e) => Err(e.to_string()),
    }
}

/// The step of a comprehension that grows its accumulator, so that it does not copy it.
fn in_place(step: Node, accu: usize) -> Node {
    let is_accu = |n: &Node| matches!(n, Node::Attr(Attr { base: Base::Local(s), qualifiers }) if *s == accu && qualifiers.is_empty());
    match step {
        Node::Call(mut c) if c.call.function == op::ADD && c.args.len() == 2 && is_accu(&c.args[0]) => {
            match c.args.pop() {
                Some(Node::List { elements, optional }) if optional.is_empty() => {
                    Node::Append { slot: accu, elements }
                }
                Some(other) => {
                    c.args.push(other);
                    Node::Call(c)
                }
                None => Node::Call(c),
            }
        }
        Node::Call(mut c) if c.call.function == macros::MAP_INSERT && c.args.first().is_some_and(is_accu) => {
            c.args.remove(0);
            Node::Insert { slot: accu, args: c.args }
        }
        Node::Attr(Attr { base: Base::Conditional(branches), qualifiers }) if qualifiers.is_empty() => {
            let (condition, then, otherwise) = *branches;
            let then = match then {
                Attr { base: Base::Node(n), qualifiers } if qualifiers.is_empty() => {
                    Attr::new(Base::Node(Box::new(in_place(*n, accu))))
                }
                a => a,
            };
            Node::Attr(Attr::new(Base::Conditional(Box::new((condition, then, otherwise)))))
        }
        n => n,
    }
}
