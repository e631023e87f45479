//! The rows of a custom kind: one for each served version.

use super::convert::Converter;
use super::kind::{Kind, Version};
use crate::api::Api;
use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kinds::Row;
use kinds::hooks::{Context, Hooks};
use kinds::table::{FieldError, MetaChecks, SelectableField, SelectableFields, Subresource, SubresourceKind};
use std::cmp::Ordering;
use std::sync::Arc;
use value::{Str, Value};

/// The verbs as upstream's discovery lists them.
const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// Reads the kind of a definition.
pub(super) fn kind_of(api: &Arc<Api>, definition: &Value) -> Kind {
    let spec = definition.at("spec");
    let versions = spec.at("versions").items();
    let storage = versions.iter().find(|v| v.at("storage").bool());
    let preserve_unknown = spec.at("preserveUnknownFields").bool();
    let version = |v: &Value| (Str::from(v.at("name").str()), Version::new(v, preserve_unknown));
    Kind {
        group: spec.at("group").str().into(),
        kind: definition.at("status").at("acceptedNames").at("kind").str().into(),
        versions: versions.iter().map(version).collect(),
        storage: storage.map_or("", |v| v.at("name").str()).into(),
        preserve_unknown,
        converter: Converter::new(api, spec.at("conversion")),
        terminating: crd::definition::is_condition_true(definition, "Terminating").into(),
        established: crd::definition::is_condition_true(definition, "Established").into(),
    }
}

/// The rows of all versions, served or not; in the order of discovery.
pub(super) fn rows(definition: &Value, kind: &Kind) -> Vec<(Arc<Row>, bool)> {
    let spec = definition.at("spec");
    let mut versions: Vec<&Value> = spec.at("versions").items().iter().collect();
    versions.sort_by(|a, b| compare_versions(b.at("name").str(), a.at("name").str()));
    versions.into_iter().map(|v| (Arc::new(row(definition, kind, v)), v.at("served").bool())).collect()
}

/// The row of the stored side. Where conversion changes nothing but the version, the cache keeps the
/// selectable fields of all versions; a webhook makes those of the others (see [`Served::selects`]).
///
/// [`Served::selects`]: crate::resource::Served::selects
pub(super) fn hub_row(rows: &[(Arc<Row>, bool)], kind: &Kind) -> Option<Arc<Row>> {
    let mut hub = Row::clone(&rows.iter().find(|(row, _)| row.version == kind.storage)?.0);
    if !kind.converter.is_webhook() {
        for field in rows.iter().flat_map(|(row, _)| &row.fields.fields) {
            if !hub.fields.fields.iter().any(|f| f.label == field.label) {
                hub.fields.fields.push(field.clone());
            }
        }
    }
    Some(hub.into())
}

fn row(definition: &Value, kind: &Kind, version: &Value) -> Row {
    let spec = definition.at("spec");
    let names = definition.at("status").at("acceptedNames");
    let name = version.at("name").str();
    let mut row = Row::custom(kind.group.clone(), name, kind.kind.clone(), names.at("plural").str());
    let strings = |v: &Value| v.items().iter().map(|s| Str::from(s.str())).collect::<Vec<_>>();
    row.list_kind = names.at("listKind").str().into();
    row.singular = names.at("singular").str().into();
    row.short_names = strings(names.at("shortNames"));
    row.categories = strings(names.at("categories"));
    row.namespaced = spec.at("scope").str() == "Namespaced";
    row.verbs = VERBS.map(Str::from).to_vec();
    if let Some(storage) = &mut row.storage {
        storage.version = kind.storage.clone();
    }
    row.fields = SelectableFields {
        fields: selectable(version),
        error: FieldError::Label,
        no_namespace: !row.namespaced,
        ..SelectableFields::default()
    };
    row.storage_version_hash = storage_version_hash(&kind.group, &kind.storage, &kind.kind);
    row.deprecation = deprecation(definition, version);
    let has_status = kind.versions.get(name).is_some_and(|v| v.has_status);
    row.hooks = if has_status { WITH_STATUS } else { PLAIN };
    if has_status {
        row.reset_fields = vec![vec!["status".into()]];
        row.subresources.push(Subresource {
            name: "status".into(),
            group: Str::default(),
            version: Str::default(),
            kind: kind.kind.clone(),
            go_type: Str::default(),
            verbs: ["get", "patch", "update"].map(Str::from).to_vec(),
            does: SubresourceKind::Object,
            reset_fields: vec![vec!["metadata".into()], vec!["spec".into()]],
            counts_generation: false,
            update_meta: MetaChecks::USUAL,
            makes_tables: true,
        });
    }
    if kind.versions.get(name).is_some_and(|v| v.scale.is_some()) {
        row.subresources.push(Subresource {
            name: "scale".into(),
            group: "autoscaling".into(),
            version: "v1".into(),
            kind: "Scale".into(),
            go_type: Str::default(),
            verbs: ["get", "patch", "update"].map(Str::from).to_vec(),
            does: SubresourceKind::Scale,
            reset_fields: Vec::new(),
            counts_generation: true,
            update_meta: MetaChecks::USUAL,
            makes_tables: true,
        });
    }
    row
}

fn selectable(version: &Value) -> Vec<SelectableField> {
    let fields = version.at("selectableFields").items().iter();
    fields
        .map(|f| {
            let path = f.at("jsonPath").str();
            let path = path.strip_prefix('.').unwrap_or(path);
            let steps = path.split('.').map(Str::from).collect();
            SelectableField {
                label: path.into(),
                read: kinds::table::FieldReader::Path(steps, Str::default()),
            }
        })
        .collect()
}

fn storage_version_hash(group: &str, version: &str, kind: &str) -> Str {
    let hash = digest::digest(&digest::SHA256, format!("{group}/{version}/{kind}").as_bytes());
    BASE64_STANDARD.encode(hash.as_ref().get(..8).unwrap_or_default()).into()
}

fn deprecation(definition: &Value, version: &Value) -> Option<Str> {
    if !version.at("deprecated").bool() {
        return None;
    }
    if let Some(text) = version.at("deprecationWarning").as_str() {
        return Some(text.into());
    }
    let spec = definition.at("spec");
    let (group, kind) = (spec.at("group").str(), spec.at("names").at("kind").str());
    let name = version.at("name").str();
    let mut text = format!("{group}/{name} {kind} is deprecated");
    let newer =
        spec.at("versions").items().iter().filter(|v| v.at("served").bool() && !v.at("deprecated").bool());
    let newer = newer.map(|v| v.at("name").str()).filter(|n| compare_versions(name, n) == Ordering::Less);
    if let Some(best) = newer.max_by(|a, b| compare_versions(a, b)) {
        text.push_str(&format!("; use {group}/{best} {kind}"));
    }
    Some(text.into())
}

/// Versions as `CompareKubeAwareVersionStrings`: `v2` above `v1` above `v1beta1` above `v1alpha1`, these above
/// all other names.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

/// Stability, major, minor.
fn parse_version(text: &str) -> Option<(u8, u64, u64)> {
    let rest = text.strip_prefix('v')?;
    let digits = |s: &str| !s.is_empty() && !s.starts_with('0') && s.bytes().all(|b| b.is_ascii_digit());
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, rest) = rest.split_at(end);
    if !digits(major) {
        return None;
    }
    let major = major.parse().ok()?;
    if rest.is_empty() {
        return Some((2, major, 0));
    }
    for (stability, word) in [(1, "beta"), (0, "alpha")] {
        if let Some(minor) = rest.strip_prefix(word) {
            return if digits(minor) { Some((stability, major, minor.parse().ok()?)) } else { None };
        }
    }
    None
}

const PLAIN: Hooks = Hooks { prepare_subresource: prepare_plain_subresource, ..Hooks::NONE };

const WITH_STATUS: Hooks = Hooks {
    prepare_create: |_, object| drop(object.remove("status")),
    prepare_update: |_, new, old| keep_status(new, old),
    prepare_subresource,
    ..Hooks::NONE
};

fn keep_status(new: &mut Value, old: &Value) {
    match old.get("status") {
        Some(status) => new.set("status", status.clone()),
        None => drop(new.remove("status")),
    }
}

const fn prepare_plain_subresource(_: &Context, _: &mut Value, _: &Value) {}

/// The status subresource writes the status alone.
fn prepare_subresource(context: &Context, new: &mut Value, old: &Value) {
    if context.subresource != "status" {
        return keep_status(new, old);
    }
    let status = new.remove("status");
    let managed = new.at("metadata").get("managedFields").cloned();
    let version = new.at("metadata").get("resourceVersion").cloned();
    *new = old.clone();
    if let Some(metadata) = new.object_at("metadata") {
        for (field, v) in [("managedFields", managed), ("resourceVersion", version)] {
            match v {
                Some(v) => metadata.set(field, v),
                None => drop(metadata.remove(field)),
            }
        }
    }
    match status {
        Some(status) => new.set("status", status),
        None => drop(new.remove("status")),
    }
}
