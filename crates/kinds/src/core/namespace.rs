//! Namespaces.
//!
//! Upstream: `ValidateNamespace*` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/namespace/strategy.go`.

use super::util::{
    changed_metadata, finalizer_names, invalid_named, object, standard_finalizer, whole_metadata,
};
use crate::check::default_text;
use crate::hooks::{Hooks, NameRule};
use crate::prepare;
use meta::field::{ErrorList, Path};
use meta::names::{self, NameUse};
use meta::object_meta::{self, Scope};
use value::Value;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";

pub(super) const HOOKS: Hooks = Hooks {
    default: |namespace| {
        label(namespace);
        if let Some(status) = namespace.object_at("status") {
            default_text(status, "phase", "Active");
        }
    },
    prepare_create: |_, namespace| {
        // A generated name is known only now. Upstream writes the label once nothing is wrong.
        let name = namespace.at("metadata").at("name").str();
        if names::name_is_dns_label(name, NameUse::Whole).is_empty() {
            label(namespace);
        }
        namespace.set("status", object([("phase", "Active".into())]));
        if let Some(spec) = namespace.object_at("spec") {
            match spec.get_mut("finalizers").and_then(Value::as_array_mut) {
                Some(list) if list.iter().any(|f| f.str() == FINALIZER) => {}
                Some(list) => list.push(FINALIZER.into()),
                None => spec.set("finalizers", vec![FINALIZER]),
            }
        }
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::keep(new, old, "status");
    },
    validate_create: |_, namespace| {
        let mut errors = ErrorList::new();
        finalizer_names(namespace, &mut errors);
        finalizers(namespace, false, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        whole_metadata(new, Scope::Cluster, names::name_is_dns_label, &mut errors);
        finalizers(new, false, &mut errors);
        changed_metadata(new, old, &mut errors);
        errors
    },
    prepare_subresource: |context, new, old| {
        let name = if context.subresource == "finalize" { "status" } else { "spec" };
        prepare::keep(new, old, name);
    },
    validate_subresource: |context, new, _| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        if context.subresource == "finalize" {
            finalizers(new, true, &mut errors);
        } else {
            status(new, &mut errors);
        }
        errors
    },
    name: NameRule::DnsLabel,
    ..Hooks::NONE
};

fn label(namespace: &mut Value) {
    let Some(metadata) = namespace.object_at("metadata") else { return };
    let name = metadata.at("name").clone();
    if !name.str().is_empty()
        && let Some(labels) = metadata.object_at("labels")
    {
        labels.set(NAME_LABEL, name);
    }
}

/// `spec.finalizers`; `indexed` says whether errors tell which one.
fn finalizers(namespace: &Value, indexed: bool, errors: &mut ErrorList) {
    let list_path = Path::new("spec");
    let list_path = list_path.child("finalizers");
    for (i, name) in namespace.at("spec").at("finalizers").items().iter().enumerate() {
        let path = if indexed { list_path.index(i) } else { list_path };
        errors.extend(object_meta::validate_finalizer_name(name.str(), &path));
        standard_finalizer(name.str(), &path, errors);
    }
}

fn status(namespace: &Value, errors: &mut ErrorList) {
    let deleted = !namespace.at("metadata").at("deletionTimestamp").is_null();
    let phase = namespace.at("status").at("phase").str();
    let (known, text) = if deleted {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase != known {
        let path = Path::new("status");
        errors.push(invalid_named(&path.child("Phase"), phase, text));
    }
}
