//! Named expressions that others use by `variables.name`, evaluated when first asked for.
//!
//! Upstream counterparts: apiserver `pkg/admission/plugin/cel/composition.go`, `pkg/cel/lazy`.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use value::Str;

use crate::eval::{Activation, Budget, COST_PER_CALL_MAX};
use crate::program::Program;
use crate::val::{Eval, EvalError, Host, Val};

/// The variables of one evaluation of a policy. An expression among them may use those before it.
pub struct Variables<'a> {
    expressions: &'a [(Str, Result<Program, String>)],
    values: Vec<OnceCell<Eval<Val<'a>>>>,
    activation: RefCell<Activation<'a>>,
    cost: Cell<u64>,
}

impl<'a> Variables<'a> {
    /// Variables over `activation`; `expressions` are programs or why they do not compile. Returns the
    /// activation with `variables` in it, and the handle to ask for costs.
    pub fn compose(
        expressions: &'a [(Str, Result<Program, String>)],
        activation: &Activation<'a>,
    ) -> (Activation<'a>, Rc<Self>) {
        let values = expressions.iter().map(|_| OnceCell::new()).collect();
        let this = Rc::new(Self {
            expressions,
            values,
            activation: RefCell::new(activation.clone()),
            cost: Cell::new(0),
        });
        let seen_by_variables = Rc::downgrade(&this);
        this.activation.borrow_mut().set("variables", Val::Host(Rc::new(Weak(seen_by_variables))));
        let outer = activation.clone().with("variables", Val::Host(this.clone()));
        (outer, this)
    }

    /// What evaluating variables has cost since this was last asked. Upstream takes it from the budget of
    /// the policy, not of the expression that asked.
    pub fn take_cost(&self) -> u64 {
        self.cost.take()
    }

    fn evaluate(&self, i: usize) -> Eval<Val<'a>> {
        let (name, program) = &self.expressions[i];
        let program = match program {
            Ok(p) => p,
            Err(e) => {
                return Err(EvalError::new(format!("composited variable {name:?} fails to compile: {e}")));
            }
        };
        let activation = self.activation.borrow().clone();
        let (value, cost) = program.eval(&activation, Budget { cost: COST_PER_CALL_MAX, interrupt: None });
        self.cost.set(self.cost.get().saturating_add(cost));
        value.map_err(|e| EvalError::new(format!("composited variable {name:?} fails to evaluate: {e}")))
    }

    fn find(&self, name: &str) -> Option<Eval<Val<'a>>> {
        let i = self.expressions.iter().position(|(n, _)| n == name)?;
        if let Some(v) = self.values[i].get() {
            return Some(v.clone());
        }
        // The checker lets an expression use only those before it, so this does not come back to itself.
        let v = self.evaluate(i);
        Some(self.values[i].get_or_init(|| v).clone())
    }
}

impl<'a> Host<'a> for Variables<'a> {
    fn get(&self, name: &str) -> Option<Eval<Val<'a>>> {
        self.find(name)
    }

    fn len(&self) -> usize {
        self.expressions.len()
    }
}

/// The same for the variables themselves, without owning them.
struct Weak<'a>(std::rc::Weak<Variables<'a>>);

impl<'a> Host<'a> for Weak<'a> {
    fn get(&self, name: &str) -> Option<Eval<Val<'a>>> {
        self.0.upgrade()?.find(name)
    }

    fn len(&self) -> usize {
        self.0.upgrade().map_or(0, |v| v.expressions.len())
    }
}
