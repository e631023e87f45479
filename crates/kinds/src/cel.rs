//! The seam to the expression language: this crate says where an expression stands, the server says whether
//! it compiles there.
//!
//! Invariant: without an installed compiler every expression passes.

use meta::field::{Error, ErrorList, Path};
use std::sync::OnceLock;
use value::Str;

/// Where an expression stands, which decides what it may name and what type it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `matchConditions` of webhooks and policies: a bool.
    MatchCondition,
    /// `variables` of a policy: any type.
    Variable,
    /// `validations[].expression` of a policy: a bool.
    Validation,
    /// `messageExpression`: a string.
    Message,
    /// `auditAnnotations[].valueExpression`: a string or null.
    AuditAnnotation,
    /// `mutations[].applyConfiguration.expression`: an object.
    ApplyConfiguration,
    /// `mutations[].jsonPatch.expression`: a list of patches.
    JsonPatch,
    /// A device selector of `resource.k8s.io`: a bool over `device`.
    DeviceSelector,
}

/// An expression and what it may use.
#[derive(Clone, Copy, Debug)]
pub struct Expression<'a> {
    /// The text.
    pub text: &'a str,
    /// Where it stands.
    pub place: Place,
    /// Whether `params` is there.
    pub has_params: bool,
    /// Whether `authorizer` is there.
    pub has_authorizer: bool,
    /// The policy's variables before it, as (name, expression); only for policies.
    pub variables: &'a [(Str, Str)],
    /// Whether it is stored already, so that what newer versions brought is allowed.
    pub stored: bool,
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// As `Required value: text`.
    Required(String),
    /// As `Invalid value: "expression": text`.
    Invalid(String),
    /// As `Forbidden: text`.
    Forbidden(String),
    /// As `Too long: text`, for an expression above this many bytes.
    TooLong(usize),
    /// As `Internal error: text`.
    Internal(String),
}

/// Checks expressions.
pub trait Compiler: Send + Sync {
    /// Compiles an expression and checks its type and cost.
    ///
    /// # Errors
    /// What an error on the expression's field shall say.
    fn compile(&self, expression: &Expression<'_>) -> Result<(), Failure>;
}

static COMPILER: OnceLock<Box<dyn Compiler>> = OnceLock::new();

/// Installs the compiler of this process; a second call does nothing.
pub fn install(compiler: Box<dyn Compiler>) {
    let _ = COMPILER.set(compiler);
}

/// Checks an expression; an error shows `shown`.
pub(crate) fn check(expression: &Expression<'_>, shown: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(compiler) = COMPILER.get() else { return };
    let Err(failure) = compiler.compile(expression) else { return };
    errors.push(match failure {
        Failure::Required(text) => Error::required(path, text),
        Failure::Invalid(text) => Error::invalid(path, shown, text),
        Failure::Forbidden(text) => Error::forbidden(path, text),
        Failure::TooLong(max) => Error::too_long(path, max),
        Failure::Internal(text) => Error::internal(path, text),
    });
}
