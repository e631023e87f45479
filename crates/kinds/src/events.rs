//! Events of both groups; both are validated in the form of `v1`.
//!
//! Upstream: `pkg/apis/core/validation/events.go`, `pkg/registry/core/event`.

use crate::check;
use crate::core::{changed_metadata, whole_metadata};
use crate::hooks::{Hooks, NameRule};
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::Scope;
use value::Value;

/// Events of the core group: the lenient rules of the first days.
pub(crate) const CORE: Hooks = Hooks {
    validate_create: |_, event| validate_common(event, "reportingComponent"),
    validate_update: |_, event, _| validate_common(event, "reportingComponent"),
    name: NameRule::PathSegment,
    metadata_last: true,
    ..Hooks::NONE
};

/// Events of `events.k8s.io`.
pub(crate) const EVENTS: Hooks = Hooks {
    validate_create: |_, event| {
        let mut errors = validate_common(event, "reportingController");
        whole_metadata(event, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
        validate_new(event, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = validate_common(new, "reportingController");
        changed_metadata(new, old, &mut errors);
        validate_changed(new, old, &mut errors);
        errors
    },
    // Their own validation has looked at the metadata, between the rules of old and those of this group.
    name: NameRule::PathSegment,
    metadata_last: true,
    ..Hooks::NONE
};

/// Upstream's bounds.
const REPORTING_INSTANCE_MAX: usize = 128;
const ACTION_MAX: usize = 128;
const REASON_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

fn validate_common(event: &Value, controller_name: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    let namespace = event.at("metadata").at("namespace").str();
    let object = event.at("involvedObject").at("namespace").str();
    let old_form = event.at("eventTime").is_null();
    let matches = match (old_form, object.is_empty()) {
        (true, true) => matches!(namespace, "" | "default"),
        (true, false) => namespace == object,
        (false, true) => matches!(namespace, "default" | "kube-system"),
        (false, false) => true,
    };
    if !matches {
        let path = Path::new("involvedObject");
        errors.push(Error::invalid(&path.child("namespace"), object, "does not match event.namespace"));
    }
    if !old_form {
        let controller = event.at("reportingComponent").str();
        if controller.is_empty() {
            errors.push(Error::required(&Path::new(controller_name), ""));
        }
        check::qualified_name(controller, &Path::new(controller_name), &mut errors);
        for (name, max) in [
            ("reportingInstance", REPORTING_INSTANCE_MAX),
            ("action", ACTION_MAX),
            ("reason", REASON_MAX),
            ("message", NOTE_MAX),
        ] {
            let text = event.at(name).str();
            if text.is_empty() && name != "message" {
                errors.push(Error::required(&Path::new(name), ""));
            }
            if text.len() > max {
                let detail = format!("can have at most {max} characters");
                errors.push(Error::invalid(&Path::new(name), "", detail));
            }
        }
    }
    check::invalid_each(namespace, names::dns1123_subdomain(namespace), &Path::new("namespace"), &mut errors);
    errors
}

fn validate_series(event: &Value, errors: &mut ErrorList) {
    let series = event.at("series");
    if series.is_null() {
        return;
    }
    if series.at("count").int() < 2 {
        errors.push(Error::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if series.at("lastObservedTime").is_null() {
        errors.push(Error::required(&Path::new("series.lastObservedTime"), ""));
    }
}

fn validate_new(event: &Value, errors: &mut ErrorList) {
    validate_series(event, errors);
    if event.at("eventTime").is_null() {
        errors.push(Error::required(&Path::new("eventTime"), ""));
    }
    let kind = event.at("type").str();
    if kind != "Normal" && kind != "Warning" {
        errors.push(Error::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    let source = event.at("source");
    for (name, is_set) in [
        ("firstTimestamp", !event.at("firstTimestamp").is_null()),
        ("lastTimestamp", !event.at("lastTimestamp").is_null()),
        ("count", event.at("count").int() != 0),
        ("source", !source.at("component").str().is_empty() || !source.at("host").str().is_empty()),
    ] {
        if is_set {
            errors.push(Error::invalid(&Path::new(name), "", "needs to be unset"));
        }
    }
}

fn validate_changed(new: &Value, old: &Value, errors: &mut ErrorList) {
    if new.at("series") != old.at("series") {
        validate_series(new, errors);
    }
    // Upstream looks at the reason twice.
    for (name, kind) in [
        ("involvedObject", "core.ObjectReference"),
        ("reason", "string"),
        ("message", "string"),
        ("source", "core.EventSource"),
        ("firstTimestamp", ""),
        ("lastTimestamp", ""),
        ("count", "int"),
        ("reason", "string"),
        ("type", "string"),
        ("eventTime", ""),
        ("action", "string"),
        ("related", "core.ObjectReference"),
        ("reportingController", "string"),
        ("reportingInstance", "string"),
    ] {
        let field = if name == "reportingController" { "reportingComponent" } else { name };
        let (new, old) = match kind {
            "string" => (new.at(field).str().into(), old.at(field).str().into()),
            "int" => (Value::from(new.at(field).int()), Value::from(old.at(field).int())),
            _ => (new.at(field).clone(), old.at(field).clone()),
        };
        let kind = if kind.contains('.') { kind } else { "" };
        internal::immutable(kind, &new, &old, &Path::new(name), errors);
    }
}
