//! PersistentVolumeClaims, and their specs where other kinds embed them.
//!
//! Upstream: `ValidatePersistentVolumeClaim*` in `pkg/apis/core/validation/validation.go`,
//! `pkg/api/persistentvolumeclaim`, `pkg/registry/core/persistentvolumeclaim/strategy.go`.

use super::diff::diff;
use super::pod_defaults::{default_resources, round_up};
use super::pod_warnings::fraction;
use super::resources::{basic_quantity, positive_quantity, resource_quantity};
use super::util::{
    finalizer_names, fractional, is_set, keep, metadata_again, object, optional_one_of, quantity, unsupported,
};
use crate::check::{self, default, default_text};
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta::Scope;
use value::Value;

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) const ACCESS_MODES: [&str; 4] =
    ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const RESIZE_STATES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub(super) const HOOKS: Hooks = Hooks {
    default: default_claim,
    prepare_create: |_, claim| {
        prepare::reset_status(claim);
        if let Some(spec) = claim.get_mut("spec") {
            prepare_spec(spec, &Value::Null);
        }
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        if let Some(spec) = new.get_mut("spec") {
            prepare_spec(spec, old.at("spec"));
        }
    },
    validate_create: |_, claim| {
        let mut errors = ErrorList::new();
        finalizer_names(claim, &mut errors);
        validate_spec(claim.at("spec"), &Options::default(), &Path::new("spec"), &mut errors);
        errors
    },
    validate_update: |_, new, old| validate_update(new, old),
    warn_create: |_, claim| warnings(claim),
    warn_update: |_, new, _| warnings(new),
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, _| validate_status(new),
    ..Hooks::NONE
};

/// What the claim that stands allows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    any_selector_value: bool,
    any_api_group: bool,
}

impl Options {
    fn of(old: &Value) -> Self {
        let spec = old.at("spec");
        let mut errors = ErrorList::new();
        check::label_selector(spec.at("selector"), &Path::ROOT, &mut errors);
        Self {
            any_selector_value: !errors.is_empty(),
            any_api_group: ["dataSource", "dataSourceRef"].iter().any(|n| is_set(spec.at(n), "apiGroup")),
        }
    }
}

/// Defaults of a claim, also of one in `volumeClaimTemplates`.
pub(super) fn default_claim(claim: &mut Value) {
    if let Some(status) = claim.object_at("status") {
        default_text(status, "phase", "Pending");
        round_up(status, "capacity");
        round_up(status, "allocatedResources");
    }
    if let Some(spec) = claim.object_at("spec") {
        default_spec(spec);
    }
}

/// Defaults of the spec of a claim.
pub(super) fn default_spec(spec: &mut Value) {
    default(spec, "volumeMode", "Filesystem");
    if let Some(resources) = spec.get_mut("resources") {
        default_resources(resources);
    }
}

/// Makes `dataSource` and `dataSourceRef` say the same, and drops what the old field never could say.
fn prepare_spec(spec: &mut Value, old: &Value) {
    let namespace = |v: &Value| v.at("dataSourceRef").at("namespace").str().is_empty();
    if is_set(spec, "dataSourceRef") && !namespace(spec) && !is_set(old, "dataSourceRef") {
        spec.remove("dataSourceRef");
    }
    let source = spec.at("dataSource");
    let known = matches!(
        (source.at("kind").str(), source.at("apiGroup").str()),
        ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
    );
    let in_use = is_set(old, "dataSource") || is_set(old, "dataSourceRef");
    if !in_use && !is_set(spec, "dataSourceRef") && !known {
        spec.remove("dataSource");
    }
    normalize_sources(spec);
}

fn normalize_sources(spec: &mut Value) {
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    let copy = |v: &Value| {
        let mut copy = object([
            ("apiGroup", v.at("apiGroup").clone()),
            ("kind", v.at("kind").clone()),
            ("name", v.at("name").clone()),
        ]);
        if v.get("apiGroup").is_none() {
            copy.remove("apiGroup");
        }
        copy
    };
    if !source.is_null() && reference.is_null() {
        let copy = copy(source);
        spec.set("dataSourceRef", copy);
    } else if !reference.is_null() && source.is_null() && reference.at("namespace").str().is_empty() {
        let copy = copy(reference);
        spec.set("dataSource", copy);
    }
}

/// Access modes of claims and volumes.
pub(super) fn access_modes(modes: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (mut one_pod, mut others) = (false, false);
    for mode in modes.items() {
        match mode.str() {
            "ReadWriteOncePod" => one_pod = true,
            mode if ACCESS_MODES.contains(&mode) => others = true,
            mode => errors.push(unsupported(path, mode, &ACCESS_MODES)),
        }
    }
    if one_pod && others {
        errors.push(Error::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
}

/// The spec of a claim (`ValidatePersistentVolumeClaimSpec`).
pub(super) fn validate_spec(spec: &Value, options: &Options, path: &Path<'_>, errors: &mut ErrorList) {
    let modes_path = path.child("accessModes");
    if spec.at("accessModes").items().is_empty() {
        errors.push(Error::required(&modes_path, "at least 1 access mode is required"));
    }
    let lenient = options.any_selector_value;
    check::label_selector_with(spec.at("selector"), lenient, &path.child("selector"), errors);
    access_modes(spec.at("accessModes"), &modes_path, errors);
    let size_path = path.child("resources");
    let size_path = size_path.key("storage");
    match spec.at("resources").at("requests").get("storage") {
        None => errors.push(Error::required(&size_path, "")),
        Some(size) => {
            let before = errors.len();
            positive_quantity(size, &size_path, errors);
            if errors.len() == before {
                resource_quantity("storage", size, &size_path, errors);
            }
        }
    }
    let class = spec.at("storageClassName").str();
    if !class.is_empty() {
        check::dns1123_subdomain(class, &path.child("storageClassName"), errors);
    }
    optional_one_of(spec.at("volumeMode"), &VOLUME_MODES, &path.child("volumeMode"), errors);
    for name in ["dataSource", "dataSourceRef"] {
        if is_set(spec, name) {
            data_source(spec.at(name), options, &path.child(name), errors);
        }
    }
    let (source, reference) = (spec.at("dataSource"), spec.at("dataSourceRef"));
    if !source.is_null() && !reference.is_null() {
        let text = if !reference.at("namespace").str().is_empty() {
            "may not be specified when dataSourceRef.namespace is specified"
        } else if ["apiGroup", "kind", "name"].iter().any(|n| source.at(n) != reference.at(n)) {
            "must match dataSourceRef"
        } else {
            ""
        };
        if !text.is_empty() {
            // Upstream shows a path, which has nothing that JSON would show.
            errors.push(Error::invalid(path, Value::Null, text).shown_as("{}"));
        }
    }
    let class = spec.at("volumeAttributesClassName").str();
    if !class.is_empty() {
        check::dns1123_subdomain(class, &path.child("volumeAttributesClassName"), errors);
    }
}

fn data_source(v: &Value, options: &Options, path: &Path<'_>, errors: &mut ErrorList) {
    super::util::require(v, "name", path, errors);
    super::util::require(v, "kind", path, errors);
    let (group, kind) = (v.at("apiGroup").str(), v.at("kind").str());
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(Error::invalid(path, kind, text));
    }
    if !group.is_empty() && !options.any_api_group {
        check::dns1123_subdomain(group, &path.child("apiGroup"), errors);
    }
    let namespace = v.at("namespace").str();
    if !namespace.is_empty() {
        check::dns1123_label(namespace, &path.child("namespace"), errors);
    }
}

fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let (spec, before) = (new.at("spec"), old.at("spec"));
    metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
    validate_spec(spec, &Options::of(old), &path, &mut errors);
    let (mut munged, mut stands) = (spec.clone(), before.clone());
    normalize_sources(&mut stands);
    if before.at("volumeName").str().is_empty() {
        keep(&mut stands, spec, "volumeName");
    }
    class_changes(new, old, &mut munged, &mut errors);
    if new.at("status").at("phase").str() == "Bound" {
        if let Some(requests) = munged.get_mut("resources").and_then(|r| r.get_mut("requests"))
            && !requests.is_null()
        {
            keep(requests, before.at("resources").at("requests"), "storage");
        }
        keep(&mut munged, before, "volumeAttributesClassName");
    }
    if !semantic_equal(&munged, &stands) {
        let text = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{}",
            diff("core.PersistentVolumeClaimSpec", &stands, &munged)
        );
        errors.push(Error::forbidden(&path, text));
    }
    let size = |spec: &Value| quantity(spec.at("resources").at("requests").at("storage"));
    if size(spec) < size(before) && size(spec) <= quantity(old.at("status").at("capacity").at("storage")) {
        let path = path.child("resources");
        let path = path.child("requests");
        let text = "field can not be less than status.capacity";
        errors.push(Error::forbidden(&path.child("storage"), text));
    }
    volume_mode(spec, before, &mut errors);
    let name = "volumeAttributesClassName";
    let class = spec.at(name);
    if class != before.at(name) && is_set(old.at("status"), "currentVolumeAttributesClassName") {
        let to = match class.as_str() {
            None => "nil",
            Some("") => "empty string",
            Some(_) => "",
        };
        if !to.is_empty() {
            let text = format!(
                "update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil"
            );
            errors.push(Error::forbidden(&path.child(name), text));
        }
    }
    errors
}

/// That the mode of a claim or volume stays as it is.
pub(super) fn volume_mode(spec: &Value, before: &Value, errors: &mut ErrorList) {
    let (mode, old) = (spec.at("volumeMode"), before.at("volumeMode"));
    if mode != old {
        let error = Error::invalid(&Path::new("volumeMode"), mode.clone(), "field is immutable");
        errors.push(error.shown_as_json());
    }
}

/// The class may move from the annotation to the field, and may be given where there was none.
fn class_changes(new: &Value, old: &Value, munged: &mut Value, errors: &mut ErrorList) {
    let annotation =
        |v: &Value| v.at("metadata").at("annotations").get(BETA_CLASS).map(|v| v.str().to_owned());
    let (now, before) = (annotation(new), annotation(old));
    let name = "storageClassName";
    let class = new.at("spec").at(name).as_str();
    let had_none = old.at("spec").at(name).is_null();
    let upgraded =
        had_none && before.is_some() && class == before.as_deref() && (now.is_none() || now == before);
    if upgraded {
        munged.remove(name);
        return;
    }
    if now.clone().unwrap_or_default() != before.clone().unwrap_or_default() {
        let path = Path::new("metadata");
        let path = path.child("annotations");
        errors.push(Error::invalid(&path.child(BETA_CLASS), now.unwrap_or_default(), "field is immutable"));
    }
    if had_none && class.is_some() && (before.is_none() || class == before.as_deref()) {
        munged.remove(name);
    }
}

fn validate_status(claim: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    finalizer_names(claim, &mut errors);
    if claim.at("metadata").at("resourceVersion").str().is_empty() {
        errors.push(Error::required(&Path::new("resourceVersion"), ""));
    }
    if claim.at("spec").at("accessModes").items().is_empty() {
        errors.push(Error::required(&Path::new("Spec").child("accessModes"), ""));
    }
    let (status, path) = (claim.at("status"), Path::new("status"));
    let capacity_path = path.child("capacity");
    for (name, v) in status.at("capacity").entries() {
        basic_quantity(v, &capacity_path.key(name), &mut errors);
    }
    let states_path = path.child("allocatedResourceStatuses");
    for (name, state) in status.at("allocatedResourceStatuses").entries() {
        resource_key(name, &states_path, &mut errors);
        if !RESIZE_STATES.contains(&state.str()) {
            errors.push(unsupported(&states_path, name, &RESIZE_STATES));
        }
    }
    let allocated_path = path.child("allocatedResources");
    for (name, v) in status.at("allocatedResources").entries() {
        let count = errors.len();
        resource_key(name, &allocated_path, &mut errors);
        if errors.len() > count {
            continue;
        }
        let path = allocated_path.key(name);
        basic_quantity(v, &path, &mut errors);
        if errors.len() == count {
            resource_quantity("storage", v, &path, &mut errors);
        }
    }
    errors
}

fn resource_key(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let messages = names::qualified_name(name);
    if !messages.is_empty() {
        check::invalid_each(name, messages, path, errors);
    } else if super::resources::is_native(name) && name != "storage" {
        errors.push(Error::not_supported_in_order(path, name, &["storage"]));
    }
}

fn warnings(claim: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if claim.at("metadata").at("annotations").get(BETA_CLASS).is_some() {
        let path = Path::new("metadata");
        let path = path.child("annotations");
        let text = "deprecated since v1.8; use \"storageClassName\" attribute instead";
        warnings.push(format!("{}: {text}", path.key(BETA_CLASS)));
    }
    warnings.extend(spec_warnings(claim.at("spec"), &Path::new("spec")));
    warnings
}

/// Warnings for the spec of a claim.
pub(super) fn spec_warnings(spec: &Value, path: &Path<'_>) -> Vec<String> {
    let path = path.child("resources");
    let lists = ["requests", "limits"].iter().filter_map(|list| {
        let amount = quantity(spec.at("resources").at(list).at("storage"));
        fractional(&amount).then(|| fraction(&path.child(list).key("storage"), &amount.to_string()))
    });
    lists.collect()
}
