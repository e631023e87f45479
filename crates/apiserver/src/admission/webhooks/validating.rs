//! ValidatingAdmissionWebhook: all webhooks are asked at once, the first no counts.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/webhook/validating`.

use super::hook::{self, Hook};
use super::review::{self, Use};
use super::{invocation, is_exempt, is_relevant, measure};
use crate::admission::compiled::Compiled;
use crate::admission::matching::Namespace;
use crate::admission::{AsyncPlugin, Attributes};
use crate::call::Call;
use futures_util::future::{BoxFuture, join_all};
use meta::status::Status;
use std::time::Instant;
use value::Value;

pub(crate) struct ValidatingWebhook(Compiled<Vec<Hook>>);

impl Default for ValidatingWebhook {
    fn default() -> Self {
        const RESOURCES: &[&str] = &["validatingwebhookconfigurations"];
        Self(Compiled::at_once("admissionregistration.k8s.io", RESOURCES, hook::compile))
    }
}

impl AsyncPlugin for ValidatingWebhook {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        self.0.get(call).is_some_and(|hooks| !hooks.is_empty()) && is_relevant(a.operation) && !is_exempt(a)
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        object: Option<&'a Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(hooks) = self.0.get(call) else { return Ok(()) };
            let namespace = Namespace::of(call, a).await?;
            let mut wanted = Vec::new();
            for (i, hook) in hooks.iter().enumerate() {
                if let Some((matched, shown)) = invocation(call, a, hook, object, old, &namespace)? {
                    wanted.push((i, hook, matched, shown));
                }
            }
            let asked = wanted.iter().map(|(i, hook, matched, shown)| async move {
                let began = Instant::now();
                let failure = review::ask(call, a, hook, matched, shown, Use::Validate).await.err();
                measure(call, a, hook, Use::Validate, failure.as_ref(), began.elapsed());
                let status = failure?.status(hook);
                if status.is_none() && call.audit.is_some() {
                    let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{i}");
                    call.annotate(&key, &hook.name);
                }
                status
            });
            join_all(asked).await.into_iter().flatten().next().map_or(Ok(()), Err)
        })
    }
}
