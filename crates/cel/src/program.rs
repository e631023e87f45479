//! Compiled expressions.

use value::Str;

use crate::ast::{Expr, Kind};
use crate::checker::{Checked, Reference};
use crate::env::Env;
use crate::estimate::{CostEstimate, SizeEstimator, estimate};
use crate::eval::{Activation, Budget, evaluate};
use crate::plan::{Plan, plan};
use crate::stack::deep;
use crate::types::Type;
use crate::val::{Eval, Val};

/// A compiled expression; to be shared between threads.
#[derive(Debug)]
pub struct Program {
    checked: Checked,
    plan: Plan,
    variables: Vec<Str>,
}

impl Program {
    pub(crate) fn new(checked: Checked, env: &Env) -> Result<Self, String> {
        let plan = plan(&checked, env)?;
        let mut variables = Vec::new();
        walk(&checked.expr, &mut |e| {
            if let Some(Reference::Variable(name)) = checked.reference(e)
                && env.variable(name).is_some()
                && !variables.contains(name)
            {
                variables.push(name.clone());
            }
        });
        Ok(Self { checked, plan, variables })
    }

    /// The type of its result.
    pub fn output_type(&self) -> &Type {
        self.checked.type_of(&self.checked.expr)
    }

    /// Whether it refers to the variable `name`.
    pub fn uses(&self, name: &str) -> bool {
        self.variables.iter().any(|v| v == name)
    }

    /// What it costs at least and at most.
    pub fn estimate_cost(&self, sizes: &dyn SizeEstimator) -> CostEstimate {
        estimate(&self.checked, sizes)
    }

    /// Evaluates it; also what that cost, even if it failed.
    pub fn eval<'a>(&self, variables: &Activation<'a>, budget: Budget<'_>) -> (Eval<Val<'a>>, u64) {
        evaluate(&self.plan.root, self.plan.slots, variables, budget)
    }
}

/// Visits every node, parents first.
pub(crate) fn walk<'e>(e: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    walk_where(e, &|_| true, visit);
}

/// Visits every node, parents first, but not below those for which `below` says no.
pub(crate) fn walk_where<'e>(e: &'e Expr, below: &dyn Fn(&Expr) -> bool, visit: &mut dyn FnMut(&'e Expr)) {
    visit(e);
    if !below(e) {
        return;
    }
    let mut go = |x: &'e Expr| deep(|| walk_where(x, below, visit));
    match &e.kind {
        Kind::Unspecified | Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => go(operand),
        Kind::Call(c) => c.target.iter().map(|t| &**t).chain(&c.args).for_each(go),
        Kind::List { elements, .. } => elements.iter().for_each(go),
        Kind::Map(entries) => entries.iter().for_each(|p| {
            go(&p.key);
            go(&p.value);
        }),
        Kind::Struct { fields, .. } => fields.iter().for_each(|f| go(&f.value)),
        Kind::Comprehension(c) => {
            [&c.range, &c.init, &c.condition, &c.step, &c.result].into_iter().for_each(go);
        }
    }
}
