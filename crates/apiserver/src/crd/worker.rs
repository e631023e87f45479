//! What follows the definitions: names, establishing, serving, and the end.
//!
//! Upstream: `pkg/controller/{status,establish,finalizer}`.

use super::install::{self, Installed};
use super::names::{self, Held};
use super::{FINALIZER, GROUP, PLURAL, set_condition};
use crate::api::Api;
use crate::bootstrap;
use crd::definition::{Approval, condition, is_condition_true};
use http::Method;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;
use value::{Str, Value};

/// How long instances may take to go before a deletion is tried again, and how often that is looked at.
const DELETION_TIMEOUT: Duration = Duration::from_secs(60);
const DELETION_POLL: Duration = Duration::from_millis(100);
/// How long a failed step waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The definitions that have changed, each once.
#[derive(Debug, Default)]
pub struct Queue {
    names: Mutex<HashSet<Str>>,
    woken: Notify,
}

impl Queue {
    /// Notes that a definition has changed.
    pub fn add(&self, name: &str) {
        self.names.lock().insert(name.into());
        self.woken.notify_one();
    }

    fn take(&self) -> Vec<Str> {
        self.names.lock().drain().collect()
    }
}

/// Serves the definitions that are there, then follows them; to be called once, before the server is ready.
/// Completes when what was established before is served.
pub async fn run(api: &Arc<Api>) {
    let mut worker = Worker::new(api);
    for definition in worker.definitions() {
        let name = Str::from(definition.at("metadata").at("name").str());
        if is_condition_true(&definition, "Established") {
            worker.serve(&name, &definition).await;
        }
        worker.held.insert(name.clone(), Held::by(&definition));
        api.definitions.add(&name);
    }
    tokio::spawn(async move {
        loop {
            let api = worker.api.clone();
            let stopped = tokio::select! {
                () = api.definitions.woken.notified() => false,
                () = api.shutdown_signal() => true,
            };
            if stopped {
                return;
            }
            for name in api.definitions.take() {
                worker.sync(&name).await;
            }
        }
    });
}

struct Worker {
    api: Arc<Api>,
    installed: HashMap<Str, Installed>,
    /// The names that each definition holds: to read all of them for each that changes would take long.
    held: HashMap<Str, Held>,
    /// Definitions whose instances are being deleted.
    deleting: Arc<Mutex<HashSet<Str>>>,
}

impl Worker {
    fn new(api: &Arc<Api>) -> Self {
        let (installed, held) = (HashMap::new(), HashMap::new());
        Self { api: api.clone(), installed, held, deleting: Arc::default() }
    }

    fn definitions(&self) -> Vec<Value> {
        let Some(hub) = self.api.hub(GROUP, PLURAL) else { return Vec::new() };
        let page = hub.cache.list(crate::cache::Query::default());
        page.entries.iter().map(|e| hub.tree(e)).collect()
    }

    fn definition(&self, name: &str) -> Option<Value> {
        let hub = self.api.hub(GROUP, PLURAL)?;
        let entry = hub.cache.get(name)?;
        Some(hub.tree(&entry))
    }

    async fn sync(&mut self, name: &Str) {
        let Some(definition) = self.definition(name) else {
            if let Some(installed) = self.installed.remove(name) {
                install::remove(&self.api, &installed);
            }
            if let Some(held) = self.held.remove(name) {
                self.reconsider(name, &held.group);
            }
            return;
        };
        self.held.insert(name.clone(), Held::by(&definition));
        let now = self.api.now().to_string();
        let mut new = names::accept(&definition, self.held.values(), &now);
        judge_approval(&definition, &mut new, &now);
        let seen = new.as_ref().unwrap_or(&definition);
        let accepted = is_condition_true(seen, "NamesAccepted");
        let established = is_condition_true(seen, "Established");
        if established || accepted && !has_broken_bundle(seen) {
            // Whoever sees that it is established finds it served.
            self.serve(name, seen).await;
        }
        if accepted && !established {
            establish(&definition, &mut new, &now);
        }
        if let Some(new) = new {
            if update_status(&self.api, name, &new).await {
                self.tell_of(name, &new);
                let held = Held::by(&new);
                self.reconsider(name, &held.group);
                self.held.insert(name.clone(), held);
            }
            return;
        }
        let metadata = definition.at("metadata");
        let held = metadata.at("finalizers").items().iter().any(|f| f.str() == FINALIZER);
        if !metadata.at("deletionTimestamp").is_null() && held {
            self.finalize(name, definition);
        }
    }

    /// Names may have become free for others of the group.
    fn reconsider(&self, name: &Str, group: &Str) {
        for (other, held) in &self.held {
            if other != name && held.group == *group && !held.accepted {
                self.api.definitions.add(other);
            }
        }
    }

    async fn serve(&mut self, name: &Str, definition: &Value) {
        if let Some(installed) = self.installed.get(name) {
            let terminating = is_condition_true(definition, "Terminating");
            installed.kind().terminating.store(terminating, Ordering::Relaxed);
            self.tell_of(name, definition);
            if installed.is_current(definition) {
                return;
            }
        }
        match install::install(&self.api, definition).await {
            Ok(Some(installed)) => {
                self.installed.insert(name.clone(), installed);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%name, %error, "cannot serve a custom resource");
                retry(&self.api, name);
            }
        }
    }

    /// Shows a kind in discovery once its definition, as it is stored, says that it is established: whoever finds it
    /// there may change the definition at once, and would meet with a conflict if that were still to be written.
    fn tell_of(&self, name: &str, definition: &Value) {
        let Some(installed) = self.installed.get(name) else { return };
        let is_established = is_condition_true(definition, "Established");
        if installed.kind().established.swap(is_established, Ordering::Relaxed) != is_established {
            self.api.aggregation.changed.notify_one();
        }
    }

    /// Deletes the instances, in the background.
    fn finalize(&self, name: &Str, definition: Value) {
        if !self.deleting.lock().insert(name.clone()) {
            return;
        }
        let (api, deleting, name) = (self.api.clone(), self.deleting.clone(), name.clone());
        let resource = self.installed.get(&name).map(|i| (i.group().clone(), i.plural().clone()));
        tokio::spawn(async move {
            let done = delete_instances(&api, &name, definition, resource).await;
            deleting.lock().remove(&name);
            if !done {
                retry(&api, &name);
            }
        });
    }
}

fn has_broken_bundle(definition: &Value) -> bool {
    crd::definition::has_broken_bundle(definition.at("spec").at("conversion"))
}

/// Says that a definition whose names are accepted is served, or why it is not; in `new` what is to be written.
fn establish(definition: &Value, new: &mut Option<Value>, now: &str) {
    let (status, reason, message) = if has_broken_bundle(definition) {
        ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
    } else {
        ("True", "InitialNamesAccepted", "the initial names have been accepted")
    };
    note(definition, new, now, "Established", status, reason, message);
}

/// Says whether a kind of one of the project's own groups is approved.
///
/// Upstream: `pkg/controller/apiapproval`.
fn judge_approval(definition: &Value, new: &mut Option<Value>, now: &str) {
    let Some((approval, message)) = crd::definition::approval(definition) else { return };
    let (status, reason) = match approval {
        Approval::Invalid => ("False", "InvalidAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
    };
    note(definition, new, now, "KubernetesAPIApprovalPolicyConformant", status, reason, &message);
}

/// Sets a condition in `new`, which is made of the definition if it is not there yet, unless it is so already.
fn note(
    definition: &Value,
    new: &mut Option<Value>,
    now: &str,
    ty: &str,
    status: &str,
    reason: &str,
    message: &str,
) {
    let is_so = condition(new.as_ref().unwrap_or(definition), ty).is_some_and(|c| {
        (c.at("status").str(), c.at("reason").str(), c.at("message").str()) == (status, reason, message)
    });
    if !is_so {
        let new = new.get_or_insert_with(|| definition.clone());
        set_condition(new, now, ty, status, reason, message);
    }
}

fn retry(api: &Arc<Api>, name: &str) {
    let (api, name) = (api.clone(), Str::from(name));
    tokio::spawn(async move {
        tokio::time::sleep(RETRY_AFTER).await;
        api.definitions.add(&name);
    });
}

/// Writes a definition's status; on a conflict its next event brings it here again.
async fn update_status(api: &Arc<Api>, name: &str, definition: &Value) -> bool {
    let path = format!("/apis/{GROUP}/v1/{PLURAL}/{name}/status");
    match bootstrap::call(api, Method::PUT, &path, Some(definition)).await {
        Ok((200, _)) => true,
        Ok((404 | 409, _)) => false,
        Ok((code, answer)) => {
            tracing::error!(
                name,
                code,
                message = answer.at("message").str(),
                "cannot write a definition's status"
            );
            false
        }
        Err(error) => {
            tracing::error!(name, %error, "cannot write a definition's status");
            false
        }
    }
}

/// Whether the definition is free to go, or somebody else has changed it meanwhile.
async fn delete_instances(
    api: &Arc<Api>,
    name: &str,
    mut definition: Value,
    resource: Option<(Str, Str)>,
) -> bool {
    let now = || api.now().to_string();
    let (reason, message) = ("InstanceDeletionInProgress", "CustomResource deletion is in progress");
    set_condition(&mut definition, &now(), "Terminating", "True", reason, message);
    let path = format!("/apis/{GROUP}/v1/{PLURAL}/{name}/status");
    definition = match bootstrap::call(api, Method::PUT, &path, Some(&definition)).await {
        Ok((200, written)) => written,
        _ => return false,
    };
    let (reason, message) = match &resource {
        Some((group, plural)) => match delete_all(api, group, plural).await {
            Ok(()) => ("InstanceDeletionCompleted", "removed all instances"),
            Err((reason, message)) => {
                set_condition(&mut definition, &now(), "Terminating", "True", reason, &message);
                update_status(api, name, &definition).await;
                return false;
            }
        },
        None => ("NeverEstablished", "resource was never established"),
    };
    set_condition(&mut definition, &now(), "Terminating", "False", reason, message);
    if let Some(metadata) = definition.object_at("metadata") {
        let kept = metadata.at("finalizers").items().iter().filter(|f| f.str() != FINALIZER);
        let kept: Vec<Value> = kept.cloned().collect();
        metadata.set("finalizers", kept);
    }
    update_status(api, name, &definition).await
}

async fn delete_all(api: &Arc<Api>, group: &str, plural: &str) -> Result<(), (&'static str, String)> {
    let Some(hub) = api.hub(group, plural) else { return Ok(()) };
    let version = {
        let registry = api.registry.load();
        let served = registry.iter().find(|s| s.row.group == group && s.row.plural == plural);
        served.map(|s| s.row.version.clone())
    };
    let Some(version) = version else { return Ok(()) };
    let page = hub.cache.list(crate::cache::Query::default());
    let namespaces: HashSet<Str> = if hub.row.namespaced {
        page.entries.iter().map(|e| e.namespace().into()).collect()
    } else {
        page.entries.first().map(|_| Str::default()).into_iter().collect()
    };
    let mut wrong = Vec::new();
    for namespace in namespaces {
        let scope = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
        let path = format!("/apis/{group}/{version}{scope}/{plural}");
        match bootstrap::call(api, Method::DELETE, &path, None).await {
            Ok((200 | 202, _)) => {}
            Ok((_, answer)) => wrong.push(answer.at("message").str().to_owned()),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if let Some(text) = meta::field::aggregate(wrong) {
        return Err(("InstanceDeletionFailed", format!("could not issue all deletes: {text}")));
    }
    let gone = async {
        while api.hub(group, plural).is_some_and(|h| !h.cache.is_empty()) {
            tokio::time::sleep(DELETION_POLL).await;
        }
    };
    tokio::time::timeout(DELETION_TIMEOUT, gone).await.map_err(|_| {
        let text = "could not confirm zero CustomResources remaining: context deadline exceeded";
        ("InstanceDeletionCheck", text.to_owned())
    })
}
