//! The metadata of an object of any kind: `meta/v1` PartialObjectMetadata.

use crate::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, Metadata, Resource};
use serde::{Deserialize, Serialize};

/// What an object has whatever its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Partial {
    /// The group and version, as the object says it.
    pub api_version: String,
    /// The kind, as the object says it.
    pub kind: String,
    /// The metadata; it has a namespace if the object has one.
    pub metadata: ObjectMeta,
}

impl Resource for Partial {
    const API_VERSION: &'static str = "meta.k8s.io/v1";
    const GROUP: &'static str = "meta.k8s.io";
    const KIND: &'static str = "PartialObjectMetadata";
    const VERSION: &'static str = "v1";
    // It has no path of its own: it is asked for at the paths of others.
    const URL_PATH_SEGMENT: &'static str = "";
    type Scope = ClusterResourceScope;
}

impl Metadata for Partial {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
