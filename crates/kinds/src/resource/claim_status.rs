//! The status of a ResourceClaim: what was allocated, for whom, and how it fares.

use super::claim::Requests;
use super::device::validate_binding_conditions;
use super::device_class::{CONFIGS_MAX, validate_configuration, validate_raw};
use super::{each, each_unique, itself, names};
use crate::check;
use crate::equal::semantic_equal;
use crate::internal;
use crate::storage::validate_driver_name;
use meta::field::{Error, ErrorList, Path};
use meta::names::ip;
use meta::quote::json_string;
use std::collections::HashSet;
use value::Value;

/// Upstream's bounds.
const RESERVED_FOR_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;
const DATA_MAX_BYTES: usize = 10 * 1024;
const INTERFACE_NAME_MAX_BYTES: usize = 256;
const HARDWARE_ADDRESS_MAX_BYTES: usize = 128;
const IPS_MAX: usize = 16;

/// Identifies an allocated device, or a share of one; as upstream prints it in errors.
fn device_id(v: &Value) -> String {
    let text = |name: &str| json_string(v.at(name).str());
    let (driver, pool, device, share) = (text("driver"), text("pool"), text("device"), text("shareID"));
    format!(r#"{{"Driver":{driver},"Pool":{pool},"Device":{device},"ShareID":{share}}}"#)
}

fn allocated(claim: &Value) -> HashSet<String> {
    claim.path(&["status", "allocation", "devices", "results"]).items().iter().map(device_id).collect()
}

/// Drops the status of devices that are not allocated any more.
pub(super) fn drop_deallocated(new: &mut Value, old: &Value) {
    let kept = allocated(new);
    let gone: HashSet<String> = allocated(old).difference(&kept).cloned().collect();
    let devices = new.get_mut("status").and_then(|s| s.get_mut("devices")).and_then(Value::as_array_mut);
    if let Some(devices) = devices {
        devices.retain(|d| !gone.contains(&device_id(d)));
    }
    if let Some(status) = new.get_mut("status")
        && status.at("devices").items().is_empty()
    {
        status.remove("devices");
    }
}

pub(super) fn validate(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let requests = Requests::of(new.at("spec"));
    let (status, before, path) = (new.at("status"), old.at("status"), Path::new("status"));
    let reserved_path = path.child("reservedFor");
    let uid = |v: &Value| v.at("uid").str().to_owned();
    each_unique(
        status.at("reservedFor"),
        RESERVED_FOR_MAX,
        uid,
        &reserved_path,
        &mut errors,
        |consumer, path, errors| {
            for name in ["resource", "name", "uid"] {
                if consumer.at(name).str().is_empty() {
                    errors.push(Error::required(&path.child(name), ""));
                }
            }
        },
    );
    let known = allocated(new);
    let (devices, devices_path) = (status.at("devices"), path.child("devices"));
    each(devices, usize::MAX, &devices_path, &mut errors, |device, path, errors| {
        validate_device(device, &known, path, errors);
    });
    let mut seen = HashSet::new();
    for (i, id) in devices.items().iter().map(device_id).enumerate() {
        if !seen.insert(id.clone()) {
            errors.push(Error::duplicate(&devices_path.index(i), id.as_str()).shown_as(id.as_str()));
        }
    }
    let allocation = status.at("allocation");
    if !status.at("reservedFor").items().is_empty() {
        if allocation.is_null() {
            errors.push(Error::forbidden(&reserved_path, "may not be specified when `allocated` is not set"));
        } else if !new.at("metadata").at("deletionTimestamp").is_null() {
            let olds = before.at("reservedFor").items();
            if status.at("reservedFor").items().iter().any(|v| !olds.iter().any(|o| semantic_equal(o, v))) {
                let text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are \
                            set";
                errors.push(Error::forbidden(&reserved_path, text));
            }
        }
    }
    let path = path.child("allocation");
    if !allocation.is_null() && !before.at("allocation").is_null() {
        let kind = "resource.AllocationResult";
        internal::immutable(kind, allocation, before.at("allocation"), &path, &mut errors);
    } else if !allocation.is_null() {
        validate_allocation(allocation, &requests, &path, &mut errors);
    }
    errors
}

fn validate_allocation(allocation: &Value, requests: &Requests<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let (devices, devices_path) = (allocation.at("devices"), path.child("devices"));
    each(
        devices.at("results"),
        RESULTS_MAX,
        &devices_path.child("results"),
        errors,
        |result, path, errors| {
            requests.validate_reference(result.at("request").str(), &path.child("request"), errors);
            validate_driver_name(result.at("driver").str(), &path.child("driver"), errors);
            names::pool(result.at("pool").str(), &path.child("pool"), errors);
            check::dns1123_label(result.at("device").str(), &path.child("device"), errors);
            validate_binding_conditions(result, path, errors);
            if let Some(share) = result.at("shareID").as_str() {
                names::uid(share, &path.child("shareID"), errors);
            }
        },
    );
    // Those of the class and those of the claim.
    let max = 2 * CONFIGS_MAX;
    each(devices.at("config"), max, &devices_path.child("config"), errors, |config, path, errors| {
        let source = config.at("source").str();
        match source {
            "" => errors.push(Error::required(&path.child("source"), "")),
            "FromClaim" | "FromClass" => {}
            _ => {
                let known = ["FromClaim", "FromClass"];
                errors.push(Error::not_supported_in_order(&path.child("source"), source, &known));
            }
        }
        requests.validate_references(config.at("requests"), &path.child("requests"), errors);
        validate_configuration(config, false, path, errors);
    });
    let selector = allocation.at("nodeSelector");
    if !selector.is_null() {
        crate::core::validate_node_selector(selector, &path.child("nodeSelector"), errors);
    }
}

fn validate_device(device: &Value, known: &HashSet<String>, path: &Path<'_>, errors: &mut ErrorList) {
    validate_driver_name(device.at("driver").str(), &path.child("driver"), errors);
    names::pool(device.at("pool").str(), &path.child("pool"), errors);
    check::dns1123_label(device.at("device").str(), &path.child("device"), errors);
    if let Some(share) = device.at("shareID").as_str() {
        names::uid(share, &path.child("shareID"), errors);
    }
    let id = device_id(device);
    if !known.contains(&id) {
        let text = "must be an allocated device in the claim";
        errors.push(Error::invalid(path, id.as_str(), text).shown_as(id.as_str()));
    }
    let (conditions, conditions_path) = (device.at("conditions"), path.child("conditions"));
    if conditions.items().len() > CONDITIONS_MAX {
        errors.push(Error::too_many(&conditions_path, conditions.items().len(), CONDITIONS_MAX));
    }
    check::conditions(conditions, &conditions_path, errors);
    if !device.at("data").is_null() {
        validate_raw(device.at("data"), DATA_MAX_BYTES, &path.child("data"), errors);
    }
    let (network, path) = (device.at("networkData"), path.child("networkData"));
    for (name, max) in
        [("interfaceName", INTERFACE_NAME_MAX_BYTES), ("hardwareAddress", HARDWARE_ADDRESS_MAX_BYTES)]
    {
        if network.at(name).str().len() > max {
            errors.push(Error::too_long(&path.child(name), max));
        }
    }
    each_unique(network.at("ips"), IPS_MAX, itself, &path.child("ips"), errors, |address, path, errors| {
        errors.extend(ip::interface_address(path, address.str()));
    });
}
