//! CSINode: the CSI drivers of a node.

use super::validate_driver_name;
use crate::check;
use crate::hooks::Hooks;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use std::collections::{HashMap, HashSet};
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    validate_create: |_, node| validate(node),
    validate_update: |_, new, old| {
        let mut errors = validate(new);
        // What a node can hold may change.
        let fixed = |driver: &Value| {
            let mut driver = driver.clone();
            driver.remove("allocatable");
            driver
        };
        let mut news: HashMap<&str, Vec<Value>> = HashMap::new();
        for driver in new.at("spec").at("drivers").items() {
            news.entry(driver.at("name").str()).or_default().push(fixed(driver));
        }
        let path = Path::new("spec");
        let path = path.child("drivers");
        // A name that the old node has twice was let in before names had to differ; one is enough to compare.
        let mut seen = HashSet::new();
        for before in old.at("spec").at("drivers").items() {
            let name = before.at("name").str();
            if !seen.insert(name) {
                continue;
            }
            for after in news.get(name).into_iter().flatten() {
                internal::immutable("storage.CSINodeDriver", after, &fixed(before), &path, &mut errors);
            }
        }
        errors
    },
    ..Hooks::NONE
};

/// Upstream's bound.
const NODE_ID_MAX_BYTES: usize = 256;

fn validate(node: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let path = path.child("drivers");
    let mut seen = HashSet::new();
    for (i, driver) in node.at("spec").at("drivers").items().iter().enumerate() {
        let path = path.index(i);
        let name = driver.at("name").str();
        validate_driver_name(name, &path.child("name"), &mut errors);
        let (id, id_path) = (driver.at("nodeID").str(), path.child("nodeID"));
        if id.is_empty() {
            errors.push(Error::required(&id_path, ""));
        }
        if id.len() > NODE_ID_MAX_BYTES {
            let text = format!("must be {NODE_ID_MAX_BYTES} characters or less");
            errors.push(Error::invalid(&id_path, id, text));
        }
        let allocatable_path = path.child("allocatable");
        let count = driver.at("allocatable").at("count");
        check::non_negative(count, &allocatable_path.child("count"), &mut errors);
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let mut keys = HashSet::new();
        for key in driver.at("topologyKeys").items() {
            if key.str().is_empty() {
                errors.push(Error::required(&path, ""));
            }
            if !keys.insert(key.str()) {
                errors.push(Error::duplicate(&path, key.clone()));
            }
            check::qualified_name(key.str(), &path, &mut errors);
        }
    }
    errors
}
