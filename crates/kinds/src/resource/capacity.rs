//! Capacities of a device, and how requests for a share of them are rounded.

use super::each_unique;
use meta::field::{Error, ErrorList, Path};
use meta::quantity::Quantity;
use value::Value;

/// Upstream's bound.
const VALID_VALUES_MAX: usize = 10;

pub(super) fn validate(capacity: &Value, shared: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let (policy, path) = (capacity.at("requestPolicy"), path.child("requestPolicy"));
    if policy.is_null() {
        return;
    }
    if !shared {
        errors.push(Error::forbidden(&path, "allowMultipleAllocations must be true"));
        return;
    }
    let Some(max) = quantity(capacity.at("value")) else { return };
    let (values, range) = (policy.at("validValues"), policy.at("validRange"));
    let default = quantity(policy.at("default"));
    let default_path = path.child("default");
    match (values.items().is_empty(), range.is_null()) {
        (false, false) => {
            let text = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the \
                        same time";
            errors.push(Error::forbidden(&path, text));
        }
        (false, true) => match default {
            None => errors.push(Error::required(&default_path, "required when validValues is defined")),
            Some(default) => validate_values(&default, &max, values, &path.child("validValues"), errors),
        },
        (true, false) => match default {
            None => errors.push(Error::required(&default_path, "required when validRange is defined")),
            Some(default) => validate_range(&default, &max, range, &path.child("validRange"), errors),
        },
        (true, true) => {}
    }
}

fn quantity(v: &Value) -> Option<Quantity> {
    if v.is_null() { None } else { Quantity::from_value(v).ok() }
}

fn validate_values(
    default: &Quantity,
    max: &Quantity,
    values: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let all: Vec<Quantity> = values.items().iter().filter_map(quantity).collect();
    for (i, pair) in all.windows(2).enumerate() {
        if pair[0] > pair[1] {
            let text = "values must be sorted in ascending order";
            errors.push(Error::invalid(&path.index(i + 1), pair[1].canonical(), text));
        }
    }
    let key = |v: &Value| quantity(v).map_or(0, |q| q.value()).to_string();
    each_unique(values, VALID_VALUES_MAX, key, path, errors, |option, path, errors| {
        if quantity(option).is_some_and(|q| q > *max) {
            let text = format!("option is larger than capacity value: {}", max.canonical());
            errors.push(Error::invalid(path, option.clone(), text));
        }
    });
    // A list that is too long is not looked at.
    if all.len() > VALID_VALUES_MAX || !all.contains(default) {
        let text = "default value is not valid according to the requestPolicy";
        errors.push(Error::invalid(path, default.canonical(), text));
    }
}

fn validate_range(
    default: &Quantity,
    capacity: &Quantity,
    range: &Value,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let Some(min) = quantity(range.at("min")) else {
        errors.push(Error::required(&path.child("min"), "required when validRange is defined"));
        return;
    };
    let mut refuse = |name: &str, shown: &Quantity, text: String| {
        errors.push(Error::invalid(&path.child(name), shown.canonical(), text));
    };
    let over = |what: &str| format!("{what} is larger than capacity value: {}", capacity.canonical());
    if min > *capacity {
        refuse("min", &min, over("min"));
    }
    if *default < min {
        refuse("min", default, format!("default is less than min: {}", min.canonical()));
    }
    let max = quantity(range.at("max"));
    if let Some(max) = &max {
        if min > *max {
            refuse("max", &min, format!("min is larger than max: {}", max.canonical()));
        }
        if max > capacity {
            refuse("max", max, over("max"));
        }
        if default > max {
            refuse("max", default, format!("default is more than max: {}", max.canonical()));
        }
    }
    let Some(step) = quantity(range.at("step")) else { return };
    let mut added = min.clone();
    added.add(&step);
    if added > *capacity {
        refuse("step", &step, over(&format!("one step {}", added.canonical())));
    }
    for value in std::iter::once(default).chain(&max) {
        let beyond = value.value().saturating_sub(min.value());
        // Upstream divides by zero here, and panics.
        if beyond.checked_rem(step.value()).is_none_or(|rest| rest != 0) {
            let text = format!(
                "value is not a multiple of a given step ({}) from ({})",
                step.canonical(),
                min.canonical()
            );
            refuse("step", value, text);
        }
    }
}
