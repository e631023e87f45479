//! Volumes, claims and volume attributes classes that are in use do not go: a finalizer holds them.
//!
//! Upstream: `plugin/pkg/admission/storage/storageobjectinuseprotection`.

use super::{Attributes, Operation, Plugin, objects};
use crate::call::Call;
use meta::status::Status;
use value::Value;

pub(super) struct StorageObjectInUseProtection;

fn finalizer(a: &Attributes) -> Option<&'static str> {
    match (a.resource.group.as_str(), a.resource.resource.as_str()) {
        ("", "persistentvolumes") => Some("kubernetes.io/pv-protection"),
        ("", "persistentvolumeclaims") => Some("kubernetes.io/pvc-protection"),
        ("storage.k8s.io", "volumeattributesclasses") => Some("kubernetes.io/vac-protection"),
        _ => None,
    }
}

impl Plugin for StorageObjectInUseProtection {
    fn handles(&self, a: &Attributes) -> bool {
        a.operation == Operation::Create && a.subresource.is_empty() && finalizer(a).is_some()
    }

    fn admit(
        &self,
        _call: &Call,
        a: &mut Attributes,
        object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        if let (Some(finalizer), Some(metadata)) = (finalizer(a), object.object_at("metadata"))
            && !metadata.at("finalizers").items().iter().any(|f| f.str() == finalizer)
        {
            objects::push(metadata, "finalizers", finalizer.into());
        }
        Ok(())
    }
}
