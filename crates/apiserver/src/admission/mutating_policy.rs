//! MutatingAdmissionPolicy.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/policy/{mutating,generic}`.

mod patch;

use super::compiled::{Compiled, Objects};
use super::expressions::{self, Composed, Conditions, Expression, Inputs};
use super::matching::{self, Match, Matched, Namespace};
use super::reinvocation::Reinvocation;
use super::validating_policy::{Binding, bound, is_exempt};
use super::{AsyncPlugin, Attributes, params};
use crate::call::Call;
use futures_util::future::BoxFuture;
use kinds::expressions::Place;
use meta::quote::Quoted;
use meta::status::{Cause, Status, reason};
use value::{Str, Value};

pub(super) struct MutatingAdmissionPolicy(Compiled<Vec<Policy>>);

impl Default for MutatingAdmissionPolicy {
    fn default() -> Self {
        const RESOURCES: &[&str] = &["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];
        Self(Compiled::in_background("admissionregistration.k8s.io", RESOURCES, compile))
    }
}

struct Policy {
    name: Str,
    matches: Match,
    param_kind: Value,
    ignores_failure: bool,
    reinvoked_if_needed: bool,
    variables: Composed,
    conditions: Conditions,
    mutations: Vec<Mutation>,
    bindings: Vec<Binding>,
}

struct Mutation {
    kind: Kind,
    expression: Expression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Apply,
    JsonPatch,
}

fn compile(objects: &Objects) -> Vec<Policy> {
    bound(objects).into_iter().map(|(p, bindings)| policy(p, bindings)).collect()
}

fn policy(policy: &Value, bindings: Vec<Binding>) -> Policy {
    let spec = policy.at("spec");
    let params = !spec.at("paramKind").is_null();
    let variables = Composed::new(spec.at("variables"), params);
    let types = Some(&variables.types);
    let mutation = |m: &Value| {
        let (kind, place, of) = match m.at("patchType").str() {
            "JSONPatch" => (Kind::JsonPatch, Place::JsonPatch, m.at("jsonPatch")),
            "ApplyConfiguration" => (Kind::Apply, Place::ApplyConfiguration, m.at("applyConfiguration")),
            _ => return None,
        };
        let expression = Expression::new(of.at("expression").str(), place, params, types);
        Some(Mutation { kind, expression })
    };
    Policy {
        name: policy.at("metadata").at("name").str().into(),
        matches: Match::of_policy(spec.at("matchConstraints")),
        param_kind: spec.at("paramKind").clone(),
        ignores_failure: spec.at("failurePolicy").str() == "Ignore",
        reinvoked_if_needed: spec.at("reinvocationPolicy").str() == "IfNeeded",
        conditions: Conditions::new(spec.at("matchConditions"), params, types),
        mutations: spec.at("mutations").items().iter().filter_map(mutation).collect(),
        variables,
        bindings,
    }
}

impl AsyncPlugin for MutatingAdmissionPolicy {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        self.0.get(call).is_some_and(|policies| !policies.is_empty()) && !is_exempt(a)
    }

    fn admit<'a>(
        &'a self,
        call: &'a Call,
        a: &'a mut Attributes,
        object: &'a mut Value,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(policies) = self.0.get(call) else { return Ok(()) };
            let namespace = Namespace::of(call, a).await?;
            let concerns =
                |p: &Policy| !matches!(p.matches.matches(call, a, Some(&*object), old, &namespace), Ok(None));
            if policies.iter().any(concerns) {
                // Expressions may take long.
                crate::listen::apart(&call.api).await;
            }
            let mut state = std::mem::take(&mut a.reinvocation);
            if state.again {
                state.policies.resume(object);
            }
            let result = dispatch(call, a, &mut state, object, old, &namespace, &policies);
            state.policies.leave(object);
            a.reinvocation = state;
            result
        })
    }
}

/// What went wrong with which policy.
struct Failure<'p> {
    policy: &'p Policy,
    binding: Option<&'p Binding>,
    why: String,
    reason: &'static str,
}

impl Failure<'_> {
    fn message(&self) -> String {
        match self.binding {
            Some(binding) => format!(
                "policy '{}' with binding '{}' denied request: {}",
                self.policy.name, binding.name, self.why
            ),
            None => format!("policy {} denied request: {}", Quoted(&self.policy.name), self.why),
        }
    }
}

/// What does not change while policies run.
struct Write<'a> {
    call: &'a Call,
    attributes: &'a Attributes,
    old: Option<&'a Value>,
    /// The namespace as expressions see it.
    namespace: &'a Value,
}

/// A policy that is to run, with its parameters.
struct Invocation<'p> {
    policy: &'p Policy,
    binding: &'p Binding,
    matched: Matched,
    params: Value,
    uid: String,
}

fn dispatch(
    call: &Call,
    a: &Attributes,
    state: &mut Reinvocation,
    object: &mut Value,
    old: Option<&Value>,
    namespace: &Namespace,
    policies: &[Policy],
) -> Result<(), Status> {
    let mut failures = Vec::new();
    let invocations = invocations(call, a, object, old, namespace, policies, &mut failures);
    let is_namespace = a.kind.group.is_empty() && a.kind.kind == "Namespace";
    let namespace_object =
        if invocations.is_empty() || is_namespace { Value::Null } else { namespace.object(call) };
    let write = Write { call, attributes: a, old, namespace: &namespace_object };
    for invocation in &invocations {
        run(&write, state, object, invocation, &mut failures)?;
    }
    failures.retain(|f| !f.policy.ignores_failure);
    let Some(first) = failures.first() else { return Ok(()) };
    let mut status = a.forbidden("admission request denied by policy");
    status.message = first.message();
    if !first.reason.is_empty() {
        status.reason = Str::new_static(first.reason);
    }
    for failure in &failures {
        status = status.with_cause(Cause::new("", failure.message()));
    }
    Err(status)
}

/// Who is to run; decided before anybody changes the object.
fn invocations<'p>(
    call: &Call,
    a: &Attributes,
    object: &Value,
    old: Option<&Value>,
    namespace: &Namespace,
    policies: &'p [Policy],
    failures: &mut Vec<Failure<'p>>,
) -> Vec<Invocation<'p>> {
    let mut found = Vec::new();
    for policy in policies {
        let mut misconfigured = |binding: Option<&'p Binding>, why: &str| {
            let what = if binding.is_some() { "binding" } else { "policy" };
            let why = format!("failed to configure {what}: {why}");
            failures.push(Failure { policy, binding, why, reason: "" });
        };
        let matched = match policy.matches.matches(call, a, Some(object), old, namespace) {
            Ok(Some(matched)) => matched,
            Ok(None) => continue,
            Err(error) => {
                misconfigured(None, &error.message);
                continue;
            }
        };
        let kind = match params::kind(call, &policy.param_kind) {
            Ok(kind) => kind,
            Err(why) => {
                misconfigured(None, &why);
                continue;
            }
        };
        for binding in &policy.bindings {
            match binding.covers(call, a, Some(object), old, namespace) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    misconfigured(Some(binding), &error.message);
                    continue;
                }
            }
            match params::collect(call, kind.as_ref(), &binding.param_ref, &a.namespace) {
                Err(why) => misconfigured(Some(binding), &why),
                Ok(params) => found.extend(params.into_iter().map(|params| {
                    let metadata = params.at("metadata");
                    let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
                    let uid = format!("{}/{}/{namespace}/{name}", policy.name, binding.name);
                    Invocation { policy, binding, matched: matched.clone(), params, uid }
                })),
            }
        }
    }
    found
}

/// Runs the mutations of one policy, each on what the one before it made.
fn run<'p>(
    write: &Write<'_>,
    state: &mut Reinvocation,
    object: &mut Value,
    invocation: &Invocation<'p>,
    failures: &mut Vec<Failure<'p>>,
) -> Result<(), Status> {
    let Write { call, attributes: a, old, namespace } = *write;
    let Invocation { policy, binding, matched, params, uid } = invocation;
    let mut failed = |why: String| {
        failures.push(Failure { policy, binding: Some(binding), why, reason: reason::INVALID });
    };
    let served = matching::served(call, matched);
    let show = |o: Option<&Value>| {
        matching::shown(served.as_deref(), matched, o).map_err(|s| Status::internal_error(s.message))
    };
    let old = show(old)?;
    let request = expressions::request(call, a, matched);
    let before = show(Some(object))?;
    let null = Value::Null;
    if !policy.conditions.is_empty() {
        let inputs = Inputs {
            call,
            attributes: a,
            object: &before,
            old: &old,
            request: &request,
            namespace: &null,
            params,
        };
        let activation = inputs.activation();
        let (scope, variables) = cel::Variables::compose(&policy.variables.programs, &activation);
        match policy.conditions.hold(&scope, Some(&variables)) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A policy that ignores failures does not match; its failure is dropped later.
            Err(why) => {
                failed(why);
                return Ok(());
            }
        }
    }
    if state.again && !state.policies.is_due(uid) {
        return Ok(());
    }
    let mut current = before.clone();
    for mutation in &policy.mutations {
        if current.is_null() {
            break;
        }
        let result = {
            let inputs = Inputs {
                call,
                attributes: a,
                object: &current,
                old: &old,
                request: &request,
                namespace,
                params,
            };
            let activation = inputs.activation();
            let (scope, variables) = cel::Variables::compose(&policy.variables.programs, &activation);
            patch::apply(mutation, served.as_deref(), &current, &scope, &variables)
        };
        match result {
            Ok(new) => current = new,
            Err(patch::Failure::Policy(why)) => failed(why),
            Err(patch::Failure::Request(status)) => return Err(*status),
        }
    }
    if current != before {
        if let Some(served) = &served {
            let mut new = current;
            served.to_hub(&mut new).map_err(|s| Status::internal_error(s.message))?;
            *object = new;
        } else {
            *object = current;
        }
        state.policies.changed();
        state.wanted = true;
    }
    if policy.reinvoked_if_needed {
        state.policies.asked(uid);
    }
    Ok(())
}
