//! The kinds of `flowcontrol.apiserver.k8s.io`. Upstream: `pkg/apis/flowcontrol/{v1,validation}`,
//! `pkg/registry/flowcontrol`, `apiserver/pkg/apis/flowcontrol/bootstrap`.

mod flow_schema;
mod priority_level;

use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "flowschemas" => flow_schema::HOOKS,
        "prioritylevelconfigurations" => priority_level::HOOKS,
        _ => Hooks::NONE,
    }
}

/// What both kinds do alike.
const COMMON: Hooks = Hooks {
    prepare_create: |_, v| prepare::reset_status(v),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        // Upstream puts all metadata back; managed fields are the door's.
        let managed = new.at("metadata").get("managedFields").cloned();
        prepare::keep(new, old, "metadata");
        if let (Some(managed), Some(metadata)) = (managed, new.object_at("metadata")) {
            metadata.set("managedFields", managed);
        }
    },
    validate_subresource: |_, new, _| {
        let mut errors = ErrorList::new();
        validate_status(new.at("status"), &mut errors);
        errors
    },
    ..Hooks::NONE
};

fn validate_status(status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let path = path.child("conditions");
    let mut seen = HashSet::new();
    for (i, condition) in status.at("conditions").items().iter().enumerate() {
        let path = path.index(i);
        let kind = condition.at("type").str();
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path.child("type"), ""));
        }
    }
}
