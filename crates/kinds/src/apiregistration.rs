//! APIService. Upstream: `kube-aggregator/pkg/{apis/apiregistration,registry/apiservice}`.

use crate::check;
use crate::hooks::{Context, Hooks, NameRule};
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::{self, Scope};
use meta::quote::quote;
use value::{Map, Value};

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "apiservices" { HOOKS } else { Hooks::NONE }
}

const HOOKS: Hooks = Hooks {
    default: |api| {
        let service = api.get_mut("spec").and_then(|s| s.get_mut("service"));
        if let Some(service) = service.filter(|s| !s.is_null()) {
            check::default(service, "port", 443);
        }
    },
    prepare_create,
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, api| {
        let mut errors = ErrorList::new();
        validate_names(api, &mut errors);
        validate(api, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let path = Path::new("metadata");
        let (metadata, before) = (new.at("metadata"), old.at("metadata"));
        let mut errors = object_meta::validate_update(metadata, before, &path);
        validate_names(new, &mut errors);
        errors.extend(object_meta::validate(metadata, Scope::Cluster, |_, _| Vec::new(), &path));
        validate(new, &mut errors);
        errors
    },
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        if let Some(metadata) = new.object_at("metadata") {
            for name in ["labels", "annotations", "finalizers", "ownerReferences"] {
                prepare::keep(metadata, old.at("metadata"), name);
            }
        }
    },
    validate_subresource: |_, api, _| {
        let mut errors = ErrorList::new();
        let path = Path::new("status");
        let path = path.child("conditions");
        for (i, condition) in api.at("status").at("conditions").items().iter().enumerate() {
            let status = condition.at("status").str();
            let known = ["True", "False", "Unknown"];
            if !known.contains(&status) {
                let path = path.index(i);
                errors.push(Error::not_supported_in_order(&path.child("status"), status, &known));
            }
        }
        errors
    },
    name: NameRule::Own,
    ..Hooks::NONE
};

/// An API that this server serves itself is available at once.
fn prepare_create(context: &Context, api: &mut Value) {
    prepare::reset_status(api);
    if !api.at("spec").at("service").is_null() {
        return;
    }
    let condition = Map::from_iter([
        ("type".into(), "Available".into()),
        ("status".into(), "True".into()),
        ("lastTransitionTime".into(), context.now.clone().into()),
        ("reason".into(), "Local".into()),
        ("message".into(), "Local APIServices are always available".into()),
    ]);
    if let Some(status) = api.object_at("status") {
        status.set("conditions", vec![Value::Object(condition)]);
    }
}

/// Upstream's bounds.
const GROUP_PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

fn validate_names(api: &Value, errors: &mut ErrorList) {
    let spec = api.at("spec");
    let name = format!("{}.{}", spec.at("version").str(), spec.at("group").str());
    for field in ["generateName", "name"] {
        validate_name(api.at("metadata").at(field).str(), field, &name, errors);
    }
}

fn validate(api: &Value, errors: &mut ErrorList) {
    let (spec, path) = (api.at("spec"), Path::new("spec"));
    let (group, version) = (spec.at("group").str(), spec.at("version").str());
    if group.is_empty() && version != "v1" {
        let text = "only v1 may have an empty group and it better be legacy kube";
        errors.push(Error::required(&path.child("group"), text));
    }
    if !group.is_empty() {
        check::dns1123_subdomain(group, &path.child("group"), errors);
    }
    check::invalid_each(version, names::dns1035_label(version), &path.child("version"), errors);
    for (name, max) in
        [("groupPriorityMinimum", GROUP_PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)]
    {
        let n = spec.at(name).int();
        if n <= 0 || n > max {
            let text = format!("must be positive and less than {max}");
            errors.push(Error::invalid(&path.child(name), n, text));
        }
    }
    validate_service(spec, &path, errors);
}

fn validate_name(name: &str, field: &str, required: &str, errors: &mut ErrorList) {
    if name.is_empty() {
        return;
    }
    let mut messages = names::content::path_segment_name(name);
    if messages.is_empty() && name != required {
        messages.push(format!("must be `spec.version+\".\"+spec.group`: {}", quote(required)));
    }
    let path = Path::new("metadata");
    check::invalid_each(name, messages, &path.child(field), errors);
}

fn validate_service(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let service = spec.at("service");
    let (bundle, insecure) = (spec.at("caBundle").str(), spec.at("insecureSkipTLSVerify").bool());
    let insecure_path = path.child("insecureSkipTLSVerify");
    if service.is_null() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", check::base64_len(bundle));
            let text = "local APIServices may not have a caBundle";
            errors.push(Error::invalid(&path.child("caBundle"), shown, text));
        }
        if insecure {
            let text = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(Error::invalid(&insecure_path, true, text));
        }
        return;
    }
    let path = path.child("service");
    for name in ["namespace", "name"] {
        if service.at(name).str().is_empty() {
            errors.push(Error::required(&path.child(name), ""));
        }
    }
    let port = service.at("port").int();
    let messages = names::port_num(port);
    if !messages.is_empty() {
        let text = format!("port is not valid: {}", messages.join(", "));
        errors.push(Error::invalid(&path.child("port"), port, text));
    }
    if insecure && !bundle.is_empty() {
        errors.push(Error::invalid(&insecure_path, true, "may not be true if caBundle is present"));
    }
}
