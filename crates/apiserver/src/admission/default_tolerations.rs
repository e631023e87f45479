//! Pods bear an unreachable or unready node for five minutes, unless they say otherwise.
//!
//! Upstream: `plugin/pkg/admission/defaulttolerationseconds`.

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::status::Status;
use value::Value;

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const EFFECT: &str = "NoExecute";
const SECONDS: i64 = 300;

pub(super) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn handles(&self, a: &Attributes) -> bool {
        matches!(a.operation, Operation::Create | Operation::Update) && a.is("", "pods")
    }

    fn admit(
        &self,
        _call: &Call,
        _a: &mut Attributes,
        pod: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let Some(spec) = pod.object_at("spec") else { return Ok(()) };
        for taint in TAINTS {
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
            toleration.set("tolerationSeconds", SECONDS);
            objects::push(spec, "tolerations", toleration);
        }
        Ok(())
    }
}
