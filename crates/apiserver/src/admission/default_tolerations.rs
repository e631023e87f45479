//! Pods bear an unreachable or unready node for some time (as a rule five minutes), unless they say otherwise.
//!
//! Upstream: `plugin/pkg/admission/defaulttolerationseconds`.

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::status::Status;
use value::Value;

const EFFECT: &str = "NoExecute";

pub(super) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn handles(&self, a: &Attributes) -> bool {
        matches!(a.operation, Operation::Create | Operation::Update) && a.is("", "pods")
    }

    fn admit(
        &self,
        call: &Call,
        _a: &mut Attributes,
        pod: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(spec) = pod.object_at("spec") else { return Ok(()) };
        let settings = &call.api.settings;
        for (taint, seconds) in [
            ("node.kubernetes.io/not-ready", settings.not_ready_toleration_seconds),
            ("node.kubernetes.io/unreachable", settings.unreachable_toleration_seconds),
        ] {
            let bears = |t: &Value| {
                let (key, effect) = (t.at("key").str(), t.at("effect").str());
                (key.is_empty() || key == taint) && (effect.is_empty() || effect == EFFECT)
            };
            // Those added here bear one taint each: they do not change the answer for the other.
            if spec.at("tolerations").items().iter().any(bears) {
                continue;
            }
            let mut toleration = Value::object();
            toleration.set("key", taint);
            toleration.set("operator", "Exists");
            toleration.set("effect", EFFECT);
            toleration.set("tolerationSeconds", seconds);
            objects::push(spec, "tolerations", toleration);
        }
        Ok(())
    }
}
