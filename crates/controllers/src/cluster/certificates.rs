//! Approves, signs and clears away certificate signing requests.
//!
//! Watches CertificateSigningRequests and, for what kubelets serve with, Nodes. Owns the condition `Approved`
//! of kubelets' requests, and `status.certificate` and the condition `Failed` of the four signers
//! `kubernetes.io/*`. Who approves does not sign: they are three controllers.
//!
//! Upstream: `pkg/controller/certificates/{approver,signer,cleaner}`. Other than upstream, requests of
//! kubelets for serving certificates are approved too, if all names in them are the node's own.

mod approve;
mod clean;

use crate::context::{Context, Tasks, spawn};
use api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use api::meta::v1::Time;
use api::{ByteString, Key, Object};
use client::{Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use pki::{Authority, CertificateRequest, Signer, SigningError, lifetime};
use reconcile::{Clock, Next, Queue, Reconcile};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use approve::start as start_approver;
pub(crate) use clean::start as start_cleaner;

const WORKERS: usize = 5;
/// The longest life of a certificate, as `--cluster-signing-duration`.
const LIFETIME_SECONDS_MAX: i64 = 365 * 24 * 3600;

/// Starts the signer, if there is an authority.
pub(crate) fn start_signer(context: &Context, tasks: &mut Tasks) {
    let Some(files) = context.config.signer.clone() else {
        tracing::warn!("requests for certificates are not signed: there is no authority's key here");
        return;
    };
    let (queue, requests, synced) = watch(context);
    let controller = SigningController {
        client: context.client("certificate-controller"),
        clock: context.clock.clone(),
        requests,
        files,
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

type Requests = Lister<CertificateSigningRequest>;

fn watch(context: &Context) -> (Queue, Requests, impl Future<Output = ()> + Send + use<>) {
    let queue = Queue::new();
    let requests = context.informers.get::<CertificateSigningRequest>();
    let changed = queue.clone();
    requests.subscribe(move |change| {
        if !has_certificate(change.object()) {
            changed.add(change.object().key());
        }
    });
    let all = requests.clone();
    (queue, requests, async move { all.synced().await })
}

fn has_certificate(request: &CertificateSigningRequest) -> bool {
    request.status.as_ref().and_then(|s| s.certificate.as_ref()).is_some_and(|c| !c.0.is_empty())
}

fn conditions(request: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn has_condition(request: &CertificateSigningRequest, kind: &str) -> bool {
    conditions(request).iter().any(|condition| condition.type_ == kind)
}

/// The request's conditions and one more.
fn with_condition(
    request: &CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: &str,
    updated: Option<Time>,
) -> Vec<CertificateSigningRequestCondition> {
    let mut conditions = conditions(request).to_vec();
    conditions.push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: updated,
        last_transition_time: None,
    });
    conditions
}

struct SigningController {
    client: Client,
    clock: Clock,
    requests: Requests,
    /// Certificate and key; read for each request, so that they may be replaced.
    files: (PathBuf, PathBuf),
}

impl Reconcile for SigningController {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(request) = self.requests.get_key(&key) else { return Ok(Next::Done) };
            let approved = has_condition(&request, "Approved") && !has_condition(&request, "Denied");
            let failed = conditions(&request)
                .iter()
                .any(|c| c.type_ == "Failed" && matches!(c.status.as_str(), "" | "True"));
            if has_certificate(&request) || !approved || failed {
                return Ok(Next::Done);
            }
            let Some(signer) = Signer::from_name(&request.spec.signer_name) else { return Ok(Next::Done) };
            let status = self.sign(signer, &request).await?;
            let patch = Patch::Update(json!({
                "metadata": {"uid": request.uid(), "resourceVersion": request.resource_version()},
                "status": status,
            }));
            self.client
                .patch_subresource::<CertificateSigningRequest>("", &key.name, "status", &patch)
                .await?;
            Ok(Next::Done)
        })
    }
}

impl SigningController {
    /// The status that the request gets.
    async fn sign(&self, signer: Signer, request: &CertificateSigningRequest) -> Result<Value, Error> {
        let read = |path: PathBuf| async move {
            let text = tokio::fs::read_to_string(&path).await;
            text.map_err(|error| Error::Other(format!("cannot read {}: {error}", path.display())))
        };
        let certificate = read(self.files.0.clone()).await?;
        let key = read(self.files.1.clone()).await?;
        let authority =
            Authority::load(&certificate, Some(&key)).map_err(|error| Error::Other(error.to_string()))?;
        let parsed = parse(request)?;
        let spec = &request.spec;
        let usages: Vec<&str> = spec.usages.iter().flatten().map(String::as_str).collect();
        let now = self.clock.now();
        let seconds = lifetime(spec.expiration_seconds.map(i64::from), LIFETIME_SECONDS_MAX);
        match signer.sign(&authority, &parsed, &usages, seconds, now.as_second()) {
            Ok(certificate) => {
                let status = CertificateSigningRequestStatus {
                    certificate: Some(ByteString(certificate.to_pem().into_bytes())),
                    conditions: None,
                };
                Ok(json!(status))
            }
            Err(SigningError::Rules(message)) => {
                let reason = "SignerValidationFailure";
                Ok(
                    json!({"conditions": with_condition(request, "Failed", reason, &message, Some(Time(now)))}),
                )
            }
            Err(error @ SigningError::Failed(_)) => Err(Error::Other(error.to_string())),
        }
    }
}

fn parse(request: &CertificateSigningRequest) -> Result<CertificateRequest, Error> {
    CertificateRequest::from_pem(&request.spec.request.0)
        .map_err(|error| Error::Other(format!("unable to parse csr {:?}: {error}", request.name())))
}
