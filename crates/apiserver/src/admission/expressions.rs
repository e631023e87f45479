//! Expressions of policies and match conditions: compiled once, evaluated under a budget.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/{cel,webhook/matchconditions}`.

use super::Attributes;
use super::matching::Matched;
use crate::call::Call;
use auth::UserInfo;
use cel::{Access, Activation, Authorizer, Budget, Decision, Opaque, Program, ResourceCheck, Val};
use kinds::expressions::{Failure, Place, Scope, Variables as Types, compile};
use meta::{fields, labels};
use std::rc::Rc;
use std::sync::Arc;
use value::{Str, Value};

/// What one evaluation of a policy may cost, and what match conditions may, as upstream
/// (`RuntimeCELCostBudget`, `RuntimeCELCostBudgetMatchConditions`).
pub(super) const POLICY_COST_MAX: u64 = 10_000_000;
pub(super) const CONDITIONS_COST_MAX: u64 = 2_500_000;

/// What there is to say when the budget is gone.
pub(super) struct OutOfBudget;

/// The text of [`OutOfBudget`].
pub(super) const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A compiled expression with its source.
pub(super) struct Expression {
    pub(super) text: Str,
    program: Result<Program, String>,
}

fn failure(failure: Failure) -> String {
    match failure {
        Failure::Invalid(text) | Failure::Internal(text) => text,
        Failure::Forbidden(text) => text.to_owned(),
    }
}

impl Expression {
    pub(super) fn new(text: &str, place: Place, params: bool, variables: Option<&Types>) -> Self {
        let scope = Scope { params, variables, stored: true };
        Self { text: text.into(), program: compile(text, place, scope).map_err(failure) }
    }

    /// Why it does not compile, if it does not.
    pub(super) fn compile_error(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    /// The value, or what went wrong.
    pub(super) fn eval<'v>(
        &self,
        scope: &Activation<'v>,
        variables: Option<&cel::Variables<'v>>,
        remaining: &mut u64,
    ) -> Result<Result<Val<'v>, String>, OutOfBudget> {
        let program = match &self.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        let (value, cost) = program.eval(scope, Budget::default());
        let cost = cost.saturating_add(variables.map_or(0, cel::Variables::take_cost));
        *remaining = remaining.checked_sub(cost).ok_or(OutOfBudget)?;
        Ok(value.map_err(|why| format!("expression '{}' resulted in error: {why}", self.text)))
    }
}

/// A policy's variables, in order.
pub(super) struct Composed {
    pub(super) types: Types,
    pub(super) programs: Vec<(Str, Result<Program, String>)>,
}

impl Composed {
    pub(super) fn new(variables: &Value, params: bool) -> Self {
        let mut composed = Self { types: Types::default(), programs: Vec::new() };
        for variable in variables.items() {
            let name = variable.at("name").str();
            let scope = Scope { params, variables: Some(&composed.types), stored: true };
            let program = compile(variable.at("expression").str(), Place::Variable, scope).map_err(failure);
            composed.types.insert(name, program.as_ref().ok().map(|p| p.output_type().clone()));
            composed.programs.push((name.into(), program));
        }
        composed
    }
}

/// What expressions are evaluated over.
pub(super) struct Inputs<'a> {
    pub(super) call: &'a Call,
    pub(super) attributes: &'a Attributes,
    pub(super) object: &'a Value,
    pub(super) old: &'a Value,
    pub(super) request: &'a Value,
    pub(super) namespace: &'a Value,
    pub(super) params: &'a Value,
}

impl<'a> Inputs<'a> {
    /// The variables with their values.
    pub(super) fn activation(&self) -> Activation<'a> {
        let a = self.attributes;
        let authorizer: Rc<dyn Authorizer + 'a> =
            Rc::new(As { call: self.call, user: self.call.user.clone() });
        let request_resource = ResourceCheck {
            authorizer: authorizer.clone(),
            group: a.resource.group.clone(),
            resource: a.resource.resource.clone(),
            subresource: a.subresource.clone(),
            namespace: a.namespace.clone(),
            name: a.given_name().into(),
            field_selector: Str::default(),
            label_selector: Str::default(),
        };
        let opaque = |o: Opaque<'a>| Val::Opaque(Rc::new(o));
        Activation::new()
            .with("object", Val::tree(self.object))
            .with("oldObject", Val::tree(self.old))
            .with("request", Val::tree(self.request))
            .with("namespaceObject", Val::tree(self.namespace))
            .with("params", Val::tree(self.params))
            .with("authorizer", opaque(Opaque::Authorizer(authorizer)))
            .with("authorizer.requestResource", opaque(Opaque::ResourceCheck(request_resource)))
    }
}

/// The server's authorizer, asked about one user.
struct As<'a> {
    call: &'a Call,
    user: Arc<UserInfo>,
}

impl Authorizer for As<'_> {
    fn authorize(&self, access: &Access<'_>) -> Decision {
        let decide = |attributes: &auth::Attributes<'_>| {
            let verdict = self.call.api.access.authorize(attributes);
            Decision { allowed: verdict.allowed(), reason: verdict.reason.into(), error: None }
        };
        match access {
            Access::Path { verb, path } => decide(&auth::Attributes::path(&self.user, verb, path)),
            Access::Resource { verb, check } => {
                let field = (!check.field_selector.is_empty())
                    .then(|| fields::Selector::parse(&check.field_selector));
                let label = (!check.label_selector.is_empty())
                    .then(|| labels::Selector::parse(&check.label_selector));
                let attributes = auth::Attributes {
                    field_selector: selection(&check.field_selector, &field),
                    label_selector: selection(&check.label_selector, &label),
                    ..auth::Attributes::resource(&self.user, verb, &check.group, &check.resource)
                        .named(&check.namespace, &check.name)
                        .sub(&check.subresource)
                };
                decide(&attributes)
            }
        }
    }

    fn service_account<'a>(&self, namespace: &str, name: &str) -> Rc<dyn Authorizer + 'a>
    where
        Self: 'a,
    {
        let user = UserInfo::service_account(namespace, name, "");
        Rc::new(As { call: self.call, user: Arc::new(user) })
    }
}

fn selection<'s, T, E>(text: &'s str, parsed: &'s Option<Result<T, E>>) -> auth::Selection<'s, T> {
    match parsed {
        None => auth::Selection::None,
        Some(Ok(selector)) => auth::Selection::Some(selector),
        Some(Err(_)) => auth::Selection::Invalid(text),
    }
}

/// The `request` of expressions, and (with objects added) of webhooks.
pub(super) fn request(call: &Call, a: &Attributes, matched: &Matched) -> Value {
    let kind = |k: &meta::gvk::GroupVersionKind| {
        let mut out = Value::object();
        out.set("group", k.group.clone());
        out.set("version", k.version.clone());
        out.set("kind", k.kind.clone());
        out
    };
    let resource = |r: &meta::gvk::GroupVersionResource| {
        let mut out = Value::object();
        out.set("group", r.group.clone());
        out.set("version", r.version.clone());
        out.set("resource", r.resource.clone());
        out
    };
    let mut out = Value::object();
    out.set("kind", kind(&matched.kind));
    out.set("resource", resource(&matched.resource));
    out.set("requestKind", kind(&a.kind));
    out.set("requestResource", resource(&a.resource));
    for (field, text) in [
        ("subResource", a.subresource.as_str()),
        ("requestSubResource", &a.subresource),
        ("name", a.given_name()),
        ("namespace", &a.namespace),
    ] {
        if !text.is_empty() {
            out.set(field, text);
        }
    }
    out.set("operation", a.operation.as_str());
    out.set("userInfo", call.user.to_value());
    out.set("dryRun", a.dry_run);
    out.set("options", options(call, a));
    out
}

/// The options of the request.
fn options(call: &Call, a: &Attributes) -> Value {
    use super::Operation;
    if !a.options.is_null() || a.operation == Operation::Connect {
        return a.options.clone();
    }
    let patch = call.method == http::Method::PATCH;
    let mut out = Value::object();
    out.set("apiVersion", "meta.k8s.io/v1");
    out.set(
        "kind",
        match a.operation {
            _ if patch => "PatchOptions",
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete | Operation::Connect => "DeleteOptions",
        },
    );
    let dry_run: Vec<Str> = call.query.all("dryRun").cloned().collect();
    if !dry_run.is_empty() {
        out.set("dryRun", dry_run);
    }
    for key in ["fieldManager", "fieldValidation"] {
        let text = call.query.str(key);
        if !text.is_empty() {
            out.set(key, text);
        }
    }
    if let Some(force) = call.query.bool("force").filter(|_| patch) {
        out.set("force", force);
    }
    out
}

/// Conditions that must all hold.
pub(super) struct Conditions(Vec<Expression>);

impl Conditions {
    pub(super) fn new(conditions: &Value, params: bool, variables: Option<&Types>) -> Self {
        let compile =
            |c: &Value| Expression::new(c.at("expression").str(), Place::Condition, params, variables);
        Self(conditions.items().iter().map(compile).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they hold; one that says no outweighs others that fail.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn hold<'v>(
        &self,
        scope: &Activation<'v>,
        variables: Option<&cel::Variables<'v>>,
    ) -> Result<bool, String> {
        let mut remaining = CONDITIONS_COST_MAX;
        let mut results = Vec::with_capacity(self.0.len());
        for condition in &self.0 {
            let result = condition.eval(scope, variables, &mut remaining);
            results.push(result.map_err(|OutOfBudget| OUT_OF_BUDGET.to_owned())?);
        }
        if results.iter().any(|r| matches!(r, Ok(Val::Bool(false)))) {
            return Ok(false);
        }
        match meta::field::aggregate(results.into_iter().filter_map(Result::err)) {
            Some(errors) => Err(errors),
            None => Ok(true),
        }
    }
}
