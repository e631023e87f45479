//! ResourceSlice: devices that a driver offers.

use super::device::{validate_counters, validate_device};
use super::{by_name, each_unique, names};
use crate::check;
use crate::hooks::{Context, Hooks};
use crate::internal;
use crate::storage::validate_driver_name;
use meta::field::{Error, ErrorList, Path};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    prepare_create: |context, slice| {
        drop_gated(slice, None);
        date_taints(context, slice);
    },
    prepare_update: |context, new, old| {
        drop_gated(new, Some(old));
        date_taints(context, new);
    },
    validate_create: |_, slice| validate(slice.at("spec"), None),
    validate_update: |_, new, old| validate(new.at("spec"), Some(old.at("spec"))),
    warn_create: |_, slice| warnings(slice),
    warn_update: |_, new, _| warnings(new),
    generation_first: true,
    ..Hooks::NONE
};

fn warnings(slice: &Value) -> Vec<String> {
    let driver = slice.at("spec").at("driver").str();
    if driver == driver.to_lowercase() {
        return Vec::new();
    }
    let quoted = meta::quote::quote(driver);
    vec![format!("spec.driver: driver names should be lowercase; {quoted} contains uppercase characters")]
}

fn devices(slice: &mut Value) -> impl Iterator<Item = &mut Value> {
    let devices = slice.get_mut("spec").and_then(|s| s.get_mut("devices")).and_then(Value::as_array_mut);
    devices.into_iter().flatten()
}

const LISTS: [&str; 4] = ["bools", "ints", "strings", "versions"];
const MAPPINGS: &str = "nodeAllocatableResourceMappings";

fn has_lists(spec: &Value) -> bool {
    let attributes = spec.at("devices").items().iter().flat_map(|d| d.at("attributes").entries());
    attributes.into_iter().any(|(_, a)| LISTS.iter().any(|n| !a.at(n).is_null()))
}

/// Attributes of several values and mappings of node resources are behind gates that are off; who has them
/// keeps them.
fn drop_gated(slice: &mut Value, old: Option<&Value>) {
    let old = old.map_or(&Value::Null, |o| o.at("spec"));
    let lists = !has_lists(old);
    let mappings = old.at("devices").items().iter().all(|d| d.at(MAPPINGS).is_empty());
    for device in devices(slice) {
        if mappings {
            device.remove(MAPPINGS);
        }
        let attributes = device.get_mut("attributes").and_then(Value::as_object_mut).filter(|_| lists);
        for (_, attribute) in attributes.into_iter().flat_map(value::Map::iter_mut) {
            LISTS.iter().for_each(|name| drop(attribute.remove(name)));
        }
    }
}

/// A taint is dated when it comes.
fn date_taints(context: &Context, slice: &mut Value) {
    for device in devices(slice) {
        let taints = device.get_mut("taints").and_then(Value::as_array_mut);
        for taint in taints.into_iter().flatten() {
            check::default(taint, "timeAdded", context.now.clone());
        }
    }
}

/// Upstream's bounds.
const DEVICES_MAX: usize = 128;
const ADVANCED_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;

fn validate(spec: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    validate_driver_name(spec.at("driver").str(), &path.child("driver"), &mut errors);
    let (pool, pool_path) = (spec.at("pool"), path.child("pool"));
    names::pool(pool.at("name").str(), &pool_path.child("name"), &mut errors);
    if pool.at("resourceSliceCount").int() <= 0 {
        let n = pool.at("resourceSliceCount").int();
        errors.push(Error::invalid(&pool_path.child("resourceSliceCount"), n, "must be greater than zero"));
    }
    if pool.at("generation").int() < 0 {
        let n = pool.at("generation").int();
        errors.push(Error::invalid(
            &pool_path.child("generation"),
            n,
            "must be greater than or equal to zero",
        ));
    }
    if let Some(old) = old {
        let name = |v: &Value| v.at("pool").at("name").clone();
        check::immutable(&name(spec), &name(old), &pool_path.child("name"), &mut errors);
        for field in ["driver", "nodeName"] {
            check::immutable(spec.at(field), old.at(field), &path.child(field), &mut errors);
        }
    }
    validate_nodes(spec, &path, &mut errors);
    if !spec.at("sharedCounters").is_null() && !spec.at("devices").is_null() {
        errors.push(Error::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    let advanced = spec
        .at("devices")
        .items()
        .iter()
        .any(|d| !d.at("taints").is_empty() || !d.at("consumesCounters").is_empty());
    let max = if advanced || has_lists(spec) { ADVANCED_DEVICES_MAX } else { DEVICES_MAX };
    let per_device = spec.at("perDeviceNodeSelection").bool();
    let devices_path = path.child("devices");
    each_unique(spec.at("devices"), max, by_name, &devices_path, &mut errors, |device, path, errors| {
        let olds = old.map_or(&[][..], |o| o.at("devices").items());
        let before = olds.iter().find(|o| o.at("name") == device.at("name"));
        validate_device(device, before, per_device, path, errors);
    });
    let counters_path = path.child("sharedCounters");
    each_unique(
        spec.at("sharedCounters"),
        COUNTER_SETS_MAX,
        by_name,
        &counters_path,
        &mut errors,
        |set, path, errors| {
            let name = set.at("name").str();
            if name.is_empty() {
                errors.push(Error::required(&path.child("name"), ""));
            } else {
                check::dns1123_label(name, &path.child("name"), errors);
            }
            validate_counters(set.at("counters"), &path.child("counters"), errors);
        },
    );
    errors
}

fn validate_nodes(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    const ONE: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut set = Vec::new();
    match spec.at("nodeName").as_str() {
        None => {}
        Some("") => {
            let text = "must be either unset or set to a non-empty string";
            errors.push(Error::invalid(&path.child("nodeName"), "", text));
        }
        Some(name) => {
            set.push("`nodeName`");
            check::dns1123_subdomain(name, &path.child("nodeName"), errors);
        }
    }
    let (selector, selector_path) = (spec.at("nodeSelector"), path.child("nodeSelector"));
    if !selector.is_null() {
        set.push("`nodeSelector`");
        crate::core::validate_node_selector(selector, &selector_path, errors);
        let terms = selector.at("nodeSelectorTerms");
        if terms.items().len() != 1 {
            let path = selector_path.child("nodeSelectorTerms");
            let shown = internal::text("[]core.NodeSelectorTerm", terms);
            let error = Error::invalid(&path, terms.clone(), "must have exactly one node selector term");
            errors.push(error.shown_as(shown));
        }
    }
    for (name, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        match spec.at(name).as_bool() {
            None => {}
            Some(true) => set.push(shown),
            Some(false) => {
                let text = "must be either unset or set to true";
                errors.push(Error::invalid(&path.child(name), false, text));
            }
        }
    }
    match set.len() {
        0 => errors.push(Error::required(path, ONE)),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            errors.push(Error::invalid(path, shown, format!("{ONE}, but multiple fields are set")));
        }
    }
}
