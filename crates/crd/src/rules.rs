//! `x-kubernetes-validations`: compiled, and evaluated over objects.
//!
//! Upstream: `pkg/apiserver/schema/cel/{compilation,validation}.go`.

use crate::correlate::{ByKey, Pair};
use crate::decl::decl_type;
use crate::field_path::{self, Subscripts};
use crate::is_full;
use crate::schema::{Rule, Schema};
use cel::{Activation, Budget, CompileError, DeclSizes, DeclType, Env, EvalError, Program, Type, Val};
use meta::field::{Error, ErrorList, Path};
use meta::quote::quote;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use value::{Str, Value};

/// What all rules of one object may cost.
pub const BUDGET: i64 = 10_000_000;
/// The longest message that an expression may make (bytes).
const MESSAGE_BYTES_MAX: usize = 5 * 1024;

/// Which versions of the language a rule may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is written now.
    New,
    /// It was stored before.
    Stored,
}

/// A rule after compiling: `program` is there if there is no `error` and the rule is not blank.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The rule.
    pub program: Option<Program>,
    /// Why it does not compile.
    pub error: Option<String>,
    /// Whether it looks at the old value.
    pub uses_old_self: bool,
    /// What one evaluation costs at most.
    pub max_cost: u64,
    /// The message's expression.
    pub message: Option<Program>,
    /// Why that does not compile.
    pub message_error: Option<String>,
    /// What that costs at most.
    pub message_max_cost: u64,
    /// `fieldPath` as errors print it.
    pub field_path: String,
}

/// The environments of one schema node.
pub struct Envs {
    decl: Arc<DeclType>,
    made: [Option<Env>; 4],
}

impl Envs {
    /// For rules over data of this type.
    pub fn new(decl: &Arc<DeclType>) -> Self {
        Self { decl: decl.clone(), made: [const { None }; 4] }
    }

    fn get(&mut self, age: Age, optional: bool) -> &Env {
        let decl = &self.decl;
        let slot = usize::from(age == Age::Stored) * 2 + usize::from(optional);
        self.made[slot].get_or_insert_with(|| {
            let env = match age {
                Age::New => Env::new_expressions(),
                Age::Stored => Env::stored_expressions(),
            };
            let env = env.variable_decl("self", decl);
            if optional { env.variable_optional("oldSelf", decl) } else { env.variable_decl("oldSelf", decl) }
        })
    }
}

/// Compiles a rule of a schema.
pub fn compile(s: &Schema, rule: &Rule, envs: &mut Envs, age: Age, message_age: Age) -> Compiled {
    let mut out = Compiled::default();
    if rule.rule.trim().is_empty() {
        return out;
    }
    let optional = rule.optional_old_self == Some(true);
    let decl = envs.decl.clone();
    let sizes = DeclSizes(&decl);
    match envs.get(age, optional).compile(&rule.rule) {
        Err(CompileError::Issues(issues)) => {
            out.error = Some(format!("compilation failed: {issues}"));
            return out;
        }
        Err(CompileError::Plan(why)) => {
            out.error = Some(format!("program instantiation failed: {why}"));
            return out;
        }
        Ok(program) => {
            if *program.output_type() != Type::Bool {
                out.error = Some("cel expression must evaluate to a bool".into());
                return out;
            }
            out.uses_old_self = program.uses("oldSelf");
            out.max_cost = program.estimate_cost(&sizes).max;
            out.program = Some(program);
        }
    }
    if !rule.message_expression.is_empty() {
        match envs.get(message_age, optional).compile(&rule.message_expression) {
            Err(CompileError::Issues(issues)) => {
                out.message_error = Some(format!("messageExpression compilation failed: {issues}"));
                return out;
            }
            Err(CompileError::Plan(why)) => {
                out.message_error = Some(format!("messageExpression instantiation failed: {why}"));
                return out;
            }
            Ok(program) if *program.output_type() != Type::String => {
                out.message_error = Some("messageExpression must evaluate to a string".into());
                return out;
            }
            Ok(program) => {
                out.message_max_cost = program.estimate_cost(&sizes).max;
                out.message = Some(program);
            }
        }
    }
    if !rule.field_path.is_empty()
        && let Ok(path) = field_path::resolve(&rule.field_path, s, Subscripts::Allowed)
    {
        out.field_path = path.text;
    }
    out
}

/// The rules of a schema node and of all below it.
#[derive(Debug)]
pub struct Rules {
    decl: Option<Arc<DeclType>>,
    rules: Vec<(Rule, Compiled)>,
    items: Option<Box<Self>>,
    properties: BTreeMap<Str, Self>,
    additional: Option<Box<Self>>,
}

/// What evaluating rules found.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// Errors.
    pub errors: ErrorList,
    /// Errors about what has not changed.
    pub warnings: Vec<String>,
}

impl Rules {
    /// Compiles all rules of a schema; `None` if there are none.
    pub fn new(s: &Schema, is_root: bool) -> Option<Self> {
        if !s.has_rules() {
            return None;
        }
        let mut rules = Vec::new();
        let mut decl = None;
        if !s.rules.is_empty() {
            decl = decl_type(s, is_root);
            if let Some(decl) = &decl {
                let mut envs = Envs::new(decl);
                let compile = |r: &Rule| (r.clone(), compile(s, r, &mut envs, Age::Stored, Age::Stored));
                rules = s.rules.iter().map(compile).collect();
            }
        }
        let below = |s: &Schema| Self::new(s, s.embedded_resource);
        Some(Self {
            decl,
            rules,
            items: s.item().and_then(below).map(Box::new),
            properties: s.properties.iter().filter_map(|(k, p)| Some((k.clone(), below(p)?))).collect(),
            additional: s.additional().and_then(below).map(Box::new),
        })
    }

    /// Evaluates the rules over a value and its former one; tells what is left of the budget, negative if it
    /// was not enough. `pair` allows errors about what has not changed.
    pub fn validate(
        &self,
        path: &Path<'_>,
        s: &Schema,
        value: &Value,
        old: Option<&Value>,
        pair: Option<Pair<'_>>,
        budget: i64,
    ) -> (Evaluated, i64) {
        let mut run = Run { out: Evaluated::default(), budget };
        let ratchet = Ratchet { current: pair, parent: None };
        let done = run.node(self, path, s, value, old, ratchet);
        (run.out, if done { run.budget } else { -1 })
    }
}

/// What an error is measured against: the pair of this node, else that of the nearest parent that has one.
#[derive(Clone, Copy)]
struct Ratchet<'a> {
    current: Option<Pair<'a>>,
    parent: Option<Pair<'a>>,
}

impl<'a> Ratchet<'a> {
    fn forgives(&self) -> bool {
        self.current.or(self.parent).is_some_and(|p| p.is_same())
    }

    fn key(self, field: &str) -> Self {
        let Some(current) = self.current else { return self };
        if self.parent.is_none() && matches!(field, "apiVersion" | "kind") {
            return Self { current: None, parent: None };
        }
        Self { current: current.key(field), parent: self.current }
    }

    fn item(self, by_key: &ByKey<'a>, i: usize) -> Self {
        let Some(current) = self.current else { return self };
        let item = current.new.items().get(i);
        Self { current: item.and_then(|v| current.item(by_key, v)), parent: self.current }
    }
}

struct Run {
    out: Evaluated,
    budget: i64,
}

impl Run {
    /// Whether evaluation may go on.
    fn node(
        &mut self,
        rules: &Rules,
        path: &Path<'_>,
        s: &Schema,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
    ) -> bool {
        if value.is_null() || is_full(&self.out.errors) {
            return true;
        }
        if !self.expressions(rules, path, s, value, old.filter(|o| !o.is_null()), ratchet) {
            return false;
        }
        match value {
            Value::Array(list) => {
                let (Some(below), Some(item)) = (&rules.items, s.item()) else { return true };
                let old_items = old.map(|o| ByKey::of(s, o)).unwrap_or_default();
                let by_key = ratchet.current.map(|p| p.by_key()).unwrap_or_default();
                list.iter().enumerate().all(|(i, v)| {
                    let old = old_items.get(s, v);
                    self.node(below, &path.index(i), item, v, old, ratchet.item(&by_key, i))
                })
            }
            Value::Object(map) => {
                let correlatable = s.map_type.as_deref().is_none_or(|t| matches!(t, "granular" | "atomic"));
                let old_of = |k: &str| old.filter(|_| correlatable).and_then(|o| o.get(k));
                if let (Some(below), Some(additional)) = (&rules.additional, s.additional()) {
                    for (k, v) in map.iter() {
                        if !self.node(below, &path.key(k), additional, v, old_of(k), ratchet.key(k)) {
                            return false;
                        }
                    }
                }
                for (k, below) in &rules.properties {
                    let (Some(v), Some(p)) = (map.get(k), s.property(k)) else { continue };
                    if !self.node(below, &path.child(k), p, v, old_of(k), ratchet.key(k)) {
                        return false;
                    }
                }
                true
            }
            _ => true,
        }
    }

    fn expressions(
        &mut self,
        rules: &Rules,
        path: &Path<'_>,
        s: &Schema,
        value: &Value,
        old: Option<&Value>,
        ratchet: Ratchet<'_>,
    ) -> bool {
        if s.rules.is_empty() {
            return true;
        }
        let ty = s.ty.clone();
        let Some(decl) = &rules.decl else {
            let text =
                "rule compiler initialization error: failed to convert to declType for CEL validation rules";
            self.out.errors.push(Error::invalid(path, ty, text));
            return true;
        };
        const OUT_OF_BUDGET: &str =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        if self.budget <= 0 {
            self.out.errors.push(Error::invalid(path, ty, OUT_OF_BUDGET));
            return false;
        }
        for (rule, compiled) in &rules.rules {
            if let Some(why) = &compiled.error {
                self.out.errors.push(Error::invalid(path, ty.clone(), format!("rule compile error: {why}")));
                continue;
            }
            let Some(program) = &compiled.program else { continue };
            let optional = rule.optional_old_self == Some(true);
            if compiled.uses_old_self && old.is_none() && !optional {
                continue;
            }
            let (result, cost) = match variables(decl, value, old, optional) {
                Ok(variables) => program.eval(&variables, Budget::default()),
                Err(error) => (Err(error), 0),
            };
            let cost = i64::try_from(cost).unwrap_or(i64::MAX);
            if cost > self.budget {
                self.out.errors.push(Error::invalid(path, ty, OUT_OF_BUDGET));
                return false;
            }
            self.budget -= cost;
            match result {
                Ok(Val::Bool(true)) => continue,
                Ok(_) => {}
                Err(error) => {
                    let shown = rule.shown();
                    let text = error.to_string();
                    let limit = matches!(error, EvalError::CostLimit);
                    let text = if text.starts_with("no such overload") {
                        format!(
                            "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
                        )
                    } else if limit {
                        format!(
                            "'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                        )
                    } else {
                        format!("{text} evaluating rule: {shown}")
                    };
                    self.out.errors.push(Error::invalid(path, ty.clone(), text));
                    if limit {
                        return false;
                    }
                    continue;
                }
            }
            let at = match compiled.field_path.as_str() {
                "" => *path,
                field => path.child(field),
            };
            let forgiven = !compiled.uses_old_self && ratchet.forgives();
            let (detail, stop) = self.message(rule, compiled, decl, value, old, optional);
            let error = match (detail, stop) {
                (text, true) => Error::invalid(&at, ty.clone(), text),
                (text, false) => failed(&at, rule, s, value, text),
            };
            if forgiven {
                self.out.warnings.push(error.to_string());
            } else {
                self.out.errors.push(error);
            }
            if stop {
                return false;
            }
        }
        true
    }

    /// What to say of a rule that is false, and whether making that text used up the budget.
    fn message(
        &mut self,
        rule: &Rule,
        compiled: &Compiled,
        decl: &DeclType,
        value: &Value,
        old: Option<&Value>,
        optional: bool,
    ) -> (String, bool) {
        let fallback = || match rule.message.as_str() {
            "" => format!("failed rule: {}", rule.shown()),
            text => text.trim().to_owned(),
        };
        let Some(program) = &compiled.message else { return (fallback(), false) };
        let (result, cost) = match variables(decl, value, old, optional) {
            Ok(variables) => {
                let (result, cost) = program.eval(&variables, Budget::default());
                (result.map(|v| v.as_str().map(str::to_owned)), cost)
            }
            Err(error) => (Err(error), 0),
        };
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        if cost > self.budget {
            let text = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
            return (text.into(), true);
        }
        self.budget -= cost;
        match result {
            Err(EvalError::CostLimit) => {
                let shown = quote(&rule.message_expression);
                (
                    format!(
                        "no further validation rules will be run due to call cost exceeds limit for messageExpression: {shown}"
                    ),
                    true,
                )
            }
            Ok(Some(text)) => {
                let text = text.trim();
                let usable = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
                (if usable { text.to_owned() } else { fallback() }, false)
            }
            _ => (fallback(), false),
        }
    }
}

fn variables<'a>(
    decl: &'a DeclType,
    value: &'a Value,
    old: Option<&'a Value>,
    optional: bool,
) -> Result<Activation<'a>, EvalError> {
    let mut variables = Activation::new().with("self", Val::typed(value, decl)?);
    let old = old.map(|o| Val::typed(o, decl)).transpose()?;
    match (old, optional) {
        (old, true) => variables.set("oldSelf", Val::Optional(old.map(Rc::new))),
        (Some(old), false) => variables.set("oldSelf", old),
        (None, false) => {}
    }
    Ok(variables)
}

fn failed(path: &Path<'_>, rule: &Rule, s: &Schema, value: &Value, detail: String) -> Error {
    let hidden = matches!(s.ty.as_str(), "object" | "array");
    let error = match rule.reason.as_deref() {
        Some("FieldValueForbidden") => return Error::forbidden(path, detail),
        Some("FieldValueRequired") => return Error::required(path, detail),
        Some("FieldValueDuplicate") => {
            Error::duplicate(path, if hidden { Value::Null } else { value.clone() })
        }
        _ => Error::invalid(path, if hidden { Value::Null } else { value.clone() }, detail),
    };
    if hidden { error.without_value() } else { error }
}
