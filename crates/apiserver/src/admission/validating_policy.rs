//! ValidatingAdmissionPolicy.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/policy/validating`.

use super::compiled::{Compiled, Objects};
use super::expressions::{
    self, Composed, Conditions, Expression, Inputs, OUT_OF_BUDGET, OutOfBudget, POLICY_COST_MAX,
};
use super::matching::{self, Match, Namespace};
use super::{AsyncPlugin, Attributes, params};
use crate::call::Call;
use cel::Val;
use futures_util::future::BoxFuture;
use kinds::expressions::Place;
use meta::status::{Cause, Status, reason};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use value::{Str, Value};

/// The longest message of an expression, in bytes, as upstream.
const MESSAGE_BYTES_MAX: usize = 5 << 10;
/// The longest value of an audit annotation, in bytes, as upstream.
const ANNOTATION_BYTES_MAX: usize = 10 << 10;

pub(super) struct ValidatingAdmissionPolicy(Compiled<Vec<Policy>>);

impl Default for ValidatingAdmissionPolicy {
    fn default() -> Self {
        const RESOURCES: &[&str] = &["validatingadmissionpolicies", "validatingadmissionpolicybindings"];
        Self(Compiled::in_background("admissionregistration.k8s.io", RESOURCES, compile))
    }
}

struct Policy {
    name: Str,
    matches: Match,
    param_kind: Value,
    ignores_failure: bool,
    variables: Composed,
    conditions: Conditions,
    validations: Vec<Validation>,
    annotations: Vec<(Str, Expression)>,
    bindings: Vec<Binding>,
}

struct Validation {
    expression: Expression,
    message: Str,
    message_expression: Option<Expression>,
    reason: Str,
}

/// A binding of a policy.
pub(super) struct Binding {
    pub(super) name: Str,
    matches: Option<Match>,
    pub(super) param_ref: Value,
    actions: Vec<Str>,
}

impl Binding {
    /// Whether the request is within its `matchResources`.
    ///
    /// # Errors
    /// As [`Match::matches`].
    pub(super) fn covers(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
        namespace: &Namespace,
    ) -> Result<bool, Status> {
        match &self.matches {
            None => Ok(true),
            Some(m) => Ok(m.matches(call, a, object, old, namespace)?.is_some()),
        }
    }
}

fn compile(objects: &Objects) -> Vec<Policy> {
    bound(objects).into_iter().map(|(p, bindings)| policy(p, bindings)).collect()
}

/// The policies that have bindings.
pub(super) fn bound(objects: &Objects) -> Vec<(&Value, Vec<Binding>)> {
    let [policies, bindings] = objects.as_slice() else { return Vec::new() };
    let bound = |policy: &Value| -> Vec<Binding> {
        let name = policy.at("metadata").at("name").str();
        let own = bindings.iter().filter(|b| b.at("spec").at("policyName").str() == name);
        own.map(binding).collect()
    };
    policies.iter().map(|p| (p, bound(p))).filter(|(_, bindings)| !bindings.is_empty()).collect()
}

fn binding(binding: &Value) -> Binding {
    let spec = binding.at("spec");
    let resources = spec.at("matchResources");
    Binding {
        name: binding.at("metadata").at("name").str().into(),
        matches: (!resources.is_null()).then(|| Match::of_policy(resources)),
        param_ref: spec.at("paramRef").clone(),
        actions: spec.at("validationActions").items().iter().map(|a| a.str().into()).collect(),
    }
}

fn policy(policy: &Value, bindings: Vec<Binding>) -> Policy {
    let spec = policy.at("spec");
    let params = !spec.at("paramKind").is_null();
    let variables = Composed::new(spec.at("variables"), params);
    let types = Some(&variables.types);
    let validation = |v: &Value| {
        let message = v.at("messageExpression").str();
        Validation {
            expression: Expression::new(v.at("expression").str(), Place::Condition, params, types),
            message: v.at("message").str().into(),
            message_expression: (!message.is_empty())
                .then(|| Expression::new(message, Place::Message, params, types)),
            reason: v.at("reason").str().into(),
        }
    };
    let annotation = |v: &Value| {
        let text = v.at("valueExpression").str();
        let expression = Expression::new(text, Place::AuditAnnotation, params, types);
        (v.at("key").str().into(), expression)
    };
    Policy {
        name: policy.at("metadata").at("name").str().into(),
        matches: Match::of_policy(spec.at("matchConstraints")),
        param_kind: spec.at("paramKind").clone(),
        ignores_failure: spec.at("failurePolicy").str() == "Ignore",
        conditions: Conditions::new(spec.at("matchConditions"), params, types),
        validations: spec.at("validations").items().iter().map(validation).collect(),
        annotations: spec.at("auditAnnotations").items().iter().map(annotation).collect(),
        variables,
        bindings,
    }
}

/// Whether policies have no say: reviews, and the policies themselves.
pub(super) fn is_exempt(a: &Attributes) -> bool {
    match a.resource.group.as_str() {
        "authentication.k8s.io" => {
            matches!(a.resource.resource.as_str(), "tokenreviews" | "selfsubjectreviews")
        }
        "authorization.k8s.io" => a.resource.resource.ends_with("reviews"),
        "admissionregistration.k8s.io" => a.resource.resource.contains("admissionpolic"),
        _ => false,
    }
}

impl AsyncPlugin for ValidatingAdmissionPolicy {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        self.0.get(call).is_some_and(|policies| !policies.is_empty()) && !is_exempt(a)
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        object: Option<&'a Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(policies) = self.0.get(call) else { return Ok(()) };
            let namespace = Namespace::of(call, a).await?;
            let concerns =
                |p: &Policy| !matches!(p.matches.matches(call, a, object, old, &namespace), Ok(None));
            if policies.iter().any(concerns) {
                // Expressions may take long.
                crate::listen::apart(&call.api).await;
            }
            dispatch(call, a, object, old, &namespace, &policies)
        })
    }
}

/// What a policy says no with.
struct Denial {
    /// The policy, with the binding if one is to blame.
    by: String,
    message: String,
    reason: Str,
}

/// Evaluates all policies; the first denial is what the client sees.
fn dispatch(
    call: &Call,
    a: &Attributes,
    object: Option<&Value>,
    old: Option<&Value>,
    namespace: &Namespace,
    policies: &[Policy],
) -> Result<(), Status> {
    let first: OnceCell<Denial> = OnceCell::new();
    let mut namespace_object = None;
    for policy in policies {
        let deny = |binding: Option<&Binding>, message: String, reason: &str| {
            let by = match binding {
                Some(b) => {
                    format!("ValidatingAdmissionPolicy '{}' with binding '{}'", policy.name, b.name)
                }
                None => format!("ValidatingAdmissionPolicy '{}'", policy.name),
            };
            first.get_or_init(|| Denial { by, message, reason: reason.into() });
        };
        let misconfigured = |binding: Option<&Binding>, why: &str| {
            if !policy.ignores_failure {
                let what = if binding.is_some() { "binding" } else { "policy" };
                deny(binding, format!("failed to configure {what}: {why}"), "");
            }
        };
        let matched = match policy.matches.matches(call, a, object, old, namespace) {
            Ok(Some(matched)) => matched,
            Ok(None) => continue,
            Err(error) => {
                misconfigured(None, &error.message);
                continue;
            }
        };
        let param_kind = match params::kind(call, &policy.param_kind) {
            Ok(kind) => kind,
            Err(why) => {
                misconfigured(None, &why);
                continue;
            }
        };
        let mut shown: Option<(Value, Value, Value)> = None;
        let mut told: BTreeMap<Str, Vec<Str>> = BTreeMap::new();
        for binding in &policy.bindings {
            match binding.covers(call, a, object, old, namespace) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    misconfigured(Some(binding), &error.message);
                    continue;
                }
            }
            let found = params::collect(call, param_kind.as_ref(), &binding.param_ref, &a.namespace);
            let found = match found {
                Ok(found) => found,
                Err(why) => {
                    misconfigured(Some(binding), &why);
                    continue;
                }
            };
            if shown.is_none() && !found.is_empty() {
                let served = matching::served(call, &matched);
                let show = |o: Option<&Value>| matching::shown(served.as_deref(), &matched, o);
                match (show(object), show(old)) {
                    (Ok(object), Ok(old)) => {
                        shown = Some((object, old, expressions::request(call, a, &matched)));
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        let why = format!("failed to convert object version: {}", error.message);
                        misconfigured(Some(binding), &why);
                        continue;
                    }
                }
            }
            let Some((object, old, request)) = &shown else { continue };
            let is_namespace = a.kind.group.is_empty() && a.kind.kind == "Namespace";
            let namespace_object = namespace_object
                .get_or_insert_with(|| if is_namespace { Value::Null } else { namespace.object(call) });
            for params in &found {
                let inputs =
                    Inputs { call, attributes: a, object, old, request, namespace: namespace_object, params };
                for found in evaluate(policy, &inputs) {
                    match found {
                        Finding::Told(key, text) => {
                            let texts = told.entry(key).or_default();
                            if call.audit.is_some() && !texts.contains(&text) {
                                texts.push(text);
                            }
                        }
                        Finding::Annotation(message) => deny(Some(binding), message, ""),
                        Finding::Denied(message, reason, i) => {
                            for action in &binding.actions {
                                match action.as_str() {
                                    "Deny" => deny(Some(binding), message.clone(), &reason),
                                    "Warn" => call.warn(format!(
                                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                                        policy.name, binding.name
                                    )),
                                    "Audit" if call.audit.is_some() => {
                                        let key = "validation.policy.admission.k8s.io/validation_failure";
                                        call.annotate(key, &failure(policy, binding, &message, i));
                                    }
                                    _ => {}
                                }
                            }
                        }
                    }
                }
            }
        }
        for (key, texts) in told {
            call.annotate(&format!("{}/{key}", policy.name), &texts.join(", "));
        }
    }
    let Some(denial) = first.into_inner() else { return Ok(()) };
    let message = format!("{} denied request: {}", denial.by, denial.message);
    let mut status = a.forbidden(&message).with_cause(Cause::new("", message));
    status.reason = if denial.reason.is_empty() { Str::new_static(reason::INVALID) } else { denial.reason };
    status.code = match status.reason.as_str() {
        reason::FORBIDDEN => 403,
        reason::UNAUTHORIZED => 401,
        reason::REQUEST_ENTITY_TOO_LARGE => 413,
        _ => 422,
    };
    Err(status)
}

/// A failed validation as the audit log tells it.
fn failure(policy: &Policy, binding: &Binding, message: &str, i: usize) -> String {
    let quote = |text: &str| value::json::to_string(&Value::from(text));
    let actions: Vec<String> = binding.actions.iter().map(|a| quote(a)).collect();
    format!(
        r#"[{{"message":{},"policy":{},"binding":{},"expressionIndex":{i},"validationActions":[{}]}}]"#,
        quote(message),
        quote(&policy.name),
        quote(&binding.name),
        actions.join(",")
    )
}

/// What an evaluation found, most of it wrong.
enum Finding {
    /// A validation failed or could not be told: message and reason, and which it was.
    Denied(String, Str, usize),
    /// What the audit log is to be told, by key.
    Told(Str, Str),
    /// An audit annotation could not be told.
    Annotation(String),
}

/// One evaluation of a policy.
fn evaluate(policy: &Policy, inputs: &Inputs<'_>) -> Vec<Finding> {
    let failed = |message: String| {
        if policy.ignores_failure { Vec::new() } else { vec![Finding::Denied(message, Str::default(), 0)] }
    };
    let null = Value::Null;
    if !policy.conditions.is_empty() {
        let without_namespace = Inputs { namespace: &null, ..*inputs };
        let (scope, variables) =
            cel::Variables::compose(&policy.variables.programs, &without_namespace.activation());
        match policy.conditions.hold(&scope, Some(&variables)) {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(message) => return failed(message),
        }
    }
    let (scope, variables) = cel::Variables::compose(&policy.variables.programs, &inputs.activation());
    let mut remaining = POLICY_COST_MAX;
    let mut results = Vec::with_capacity(policy.validations.len());
    for validation in &policy.validations {
        match validation.expression.eval(&scope, Some(&variables), &mut remaining) {
            Ok(result) => results.push(result),
            Err(OutOfBudget) => return failed(OUT_OF_BUDGET.into()),
        }
    }
    let mut messages = Vec::with_capacity(policy.validations.len());
    let mut messages_failed = false;
    for validation in &policy.validations {
        let message = validation.message_expression.as_ref();
        let message = message.map(|m| m.eval(&scope, Some(&variables), &mut remaining));
        match message {
            Some(Err(OutOfBudget)) => {
                messages_failed = true;
                break;
            }
            Some(Ok(message)) => messages.push(message.ok()),
            None => messages.push(None),
        }
    }
    let mut found = Vec::new();
    for (i, (validation, result)) in policy.validations.iter().zip(results).enumerate() {
        match result {
            Err(message) => found.extend(failed(message)),
            Ok(_) if messages_failed => {
                found.extend(failed(format!("failed messageExpression: {OUT_OF_BUDGET}")))
            }
            Ok(Val::Bool(true)) => {}
            Ok(_) => {
                let computed = messages.get(i).and_then(Option::as_ref).and_then(Val::as_str);
                let message = message(validation, computed);
                let reason = if validation.reason.is_empty() { reason::INVALID } else { &validation.reason };
                found.push(Finding::Denied(message, reason.into(), i));
            }
        }
    }
    found.extend(annotations(policy, &scope, &variables));
    found
}

/// What a failed validation says.
fn message(validation: &Validation, computed: Option<&str>) -> String {
    let usable = |m: &&str| !m.is_empty() && m.len() <= MESSAGE_BYTES_MAX && !m.contains('\n');
    let given = validation.message.trim();
    match computed.map(str::trim).filter(usable) {
        Some(message) => message.to_owned(),
        None if !given.is_empty() => given.to_owned(),
        None => format!("failed expression: {}", validation.expression.text.trim()),
    }
}

/// Evaluates the audit annotations.
fn annotations<'v>(
    policy: &Policy,
    scope: &cel::Activation<'v>,
    variables: &cel::Variables<'v>,
) -> Vec<Finding> {
    let mut remaining = POLICY_COST_MAX;
    let mut found = Vec::new();
    for (key, expression) in &policy.annotations {
        let result = match expression.eval(scope, Some(variables), &mut remaining) {
            Ok(result) => result,
            Err(OutOfBudget) if policy.ignores_failure => return Vec::new(),
            Err(OutOfBudget) => return vec![Finding::Denied(OUT_OF_BUDGET.into(), Str::default(), 0)],
        };
        match result {
            Ok(Val::String(text)) => {
                let mut text = text.to_string();
                let end = text.floor_char_boundary(ANNOTATION_BYTES_MAX);
                text.truncate(end);
                found.push(Finding::Told(key.as_str().into(), text.into()));
            }
            Ok(Val::Null) => {}
            Err(_) if policy.ignores_failure => {}
            Err(message) => found.push(Finding::Annotation(message)),
            Ok(other) => found.push(Finding::Annotation(format!(
                "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                expression.text,
                other.type_of().declared_name()
            ))),
        }
    }
    found
}
