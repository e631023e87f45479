//! Webhooks: MutatingAdmissionWebhook and ValidatingAdmissionWebhook.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/webhook`.

mod hook;
mod mutating;
pub(crate) mod review;
mod validating;

pub(super) use mutating::MutatingWebhook;
pub(super) use validating::ValidatingWebhook;

use super::expressions::{self, Inputs};
use super::matching::{self, Matched, Namespace};
use super::{Attributes, Operation};
use crate::call::Call;
use crate::metrics::webhooks::{self as metrics, Outcome};
use hook::Hook;
use meta::quote::Quoted;
use meta::status::Status;
use review::Use;
use std::fmt;
use std::time::Duration;
use value::Value;

/// Whether webhooks have no say: what configures admission must stay repairable.
fn is_exempt(a: &Attributes) -> bool {
    a.kind.group == "admissionregistration.k8s.io"
        && matches!(
            a.kind.kind.as_str(),
            "ValidatingWebhookConfiguration"
                | "MutatingWebhookConfiguration"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
                | "MutatingAdmissionPolicy"
                | "MutatingAdmissionPolicyBinding"
        )
}

/// Why a webhook gave no verdict.
#[derive(Debug)]
enum Failure {
    /// It could not be asked, or its answer makes no sense: its failure policy decides.
    Call { why: String, code: i32 },
    /// It said no.
    Rejected(Box<Status>),
    /// The request fails whatever its policy.
    Other(Box<Status>),
}

impl Failure {
    fn call(why: impl fmt::Display) -> Self {
        Self::Call { why: why.to_string(), code: 400 }
    }

    /// The answer to the client; `None` if the failure is to be ignored.
    fn status(self, hook: &Hook) -> Option<Status> {
        match self {
            Self::Call { why, .. } if hook.ignores_failure => {
                tracing::warn!(webhook = %hook.name, %why, "failed calling webhook, failing open");
                None
            }
            Self::Call { why, .. } => {
                let why = format!("failed calling webhook {}: {why}", Quoted(&hook.name));
                Some(Status::internal_error(why))
            }
            Self::Rejected(status) | Self::Other(status) => Some(*status),
        }
    }
}

/// Notes for `/metrics` how a call of a webhook ended.
fn measure(call: &Call, a: &Attributes, hook: &Hook, usage: Use, failure: Option<&Failure>, time: Duration) {
    let outcome = match failure {
        None => Outcome::Allowed,
        Some(Failure::Rejected(status)) => Outcome::Rejected(status.code),
        Some(Failure::Call { code, .. }) => Outcome::Failed { code: *code, is_ignored: hook.ignores_failure },
        Some(Failure::Other(_)) => Outcome::Internal,
    };
    let kind = match usage {
        Use::Mutate => {
            call.waits.mutating(time);
            "admit"
        }
        Use::Validate => {
            call.waits.validating(time);
            "validating"
        }
    };
    metrics::Call { name: &hook.name, kind, operation: a.operation.as_str() }.ended(outcome, time);
}

/// The object and the old one as a webhook sees them.
struct Shown {
    object: Value,
    old: Value,
}

/// As what a webhook wants to be asked about the request, if it does.
///
/// # Errors
/// That cannot be told, and its policy is to fail.
fn invocation(
    call: &Call,
    a: &Attributes,
    hook: &Hook,
    object: Option<&Value>,
    old: Option<&Value>,
    namespace: &Namespace,
) -> Result<Option<(Matched, Shown)>, Status> {
    let Some(matched) = hook.matches.matches(call, a, object, old, namespace)? else { return Ok(None) };
    let served = matching::served(call, &matched);
    let show = |o: Option<&Value>| {
        matching::shown(served.as_deref(), &matched, o).map_err(|s| Status::internal_error(s.message))
    };
    let shown = Shown { object: show(object)?, old: show(old)? };
    if hook.conditions.is_empty() {
        return Ok(Some((matched, shown)));
    }
    let request = expressions::request(call, a, &matched);
    let inputs = Inputs {
        call,
        attributes: a,
        object: &shown.object,
        old: &shown.old,
        request: &request,
        namespace: &Value::Null,
        params: &Value::Null,
    };
    let held = hook.conditions.hold(&inputs.activation(), None);
    match held {
        Ok(true) => Ok(Some((matched, shown))),
        Ok(false) => Ok(None),
        Err(_) if hook.ignores_failure => Ok(None),
        Err(why) => Err(Status::forbidden(&a.group_resource(), a.given_name(), why)),
    }
}

/// Whether the operation concerns webhooks at all.
const fn is_relevant(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update | Operation::Delete | Operation::Connect)
}
