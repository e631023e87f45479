//! Pods and pod templates.

use meta::field::{ErrorList, Path};
use value::Value;

/// What older objects may keep that new ones may not have.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The template that stands, on update.
    pub old: Option<Value>,
}

/// Defaults of a pod spec.
pub fn default_pod_spec(_spec: &mut Value) {}

/// Defaults of a pod template (`metadata` and `spec`).
pub fn default_pod_template(template: &mut Value) {
    if let Some(spec) = template.object_at("spec") {
        default_pod_spec(spec);
    }
}

/// Drops fields behind gates that are off, unless the old template has them.
pub fn drop_disabled_template_fields(_template: &mut Value, _old: Option<&Value>) {}

/// All errors of a pod template.
pub fn validate_pod_template_spec(
    _template: &Value,
    _path: &Path<'_>,
    _options: &Options,
    _errors: &mut ErrorList,
) {
}

/// Errors of the annotations that concern pods (upstream's `ValidatePodSpecificAnnotations`).
pub fn validate_pod_annotations(
    _template: &Value,
    _path: &Path<'_>,
    _options: &Options,
    _errors: &mut ErrorList,
) {
}

/// All errors of a changed pod template where only the template itself may not change.
pub fn validate_pod_template_update(_new: &Value, _old: &Value, _path: &Path<'_>, _errors: &mut ErrorList) {}

/// Warnings for a pod template.
pub fn template_warnings(_template: &Value, _old: Option<&Value>, _path: &Path<'_>) -> Vec<String> {
    Vec::new()
}
