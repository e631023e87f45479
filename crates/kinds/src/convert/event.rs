//! Events of the two groups: one stored form, two sets of names.

use value::Value;

/// (name in `events.k8s.io/v1`, name in `v1`); what is not listed has the same name in both.
const NAMES: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
pub(super) fn to_hub(event: &mut Value) -> Result<(), String> {
    event.set("apiVersion", "v1");
    for (new, core) in NAMES {
        if let Some(v) = event.remove(new) {
            event.set(core, v);
        }
    }
    // Fields that core writes even when they are empty.
    for (name, zero) in [("involvedObject", Value::object()), ("source", Value::object())] {
        if event.get(name).is_none() {
            event.set(name, zero);
        }
    }
    for name in ["firstTimestamp", "lastTimestamp"] {
        if event.get(name).is_none() {
            event.set(name, Value::Null);
        }
    }
    for name in ["reportingComponent", "reportingInstance"] {
        if event.get(name).is_none() {
            event.set(name, "");
        }
    }
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
pub(super) fn from_hub(event: &mut Value) -> Result<(), String> {
    event.set("apiVersion", "events.k8s.io/v1");
    for (new, core) in NAMES {
        if let Some(v) = event.remove(core) {
            event.set(new, v);
        }
    }
    for name in ["reportingController", "reportingInstance"] {
        if event.at(name).str().is_empty() {
            event.remove(name);
        }
    }
    if event.get("eventTime").is_none() {
        event.set("eventTime", Value::Null);
    }
    Ok(())
}
