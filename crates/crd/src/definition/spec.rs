//! A definition as a whole, new or changed.
//!
//! Upstream: `ValidateCustomResourceDefinition{,Update}`.

use super::conversion::{self, Lenience};
use super::read::{Definition, Version};
use super::{approval, defaults, invalid_shown, is_condition_true, names, openapi};
use crate::field_path::{self, Subscripts};
use crate::schema::Schema;
use crate::structural;
use meta::field::{Error, ErrorList, Path};
use meta::names::{NameUse, dns1035_label, dns1123_subdomain, invalid, name_is_dns_subdomain};
use meta::object_meta::validate_immutable;
use meta::quote::is_printable;
use std::collections::{BTreeSet, HashSet};
use value::{Str, Value};

/// The most selectable fields of a version.
const SELECTABLE_MAX: usize = 8;

/// What is required; less of definitions that were stored when less was.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) require_known_review: bool,
    pub(super) require_immutable_names: bool,
    pub(super) require_schema: bool,
    pub(super) require_valid_types: bool,
    pub(super) require_structural: bool,
    pub(super) require_pruned_defaults: bool,
    pub(super) require_atomic_sets: bool,
    pub(super) require_map_keys: bool,
    pub(super) known_rules: HashSet<Str>,
    pub(super) known_messages: HashSet<Str>,
    pub(super) unchanged_versions: HashSet<Str>,
    pub(super) suppress_cost: bool,
    pub(super) allow_invalid_bundle: bool,
    /// Names of versions; the empty name is what all share.
    pub(super) allow_too_many_selectable: HashSet<Str>,
}

impl Options {
    fn of_new() -> Self {
        Self {
            require_known_review: true,
            require_immutable_names: false,
            require_schema: true,
            require_valid_types: true,
            require_structural: true,
            require_pruned_defaults: true,
            require_atomic_sets: true,
            require_map_keys: true,
            known_rules: HashSet::new(),
            known_messages: HashSet::new(),
            unchanged_versions: HashSet::new(),
            suppress_cost: false,
            allow_invalid_bundle: true,
            allow_too_many_selectable: HashSet::new(),
        }
    }

    fn of_update(new: &Definition, old: &Definition, old_object: &Value) -> Self {
        let structural =
            |s: &Schema| s.unsupported().is_none() && structural::validate(&Path::ROOT, s).is_empty();
        let established = is_condition_true(old_object, "Established");
        let conversion = old_object.at("spec").at("conversion");
        let bundle = conversion.at("webhook").at("clientConfig").at("caBundle").str();
        let mut rules = HashSet::new();
        let mut messages = HashSet::new();
        old.any_schema(&mut |s| {
            for rule in &s.rules {
                rules.insert(rule.rule.clone());
                if !rule.message_expression.is_empty() {
                    messages.insert(rule.message_expression.clone());
                }
            }
            false
        });
        let old_version = |name: &Str| old.versions.iter().find(|v| v.name == *name);
        let unchanged = new
            .versions
            .iter()
            .filter(|v| old_version(&v.name).is_some_and(|o| old.schema_of(o) == new.schema_of(v)));
        let mut too_many = HashSet::new();
        if old.selectable.len() > SELECTABLE_MAX && new.selectable == old.selectable {
            too_many.insert(Str::default());
        }
        for v in &new.versions {
            let same = |o: &Version| o.selectable.len() > SELECTABLE_MAX && o.selectable == v.selectable;
            if old_version(&v.name).is_some_and(same) {
                too_many.insert(v.name.clone());
            }
        }
        let specified = old.schema.as_ref().is_some_and(Option::is_some)
            || old.versions.iter().all(|v| matches!(v.schema, Some(Some(_))));
        Self {
            require_known_review: conversion::knows_review(conversion),
            require_immutable_names: established,
            require_schema: specified,
            require_valid_types: !old.any_schema(&mut |s| !openapi::is_type(&s.ty)),
            require_structural: old.schemas().all(structural),
            require_pruned_defaults: !old.schemas().any(|s| structural(s) && defaults::has_unpruned(s)),
            require_atomic_sets: !old.any_schema(&mut openapi::has_loose_set),
            require_map_keys: !old.any_schema(&mut |s| {
                let mut errors = Vec::new();
                openapi::map_list_keys(s, &Path::new(""), &mut errors);
                !errors.is_empty()
            }),
            known_rules: rules,
            known_messages: messages,
            unchanged_versions: unchanged.map(|v| v.name.clone()).collect(),
            suppress_cost: false,
            allow_invalid_bundle: !established
                || (!bundle.is_empty() && conversion::has_broken_bundle(conversion)),
            allow_too_many_selectable: too_many,
        }
    }

    fn for_version(&self, name: &Str) -> Self {
        Self { suppress_cost: self.unchanged_versions.contains(name), ..self.clone() }
    }
}

/// All errors of a new definition, but those that all objects share.
pub(super) fn create(object: &Value) -> ErrorList {
    let mut errors = Vec::new();
    let spec_value = object.at("spec");
    let metadata = object.at("metadata");
    let required = format!("{}.{}", spec_value.at("names").at("plural").str(), spec_value.at("group").str());
    let path = Path::new("metadata");
    for (field, usage) in [("generateName", NameUse::Prefix), ("name", NameUse::Whole)] {
        let name = metadata.at(field).str();
        if name.is_empty() {
            continue;
        }
        errors.extend(invalid(&path.child(field), name, name_is_dns_subdomain(name, usage)));
        if name != required {
            let text = "must be spec.names.plural+\".\"+spec.group";
            errors.push(Error::invalid(&path.child(field), name, text));
        }
    }
    let definition = Definition::read(object);
    spec(&definition, spec_value, &Options::of_new(), &mut errors);
    after_spec(&definition, object, None, &mut errors);
    errors
}

/// All errors of a changed definition.
pub(super) fn update(object: &Value, old: &Value) -> ErrorList {
    let mut errors = Vec::new();
    let (definition, old_definition) = (Definition::read(object), Definition::read(old));
    let options = Options::of_update(&definition, &old_definition, old);
    let (new_spec, old_spec) = (object.at("spec"), old.at("spec"));
    spec(&definition, new_spec, &options, &mut errors);
    let path = Path::new("spec");
    let names_path = path.child("names");
    let mut immutable = |new: &Value, old: &Value, at: &Path<'_>| {
        errors.extend(validate_immutable(new.clone(), old.clone(), at));
    };
    let (new_names, old_names) = (new_spec.at("names"), old_spec.at("names"));
    if options.require_immutable_names {
        immutable(new_spec.at("scope"), old_spec.at("scope"), &path.child("scope"));
        immutable(new_names.at("kind"), old_names.at("kind"), &names_path.child("kind"));
    }
    immutable(new_spec.at("group"), old_spec.at("group"), &path.child("group"));
    immutable(new_names.at("plural"), old_names.at("plural"), &names_path.child("plural"));
    after_spec(&definition, object, Some(old), &mut errors);
    errors
}

fn after_spec(definition: &Definition, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    errors.extend(super::status(object));
    stored_versions(definition, object.at("status").at("storedVersions"), errors);
    approval::validate(object, old, errors);
    let preserve = |o: &Value| o.at("spec").at("preserveUnknownFields").bool();
    if !old.is_some_and(preserve) && preserve(object) {
        let path = Path::new("spec");
        let text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid(&path.child("preserveUnknownFields"), true, text));
    }
}

fn stored_versions(definition: &Definition, stored: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    let path = path.child("storedVersions");
    if stored.items().is_empty() {
        errors.push(Error::invalid(&path, stored.clone(), "must have at least one stored version"));
        return;
    }
    for (i, v) in definition.versions.iter().enumerate() {
        // A name that comes twice is found once.
        let again = definition.versions.iter().take(i).any(|before| before.name == v.name);
        if v.storage && (again || !stored.items().iter().any(|s| s.str() == v.name)) {
            let text = format!("must have the storage version {}", v.name);
            errors.push(Error::invalid(&path, stored.clone(), text));
        }
    }
    for (i, v) in stored.items().iter().enumerate() {
        let name = v.str();
        let last = stored.items().iter().rposition(|s| s.str() == name) == Some(i);
        if last && !definition.versions.iter().any(|v| v.name == name) {
            let text = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(Error::invalid(&path.index(i), name, text));
        }
    }
}

/// A value out of a few.
pub(super) fn one_of(path: &Path<'_>, value: &str, accepted: &[&str]) -> Option<Error> {
    if value.is_empty() {
        return Some(Error::required(path, ""));
    }
    (!accepted.contains(&value)).then(|| Error::not_supported_in_order(path, value, accepted))
}

fn spec(definition: &Definition, spec: &Value, options: &Options, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let mut options = options.clone();
    group(spec.at("group").str(), &path.child("group"), errors);
    errors.extend(one_of(&path.child("scope"), spec.at("scope").str(), &["Cluster", "Namespaced"]));
    let preserve = spec.at("preserveUnknownFields").bool();
    if !preserve {
        options.require_structural = true;
    }
    let versions = path.child("versions");
    if definition.schema.as_ref().is_none_or(Option::is_none) && (options.require_schema || !preserve) {
        for (i, v) in definition.versions.iter().enumerate() {
            if matches!(v.schema, Some(Some(_))) || !(options.require_schema || v.served) {
                continue;
            }
            let text = if options.require_schema { "" } else { "because otherwise all fields are pruned" };
            let version = versions.index(i);
            errors.push(Error::required(&version.child("schema").child("openAPIV3Schema"), text));
        }
    }
    if definition.any_schema(&mut |s| s.default.is_some()) {
        options.require_structural = true;
        if preserve {
            let text = "must be false in order to use defaults in the schema";
            errors.push(Error::invalid(&path.child("preserveUnknownFields"), true, text));
        }
    }
    let extended = |s: &Schema| {
        s.embedded_resource
            || s.preserve_unknown.is_some()
            || s.int_or_string
            || !s.list_map_keys.is_empty()
            || s.list_type.is_some()
            || !s.rules.is_empty()
    };
    if definition.any_schema(&mut |s| extended(s)) {
        options.require_structural = true;
    }
    let per_version_subresources = definition.versions.iter().any(|v| v.subresources.is_some());
    let has_status = |s: &Option<Value>| s.as_ref().is_some_and(|s| !s.at("status").is_null());
    let mut seen = HashSet::new();
    let mut unique = true;
    for (i, v) in definition.versions.iter().enumerate() {
        let at = versions.index(i);
        unique &= seen.insert(&v.name);
        let wrong = dns1035_label(&v.name);
        if !wrong.is_empty() {
            errors.push(Error::invalid(&at.child("name"), v.name.clone(), wrong.join(",")));
        }
        let subresources = if per_version_subresources {
            definition.versions.iter().find(|o| o.name == v.name).map_or(&None, |o| &o.subresources)
        } else {
            &definition.subresources
        };
        version(v, has_status(subresources), &options, &at, errors);
    }
    if !unique {
        errors.push(invalid_shown(
            &versions,
            definition.shown_versions(),
            "must contain unique version names",
        ));
    }
    if definition.versions.iter().filter(|v| v.storage).count() != 1 {
        let text = "must have exactly one version marked as storage version";
        errors.push(invalid_shown(&versions, definition.shown_versions(), text));
    }
    let first = definition.versions.first().map(|v| v.name.clone()).unwrap_or_default();
    let wrong = dns1035_label(&first);
    if !first.is_empty() && !wrong.is_empty() {
        errors.push(Error::invalid(&path.child("version"), first.clone(), wrong.join(",")));
    }
    let names_value = spec.at("names");
    let names_path = path.child("names");
    for field in ["plural", "singular", "kind", "listKind"] {
        if names_value.at(field).str().is_empty() {
            errors.push(Error::required(&names_path.child(field), ""));
        }
    }
    names::validate(names_value, &names_path, errors);
    let any_status = has_status(&definition.subresources)
        || definition.versions.iter().any(|v| has_status(&v.subresources));
    let shared = options.for_version(&first);
    openapi::validate(definition.schema.as_ref(), any_status, &shared, &path.child("validation"), errors);
    names::subresources(definition.subresources.as_ref(), &path.child("subresources"), errors);
    columns(&definition.columns, &path, errors);
    if !definition.selectable.is_empty() {
        let at = path.child("selectableFields");
        match &definition.schema {
            Some(Some(s)) => {
                structural(s, &path, errors);
                selectable(&definition.selectable, s, &at, &options, "", errors);
            }
            _ => errors.push(Error::invalid(&at, "", "may only be set when validations.schema is included")),
        }
    }
    let conversion = spec.at("conversion");
    let strategy = conversion.at("strategy").str();
    let conversion_path = path.child("conversion");
    if preserve && !conversion.is_null() && strategy != "None" {
        let text = "must be None if spec.preserveUnknownFields is true";
        errors.push(Error::invalid(&conversion_path.child("strategy"), strategy, text).shown_as_json());
    }
    let lenience = Lenience {
        require_known_review: options.require_known_review,
        allow_invalid_bundle: options.allow_invalid_bundle,
    };
    conversion::validate(conversion, lenience, &conversion_path, errors);
}

fn group(group: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let wrong = dns1123_subdomain(group);
    if group.is_empty() {
        errors.push(Error::required(path, ""));
    } else if !wrong.is_empty() {
        errors.push(Error::invalid(path, group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(Error::invalid(path, group, "should be a domain with at least one dot"));
    }
}

fn columns(list: &[Value], path: &Path<'_>, errors: &mut ErrorList) {
    let at = path.child("additionalPrinterColumns");
    for (i, column) in list.iter().enumerate() {
        names::column(column, &at.index(i), errors);
    }
}

fn version(v: &Version, status_enabled: bool, options: &Options, path: &Path<'_>, errors: &mut ErrorList) {
    let warning = path.child("deprecationWarning");
    for text in deprecation(v) {
        let value = v.deprecation_warning.clone().map_or(Value::Null, Value::from);
        errors.push(Error::invalid(&warning, value, text));
    }
    let own = options.for_version(&v.name);
    openapi::validate(v.schema.as_ref(), status_enabled, &own, &path.child("schema"), errors);
    names::subresources(v.subresources.as_ref(), &path.child("subresources"), errors);
    columns(&v.columns, path, errors);
    if v.selectable.is_empty() {
        return;
    }
    let at = path.child("selectableFields");
    match &v.schema {
        Some(Some(s)) => {
            structural(s, path, errors);
            selectable(&v.selectable, s, &at, options, &v.name, errors);
        }
        _ => {
            let text = "may only be set when `version.schema.openAPIV3Schema` is not included";
            errors.push(Error::invalid(&at, "", text));
        }
    }
}

fn deprecation(v: &Version) -> Vec<String> {
    let Some(text) = &v.deprecation_warning else { return Vec::new() };
    if !v.deprecated {
        return vec!["can only be set for deprecated versions".into()];
    }
    let mut wrong = Vec::new();
    if text.len() > 256 {
        wrong.push("must be <= 256 characters long".into());
    }
    if text.is_empty() {
        wrong.push("must not be an empty string".into());
    }
    if let Some((i, _)) = text.char_indices().find(|(_, c)| !is_printable(*c)) {
        wrong.push(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {i}"
        ));
    }
    wrong
}

/// What has selectable fields must have a structural schema.
fn structural(schema: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(why) = schema.unsupported() {
        errors.push(Error::invalid(&path.child("schema.openAPIV3Schema"), "", why));
    }
}

fn selectable(
    fields: &[Value],
    schema: &Schema,
    path: &Path<'_>,
    options: &Options,
    version: &str,
    errors: &mut ErrorList,
) {
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        let at = path.index(i);
        let at = at.child("jsonPath");
        let text = field.at("jsonPath").str();
        if text.is_empty() {
            errors.push(Error::required(&at, ""));
            continue;
        }
        let found = match field_path::resolve(text, schema, Subscripts::Refused) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&at, text, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if found.root == "metadata" {
            errors.push(Error::invalid(&at, text, "must not point to fields in metadata"));
        }
        if !matches!(found.schema.ty.as_str(), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(Error::invalid(&at, text, why));
        }
        if !seen.insert(found.text) {
            errors.push(Error::duplicate(&at, text));
        }
    }
    if seen.len() > SELECTABLE_MAX && !options.allow_too_many_selectable.contains(version) {
        errors.push(Error::too_many(path, seen.len(), SELECTABLE_MAX));
    }
}
