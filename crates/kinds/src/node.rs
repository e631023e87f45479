//! RuntimeClass. Upstream: `pkg/apis/node/{v1,validation}`, `pkg/registry/node`.

use crate::check;
use crate::core;
use crate::hooks::Hooks;
use crate::node_labels;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "runtimeclasses" { HOOKS } else { Hooks::NONE }
}

const HOOKS: Hooks = Hooks {
    validate_create: |_, class| validate(class),
    validate_update: |_, new, old| {
        let mut errors = validate(new);
        check::immutable(new.at("handler"), old.at("handler"), &Path::new("handler"), &mut errors);
        errors
    },
    warn_create: |_, class| warnings(class),
    warn_update: |_, class, _| warnings(class),
    ..Hooks::NONE
};

fn validate(class: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let handler = class.at("handler").str();
    if handler.is_empty() {
        errors.push(Error::required(&Path::new("handler"), ""));
    } else {
        check::dns1123_label(handler, &Path::new("handler"), &mut errors);
    }
    if !class.at("overhead").is_null() {
        let mut limits = Value::object();
        limits.set("limits", class.at("overhead").at("podFixed").clone());
        core::validate_resource_requirements(&limits, &Path::new("overhead"), &mut errors);
    }
    let scheduling = class.at("scheduling");
    if !scheduling.is_null() {
        let path = Path::new("scheduling");
        check::labels(scheduling.at("nodeSelector"), &path.child("nodeSelector"), &mut errors);
        validate_tolerations(scheduling.at("tolerations"), &path.child("tolerations"), &mut errors);
    }
    errors
}

fn validate_tolerations(tolerations: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    core::validate_tolerations(tolerations, path, errors);
    let mut seen = HashSet::new();
    for (i, t) in tolerations.items().iter().enumerate() {
        if !seen.insert(["key", "operator", "value", "effect"].map(|n| t.at(n).str())) {
            let shown = crate::internal::text("core.Toleration", t);
            errors.push(Error::duplicate(&path.index(i), t.clone()).shown_as(shown));
        }
    }
}

fn warnings(class: &Value) -> Vec<String> {
    let selector = class.at("scheduling").at("nodeSelector");
    let texts = selector.entries().filter_map(|(key, _)| node_labels::deprecated(key));
    texts.map(|text| format!("scheduling.nodeSelector: {text}")).collect()
}
