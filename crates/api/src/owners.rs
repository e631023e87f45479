//! Who owns an object: `k8s.io/apimachinery/pkg/apis/meta/v1/controller_ref.go`.

use crate::Object;
use crate::meta::v1::{ObjectMeta, OwnerReference};

/// The owner that manages the object, of which there is at most one.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.as_deref()?.iter().find(|owner| owner.controller == Some(true))
}

/// Whether `owner` manages the object: by UID, as a name may have been given anew.
pub fn is_controlled_by<K: Object>(meta: &ObjectMeta, owner: &K) -> bool {
    controller_of(meta).is_some_and(|reference| reference.uid == owner.uid())
}

/// The reference of a managing owner; its deletion waits for what it owns, if that is asked for.
pub fn controller_reference<K: Object>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.to_owned(),
        kind: K::KIND.to_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
