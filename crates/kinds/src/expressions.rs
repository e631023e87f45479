//! Expressions in built-in objects: what each place offers to them and what type it wants of them.
//!
//! Whoever evaluates them compiles them here too, so that what was accepted is what runs.
//!
//! Upstream: apiserver `pkg/admission/plugin/cel/compile.go`, dynamic-resource-allocation
//! `cel/compile.go`.

use cel::{CompileError, DeclType, Env, Node, Program, SizeEstimate, SizeEstimator, Type};
use cel::{admission, authorizer_type, resource_check_type};
use meta::field::{Error, ErrorList, Path};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use value::Str;

mod typed;

pub use typed::Typed;

/// Upstream's `CELSelectorExpressionMaxCost`.
pub const DEVICE_SELECTOR_COST_MAX: u64 = 1_000_000;

/// Where an expression of admission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `matchConditions` of webhooks and policies, `validations[].expression`: a bool.
    Condition,
    /// `variables` of a policy: any type.
    Variable,
    /// `messageExpression`: a string.
    Message,
    /// `auditAnnotations[].valueExpression`: a string or null.
    AuditAnnotation,
    /// `mutations[].applyConfiguration.expression`: an `Object`.
    ApplyConfiguration,
    /// `mutations[].jsonPatch.expression`: a list of `JSONPatch`.
    JsonPatch,
}

impl Place {
    /// The types an expression may have here; none where it may have any.
    fn types(self) -> Vec<Type> {
        match self {
            Self::Condition => vec![Type::Bool],
            Self::Variable => Vec::new(),
            Self::Message => vec![Type::String],
            Self::AuditAnnotation => vec![Type::String, Type::Null],
            Self::ApplyConfiguration => vec![Type::object("Object")],
            Self::JsonPatch => vec![Type::list(Type::object("JSONPatch"))],
        }
    }

    fn makes_patches(self) -> bool {
        matches!(self, Self::ApplyConfiguration | Self::JsonPatch)
    }
}

/// What an expression may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// Whether `params` is there.
    pub params: bool,
    /// The policy's variables before it; `None` where there is no `variables`.
    pub variables: Option<&'a Variables>,
    /// Whether it is stored already, so that what newer versions brought is allowed.
    pub stored: bool,
}

/// Types of a policy's variables, `None` for those that do not compile.
#[derive(Clone, Debug, Default)]
pub struct Variables(HashMap<Str, Option<Type>>);

impl Variables {
    /// Adds a variable.
    pub fn insert(&mut self, name: &str, ty: Option<Type>) {
        self.0.insert(name.into(), ty);
    }

    /// The type of `variables`, with those that `text` may name: a policy of many variables shall not cost
    /// their square.
    fn named_in(&self, text: &str) -> Arc<DeclType> {
        let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        let named: HashMap<Str, Option<&Type>> = words
            .filter_map(|word| self.0.get_key_value(word))
            .map(|(name, ty)| (name.clone(), ty.as_ref()))
            .collect();
        admission::variables_type(named)
    }
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// As `Invalid value: "expression": text`.
    Invalid(String),
    /// As `Forbidden: text`.
    Forbidden(&'static str),
    /// As `Internal error: text`.
    Internal(String),
}

impl Failure {
    /// As an error of a field, which shows the expression as `shown`.
    pub(crate) fn report(self, shown: &str, path: &Path<'_>, errors: &mut ErrorList) {
        errors.push(match self {
            Self::Invalid(text) => Error::invalid(path, shown, text),
            Self::Forbidden(text) => Error::forbidden(path, text),
            Self::Internal(text) => Error::internal(path, text),
        });
    }
}

impl From<CompileError> for Failure {
    fn from(e: CompileError) -> Self {
        match e {
            CompileError::Issues(issues) => Self::Invalid(format!("compilation failed: {issues}")),
            CompileError::Plan(text) => Self::Internal(format!("program instantiation failed: {text}")),
        }
    }
}

fn base(stored: bool) -> Env {
    if stored { Env::stored_expressions() } else { Env::new_expressions() }
}

/// What every expression of admission knows.
fn admission_env(stored: bool) -> &'static Env {
    static ENVS: LazyLock<[Env; 2]> = LazyLock::new(|| {
        [false, true].map(|stored| {
            base(stored)
                .variable_of("object", Type::Dyn)
                .variable_of("oldObject", Type::Dyn)
                .variable_decl("namespaceObject", &admission::namespace_type())
                .variable_decl("request", &admission::request_type())
        })
    });
    &ENVS[usize::from(stored)]
}

/// Compiles an expression of admission.
///
/// # Errors
/// Why it is refused.
pub fn compile(text: &str, place: Place, scope: Scope<'_>) -> Result<Program, Failure> {
    let mut env = admission_env(scope.stored).clone();
    if scope.params {
        env = env.variable_of("params", Type::Dyn);
    }
    if place != Place::Message {
        env = env
            .variable_of("authorizer", authorizer_type())
            .variable_of("authorizer.requestResource", resource_check_type());
    }
    if let Some(variables) = scope.variables {
        env = env.variable_decl("variables", &variables.named_in(text));
    }
    if place.makes_patches() {
        env = env.with_mutation().with_json_patch();
    }
    let program = env.compile(text)?;
    let (types, got) = (place.types(), program.output_type());
    if types.is_empty() || types.contains(got) {
        return Ok(program);
    }
    let names: Vec<String> = types.iter().map(Type::declared_name).collect();
    let wanted = match &names[..] {
        [one] => one.clone(),
        many => format!("one of [{}]", many.join(" ")),
    };
    Err(Failure::Invalid(format!("must evaluate to {wanted} but got {}", got.declared_name())))
}

/// Compiles a selector of devices.
///
/// # Errors
/// Why it is refused.
pub fn compile_device_selector(text: &str, stored: bool) -> Result<Program, Failure> {
    static ENVS: LazyLock<[Env; 2]> =
        LazyLock::new(|| [false, true].map(|stored| base(stored).variable_decl("device", &device_type())));
    let program = ENVS[usize::from(stored)].compile(text)?;
    // Upstream knows an `any` besides `dyn`, of which attributes are; here they are one.
    let got = program.output_type();
    if !matches!(got, Type::Bool | Type::Dyn) {
        let text = format!("must evaluate to bool or the unknown type, not {}", got.declared_name());
        return Err(Failure::Invalid(text));
    }
    if program.estimate_cost(&DeviceSizes).max > DEVICE_SELECTOR_COST_MAX {
        return Err(Failure::Forbidden("too complex, exceeds cost limit"));
    }
    Ok(program)
}

/// Attributes and capacities of one device.
const ENTRIES_MAX: i64 = 32;
const DRIVER_MAX: u64 = 63;
const DOMAIN_MAX: u64 = 63;
const ID_MAX: u64 = 32;
const ATTRIBUTE_MAX: u64 = 64;

/// The type of `device`.
fn device_type() -> Arc<DeclType> {
    let of = |ty| {
        let inner = Arc::new(DeclType::map(Arc::new(ty), Some(ENTRIES_MAX)));
        Arc::new(DeclType::map(inner, Some(ENTRIES_MAX)))
    };
    Arc::new(DeclType::object_of_fields(
        "kubernetes.DRADevice",
        [
            ("driver", Arc::new(DeclType::string(None, None))),
            ("allowMultipleAllocations", Arc::new(DeclType::boolean())),
            ("attributes", of(DeclType::any())),
            ("capacity", of(DeclType::of_type(Type::object("kubernetes.Quantity")))),
        ],
    ))
}

/// Sizes of what a device has.
#[derive(Clone, Copy, Debug)]
struct DeviceSizes;

impl SizeEstimator for DeviceSizes {
    fn estimate_size(&self, node: &Node<'_>) -> Option<SizeEstimate> {
        let path: Vec<&str> = node.path.iter().map(|s| &**s).collect();
        let max = match path[..] {
            ["device"] => 0,
            ["device", "driver"] => DRIVER_MAX,
            ["device", "allowMultipleAllocations"] => 1,
            ["device", "attributes" | "capacity"] => ENTRIES_MAX as u64,
            ["device", "attributes" | "capacity", "@keys"] => DOMAIN_MAX,
            ["device", "attributes" | "capacity", "@items" | "@values"] => ENTRIES_MAX as u64,
            ["device", "attributes" | "capacity", "@items" | "@values", "@keys"] => ID_MAX,
            ["device", "capacity", "@items" | "@values", "@items" | "@values"] => 0,
            // All attributes of a domain are of one size, whatever they are called.
            ["device", "attributes", "@items" | "@values", _] => ATTRIBUTE_MAX,
            _ => return None,
        };
        Some(SizeEstimate { min: 0, max })
    }
}

#[cfg(test)]
mod tests;
