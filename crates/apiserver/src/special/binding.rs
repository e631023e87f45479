//! `pods/binding` and the `bindings` resource: a pod gets its node.
//!
//! Upstream: `BindingREST` in `pkg/registry/core/pod/storage/storage.go`.

use super::pods;
use crate::admission::{Attributes, Operation};
use crate::body::RequestBody;
use crate::call::Call;
use crate::door::read_body;
use crate::negotiate::Allows;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use crate::verbs::{get, update};
use crate::write::{self, Committed, OptionsKind, WriteOptions};
use meta::field::{Error, ErrorList, Path};
use meta::gvk::GroupResource;
use meta::status::Status;
use std::sync::Arc;
use store::Expect;
use value::{Str, Value};

const BINDING: &str = "k8s.io/api/core/v1.Binding";

/// Answers `POST` of a binding.
pub(super) async fn create(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: RequestBody,
) -> Result<Reply, Status> {
    let accepted = call.negotiate_as(Allows::Metadata)?;
    let options = WriteOptions::read(call, OptionsKind::Create)?;
    let body = read_body(call, body).await?;
    let mut binding = super::decode_action(call, &["v1"], "Binding", BINDING, &body, options.validation)?;
    write::match_namespace(call, &target.served, &mut binding)?;
    let name: Str = match call.info.name_in_path() {
        "" => binding.at("metadata").at("name").str().into(),
        name => name.into(),
    };
    let given = binding.at("metadata").at("name").str();
    if given != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let errors = validate(&binding);
    if !errors.is_empty() {
        // Upstream returns them as they are, which becomes a bare 500.
        return Err(Status::plain_error(meta::field::to_aggregate(&errors).unwrap_or_default()));
    }
    let mut attributes = Attributes::new(call, target, Operation::Create, &name, options.dry_run);
    call.api.admission.admit(call, &mut attributes, &mut binding, None).await?;
    call.api.admission.validate(call, &attributes, Some(&binding), None).await?;
    assign(call, hub, &name, &binding, options.dry_run).await?;
    let status = Status { code: 201, ..Status::success(None) };
    call.status_reply(201, accepted, &status)
}

fn validate(binding: &Value) -> ErrorList {
    let path = Path::new("target");
    let (kind, name) = (binding.at("target").at("kind").str(), binding.at("target").at("name").str());
    let mut errors = ErrorList::new();
    if !matches!(kind, "" | "Node") {
        errors.push(Error::not_supported_in_order(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    errors
}

async fn assign(
    call: &Call,
    hub: &Arc<Hub>,
    name: &str,
    binding: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    const ATTEMPTS: usize = 16;
    let resource = GroupResource::new("", "pods/binding");
    get::check_key(&hub.row, &call.info.namespace, name)?;
    let mut current = hub.get(&call.info.namespace, name);
    let mut cached = true;
    for _ in 0..ATTEMPTS {
        if current.is_none() {
            current = update::read_named(call, hub, &call.info.namespace, name).await?;
            cached = false;
        }
        let Some(entry) = current.take() else {
            return Err(Status::not_found(&GroupResource::new("", "pods"), name));
        };
        let mut pod = hub.tree(&entry);
        let judged = is_meant(&pod, entry.revision, name, binding, call).and_then(|()| {
            bind(&mut pod, name, binding, call).map_err(|why| Status::conflict(&resource, name, why))
        });
        if judged.is_err() && std::mem::take(&mut cached) {
            // What the cache shows may be old: no refusal that rests on it is final.
            current = update::read_named(call, hub, &call.info.namespace, name).await?;
            continue;
        }
        judged?;
        match write::commit(call, hub, &mut pod, Expect::Revision(entry.revision), dry_run, None).await? {
            Committed::Done(_) => return Ok(()),
            Committed::Conflict | Committed::Raced => {
                current = update::read_named(call, hub, &call.info.namespace, name).await?
            }
        }
    }
    Err(Status::conflict(&resource, name, update::MODIFIED))
}

/// A binding that names a UID or a version binds that pod, or the pod as it was then, only.
fn is_meant(pod: &Value, revision: u64, name: &str, binding: &Value, call: &Call) -> Result<(), Status> {
    let given = binding.at("metadata");
    let revision = revision.to_string();
    let conditions = [
        ("UID", given.at("uid").str(), pod.at("metadata").at("uid").str()),
        ("ResourceVersion", given.at("resourceVersion").str(), revision.as_str()),
    ];
    let broken = conditions.into_iter().find(|(_, wanted, own)| !wanted.is_empty() && wanted != own);
    let Some((what, wanted, own)) = broken else { return Ok(()) };
    let namespace = &call.info.namespace;
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/pods/{namespace}/{name}, ResourceVersion: 0, \
         AdditionalErrorMsg: Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {own}"
    );
    Err(Status::conflict(&GroupResource::new("", "pods"), name, why))
}

/// Gives the pod its node, its annotations, labels and the condition, and takes its nomination; or says why it cannot have it.
fn bind(pod: &mut Value, name: &str, binding: &Value, call: &Call) -> Result<(), String> {
    if !pod.at("metadata").at("deletionTimestamp").is_null() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.at("spec").at("nodeName").str();
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {}", meta::quote::quote(node)));
    }
    if !pod.at("spec").at("schedulingGates").items().is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    let machine = binding.at("target").at("name").clone();
    if let Some(spec) = pod.object_at("spec") {
        spec.set("nodeName", machine);
    }
    // The node that it was promised before is past (feature ClearingNominatedNodeNameAfterBinding).
    if let Some(status) = pod.get_mut("status") {
        status.remove("nominatedNodeName");
    }
    for field in ["annotations", "labels"] {
        let Some(metadata) = pod.object_at("metadata") else { continue };
        let given: Vec<(Str, Value)> =
            binding.at("metadata").at(field).entries().map(|(k, v)| (k.clone(), v.clone())).collect();
        if let (false, Some(map)) = (given.is_empty(), metadata.object_at(field)) {
            for (key, value) in given {
                map.set(&key, value);
            }
        }
    }
    let mut condition = Value::object();
    condition.set("type", "PodScheduled");
    condition.set("status", "True");
    pods::set_condition(pod, condition, &call.api.now().to_string());
    Ok(())
}
