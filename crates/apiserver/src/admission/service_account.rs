//! Pods run as a service account that exists, with its token and its pull secrets.
//!
//! Upstream: `plugin/pkg/admission/serviceaccount`.

mod secrets;
mod token_volume;

use super::{AsyncPlugin, Attributes, Operation, objects};
use crate::call::Call;
use futures_util::future::BoxFuture;
use meta::gvk::GroupResource;
use meta::names;
use meta::quote::Quoted;
use meta::status::Status;
use std::time::Duration;
use value::Value;

const DEFAULT: &str = "default";
const MIRROR: &str = "kubernetes.io/config.mirror";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
/// How often the default account, which a controller makes, is looked for.
const DEFAULT_ATTEMPTS: u32 = 10;

pub(super) struct ServiceAccount;

impl AsyncPlugin for ServiceAccount {
    fn handles(&self, _call: &Call, a: &Attributes) -> bool {
        a.resource.resource == "pods"
            && a.resource.group.is_empty()
            && matches!(
                (a.operation, a.subresource.as_str()),
                (Operation::Create, "") | (Operation::Update, "ephemeralcontainers")
            )
    }

    fn admit<'a>(
        &'a self,
        call: &'a Call,
        a: &'a mut Attributes,
        pod: &'a mut Value,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            if a.operation != Operation::Create {
                return Ok(());
            }
            if is_mirror(pod) {
                return secrets::check_mirror(a, pod);
            }
            if pod.at("spec").at("serviceAccountName").str().is_empty()
                && let Some(spec) = pod.object_at("spec")
            {
                spec.set("serviceAccountName", DEFAULT);
                spec.set("serviceAccount", DEFAULT);
            }
            let account = account(call, a, pod).await?;
            let automount =
                [pod.at("spec"), &account].map(|v| v.at("automountServiceAccountToken").as_bool());
            if automount[0].or(automount[1]).unwrap_or(true) {
                token_volume::mount(call, pod);
            }
            let pulls = account.at("imagePullSecrets").items();
            if pod.at("spec").at("imagePullSecrets").is_empty()
                && !pulls.is_empty()
                && let Some(spec) = pod.object_at("spec")
            {
                spec.set("imagePullSecrets", Value::Array(pulls.to_vec()));
            }
            check(a, pod, &account)
        })
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        pod: Option<&'a Value>,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(pod) = pod else { return Ok(()) };
            if a.operation == Operation::Create && is_mirror(pod) {
                return secrets::check_mirror(a, pod);
            }
            if pod.at("spec").at("serviceAccountName").str().is_empty() {
                return Err(a.forbidden(format!(
                    "no service account specified for pod {}/{}",
                    a.namespace,
                    pod.at("metadata").at("name").str()
                )));
            }
            let account = account(call, a, pod).await?;
            check(a, pod, &account)
        })
    }
}

fn is_mirror(pod: &Value) -> bool {
    pod.at("metadata").at("annotations").get(MIRROR).is_some()
}

/// Refuses secrets that the account may not use.
fn check(a: &Attributes, pod: &Value, account: &Value) -> Result<(), Status> {
    let enforce = account.at("metadata").at("annotations").at(ENFORCE).str();
    if !meta::strconv::parse_bool(enforce).unwrap_or(false) {
        return Ok(());
    }
    if a.operation == Operation::Update {
        // Upstream returns a plain error here: clients see 500.
        return secrets::check_ephemeral(pod, account).map_err(Status::internal_error);
    }
    secrets::check_pod(pod, account).map_err(|why| a.forbidden(why))
}

/// The account of a pod. The cache may be behind, and the default account is made by a controller soon
/// after its namespace.
async fn account(call: &Call, a: &Attributes, pod: &Value) -> Result<Value, Status> {
    let name = pod.at("spec").at("serviceAccountName").str();
    let attempts = if name == DEFAULT { DEFAULT_ATTEMPTS } else { 1 };
    let pause = Duration::from_millis(100 + call.api.dice(100));
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
        }
        if let Some(found) = objects::find_live(call, "", "serviceaccounts", &a.namespace, name).await? {
            return Ok(found);
        }
    }
    // client-go asks for no such name.
    let why = match names::content::path_segment_name(name) {
        wrong if !wrong.is_empty() => {
            format!("invalid resource name {}: [{}]", Quoted(name), wrong.join(" "))
        }
        _ => Status::not_found(&GroupResource::new("", "serviceaccount"), name).message,
    };
    Err(a.forbidden(format!("error looking up service account {}/{name}: {why}", a.namespace)))
}
