//! Pods, and what other kinds need of their templates.
//!
//! Upstream: `pkg/registry/core/pod/strategy.go`, `ValidatePodCreate` in
//! `pkg/apis/core/validation/validation.go`.

pub use super::gates::drop_disabled_template_fields;
pub use super::pod_defaults::{default_pod_spec, default_pod_template};
pub use super::pod_template::{validate_pod_annotations, validate_pod_template_spec};
pub use super::pod_warnings::template_warnings;

use super::options::Allow;
use super::sums::qos_class;
use super::util::{containers, each, finalizer_names, is_set, object};
use super::{annotations, container, gates, pod_defaults, pod_resize, pod_spec, pod_status, pod_update};
use super::{pod_warnings, security};
use crate::equal::semantic_equal;
use crate::hooks::{Context, Hooks};
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::Value;

/// What older objects may keep that new ones may not have.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The template that stands, on update.
    pub old: Option<Value>,
}

pub(super) const HOOKS: Hooks = Hooks {
    default: pod_defaults::default_pod,
    prepare_create,
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        gates::drop_disabled_pod_fields(new, Some(old));
    },
    validate_create: |_, pod| validate_create(pod),
    validate_update: |_, new, old| pod_update::validate(new, old),
    warn_create,
    warn_prepared: |_, pod| app_armor_warnings(pod),
    prepare_subresource,
    validate_subresource: |context, new, old| match context.subresource.as_str() {
        "ephemeralcontainers" => pod_update::validate_ephemeral(new, old),
        "resize" => pod_resize::validate(new, old),
        _ => pod_status::validate(new, old),
    },
    warn_subresource: |context, new, _| {
        if context.subresource == "status" { pod_status::warnings(new) } else { Vec::new() }
    },
    ..Hooks::NONE
};

fn prepare_create(context: &Context, pod: &mut Value) {
    let mut status = object([
        ("phase", "Pending".into()),
        // A class that the writer gave is believed, as upstream does.
        (
            "qosClass",
            match pod.at("status").at("qosClass").str() {
                "" => qos_class(pod.at("spec")).into(),
                given => given.into(),
            },
        ),
    ]);
    if !pod.at("spec").at("schedulingGates").items().is_empty() {
        let condition = object([
            ("type", "PodScheduled".into()),
            ("status", "False".into()),
            ("lastTransitionTime", context.now.clone().into()),
            ("reason", "SchedulingGated".into()),
            ("message", "Scheduling is blocked due to non-empty scheduling gates".into()),
        ]);
        status.set("conditions", vec![condition]);
    }
    pod.set("status", status);
    gates::drop_disabled_pod_fields(pod, None);
    let labels = pod.at("metadata").at("labels").clone();
    let annotations = pod.at("metadata").at("annotations").clone();
    if let Some(spec) = pod.get_mut("spec") {
        apply_label_keys(spec, &labels);
        app_armor_fields(spec, &annotations);
    }
}

/// Makes requirements on labels of `matchLabelKeys` and `mismatchLabelKeys`.
fn apply_label_keys(spec: &mut Value, labels: &Value) {
    if let Some(affinity) = spec.get_mut("affinity") {
        for kind in ["podAffinity", "podAntiAffinity"] {
            let Some(v) = affinity.get_mut(kind) else { continue };
            each(v, "preferredDuringSchedulingIgnoredDuringExecution", |term| {
                if let Some(term) = term.get_mut("podAffinityTerm") {
                    apply_keys(term, labels);
                }
            });
            each(v, "requiredDuringSchedulingIgnoredDuringExecution", |term| apply_keys(term, labels));
        }
    }
    each(spec, "topologySpreadConstraints", |constraint| apply_keys(constraint, labels));
}

fn apply_keys(term: &mut Value, labels: &Value) {
    let mut made = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.at(list).items() {
            if let Some(v) = labels.get(key.str()) {
                made.push(object([
                    ("key", key.clone()),
                    ("operator", operator.into()),
                    ("values", vec![v.clone()].into()),
                ]));
            }
        }
    }
    let Some(selector) = term.get_mut("labelSelector").filter(|s| !s.is_null() && !made.is_empty()) else {
        return;
    };
    match selector.get_mut("matchExpressions").and_then(Value::as_array_mut) {
        Some(list) => list.extend(made),
        None => selector.set("matchExpressions", made),
    }
}

/// The AppArmor profile of each container that an annotation names and no field does.
fn app_armor_fields(spec: &mut Value, annotations: &Value) {
    if spec.at("os").at("name").str() == "windows" || annotations.is_empty() {
        return;
    }
    let pod = spec.at("securityContext").at("appArmorProfile").clone();
    super::util::each_container(spec, |c| {
        let Some(profile) = annotated_profile(c, annotations) else { return };
        if semantic_equal(&profile, &pod) {
            return;
        }
        if let Some(context) = c.object_at("securityContext") {
            context.set("appArmorProfile", profile);
        }
    });
}

/// The valid profile that an annotation gives to a container without a field.
fn annotated_profile(c: &Value, annotations: &Value) -> Option<Value> {
    let key = format!("{}{}", annotations::APP_ARMOR, c.at("name").str());
    let annotation = annotations.get(&key)?;
    if is_set(c.at("securityContext"), "appArmorProfile") {
        return None;
    }
    let profile = pod_warnings::app_armor_of_annotation(annotation.str())?;
    let mut errors = ErrorList::new();
    security::app_armor(&profile, &Path::ROOT, &mut errors);
    errors.is_empty().then_some(profile)
}

/// Errors of metadata and spec that creates and all updates look for.
pub(super) fn validate_common(pod: &Value, allow: &Allow, errors: &mut ErrorList) {
    let (metadata, spec, path) = (pod.at("metadata"), pod.at("spec"), Path::new("spec"));
    let meta_path = Path::new("metadata");
    annotations::validate(metadata, spec, allow, &meta_path.child("annotations"), errors);
    pod_spec::validate(spec, metadata, allow, &path, errors);
    if spec.at("serviceAccountName").str().is_empty() {
        let volumes_path = path.child("volumes");
        for (i, volume) in spec.at("volumes").items().iter().enumerate() {
            let path = volumes_path.index(i);
            let path = path.child("projected");
            let path = path.child("sources");
            for (j, source) in volume.at("projected").at("sources").items().iter().enumerate() {
                if is_set(source, "serviceAccountToken") {
                    let text = "must not be specified when serviceAccountName is not set";
                    errors.push(Error::forbidden(&path.index(j).child("serviceAccountToken"), text));
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        let path = path.child(list);
        for (i, c) in spec.at(list).items().iter().enumerate() {
            container::only_in_pods(c, &path.index(i), errors);
        }
    }
}

fn validate_create(pod: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    finalizer_names(pod, &mut errors);
    validate_common(pod, &Allow::for_pod(None), &mut errors);
    let (metadata, spec, path) = (pod.at("metadata"), pod.at("spec"), Path::new("spec"));
    if !spec.at("ephemeralContainers").items().is_empty() {
        errors.push(Error::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !spec.at("nodeName").str().is_empty() && !spec.at("schedulingGates").items().is_empty() {
        let text = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden(&path.child("nodeName"), text));
    }
    annotations::seccomp_match(metadata, spec, &path, &mut errors);
    annotations::app_armor_match(metadata, spec, &path, &mut errors);
    errors
}

fn warn_create(_: &Context, pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let messages = names::dns1123_label(pod.at("metadata").at("name").str());
    if !messages.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS \
             label is recommended: [{}]",
            messages.join(" ")
        ));
    }
    warnings.extend(pod_warnings::warnings(pod, &Path::ROOT));
    warnings
}

/// Annotations that were made fields, and those that could not be.
fn app_armor_warnings(pod: &Value) -> Vec<String> {
    let (spec, annotations) = (pod.at("spec"), pod.at("metadata").at("annotations"));
    if spec.at("os").at("name").str() == "windows" || annotations.is_empty() {
        return Vec::new();
    }
    let of_pod = spec.at("securityContext").at("appArmorProfile");
    let mut warnings = Vec::new();
    for (_, _, c) in containers(spec) {
        let key = format!("{}{}", annotations::APP_ARMOR, c.at("name").str());
        let Some(annotation) = annotations.get(&key) else { continue };
        let own = c.at("securityContext").at("appArmorProfile");
        let made = pod_warnings::app_armor_of_annotation(annotation.str());
        // The hooks see the pod after its annotations were made fields: a field that says the same as the
        // annotation is taken for one that was made of it.
        let warn = match made {
            None => own.is_null(),
            Some(made) => !own.is_null() && semantic_equal(own, &made) && !semantic_equal(of_pod, &made),
        };
        if warn {
            let path = Path::new("metadata");
            let path = path.child("annotations");
            let text = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            warnings.push(format!("{}: {text}", path.key(&key)));
        }
    }
    warnings
}

fn prepare_subresource(context: &Context, new: &mut Value, old: &Value) {
    match context.subresource.as_str() {
        "ephemeralcontainers" => {
            let own = new.at("spec").at("ephemeralContainers").clone();
            prepare::keep(new, old, "spec");
            prepare::keep(new, old, "status");
            prepare::reset_meta_for_status(new, old);
            if let Some(spec) = new.get_mut("spec") {
                if own.is_null() {
                    spec.remove("ephemeralContainers");
                } else {
                    spec.set("ephemeralContainers", own);
                }
            }
        }
        "resize" => pod_resize::prepare(new, old),
        _ => pod_status::prepare(new, old),
    }
    gates::drop_disabled_pod_fields(new, Some(old));
}
