//! A new node is tainted as not ready until the node controller finds it ready.
//!
//! Upstream: `plugin/pkg/admission/nodetaint`.

use super::{Attributes, Plugin};
use crate::call::Call;
use meta::status::Status;
use value::Value;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

pub(super) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn handles(&self, a: &Attributes) -> bool {
        a.creates("", "nodes")
    }

    fn admit(
        &self,
        _call: &Call,
        _a: &mut Attributes,
        node: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        let is_there = |t: &Value| t.at("key").str() == NOT_READY && t.at("effect").str() == EFFECT;
        if node.at("spec").at("taints").items().iter().any(is_there) {
            return Ok(());
        }
        let mut taint = Value::object();
        taint.set("key", NOT_READY);
        taint.set("effect", EFFECT);
        if let Some(spec) = node.object_at("spec") {
            super::objects::push(spec, "taints", taint);
        }
        Ok(())
    }
}
