//! MutatingAdmissionWebhook: one webhook after the other, each sees what the ones before it made.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/webhook/mutating`.

use super::hook::{self, Hook};
use super::review::{self, Patch, Use};
use super::{Failure, Shown, invocation, is_exempt, is_relevant, measure};
use crate::admission::compiled::Compiled;
use crate::admission::matching::{self, Matched, Namespace};
use crate::admission::reinvocation::Reinvocation;
use crate::admission::{AsyncPlugin, Attributes, Operation};
use crate::audit::Level;
use crate::call::Call;
use futures_util::future::BoxFuture;
use meta::quote::Quoted;
use meta::status::Status;
use std::time::Instant;
use value::Value;
use value::json_patch::JsonPatch;

/// The most that `copy` operations of a patch may add to an object: the limit of a request's body.
const COPY_BYTES_MAX: usize = 3 << 20;

pub(crate) struct MutatingWebhook(Compiled<Vec<Hook>>);

impl Default for MutatingWebhook {
    fn default() -> Self {
        const RESOURCES: &[&str] = &["mutatingwebhookconfigurations"];
        Self(Compiled::at_once("admissionregistration.k8s.io", RESOURCES, hook::compile))
    }
}

impl AsyncPlugin for MutatingWebhook {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        self.0.get(call).is_some_and(|hooks| !hooks.is_empty()) && is_relevant(a.operation) && !is_exempt(a)
    }

    fn admit<'a>(
        &'a self,
        call: &'a Call,
        a: &'a mut Attributes,
        object: &'a mut Value,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(hooks) = self.0.get(call) else { return Ok(()) };
            let mut state = std::mem::take(&mut a.reinvocation);
            if state.again {
                state.webhooks.resume(object);
            }
            let result = mutate(call, a, &hooks, &mut state, object, old).await;
            state.webhooks.leave(object);
            a.reinvocation = state;
            result
        })
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        _object: Option<&'a Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            // Deletions have nothing to mutate, but webhooks may refuse them.
            if a.operation != Operation::Delete {
                return Ok(());
            }
            let Some(hooks) = self.0.get(call) else { return Ok(()) };
            let mut nothing = Value::Null;
            mutate(call, a, &hooks, &mut Reinvocation::default(), &mut nothing, old).await
        })
    }
}

async fn mutate(
    call: &Call,
    a: &Attributes,
    hooks: &[Hook],
    state: &mut Reinvocation,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let namespace = Namespace::of(call, a).await?;
    for (i, hook) in hooks.iter().enumerate() {
        if state.again && !state.webhooks.is_due(&hook.uid) {
            continue;
        }
        let new = Some(&*object).filter(|o| !o.is_null());
        let Some((matched, shown)) = invocation(call, a, hook, new, old, &namespace)? else { continue };
        let began = Instant::now();
        let answer = review::ask(call, a, hook, &matched, &shown, Use::Mutate).await;
        let audit = call.audit.as_ref().map(|_| Annotator { hook, round: usize::from(state.again), i });
        let verdict = match answer {
            Ok(Some(patch)) => {
                let applied = apply(call, hook, &matched, shown, &patch);
                if let (Some(audit), Ok(_)) = (&audit, &applied) {
                    audit.patched(call, &patch.bytes);
                }
                applied
            }
            Ok(None) => Ok(None),
            Err(failure) => Err(failure),
        };
        measure(call, a, hook, Use::Mutate, verdict.as_ref().err(), began.elapsed());
        if let Some(audit) = &audit {
            audit.asked(call, &verdict);
        }
        let verdict = match verdict {
            Ok(Some(changed)) => {
                *object = changed;
                state.webhooks.changed();
                state.wanted = true;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(failure) => failure.status(hook).map_or(Ok(()), Err),
        };
        if hook.reinvoked_if_needed {
            state.webhooks.asked(&hook.uid);
        }
        verdict?;
    }
    Ok(())
}

/// What the audit log is told of one call of a webhook.
struct Annotator<'a> {
    hook: &'a Hook,
    round: usize,
    i: usize,
}

impl Annotator<'_> {
    fn key(&self, prefix: &str) -> String {
        format!("{prefix}.admission.k8s.io/round_{}_index_{}", self.round, self.i)
    }

    /// An annotation's value, with more members behind the names.
    fn value(&self, more: &str) -> String {
        let quote = |text: &str| value::json::to_string(&Value::from(text));
        let (configuration, webhook) = (quote(&self.hook.configuration), quote(&self.hook.name));
        format!(r#"{{"configuration":{configuration},"webhook":{webhook},{more}}}"#)
    }

    fn asked<T>(&self, call: &Call, verdict: &Result<Option<T>, Failure>) {
        match verdict {
            Ok(changed) => {
                let value = self.value(&format!("\"mutated\":{}", changed.is_some()));
                call.annotate(&self.key("mutation.webhook"), &value);
            }
            Err(Failure::Call { .. }) if self.hook.ignores_failure => {
                call.annotate(&self.key("failed-open.mutation.webhook"), &self.hook.name);
            }
            Err(_) => call.annotate(&self.key("mutation.webhook"), &self.value("\"mutated\":false")),
        }
    }

    fn patched(&self, call: &Call, patch: &[u8]) {
        if call.audit.as_ref().is_some_and(|a| a.wants(Level::Request)) {
            let patch = String::from_utf8_lossy(patch);
            let value = self.value(&format!(r#""patch":{},"patchType":"JSONPatch""#, patch.trim()));
            call.annotate(&self.key("patch.webhook"), &value);
        }
    }
}

/// The object (of the hub version) with the patch; `None` if the patch changes nothing.
fn apply(
    call: &Call,
    hook: &Hook,
    matched: &Matched,
    shown: Shown,
    patch: &Patch,
) -> Result<Option<Value>, Failure> {
    let internal = |why: String| Failure::Other(Box::new(Status::internal_error(why)));
    let parsed = JsonPatch::parse(&patch.bytes)
        .map_err(|e| Failure::call(format!("received undecodable patch in webhook response: {e}")))?;
    if value::json::parse(&patch.bytes).is_ok_and(|p| p.is_empty()) {
        return Ok(None);
    }
    if shown.object.is_null() {
        return Err(internal(format!(
            "admission webhook {} attempted to modify the object, which is not supported for this operation",
            Quoted(&hook.name)
        )));
    }
    if patch.kind != "JSONPatch" {
        return Err(Failure::call(format!("unsupported patch type {}", Quoted(&patch.kind))));
    }
    let patched = parsed.apply(shown.object.clone(), COPY_BYTES_MAX).map_err(|e| internal(e.to_string()))?;
    let Some(served) = matching::served(call, matched) else {
        // The body of a subresource: there is but one version of it.
        return Ok((patched != shown.object).then_some(patched));
    };
    let decoded =
        served.codec.decode_tree(&served.row, &patched, false).map_err(|status| internal(status.message))?;
    let mut new = decoded.object;
    if new == shown.object {
        return Ok(None);
    }
    (served.row.hooks.default)(&mut new);
    served.to_hub(&mut new).map_err(|status| internal(status.message))?;
    Ok(Some(new))
}
