//! Nodes.
//!
//! Upstream: `ValidateNode*` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/node/strategy.go`.

use super::pod_defaults::round_up;
use super::resources::resource_quantity;
use super::scheduling::taint_effect;
use super::util::{
    changed_metadata, finalizer_names, is_ipv6, is_set, legacy_cidr, positive, require, strings,
    whole_metadata,
};
use crate::check;
use crate::hooks::Hooks;
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, ip};
use meta::object_meta::Scope;
use std::collections::HashSet;
use value::{Value, json};

const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
const AVOID_PODS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
const FEATURE_MAX_BYTES: usize = 253;
const CIDR_CHANGE: &str = "node updates may not change podCIDR except from \"\" to valid";

pub(super) const HOOKS: Hooks = Hooks {
    default,
    prepare_create: |_, node| {
        if let Some(spec) = node.get_mut("spec") {
            spec.remove("configSource");
        }
        if let Some(status) = node.get_mut("status") {
            status.remove("config");
        }
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        if !is_set(old.at("spec"), "configSource")
            && let Some(spec) = new.get_mut("spec")
        {
            spec.remove("configSource");
        }
    },
    validate_create: |_, node| {
        let mut errors = ErrorList::new();
        finalizer_names(node, &mut errors);
        validate(node, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        whole_metadata(new, Scope::Cluster, names::name_is_dns_subdomain, &mut errors);
        validate(new, &mut errors);
        changed_metadata(new, old, &mut errors);
        validate_update(new, old, &mut errors);
        errors
    },
    warn_create: |_, node| warnings(node),
    warn_update: |_, new, _| warnings(new),
    prepare_subresource: |_, new, old| {
        prepare::keep(new, old, "spec");
        if !is_set(old.at("status"), "config")
            && let Some(status) = new.get_mut("status")
        {
            status.remove("config");
        }
    },
    validate_subresource: |_, new, old| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        validate_update(new, old, &mut errors);
        errors
    },
    ..Hooks::NONE
};

fn default(node: &mut Value) {
    if let Some(spec) = node.get_mut("spec") {
        let own = spec.at("podCIDR").str().to_owned();
        let first = spec.at("podCIDRs").items().first().map(|v| v.str().to_owned());
        match first {
            Some(first) if own.is_empty() => spec.set("podCIDR", first),
            Some(first) if own == first => {}
            None if own.is_empty() => {}
            _ => spec.set("podCIDRs", vec![own]),
        }
    }
    if let Some(status) = node.get_mut("status") {
        if !is_set(status, "allocatable") && is_set(status, "capacity") {
            let capacity = status.at("capacity").clone();
            status.set("allocatable", capacity);
        }
        round_up(status, "capacity");
        round_up(status, "allocatable");
    }
}

fn validate(node: &Value, errors: &mut ErrorList) {
    let (spec, status, path) = (node.at("spec"), node.at("status"), Path::new("metadata"));
    annotations(node.at("metadata").at("annotations"), &path.child("annotations"), errors);
    // Upstream's path of taints is this one.
    taints(spec.at("taints"), &path.child("taints"), errors);
    resources(status, errors);
    let swap = status.at("nodeInfo").at("swap").at("capacity");
    if let Some(capacity) = swap.as_i64() {
        let path = path.child("nodeSwapStatus");
        positive(capacity, &path.child("capacity"), errors);
    }
    let status_path = Path::new("status");
    features(status.at("declaredFeatures"), &status_path.child("declaredFeatures"), errors);
    pod_cidrs(spec.at("podCIDRs"), errors);
}

fn pod_cidrs(list: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("podCIDRs");
    let cidrs = strings(list);
    for (i, cidr) in cidrs.iter().enumerate() {
        legacy_cidr(&path.index(i), cidr, &HashSet::new(), errors);
    }
    if cidrs.len() < 2 {
        return;
    }
    let (mut v4, mut v6, mut bad) = (false, false, None);
    for (i, cidr) in cidrs.iter().enumerate() {
        match ip::Cidr::parse_sloppy(cidr) {
            Some(cidr) if is_ipv6(cidr.address) => v6 = true,
            Some(_) => v4 = true,
            None => {
                bad = Some(format!("invalid CIDR[{i}]: <nil> (invalid CIDR address: {cidr})"));
                break;
            }
        }
    }
    let dual = bad.is_none() && v4 && v6;
    if let Some(problem) = bad {
        let text = format!("invalid PodCIDRs. failed to check with dual stack with error:{problem}");
        errors.push(Error::internal(&path, text));
    }
    if !dual || cidrs.len() > 2 {
        let text = "may specify no more than one CIDR for each IP family";
        errors.push(Error::invalid(&path, list.clone(), text));
    }
}

fn resources(status: &Value, errors: &mut ErrorList) {
    let path = Path::new("status");
    for list in ["capacity", "allocatable"] {
        let path = path.child(list);
        for (name, v) in status.at(list).entries() {
            resource_quantity(name, v, &path.child(name), errors);
        }
    }
}

fn taints(list: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, taint) in list.items().iter().enumerate() {
        let path = path.index(i);
        let (key, value, effect) = (taint.at("key").str(), taint.at("value").str(), taint.at("effect").str());
        check::qualified_name(key, &path.child("key"), errors);
        let messages = names::label_value(value);
        if !messages.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, messages.join(";")));
        }
        if effect.is_empty() {
            errors.push(Error::required(&path.child("effect"), ""));
        } else {
            taint_effect(effect, &path.child("effect"), errors);
        }
        if !seen.insert((effect, key)) {
            let mut error =
                Error::duplicate(&path, taint.clone()).shown_as(internal::text("core.Taint", taint));
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
    }
}

/// Annotations of the days before taints were a field.
fn annotations(annotations: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let text = annotations.at(TAINTS).str();
    if !text.is_empty() {
        match json::parse(text.as_bytes()) {
            Ok(v @ (Value::Array(_) | Value::Null)) => taints(&v, &path.child(TAINTS), errors),
            Ok(_) => {
                let text = "json: cannot unmarshal object into Go value of type []core.Taint";
                errors.push(Error::invalid(path, TAINTS, text));
            }
            Err(e) => errors.push(Error::invalid(path, TAINTS, e.to_string())),
        }
    }
    let text = annotations.at(AVOID_PODS).str();
    if text.is_empty() {
        return;
    }
    let v = match json::parse(text.as_bytes()) {
        Ok(v) => v,
        Err(e) => {
            errors.push(Error::invalid(&path.child("AvoidPods"), AVOID_PODS, e.to_string()));
            return;
        }
    };
    let list_path = path.child(AVOID_PODS);
    for (i, entry) in v.at("preferAvoidPods").items().iter().enumerate() {
        let path = list_path.index(i);
        let path = path.child("PodSignature");
        let controller = entry.at("podSignature").at("podController");
        if controller.is_null() {
            errors.push(Error::required(&path, ""));
        } else if !controller.at("controller").bool() {
            let path = path.child("PodController");
            let text = "must point to a controller";
            errors.push(Error::invalid(&path.child("Controller"), Value::Bool(false), text));
        }
    }
}

fn features(list: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let names = strings(list);
    for (i, name) in names.iter().enumerate() {
        let quoted = || meta::quote::quote(name);
        if name.len() > FEATURE_MAX_BYTES {
            let text = format!(
                "invalid feature name {}: must be no more than {FEATURE_MAX_BYTES} characters",
                quoted()
            );
            errors.push(Error::invalid(&path.index(i), *name, text));
        } else if !is_feature(name) {
            let text = format!(
                "invalid feature name {}: must start with an UpperCamelCase segment, with subsequent segments \
                 separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric \
                 characters and slashes",
                quoted()
            );
            errors.push(Error::invalid(&path.index(i), *name, text));
        }
        let Some(next) = names.get(i + 1) else { continue };
        if name == next {
            errors.push(Error::duplicate(&path.index(i + 1), *next));
        } else if name > next {
            errors.push(Error::invalid(&path.index(i + 1), *next, "list must be sorted alphabetically"));
        }
    }
}

fn is_feature(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.split('/').all(|segment| {
            segment.starts_with(|c: char| c.is_ascii_alphabetic())
                && segment.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

fn validate_update(node: &Value, old: &Value, errors: &mut ErrorList) {
    let meta_path = Path::new("metadata");
    annotations(node.at("metadata").at("annotations"), &meta_path.child("annotations"), errors);
    let (spec, before, status) = (node.at("spec"), old.at("spec"), node.at("status"));
    resources(status, errors);
    let status_path = Path::new("status");
    features(status.at("declaredFeatures"), &status_path.child("declaredFeatures"), errors);
    let path = status_path.child("addresses");
    let mut seen = HashSet::new();
    for (i, address) in status.at("addresses").items().iter().enumerate() {
        if !seen.insert((address.at("type").str(), address.at("address").str())) {
            let shown = internal::text("core.NodeAddress", address);
            errors.push(Error::duplicate(&path.index(i), address.clone()).shown_as(shown));
        }
    }
    let path = Path::new("spec");
    let (cidrs, were) = (strings(spec.at("podCIDRs")), strings(before.at("podCIDRs")));
    let changes = match were.len() {
        0 => 0,
        n if n != cidrs.len() => 1,
        _ => were.iter().zip(&cidrs).filter(|(a, b)| a != b).count(),
    };
    errors.extend((0..changes).map(|_| Error::forbidden(&path.child("podCIDRs"), CIDR_CHANGE)));
    let provider = before.at("providerID").str();
    if !provider.is_empty() && spec.at("providerID").str() != provider {
        let text = "node updates may not change providerID except from \"\" to valid";
        errors.push(Error::forbidden(&path.child("providerID"), text));
    }
    if is_set(spec, "configSource") {
        config_source(spec.at("configSource"), false, &path.child("configSource"), errors);
    }
    let config_path = status_path.child("config");
    for name in ["assigned", "active", "lastKnownGood"] {
        let v = status.at("config").at(name);
        if !v.is_null() {
            config_source(v, true, &config_path.child(name), errors);
        }
    }
    taints(spec.at("taints"), &meta_path.child("taints"), errors);
    if spec.at("externalID").str() != before.at("externalID").str() {
        errors.push(Error::forbidden(&path.child("externalID"), "may not be updated"));
    }
}

/// A source of configuration of the days of dynamic kubelet configuration.
fn config_source(source: &Value, in_status: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let map = source.at("configMap");
    if map.is_null() {
        let text = "exactly one reference subfield must be non-nil";
        errors.push(internal::invalid(path, "core.NodeConfigSource", source, text));
        return;
    }
    let path = path.child("configMap");
    for name in ["uid", "resourceVersion"] {
        if in_status {
            require(map, name, &path, errors);
        } else if !map.at(name).str().is_empty() {
            errors.push(Error::forbidden(&path.child(name), format!("{name} must not be set in spec")));
        }
    }
    for name in ["namespace", "name", "kubeletConfigKey"] {
        let (text, path) = (map.at(name).str(), path.child(name));
        match name {
            _ if text.is_empty() => errors.push(Error::required(&path, "")),
            "namespace" => check::dns1123_label(text, &path, errors),
            "name" => check::dns1123_subdomain(text, &path, errors),
            _ => check::invalid_each(text, names::config_map_key(text), &path, errors),
        }
    }
}

fn warnings(node: &Value) -> Vec<String> {
    let spec = node.at("spec");
    let mut warnings = Vec::new();
    if is_set(spec, "configSource") {
        warnings.push("spec.configSource: the feature is removed".into());
    }
    if !spec.at("externalID").str().is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
    }
    let path = Path::new("spec");
    let path = path.child("podCIDRs");
    for (i, cidr) in spec.at("podCIDRs").items().iter().enumerate() {
        warnings.extend(ip::cidr_warnings(&path.index(i), cidr.str()));
    }
    warnings
}
