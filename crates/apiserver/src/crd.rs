//! Custom resources: from definitions to what is served.
//!
//! ```text
//! a definition changes ─▶ Worker ─▶ names accepted ─▶ established ─▶ rows, codecs, hub ─▶ registry
//!                            └────▶ being deleted ─▶ instances deleted ─▶ finalizer removed
//! ```
//!
//! Upstream: `k8s.io/apiextensions-apiserver/pkg/{apiserver,controller,registry}`.
//!
//! Invariants: the registry is replaced as a whole, while the feed stands still, so that no event is lost
//! between an old hub and a new one. Definitions themselves are written through the door like any object.

mod convert;
pub(crate) mod fuzz;
mod install;
mod judged;
mod kind;
mod names;
mod rows;
mod scale;
mod worker;

pub(crate) use judged::{Judged, is_judged};
pub(crate) use kind::{Asking, Custom, Strays, Unwritable};
pub(crate) use rows::compare_versions;
pub(crate) use scale::paths as scale_paths;
pub use worker::{Queue, run};

use crate::api::Api;
use crate::resource::Hub;
use kinds::Row;
use value::Value;

/// The group of definitions.
pub const GROUP: &str = "apiextensions.k8s.io";
/// The resource of definitions.
pub const PLURAL: &str = "customresourcedefinitions";
/// What keeps a definition until its objects are gone.
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether a row is that of definitions.
pub fn is_definition(row: &Row) -> bool {
    row.group == GROUP && row.plural == PLURAL
}

/// The row as the table has it, with what this crate knows to add.
pub fn with_hooks(row: &std::sync::Arc<Row>) -> std::sync::Arc<Row> {
    if !is_definition(row) {
        return row.clone();
    }
    let mut row = Row::clone(row);
    row.hooks = crd::definition::HOOKS;
    if let Some(storage) = &mut row.storage {
        storage.default = crd::definition::HOOKS.default;
    }
    // Writes of the status may change metadata.
    for sub in row.subresources.iter_mut().filter(|s| s.name == "status") {
        sub.reset_fields = vec![vec!["spec".into()]];
    }
    row.into()
}

/// A definition that is deleted for the first time: it stays until its objects are gone.
pub fn mark_deleted(api: &Api, hub: &Hub, old: &Value) -> Option<Value> {
    if !is_definition(&hub.row) || !old.at("metadata").at("deletionTimestamp").is_null() {
        return None;
    }
    let now = api.now().to_string();
    let mut new = old.clone();
    let metadata = new.object_at("metadata")?;
    metadata.set("deletionTimestamp", now.clone());
    let mut finalizers = metadata.at("finalizers").items().to_vec();
    if !finalizers.iter().any(|f| f.str() == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    metadata.set("finalizers", finalizers);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set_condition(&mut new, &now, "Terminating", "True", "InstanceDeletionPending", message);
    Some(new)
}

/// Sets a condition of a definition.
fn set_condition(definition: &mut Value, now: &str, ty: &str, status: &str, reason: &str, message: &str) {
    let Some(parent) = definition.object_at("status") else { return };
    let mut conditions = parent.at("conditions").items().to_vec();
    let old = conditions.iter_mut().find(|c| c.at("type").str() == ty);
    let changed = old.as_ref().is_none_or(|c| c.at("status").str() != status);
    let mut fresh = Value::object();
    let condition = match old {
        Some(condition) => condition,
        None => {
            fresh.set("type", ty);
            &mut fresh
        }
    };
    if changed || condition.at("lastTransitionTime").str().is_empty() {
        condition.set("lastTransitionTime", now);
    }
    condition.set("status", status);
    condition.set("reason", reason);
    condition.set("message", message);
    if !fresh.is_empty() {
        conditions.push(fresh);
    }
    parent.set("conditions", conditions);
}
