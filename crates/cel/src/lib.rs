//! The Common Expression Language as Kubernetes uses it.
//!
//! ```text
//! Env ── compile ──▶ Program ── eval(Activation, Budget) ──▶ (Result<Val, EvalError>, cost)
//!                      └─ estimate_cost(SizeEstimator) ──▶ CostEstimate { min, max }
//! ```
//!
//! An [`Env`] knows variables, types ([`DeclType`]) and the functions of one Kubernetes version; a [`Program`]
//! is compiled once and shared; an evaluation reads the trees it is given in place.
//!
//! Invariants:
//! - No I/O and no clock. Whoever offers an authorizer to expressions answers its questions.
//! - Nothing an expression or its data says can make this panic, recurse without bound or run without end:
//!   every parser has a limit, every evaluation a budget.
//! - Texts of errors, static and actual costs are upstream's: cel-go 0.26 with Kubernetes' libraries.

pub mod admission;
pub mod fuzz;

mod ast;
mod base64;
mod checker;
mod composition;
mod decl;
mod decls;
mod env;
mod escape;
mod estimate;
mod eval;
mod gofmt;
mod issues;
mod lexer;
mod library;
mod macros;
mod opaque;
mod ops;
mod parser;
mod plan;
mod program;
mod regexes;
mod runtime_cost;
mod stack;
mod syntax;
mod time;
mod types;
mod unescape;
mod unify;
mod val;
mod validators;

pub use composition::Variables;
pub use decl::{DeclSizes, DeclType, ListKind, REQUEST_BYTES_MAX, Shape};
pub use env::{CompileError, Env, MINOR_VERSION};
pub use escape::{escape, is_reserved, unescape};
pub use estimate::{CostEstimate, NoSizes, Node, SizeEstimate, SizeEstimator};
pub use eval::{Activation, Budget, COST_PER_CALL_MAX};
pub use issues::{Issue, Issues};
pub use library::authz::{Access, Authorizer, Decision, authorizer_type, resource_check_type};
pub use opaque::{Opaque, ResourceCheck};
pub use program::Program;
pub use regexes::compile as compile_regex;
pub use time::Time;
pub use types::Type;
pub use val::{Entries, Eval, EvalError, Host, List, Map, StructVal, Val};

#[cfg(test)]
mod tests;
