//! The number behind a pod's priority class; at most one class is the default.
//!
//! Upstream: `plugin/pkg/admission/priority`.

use super::objects::{self, Derived};
use super::{Attributes, Operation, Plugin};
use crate::call::Call;
use meta::status::Status;
use value::{Str, Value};

const GROUP: &str = "scheduling.k8s.io";

pub(super) struct Priority {
    default: Derived<Option<Class>>,
}

impl Default for Priority {
    fn default() -> Self {
        Self { default: Derived::new(GROUP, "priorityclasses") }
    }
}

#[derive(Clone)]
struct Class {
    name: Str,
    value: i64,
    preemption: Option<Str>,
}

impl Class {
    fn of(class: &Value) -> Self {
        Self {
            name: class.at("metadata").at("name").str().into(),
            value: class.at("value").int(),
            preemption: class.at("preemptionPolicy").as_str().map(Str::from),
        }
    }
}

impl Plugin for Priority {
    fn handles(&self, a: &Attributes) -> bool {
        matches!(a.operation, Operation::Create | Operation::Update)
            && (a.is("", "pods") || a.is(GROUP, "priorityclasses"))
    }

    fn admit(
        &self,
        call: &Call,
        a: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if a.resource.resource != "pods" {
            return Ok(());
        }
        let Some(spec) = object.object_at("spec") else { return Ok(()) };
        if let Some(old) = old {
            for field in ["priority", "preemptionPolicy"] {
                let before = old.at("spec").at(field);
                if spec.at(field).is_null() && !before.is_null() {
                    spec.set(field, before.clone());
                }
            }
            return Ok(());
        }
        let class = self.class(call, a, spec.at("priorityClassName").str())?;
        if let Some(given) = spec.at("priority").as_i64()
            && given != class.value
        {
            return Err(a.forbidden(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.value
            )));
        }
        spec.set("priority", class.value);
        if !class.name.is_empty() {
            spec.set("priorityClassName", class.name);
        }
        if let Some(policy) = class.preemption {
            if let Some(given) = spec.at("preemptionPolicy").as_str()
                && given != policy
            {
                return Err(a.forbidden(format!(
                    "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
                )));
            }
            spec.set("preemptionPolicy", policy);
        }
        Ok(())
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(class) = object.filter(|_| a.resource.resource == "priorityclasses") else { return Ok(()) };
        if !class.at("globalDefault").bool() {
            return Ok(());
        }
        let Some(default) = self.default(call) else { return Ok(()) };
        if a.operation == Operation::Update && default.name == class.at("metadata").at("name").str() {
            return Ok(());
        }
        Err(a.forbidden(format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            default.name
        )))
    }
}

impl Priority {
    /// The class of this name; without one the default class, or what stands for it.
    fn class(&self, call: &Call, a: &Attributes, name: &str) -> Result<Class, Status> {
        if name.is_empty() {
            return Ok(self.default(call).unwrap_or_else(|| Class {
                name: Str::default(),
                value: 0,
                preemption: Some(Str::new_static("PreemptLowerPriority")),
            }));
        }
        match objects::find(call, GROUP, "priorityclasses", "", name) {
            Some(class) => Ok(Class::of(&class)),
            None => Err(a.forbidden(format!("no PriorityClass with name {name} was found"))),
        }
    }

    /// The default class; the lowest, should a race have left several.
    fn default(&self, call: &Call) -> Option<Class> {
        let default = self.default.get(call, |hub, entries| {
            let classes = entries.iter().map(|entry| hub.tree(entry));
            classes.filter(|c| c.at("globalDefault").bool()).map(|c| Class::of(&c)).min_by_key(|c| c.value)
        });
        default.as_deref().cloned().flatten()
    }
}
