//! `pods/eviction`: a deletion that respects disruption budgets.
//!
//! Upstream: `pkg/registry/core/pod/storage/eviction.go`.

use super::pods;
use crate::admission::{Attributes, Operation};
use crate::body::RequestBody;
use crate::call::Call;
use crate::door::read_body;
use crate::negotiate::Allows;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use crate::verbs::delete::{self, DeleteOptions};
use crate::verbs::{get, update};
use crate::write::{self, Committed, OptionsKind, WriteOptions};
use meta::gvk::GroupResource;
use meta::labels::Selector;
use meta::status::{Cause, Status};
use std::sync::Arc;
use store::Expect;
use value::{Map, Str, Value};

const EVICTION: &str = "k8s.io/api/policy/v1.Eviction";
/// How many evictions a budget may remember before it is taken for stuck.
const DISRUPTED_PODS_MAX: usize = 2_000;
const ATTEMPTS: usize = 20;

/// Answers `POST` of an eviction.
pub(super) async fn create(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: RequestBody,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(Allows::Metadata)?;
    let write_options = WriteOptions::read(call, OptionsKind::Create)?;
    let body = read_body(call, body).await?;
    let mut eviction = super::decode_action(
        call,
        &["policy/v1", "policy/v1beta1"],
        "Eviction",
        EVICTION,
        &body,
        write_options.validation,
    )?;
    write::match_namespace(call, &target.served, &mut eviction)?;
    let name = call.info.name.as_str();
    let mut attributes = Attributes::new(call, target, Operation::Create, name, write_options.dry_run);
    call.api.admission.admit(call, &mut attributes, &mut eviction, None).await?;
    if eviction.at("metadata").at("name").str() != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    call.api.admission.validate(call, &attributes, Some(&eviction), None).await?;
    let mut options = delete::options_of(eviction.at("deleteOptions").clone())?;
    options.dry_run |= write_options.dry_run;
    // Pod and budgets are those of now, as upstream reads them, not those the cache last heard of.
    call.fresh(None).await?;
    get::check_key(&target.served.row, &call.info.namespace, name)?;
    let entry = get::find(&target.served, hub, &call.info.namespace, name)?;
    let pod = hub.tree(&entry);
    if !ignores_budgets(&pod) {
        let budgets = budgets_of(call, &pod);
        match budgets.as_slice() {
            [] => {}
            [budget] => {
                let unhealthy_goes = !is_ready(&pod)
                    && (budget.at("spec").at("unhealthyPodEvictionPolicy").str() == "AlwaysAllow"
                        || budget.at("status").at("currentHealthy").int()
                            >= budget.at("status").at("desiredHealthy").int()
                            && budget.at("status").at("desiredHealthy").int() > 0);
                if !unhealthy_goes {
                    let key = budget.at("metadata").at("name").str();
                    take_disruption(call, key, name, options.dry_run).await?;
                }
                same_version(&mut options, &pod);
            }
            _ => {
                return Err(Status::plain_error(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        }
    }
    let pods = Target { served: target.served.clone(), sub: None };
    if !options.dry_run {
        say_why(call, &pods, hub, name, &mut options).await?;
    }
    delete::delete_object(call, &pods, hub, name, &options, delete::Admit::No).await?;
    call.status_reply(201, accepted, &Status { code: 201, ..Status::success(None) })
}

/// Sets condition `DisruptionTarget`, so that owners know why the pod goes (KEP-3329). What the caller asked of the
/// pod's UID and version holds for what it was before.
async fn say_why(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    name: &str,
    options: &mut DeleteOptions,
) -> Result<(), Status> {
    let resource = GroupResource::new("", "pods");
    for _ in 0..ATTEMPTS {
        let entry = update::read_named(call, hub, &call.info.namespace, name).await?;
        let entry = entry.ok_or_else(|| Status::not_found(&resource, name))?;
        let mut pod = hub.tree(&entry);
        delete::preconditions(target, name, &pod, options)?;
        let mut condition = Value::object();
        condition.set("type", "DisruptionTarget");
        condition.set("status", "True");
        condition.set("reason", "EvictionByEvictionAPI");
        condition.set("message", "Eviction API: evicting");
        pods::set_condition(&mut pod, condition, &call.api.now().to_string());
        let expect = Expect::Revision(entry.revision);
        if let Committed::Done(written) = write::commit(call, hub, &mut pod, expect, false, None).await? {
            if let Some(version) = &mut options.resource_version {
                *version = written.entry.revision.to_string().into();
            }
            return Ok(());
        }
    }
    Err(Status::conflict(&resource, name, update::MODIFIED))
}

/// The pod that was judged is the one that goes.
fn same_version(options: &mut DeleteOptions, pod: &Value) {
    if options.uid.is_none() {
        options.uid = Some(pod.at("metadata").at("uid").str().into());
    }
}

/// Pods that have ended, have not started, or are going anyway cost no budget.
fn ignores_budgets(pod: &Value) -> bool {
    matches!(pod.at("status").at("phase").str(), "Succeeded" | "Failed" | "Pending")
        || !pod.at("metadata").at("deletionTimestamp").is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.at("status").at("conditions").items();
    conditions.iter().any(|c| c.at("type").str() == "Ready" && c.at("status").str() == "True")
}

/// The budgets that select the pod.
fn budgets_of(call: &Call, pod: &Value) -> Vec<Value> {
    let Some(hub) = call.api.hub("policy", "poddisruptionbudgets") else { return Vec::new() };
    let labels = pod.at("metadata").at("labels");
    let query = crate::cache::Query { namespace: &call.info.namespace, ..crate::cache::Query::default() };
    let all = hub.cache.list(query).entries;
    let trees = all.iter().map(|entry| hub.tree(entry));
    trees
        .filter(|budget| {
            let selector = budget.at("spec").at("selector");
            !selector.is_null() && Selector::from_label_selector(selector).is_ok_and(|s| s.matches(labels))
        })
        .collect()
}

/// Takes one disruption from a budget, or refuses with 429.
async fn take_disruption(call: &Call, budget: &str, pod: &str, dry_run: bool) -> Result<(), Status> {
    let Some(hub) = call.api.hub("policy", "poddisruptionbudgets") else { return Ok(()) };
    let resource = GroupResource::new("policy", "poddisruptionbudgets");
    for _ in 0..ATTEMPTS {
        let entry = update::read_named(call, &hub, &call.info.namespace, budget).await?;
        let entry = entry.ok_or_else(|| Status::not_found(&resource, budget))?;
        let mut object = hub.tree(&entry);
        decrement(&mut object, budget, pod, &call.api.now().to_string())?;
        let expect = Expect::Revision(entry.revision);
        if let Committed::Done(_) = write::commit(call, &hub, &mut object, expect, dry_run, None).await? {
            return Ok(());
        }
    }
    Err(Status::too_many_requests("couldn't update PodDisruptionBudget due to conflicts", 10))
}

fn decrement(object: &mut Value, budget: &str, pod: &str, now: &str) -> Result<(), Status> {
    let refuse = |message: String| {
        let cause = Cause::new(meta::status::cause::DISRUPTION_BUDGET, message);
        Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
            .with_cause(cause)
    };
    let (metadata, status) = (object.at("metadata"), object.at("status"));
    if status.at("observedGeneration").int() < metadata.at("generation").int() {
        return Err(refuse(format!(
            "The disruption budget {budget} is still being processed by the server."
        )));
    }
    let allowed = status.at("disruptionsAllowed").int();
    if allowed < 0 {
        return Err(refuse(format!("pdb disruptions allowed is negative ({allowed})")));
    }
    if status.at("disruptedPods").entries().count() > DISRUPTED_PODS_MAX {
        return Err(refuse(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller".into(),
        ));
    }
    if allowed == 0 {
        return Err(refuse(format!(
            "The disruption budget {budget} needs {} healthy pods and has {} currently",
            status.at("desiredHealthy").int(),
            status.at("currentHealthy").int()
        )));
    }
    let Some(status) = object.object_at("status") else { return Ok(()) };
    status.set("disruptionsAllowed", allowed - 1);
    if status.at("disruptedPods").is_null() {
        status.set("disruptedPods", Map::new());
    }
    if let Some(pods) = status.get_mut("disruptedPods") {
        pods.set(&Str::from(pod), now);
    }
    Ok(())
}
