//! Nothing is made in a namespace that does not exist or is going; some namespaces cannot go.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle`.

use super::{Attributes, Operation, Plugin};
use crate::call::Call;
use meta::gvk::GroupResource;
use meta::status::{Cause, Status};
use value::Value;

/// Namespaces without which a cluster does not work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn handles(&self, a: &Attributes) -> bool {
        matches!(a.operation, Operation::Create | Operation::Delete | Operation::Update)
            && (!a.namespace.is_empty() || a.is("", "namespaces"))
    }

    fn admit(
        &self,
        call: &Call,
        a: &mut Attributes,
        _object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        self.check(call, a)
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        _object: Option<&Value>,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        if a.operation == Operation::Delete { self.check(call, a) } else { Ok(()) }
    }
}

impl NamespaceLifecycle {
    fn check(&self, call: &Call, a: &Attributes) -> Result<(), Status> {
        let is_namespace = a.resource.group.is_empty() && a.resource.resource == "namespaces";
        if is_namespace {
            if a.operation == Operation::Delete && IMMORTAL.contains(&a.name.as_str()) {
                return Err(a.forbidden("this namespace may not be deleted"));
            }
            return Ok(());
        }
        // Reviews in a namespace that is going must still be answered.
        if a.operation != Operation::Create || a.resource.group == "authorization.k8s.io" {
            return Ok(());
        }
        let Some(hub) = call.api.hub("", "namespaces") else { return Ok(()) };
        let Some(entry) = hub.cache.get(&a.namespace) else {
            return Err(Status::not_found(&GroupResource::new("", "namespaces"), &a.namespace));
        };
        if entry.head.field("status.phase") != "Terminating" {
            return Ok(());
        }
        let text = format!(
            "unable to create new content in namespace {} because it is being terminated",
            a.namespace
        );
        let cause = Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {} is being terminated", a.namespace),
            field: "metadata.namespace".into(),
        };
        Err(a.forbidden(text).with_cause(cause))
    }
}
