//! PriorityClass. Upstream: `pkg/apis/scheduling/{v1,validation}`, `pkg/registry/scheduling`.

use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "priorityclasses" { HOOKS } else { Hooks::NONE }
}

const HOOKS: Hooks = Hooks {
    default: |class| check::default(class, "preemptionPolicy", "PreemptLowerPriority"),
    validate_create: |_, class| validate(class),
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        if new.at("value").int() != old.at("value").int() {
            errors.push(Error::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        let (new, old) = (new.at("preemptionPolicy"), old.at("preemptionPolicy"));
        check::immutable(new, old, &Path::new("preemptionPolicy"), &mut errors);
        errors
    },
    ..Hooks::NONE
};

const SYSTEM_PREFIX: &str = "system-";
const HIGHEST_USER_PRIORITY: i64 = 1_000_000_000;
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn validate(class: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = class.at("metadata").at("name").str();
    let value = class.at("value").int();
    if name.starts_with(SYSTEM_PREFIX) {
        if let Some(why) = system_class_error(name, value, class.at("globalDefault").bool()) {
            let path = Path::new("metadata");
            let text = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
            );
            errors.push(Error::forbidden(&path.child("name"), text));
        }
    } else if value > HIGHEST_USER_PRIORITY {
        let text = format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}");
        errors.push(Error::forbidden(&Path::new("value"), text));
    }
    let (policy, path) = (class.at("preemptionPolicy"), Path::new("preemptionPolicy"));
    match policy.as_str() {
        None | Some("PreemptLowerPriority" | "Never") => {}
        Some("") => errors.push(Error::required(&path, "")),
        Some(other) => {
            let known = ["PreemptLowerPriority", "Never"];
            errors.push(Error::not_supported_in_order(&path, other, &known));
        }
    }
    errors
}

fn system_class_error(name: &str, value: i64, global_default: bool) -> Option<String> {
    match SYSTEM_CLASSES.iter().find(|(n, _)| *n == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, v)) if *v != value => Some(format!("value of {name} PriorityClass must be {v}")),
        Some(_) if global_default => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}
