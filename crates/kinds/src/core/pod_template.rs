//! Pod templates, as workloads embed them and as a kind of its own.
//!
//! Upstream: `ValidatePodTemplateSpec` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/podtemplate/strategy.go`.

use super::options::Allow;
use super::pod::Options;
use super::{annotations, gates, pod_defaults, pod_spec, pod_warnings};
use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use value::Value;

/// PodTemplate.
pub(super) const HOOKS: Hooks = Hooks {
    default: |object| {
        if let Some(template) = object.object_at("template") {
            pod_defaults::default_pod_template(template);
        }
    },
    prepare_create: |_, object| {
        if let Some(template) = object.get_mut("template") {
            gates::drop_disabled_template_fields(template, None);
        }
    },
    prepare_update: |_, new, old| {
        if let Some(template) = new.get_mut("template") {
            gates::drop_disabled_template_fields(template, Some(old.at("template")));
        }
    },
    validate_create: |_, object| validate(object, None),
    validate_update: |_, new, old| validate(new, Some(old)),
    warn_create: |_, object| {
        pod_warnings::template_warnings(object.at("template"), None, &Path::new("template"))
    },
    warn_update: |_, new, old| {
        let generation = |v: &Value| v.at("metadata").at("generation").int();
        if generation(new) == generation(old) {
            return Vec::new();
        }
        pod_warnings::template_warnings(new.at("template"), Some(old.at("template")), &Path::new("template"))
    },
    ..Hooks::NONE
};

fn validate(object: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    super::util::finalizer_names(object, &mut errors);
    let options = Options { old: old.map(|o| o.at("template").clone()) };
    validate_pod_template_spec(object.at("template"), &Path::new("template"), &options, &mut errors);
    errors
}

/// All errors of a pod template.
pub fn validate_pod_template_spec(
    template: &Value,
    path: &Path<'_>,
    options: &Options,
    errors: &mut ErrorList,
) {
    let allow = Allow::for_template(options.old.as_ref());
    let (metadata, spec) = (template.at("metadata"), template.at("spec"));
    check::labels(metadata.at("labels"), &path.child("labels"), errors);
    let annotations_path = path.child("annotations");
    check::annotations(metadata.at("annotations"), &annotations_path, errors);
    annotations::validate(metadata, spec, &allow, &annotations_path, errors);
    let path = path.child("spec");
    pod_spec::validate(spec, &Value::Null, &allow, &path, errors);
    annotations::seccomp_match(metadata, spec, &path, errors);
    annotations::app_armor_match(metadata, spec, &path, errors);
    if !spec.at("ephemeralContainers").items().is_empty() {
        let text = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(&path.child("ephemeralContainers"), text));
    }
}

/// Errors of the annotations that concern pods (upstream's `ValidatePodSpecificAnnotations`).
pub fn validate_pod_annotations(
    template: &Value,
    path: &Path<'_>,
    options: &Options,
    errors: &mut ErrorList,
) {
    let allow = Allow::for_template(options.old.as_ref());
    annotations::validate(template.at("metadata"), template.at("spec"), &allow, path, errors);
}
