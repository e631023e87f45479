//! The schema of a version, and its rules.
//!
//! Upstream: `validateCustomResourceDefinitionValidation` and `ValidateCustomResourceDefinitionOpenAPISchema`.

use super::cost::{self, Total};
use super::spec::Options;
use super::{defaults, invalid_shown};
use crate::decl::{cardinality, decl_type};
use crate::field_path::{self, Subscripts};
use crate::rules::{self, Age, Envs};
use crate::schema::{Items, Rule, Schema};
use crate::{shown, structural};
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::{Str, Value};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const ROOT_FIELDS: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations]";

/// Lists and maps that are not among them, which are refused even when they are empty.
const ROOT_REFUSED: [&str; 7] =
    ["enum", "allOf", "oneOf", "anyOf", "patternProperties", "definitions", "x-kubernetes-list-map-keys"];

/// Whether a type is one of OpenAPI's.
pub(super) fn is_type(ty: &str) -> bool {
    ty.is_empty() || TYPES.contains(&ty)
}

/// Checks `schema` of a version (or the shared one).
pub(super) fn validate(
    validation: Option<&Option<Schema>>,
    status_enabled: bool,
    options: &Options,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let Some(Some(s)) = validation else { return };
    let before = errors.len();
    let at = path.child("openAPIV3Schema");
    if status_enabled {
        root(s, path, &at, errors);
    }
    if s.nullable {
        errors.push(Error::forbidden(
            &path.child("openAPIV3Schema.nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let mut unsupported = None;
    let mut rules = false;
    if options.require_structural {
        if let Some(why) = s.unsupported() {
            unsupported = Some(Error::invalid(&at, "", why));
        } else {
            let mut wrong = structural::validate(&at, s);
            if wrong.is_empty() {
                defaults::validate(&at, s, options.require_pruned_defaults, &mut wrong);
            }
            rules = wrong.is_empty();
            errors.extend(wrong);
        }
    }
    let mut walk = Walk { options, total: Total::default(), schema: Vec::new(), cel: Vec::new() };
    let place =
        Place { cel: rules.then_some(Cel { cardinality: Some(1), is_root: true }), ..Place::default() };
    walk.node(s, &at, &place, true);
    errors.append(&mut walk.schema);
    errors.append(&mut walk.cel);
    if errors.len() == before {
        errors.extend(unsupported);
    }
    if rules && walk.total.total > cost::TOTAL_MAX {
        for (field, _) in &walk.total.most {
            let text =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.push(Error { field: field.clone(), ..Error::forbidden(&Path::ROOT, text) });
        }
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(Error::forbidden(&at, cost::message(name, walk.total.total, cost::TOTAL_MAX)));
    }
}

/// With a status subresource only some fields may stand at the root.
fn root(s: &Schema, path: &Path<'_>, at: &Path<'_>, errors: &mut ErrorList) {
    let refused = |errors: &mut ErrorList| {
        let text = format!(
            "only {ROOT_FIELDS} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        errors.push(invalid_shown(at, shown::schema(s), &text));
    };
    if !s.id.is_empty() || !s.url.is_empty() || s.reference.is_some() {
        return refused(errors);
    }
    if !s.ty.is_empty() && s.ty != "object" {
        let text = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(Error::invalid(&path.child("openAPIV3Schema.type"), s.ty.clone(), text));
        return;
    }
    let other = s.nullable
        || s.default.is_some()
        || !s.enumeration.is_empty()
        || s.max_properties.is_some()
        || s.min_properties.is_some()
        || !s.all_of.is_empty()
        || !s.one_of.is_empty()
        || !s.any_of.is_empty()
        || s.not.is_some()
        || s.additional_properties.is_some()
        || !s.pattern_properties.is_empty()
        || s.dependencies.is_some()
        || s.additional_items.is_some()
        || !s.definitions.is_empty()
        || s.embedded_resource
        || s.int_or_string
        || !s.list_map_keys.is_empty()
        || s.list_type.is_some()
        || s.map_type.is_some()
        || ROOT_REFUSED.iter().any(|name| s.has_empty(name));
    if other {
        refused(errors);
    }
}

/// What the way to a schema says of its rules.
#[derive(Clone, Copy)]
struct Cel {
    /// How often its data can stand in an object at most; `None` for without bound.
    cardinality: Option<u64>,
    is_root: bool,
}

impl Cel {
    fn below(self, parent: &Schema) -> Self {
        let cardinality = self.cardinality.zip(cost::elements(parent)).map(|(a, b)| a.saturating_mul(b));
        Self { cardinality, is_root: false }
    }
}

/// What the way to a schema says of it.
#[derive(Clone, Default)]
struct Place {
    /// `None` where rules are not compiled.
    cel: Option<Cel>,
    /// Why defaults are refused.
    no_defaults: Option<String>,
    inside_meta: bool,
    /// The first schema on the way below which old values cannot be found.
    uncorrelatable: Option<String>,
}

impl Place {
    fn nested(&self) -> Self {
        Self { cel: None, ..self.clone() }
    }
}

struct Walk<'o> {
    options: &'o Options,
    total: Total,
    schema: ErrorList,
    cel: ErrorList,
}

impl Walk<'_> {
    /// Whether the schema and all below it have no errors of their own.
    fn node(&mut self, s: &Schema, path: &Path<'_>, place: &Place, is_root: bool) -> bool {
        let before = self.schema.len();
        self.plain(s, path, place);
        self.children(s, path, place, is_root);
        self.extensions(s, path);
        if self.options.require_map_keys {
            map_list_keys(s, path, &mut self.schema);
        }
        let at = path.child("x-kubernetes-validations");
        for (i, rule) in s.rules.iter().enumerate() {
            check_rule(s, rule, &at.index(i), &mut self.schema);
        }
        let fine = self.schema.len() == before;
        if let Some(cel) = place.cel
            && fine
            && !s.rules.is_empty()
        {
            self.compile(s, cel, place, &at);
        }
        fine
    }

    fn plain(&mut self, s: &Schema, path: &Path<'_>, place: &Place) {
        let errors = &mut self.schema;
        if self.options.require_valid_types && !is_type(&s.ty) {
            errors.push(Error::not_supported_in_order(&path.child("type"), s.ty.clone(), &TYPES));
        }
        if s.default.is_some()
            && let Some(reason) = &place.no_defaults
        {
            let text = if reason.is_empty() {
                "must not be set".into()
            } else {
                format!("must not be set {reason}")
            };
            errors.push(Error::forbidden(&path.child("default"), text));
        }
        let mut refuse = |there: bool, field: &str, text: &str| {
            if there {
                errors.push(Error::forbidden(&path.child(field), text));
            }
        };
        refuse(!s.id.is_empty(), "id", "id is not supported");
        refuse(s.additional_items.is_some(), "additionalItems", "additionalItems is not supported");
        refuse(!s.pattern_properties.is_empty(), "patternProperties", "patternProperties is not supported");
        refuse(!s.definitions.is_empty(), "definitions", "definitions is not supported");
        refuse(s.dependencies.is_some(), "dependencies", "dependencies is not supported");
        refuse(s.reference.is_some(), "$ref", "$ref is not supported");
        refuse(s.ty == "null", "type", "type cannot be set to null, use nullable as an alternative");
        let many = matches!(&s.items, Some(Items::Many(list)) if !list.is_empty());
        refuse(many, "items", "items must be a schema object and not an array");
        let embedded = place.inside_meta && s.embedded_resource;
        refuse(embedded, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
        let text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        refuse(s.unique_items, "uniqueItems", text);
    }

    fn children(&mut self, s: &Schema, path: &Path<'_>, place: &Place, is_root: bool) {
        let below = Place { cel: place.cel.map(|c| c.below(s)), ..place.clone() };
        if let Some(additional) = &s.additional_properties {
            let at = path.child("additionalProperties");
            if !s.properties.is_empty() && (!additional.allows || additional.schema.is_some()) {
                let text = "additionalProperties and properties are mutual exclusive";
                self.schema.push(Error::forbidden(&at, text));
            }
            if let Some(schema) = &additional.schema {
                let mut place = below.clone();
                if place.inside_meta {
                    place.no_defaults =
                        Some("inside additionalProperties applying to object metadata".into());
                }
                self.node(schema, &at, &place, false);
            }
        }
        let properties = path.child("properties");
        let correlatable = s.map_type.as_deref().is_none_or(|t| matches!(t, "granular" | "atomic"));
        for (name, p) in &s.properties {
            let mut place = below.clone();
            if !correlatable && place.uncorrelatable.is_none() {
                place.uncorrelatable = Some(path.to_string());
            }
            if (is_root || s.embedded_resource) && matches!(name.as_str(), "metadata" | "kind" | "apiVersion")
            {
                place.inside_meta = true;
                if is_root {
                    place.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            self.node(p, &properties.key(name), &place, false);
        }
        let nested = place.nested();
        if let Some(not) = &s.not {
            self.node(not, &path.child("not"), &nested, false);
        }
        for (name, list) in [("allOf", &s.all_of), ("oneOf", &s.one_of), ("anyOf", &s.any_of)] {
            let at = path.child(name);
            for (i, s) in list.iter().enumerate() {
                self.node(s, &at.index(i), &nested, false);
            }
        }
        let at = path.child("definitions");
        for (name, s) in &s.definitions {
            self.node(s, &at.key(name), &nested, false);
        }
        let mut place = below;
        if s.list_type.as_deref() != Some("map") && place.uncorrelatable.is_none() {
            place.uncorrelatable = Some(path.to_string());
        }
        let at = path.child("items");
        match &s.items {
            Some(Items::One(item)) => {
                self.node(item, &at, &place, false);
            }
            Some(Items::Many(list)) => {
                for (i, item) in list.iter().enumerate() {
                    self.node(item, &at.index(i), &place, false);
                }
            }
            None => {}
        }
        let at = path.child("dependencies");
        for (name, dependency) in s.dependencies.iter().flatten() {
            if let Some(s) = &dependency.schema {
                self.node(s, &at.key(name), &nested, false);
            }
        }
    }

    fn extensions(&mut self, s: &Schema, path: &Path<'_>) {
        let errors = &mut self.schema;
        if s.preserve_unknown == Some(false) {
            let at = path.child("x-kubernetes-preserve-unknown-fields");
            errors.push(Error::invalid(&at, false, "must be true or undefined"));
        }
        let wrong_type = |wanted: &str, extension: &str| {
            let at = path.child("type");
            let text = format!("must be {wanted} if {extension} is specified");
            if s.ty.is_empty() { Error::required(&at, text) } else { Error::invalid(&at, s.ty.clone(), text) }
        };
        if let Some(map_type) = &s.map_type {
            if s.ty != "object" {
                errors.push(wrong_type("object", "x-kubernetes-map-type"));
            }
            let known = ["atomic", "granular"];
            if !known.contains(&map_type.as_str()) {
                let at = path.child("x-kubernetes-map-type");
                errors.push(Error::not_supported_in_order(&at, map_type.clone(), &known));
            }
        }
        let list_path = path.child("x-kubernetes-list-type");
        if let Some(list_type) = &s.list_type {
            if s.ty != "array" {
                errors.push(wrong_type("array", "x-kubernetes-list-type"));
            } else if self.options.require_atomic_sets && list_type == "set" {
                errors.extend(s.item().and_then(|item| set_item(item, &path.child("items"))));
            }
            let known = ["atomic", "set", "map"];
            if !known.contains(&list_type.as_str()) {
                errors.push(Error::not_supported_in_order(&list_path, list_type.clone(), &known));
            }
        }
        if !s.list_map_keys.is_empty() {
            let text = "must be map if x-kubernetes-list-map-keys is non-empty";
            match s.list_type.as_deref() {
                None => errors.push(Error::required(&list_path, text)),
                Some("map") => {}
                Some(other) => errors.push(Error::invalid(&list_path, other, text)),
            }
        }
        if s.list_type.as_deref() == Some("map") {
            map_list(s, path, errors);
        }
    }

    fn compile(&mut self, s: &Schema, cel: Cel, place: &Place, at: &Path<'_>) {
        let Some(decl) = decl_type(s, cel.is_root || s.embedded_resource) else {
            let text = "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations";
            self.cel.push(Error::internal(at, text));
            return;
        };
        let times = cel.cardinality.unwrap_or_else(|| cardinality(decl.min_serialized_size));
        let mut envs = Envs::new(&decl);
        for (i, rule) in s.rules.iter().enumerate() {
            let age =
                |known: &HashSet<Str>, text: &Str| if known.contains(text) { Age::Stored } else { Age::New };
            let rule_age = age(&self.options.known_rules, &rule.rule);
            let message_age = age(&self.options.known_messages, &rule.message_expression);
            let compiled = rules::compile(s, rule, &mut envs, rule_age, message_age);
            let at = at.index(i);
            let (rule_path, message_path) = (at.child("rule"), at.child("messageExpression"));
            let limit = !self.options.suppress_cost;
            let cost = compiled.max_cost.saturating_mul(times);
            if limit && cost > cost::RULE_MAX {
                let text = cost::message("estimated rule cost", cost, cost::RULE_MAX);
                self.cel.push(Error::forbidden(&rule_path, text));
            }
            self.total.add(rule_path.to_string(), cost);
            if let Some(why) = &compiled.error {
                self.cel.push(invalid_shown(&rule_path, shown::rule(rule), why));
            }
            if let Some(why) = &compiled.message_error {
                self.cel.push(invalid_shown(&message_path, shown::rule(rule), why));
            } else if compiled.message.is_some() {
                let cost = compiled.message_max_cost;
                if limit && cost > cost::RULE_MAX {
                    let text = cost::message("estimated messageExpression cost", cost, cost::RULE_MAX);
                    self.cel.push(Error::forbidden(&message_path, text));
                }
                self.total.add(message_path.to_string(), cost);
            }
            if compiled.uses_old_self {
                if let Some(within) = &place.uncorrelatable {
                    let text = format!(
                        "oldSelf cannot be used on the uncorrelatable portion of the schema within {within}"
                    );
                    self.cel.push(Error::invalid(&rule_path, rule.rule.clone(), text));
                }
            } else if let Some(optional) = rule.optional_old_self {
                let text = "may not be set if oldSelf is not used in rule";
                self.cel.push(Error::invalid(&at.child("optionalOldSelf"), optional, text));
            }
        }
    }
}

/// Items of a set must be told apart as a whole.
fn set_item(item: &Schema, path: &Path<'_>) -> Option<Error> {
    let text = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let shown = || item.list_type.clone().map_or(Value::Null, Value::from);
    match item.ty.as_str() {
        "array" if item.list_type.as_deref().is_some_and(|t| t != "atomic") => {
            Some(Error::invalid(&path.child("x-kubernetes-list-type"), shown(), text).shown_as_json())
        }
        "object" if item.map_type.as_deref() != Some("atomic") => {
            Some(Error::invalid(&path.child("x-kubernetes-map-type"), shown(), text).shown_as_json())
        }
        _ => None,
    }
}

/// Whether a set of an old definition has items that are not atomic.
pub(super) fn has_loose_set(s: &Schema) -> bool {
    s.list_type.as_deref() == Some("set")
        && s.item().is_some_and(|item| set_item(item, &Path::new("")).is_some())
}

fn map_list(s: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let keys_path = path.child("x-kubernetes-list-map-keys");
    let items_path = path.child("items");
    if s.list_map_keys.is_empty() {
        errors.push(Error::required(&keys_path, "must not be empty if x-kubernetes-list-type is map"));
    }
    let item = match &s.items {
        None => {
            errors.push(Error::required(&items_path, "must have a schema if x-kubernetes-list-type is map"));
            return;
        }
        Some(Items::Many(_)) => {
            let text = "must only have a single schema if x-kubernetes-list-type is map";
            errors.push(Error::invalid(&items_path, Value::Null, text).without_value());
            return;
        }
        Some(Items::One(item)) => item,
    };
    if item.ty != "object" {
        let text = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(&items_path.child("type"), item.ty.clone(), text));
        return;
    }
    let mut seen = HashSet::new();
    let keys = || s.list_map_keys.iter().map(|k| Value::from(k.clone())).collect::<Vec<_>>();
    let properties = items_path.child("properties");
    for key in &s.list_map_keys {
        match item.property(key) {
            Some(p) if matches!(p.ty.as_str(), "array" | "object") => {
                let text = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(Error::invalid(&properties.key(key).child("type"), item.ty.clone(), text));
            }
            Some(_) => {}
            None => {
                errors.push(Error::invalid(
                    &keys_path,
                    keys(),
                    "entries must all be names of item properties",
                ));
            }
        }
        if !seen.insert(key) {
            errors.push(Error::invalid(&keys_path, keys(), "must not contain duplicate entries"));
        }
    }
}

/// Keys of lists that are maps are there in every item.
pub(super) fn map_list_keys(s: &Schema, path: &Path<'_>, errors: &mut ErrorList) {
    let (Some(item), Some(list_type)) = (s.item(), s.list_type.as_deref()) else { return };
    if !matches!(list_type, "set" | "map") {
        return;
    }
    let items = path.child("items");
    if item.nullable {
        let text = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(Error::forbidden(&items.child("nullable"), text));
    }
    if list_type == "set" {
        return;
    }
    let properties = items.child("properties");
    for key in &s.list_map_keys {
        let Some(p) = item.property(key) else { continue };
        let at = properties.key(key);
        if !item.required.contains(key) && p.default.is_none() {
            let text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(Error::required(&at.child("default"), text));
        }
        if p.nullable {
            let text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(&at.child("nullable"), text));
        }
    }
}

fn check_rule(s: &Schema, rule: &Rule, path: &Path<'_>, errors: &mut ErrorList) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let message = rule.message.trim();
    if rule.rule.trim().is_empty() {
        errors.push(Error::required(&path.child("rule"), "rule is not specified"));
    } else if !rule.message.is_empty() && message.is_empty() {
        let at = path.child("message");
        errors.push(Error::invalid(&at, rule.message.clone(), "must be non-empty if specified"));
    } else if breaks(message) {
        let at = path.child("message");
        errors.push(Error::invalid(&at, rule.message.clone(), "must not contain line breaks"));
    } else if breaks(rule.rule.trim()) && message.is_empty() {
        let text = "message must be specified if rule contains line breaks";
        errors.push(Error::required(&path.child("message"), text));
    }
    if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
        let text = "messageExpression must be non-empty if specified";
        errors.push(Error::required(&path.child("messageExpression"), text));
    }
    if let Some(reason) = rule.reason.as_ref().filter(|r| !REASONS.contains(&r.as_str())) {
        errors.push(Error::not_supported_in_order(&path.child("reason"), reason.clone(), &REASONS));
    }
    if rule.field_path.is_empty() {
        return;
    }
    let at = path.child("fieldPath");
    let mut refuse = |text: &str| errors.push(Error::invalid(&at, rule.field_path.clone(), text));
    if rule.field_path.trim().is_empty() {
        refuse("must be non-empty if specified");
    }
    if breaks(&rule.field_path) {
        refuse("must not contain line breaks");
    }
    if s.unsupported().is_none() && field_path::resolve(&rule.field_path, s, Subscripts::Allowed).is_err() {
        refuse("must be a valid path");
    }
}
