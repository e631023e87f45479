//! One question to a webhook: an AdmissionReview and what comes back.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/webhook/request`, `.../errors`.

use super::hook::Hook;
use super::{Failure, Shown};
use crate::admission::expressions;
use crate::admission::matching::Matched;
use crate::admission::{Attributes, Operation};
use crate::call::Call;
use crate::webhook::Unanswered;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use meta::gvk::GroupVersionKind;
use meta::quote::Quoted;
use meta::status::Status;
use value::{Str, Value, json};

/// Whether the webhook may patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Mutate,
    Validate,
}

/// The patch that came with a yes.
pub(super) struct Patch {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Str,
}

/// Asks; a yes may come with a patch.
pub(super) async fn ask(
    call: &Call,
    a: &Attributes,
    hook: &Hook,
    matched: &Matched,
    shown: &Shown,
    usage: Use,
) -> Result<Option<Patch>, Failure> {
    if a.dry_run && !hook.allows_dry_run {
        let text = format!("admission webhook {} does not support dry run", Quoted(&hook.name));
        return Err(Failure::Other(Box::new(Status::bad_request(text))));
    }
    let Some(version) = hook.review_version else {
        return Err(Failure::call(
            "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)",
        ));
    };
    let endpoint =
        hook.endpoint.as_ref().map_err(|e| Failure::call(format!("could not get REST client: {e}")))?;
    let uid = call.api.new_uid();
    let api_version = format!("admission.k8s.io/{version}");
    let body = Bytes::from(json::to_vec(&review(call, a, matched, shown, &uid, &api_version)));
    let credentials = call.api.webhook_credentials.as_ref();
    let credential = credentials.and_then(|c| match usage {
        Use::Mutate => c.mutating(endpoint.authority()),
        Use::Validate => c.validating(endpoint.authority()),
    });
    let answer = endpoint.ask(&call.api, body, hook.timeout, credential).await;
    let answer = answer.map_err(|Unanswered { why, code }| Failure::Call {
        why: format!("failed to call webhook: {why}"),
        code,
    })?;
    let answer = read(&answer, version, &uid, usage)?;
    let response = answer.at("response");
    if call.audit.is_some() {
        for (key, text) in response.at("auditAnnotations").entries() {
            call.annotate(&format!("{}/{key}", hook.name), text.str());
        }
    }
    for warning in response.at("warnings").items() {
        call.warn(warning.str());
    }
    verdict(response, &hook.name, version, usage)
}

/// An answer that is one.
fn read(body: &[u8], version: &str, uid: &str, usage: Use) -> Result<Value, Failure> {
    let answer = json::parse(body).map_err(|e| {
        Failure::call(format!("failed to call webhook: couldn't get version/kind; json parse error: {e}"))
    })?;
    let invalid = |why: String| Failure::call(format!("received invalid webhook response: {why}"));
    if answer.at("response").is_null() {
        return Err(invalid("webhook response was absent".into()));
    }
    if version == "v1" {
        verify(&answer, uid, usage).map_err(invalid)?;
    }
    Ok(answer)
}

/// A yes, perhaps with a patch, or a no.
fn verdict(response: &Value, hook: &str, version: &str, usage: Use) -> Result<Option<Patch>, Failure> {
    if !response.at("allowed").bool() {
        return Err(Failure::Rejected(Box::new(rejection(hook, response.at("status")))));
    }
    let patch = response.at("patch").str();
    if usage == Use::Validate || patch.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD
        .decode(patch)
        .map_err(|e| Failure::call(format!("received undecodable patch in webhook response: {e}")))?;
    let kind = if version == "v1" { response.at("patchType").str() } else { "JSONPatch" };
    Ok(Some(Patch { bytes, kind: kind.into() }))
}

fn review(
    call: &Call,
    a: &Attributes,
    matched: &Matched,
    shown: &Shown,
    uid: &Str,
    api_version: &str,
) -> Value {
    let mut request = expressions::request(call, a, matched);
    request.set("uid", uid.clone());
    request.set("object", shown.object.clone());
    request.set("oldObject", shown.old.clone());
    if a.operation == Operation::Connect {
        request.set("options", Value::Null);
    }
    let mut review = Value::object();
    review.set("kind", "AdmissionReview");
    review.set("apiVersion", api_version);
    review.set("request", request);
    review
}

/// What an answer of version 1 must be.
fn verify(answer: &Value, uid: &str, usage: Use) -> Result<(), String> {
    let response = answer.at("response");
    let got = response.at("uid").str();
    if got != uid {
        return Err(format!("expected response.uid={}, got {}", Quoted(uid), Quoted(got)));
    }
    let wanted = GroupVersionKind::new("admission.k8s.io", "v1", "AdmissionReview");
    let got = GroupVersionKind::from_api_version(answer.at("apiVersion").str(), answer.at("kind").str());
    if got != wanted {
        return Err(format!("expected webhook response of {wanted}, got {got}"));
    }
    let patches = !response.at("patch").str().is_empty();
    let kind = response.at("patchType");
    match usage {
        Use::Validate if patches => Err("validating webhook may not return response.patch".into()),
        Use::Validate if !kind.is_null() => {
            Err("validating webhook may not return response.patchType".into())
        }
        Use::Mutate if patches && kind.is_null() => {
            Err("webhook returned response.patch but not response.patchType".into())
        }
        Use::Mutate if !patches && !kind.is_null() => {
            Err("webhook returned response.patchType but not response.patch".into())
        }
        Use::Mutate if !kind.is_null() && kind.str().is_empty() => {
            Err("webhook returned invalid response.patchType of \"\"".into())
        }
        _ => Ok(()),
    }
}

/// For fuzzing: the body of an answer. A no is a failure of the client's, and only who mutates patches.
pub(crate) fn fuzz(data: &[u8]) {
    for (version, usage) in [("v1", Use::Mutate), ("v1", Use::Validate), ("v1beta1", Use::Mutate)] {
        let Ok(answer) = read(data, version, "u", usage) else { continue };
        match verdict(answer.at("response"), "hook", version, usage) {
            Ok(patch) => assert!(patch.is_none() || usage == Use::Mutate),
            Err(Failure::Rejected(status)) => assert!(status.code >= 400 && !status.message.is_empty()),
            Err(_) => {}
        }
    }
}

/// A no, as the client sees it.
fn rejection(hook: &str, status: &Value) -> Status {
    const BAD_REQUEST: i32 = 400;
    let denied = format!("admission webhook {} denied the request", Quoted(hook));
    let mut status = Status::from_value(status).unwrap_or_default();
    status.code = status.code.max(BAD_REQUEST);
    status.success = false;
    status.message = if !status.message.is_empty() {
        format!("{denied}: {}", status.message)
    } else if !status.reason.is_empty() {
        format!("{denied}: {}", status.reason)
    } else {
        format!("{denied} without explanation")
    };
    status
}
