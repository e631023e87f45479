//! Nodes write only what is theirs; the decision is `auth`'s.
//!
//! Upstream: `plugin/pkg/admission/noderestriction`.

use super::{Attributes, Operation, Plugin};
use crate::call::Call;
use auth::node::restriction::{Operation as Op, Write, check};
use meta::status::Status;
use value::Value;

pub(super) struct NodeRestriction;

impl Plugin for NodeRestriction {
    fn handles(&self, a: &Attributes) -> bool {
        a.operation != Operation::Connect
            && matches!(
                a.resource.group.as_str(),
                "" | "coordination.k8s.io" | "storage.k8s.io" | "resource.k8s.io" | "certificates.k8s.io"
            )
    }

    fn admit(
        &self,
        call: &Call,
        a: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        self.check(call, a, Some(object), old)
    }

    fn validate(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if a.operation == Operation::Delete { self.check(call, a, object, old) } else { Ok(()) }
    }
}

impl NodeRestriction {
    fn check(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if !call.user.in_group(auth::user::NODES) {
            return Ok(());
        }
        let write = Write {
            user: &call.user,
            operation: match a.operation {
                Operation::Create => Op::Create,
                Operation::Update => Op::Update,
                Operation::Delete => Op::Delete,
                Operation::Connect => Op::Connect,
            },
            group: &a.resource.group,
            resource: &a.resource.resource,
            subresource: &a.subresource,
            namespace: &a.namespace,
            name: &a.name,
            object: object.unwrap_or(&Value::Null),
            old: old.unwrap_or(&Value::Null),
        };
        let authorize = |attributes: &auth::Attributes<'_>| call.api.access.authorize(attributes);
        check(&write, &*call.api, &authorize).map_err(|refusal| refusal.status(&write))
    }
}
