//! StorageClass and VolumeAttributesClass.

use crate::check;
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use crate::node_labels;
use meta::field::{Error, ErrorList, Path};
use std::collections::{BTreeMap, BTreeSet};
use value::Value;

pub(super) const STORAGE_CLASS: Hooks = Hooks {
    default: |class| {
        check::default(class, "reclaimPolicy", "Delete");
        check::default(class, "volumeBindingMode", "Immediate");
    },
    validate_create: |_, class| validate_storage_class(class),
    validate_update: |_, new, old| {
        let mut errors = validate_storage_class(new);
        for name in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            check::immutable(new.at(name), old.at(name), &Path::new(name), &mut errors);
        }
        errors
    },
    warn_create: |_, class| topology_warnings(class),
    warn_update: |_, class, _| topology_warnings(class),
    ..Hooks::NONE
};

pub(super) const VOLUME_ATTRIBUTES_CLASS: Hooks = Hooks {
    validate_create: |_, class| validate_attributes_class(class),
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        if new.at("driverName").str() != old.at("driverName").str() {
            let text = "updates to driverName are forbidden.";
            errors.push(Error::forbidden(&Path::new("driverName"), text));
        }
        if !semantic_equal(new.at("parameters"), old.at("parameters")) {
            let text = "updates to parameters are forbidden.";
            errors.push(Error::forbidden(&Path::new("parameters"), text));
        }
        errors.extend(validate_attributes_class(new));
        errors
    },
    ..Hooks::NONE
};

/// Upstream's bounds on parameters.
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_MAX_BYTES: usize = 256 * 1024;

fn validate_storage_class(class: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    validate_provisioner(class.at("provisioner").str(), &Path::new("provisioner"), &mut errors);
    validate_parameters(class.at("parameters"), &mut errors);
    let policy = class.at("reclaimPolicy").str();
    if !["", "Delete", "Retain"].contains(&policy) {
        let known = ["Delete", "Retain"];
        errors.push(Error::not_supported_in_order(&Path::new("reclaimPolicy"), policy, &known));
    }
    let (mode, path) = (class.at("volumeBindingMode"), Path::new("volumeBindingMode"));
    if mode.is_null() {
        errors.push(Error::required(&path, ""));
    } else if !["Immediate", "WaitForFirstConsumer"].contains(&mode.str()) {
        let known = ["Immediate", "WaitForFirstConsumer"];
        errors.push(Error::not_supported_in_order(&path, mode.clone(), &known));
    }
    validate_topologies(class.at("allowedTopologies").items(), &mut errors);
    errors
}

fn validate_attributes_class(class: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    validate_provisioner(class.at("driverName").str(), &Path::new("driverName"), &mut errors);
    validate_parameters(class.at("parameters"), &mut errors);
    if class.at("parameters").is_empty() {
        let text = "must contain at least one key/value pair";
        errors.push(Error::required(&Path::new("parameters"), text));
    }
    errors
}

fn validate_provisioner(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(Error::required(path, ""));
    } else {
        let lower = name.to_lowercase();
        check::qualified_name(&lower, path, errors);
    }
}

fn validate_parameters(parameters: &Value, errors: &mut ErrorList) {
    let path = Path::new("parameters");
    if parameters.entries().count() > PARAMETERS_MAX {
        errors.push(Error::too_long(&path, PARAMETERS_MAX));
        return;
    }
    if parameters.get("").is_some() {
        errors.push(Error::invalid(&path, "", "field can not be empty."));
    }
    let size: usize = parameters.entries().map(|(k, v)| k.len() + v.str().len()).sum();
    if size > PARAMETERS_MAX_BYTES {
        errors.push(Error::too_long(&path, PARAMETERS_MAX_BYTES));
    }
}

/// Errors that are told of terms that select the same; upstream tells one for each pair.
const DUPLICATES_MAX: usize = 1000;

/// Terms that select the same are errors, whatever their order.
fn validate_topologies(terms: &[Value], errors: &mut ErrorList) {
    let path = Path::new("allowedTopologies");
    // Upstream starts its list with an empty term per term, so an empty one is a duplicate of them all.
    let mut seen = BTreeMap::from([(BTreeMap::new(), terms.len())]);
    let mut told = 0;
    for (i, term) in terms.iter().enumerate() {
        let term_path = path.index(i);
        let path = term_path.child("matchLabelExpressions");
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (j, expression) in term.at("matchLabelExpressions").items().iter().enumerate() {
            let path = path.index(j);
            let key = expression.at("key").str();
            let values = validate_expression(expression, &path, errors);
            if keys.insert(key, values).is_some() {
                errors.push(Error::duplicate(&path.child("key"), key));
            }
        }
        let same = seen.entry(keys).or_insert(0_usize);
        let tell = (*same).min(DUPLICATES_MAX - told);
        (0..tell).for_each(|_| errors.push(Error::duplicate(&path, "")));
        told += tell;
        *same += 1;
    }
}

fn validate_expression<'a>(
    expression: &'a Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> BTreeSet<&'a str> {
    let values_path = path.child("values");
    let items = expression.at("values").items();
    if items.is_empty() {
        errors.push(Error::required(&values_path, ""));
    }
    let mut values = BTreeSet::new();
    for (i, value) in items.iter().enumerate() {
        if !values.insert(value.str()) {
            errors.push(Error::duplicate(&values_path.index(i), value.clone()));
        }
    }
    check::qualified_name(expression.at("key").str(), &path.child("key"), errors);
    values
}

fn topology_warnings(class: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let path = Path::new("allowedTopologies");
    for (i, term) in class.at("allowedTopologies").items().iter().enumerate() {
        let path = path.index(i);
        let path = path.child("matchLabelExpressions");
        for (j, expression) in term.at("matchLabelExpressions").items().iter().enumerate() {
            if let Some(text) = node_labels::deprecated(expression.at("key").str()) {
                let path = path.index(j);
                warnings.push(format!("{}: {text}", path.child("key")));
            }
        }
    }
    warnings
}
