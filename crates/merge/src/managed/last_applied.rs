//! From kubectl's client-side apply to server-side apply.
//!
//! The annotation tells what kubectl applied last; those fields it may take without a conflict, and after
//! its server-side applies the annotation is kept current. Upstream: `managedfields/internal/
//! lastapplied.go`, `lastappliedmanager.go`, `lastappliedupdater.go`.

use super::Write;
use crate::fields::Set;
use crate::typed::{self, Duplicates};
use value::{Map, Value};

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The most bytes that all annotations of an object may have.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

fn last_applied(object: &Value) -> Option<&str> {
    let text = object.path(&["metadata", "annotations", ANNOTATION]).str();
    (!text.is_empty()).then_some(text)
}

/// The fields of the last client-side apply that still have the value it gave them.
pub(super) fn allowed_conflicts(write: &Write<'_>, live: &Value) -> Option<Set> {
    let config = value::json::parse(last_applied(live)?.as_bytes()).ok()?;
    if config.at("apiVersion").str() != write.version || config.at("kind").str() != write.kind {
        return None;
    }
    write.check_decoded(live).ok()?;
    let (schema, ty) = (&write.ty.schema, write.ty.id);
    typed::validate(schema, ty, &config, Duplicates::Refused).ok()?;
    let mut set = typed::to_field_set(schema, ty, &config).ok()?;
    let compare = typed::compare(schema, ty, &config, live).ok()?;
    set.subtract(&compare.modified);
    set.subtract(&compare.added);
    set.subtract(&compare.removed);
    Some(set)
}

/// Sets the annotation to `config`, if the object (the live one where there is no new one) has it.
pub(super) fn refresh_annotation(object: Option<Value>, live: &Value, config: &Value) -> Option<Value> {
    if last_applied(object.as_ref().unwrap_or(live)).is_none() {
        return object;
    }
    let mut object = object.unwrap_or_else(|| live.clone());
    let metadata = object.get_mut("metadata")?;
    metadata.remove("managedFields");
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    annotations.insert(ANNOTATION, config_text(config));
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.str().len()).sum();
    if size > ANNOTATIONS_BYTES_MAX {
        annotations.remove(ANNOTATION);
    }
    Some(object)
}

/// The configuration without its own annotation, as Go's encoder writes it.
fn config_text(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(metadata) = config.get_mut("metadata") {
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        annotations.and_then(|a: &mut Map| a.remove(ANNOTATION));
    }
    let mut text = value::json::to_string(&config);
    text.push('\n');
    text
}
