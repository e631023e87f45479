//! What every kind is to code that handles kinds alike.

use crate::Quantity;
use crate::core::v1::ObjectReference;
use crate::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, Metadata, NamespaceResourceScope, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Where an object is found within its resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace; empty for what belongs to the cluster.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// Of a namespace (empty for what belongs to the cluster) and a name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Whether a kind lives in namespaces, by its scope's type.
pub trait ScopeKind {
    /// Whether objects have a namespace.
    const NAMESPACED: bool;
}

impl ScopeKind for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl ScopeKind for ClusterResourceScope {
    const NAMESPACED: bool = false;
}

/// A kind with a REST resource of its own. `GROUP`, `VERSION`, `KIND` come with it from [`Resource`].
pub trait Object:
    Resource<Scope: ScopeKind>
    + Metadata<Ty = ObjectMeta>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The resource's name in paths: `pods`.
    const PLURAL: &'static str;
    /// Whether objects have a namespace.
    const NAMESPACED: bool;

    /// The metadata.
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }

    /// The metadata, to change.
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.metadata_mut()
    }

    /// The name; empty if it has none yet.
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// The namespace; empty for what belongs to the cluster.
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    /// The UID; empty if it has none yet.
    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// The resource version; empty if it has none yet.
    fn resource_version(&self) -> &str {
        self.metadata().resource_version.as_deref().unwrap_or_default()
    }

    /// Where it is found.
    fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }
}

impl<K> Object for K
where
    K: Resource<Scope: ScopeKind>
        + Metadata<Ty = ObjectMeta>
        + Clone
        + fmt::Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    const PLURAL: &'static str = <K as Resource>::URL_PATH_SEGMENT;
    const NAMESPACED: bool = <<K as Resource>::Scope as ScopeKind>::NAMESPACED;
}

/// Reads one object of its JSON, without its managed fields, which no reader here needs.
///
/// # Errors
/// If it is no JSON, of another kind, or a field has a type that the kind does not give it.
pub fn decode<K: Object>(json: &[u8]) -> Result<K, serde_json::Error> {
    let mut object: K = decode_lenient(json)?;
    object.meta_mut().managed_fields = None;
    Ok(object)
}

/// Reads JSON as Go prints it: a field of a type without a zero in JSON, such as an unset time that is no
/// pointer, is null there, which stands for its absence.
///
/// # Errors
/// As [`decode`].
pub fn decode_lenient<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(json) {
        Ok(value) => Ok(value),
        // Seldom: a second reading costs less than looking out for nulls each time.
        Err(error) => {
            let mut tree = serde_json::from_slice(json)?;
            fill_nulls(&mut tree);
            serde_json::from_value(tree).map_err(|_| error)
        }
    }
}

/// Times that the types here take for granted and Go prints as null while unset.
const TIMES: [&str; 2] = ["lastTransitionTime", "lastObservedTime"];
/// Go's zero time: it reads this as unset again.
const UNSET_TIME: &str = "0001-01-01T00:00:00Z";

fn fill_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in &mut *fields {
                if field.is_null() && TIMES.contains(&name.as_str()) {
                    *field = UNSET_TIME.into();
                }
            }
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(fill_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(fill_nulls),
        _ => {}
    }
}

/// The reference that events and messages name an object by.
pub fn reference<K: Object>(object: &K) -> ObjectReference {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ObjectReference {
        api_version: some(K::API_VERSION),
        kind: some(K::KIND),
        namespace: some(object.namespace()),
        name: some(object.name()),
        uid: some(object.uid()),
        resource_version: some(object.resource_version()),
        field_path: None,
    }
}

/// A quantity in whole units, rounded up; what cannot be read is 0 (the API server let it through checked).
pub fn amount(quantity: &Quantity) -> i64 {
    meta::quantity::Quantity::parse(&quantity.0).map(|q| q.value()).unwrap_or_default()
}

/// A quantity in thousandths, rounded up; what cannot be read is 0.
pub fn milli_amount(quantity: &Quantity) -> i64 {
    meta::quantity::Quantity::parse(&quantity.0).map(|q| q.milli_value()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::v1::{Node, Pod};

    #[test]
    fn kinds_know_their_scope() {
        const { assert!(Pod::NAMESPACED && !Node::NAMESPACED) };
        assert_eq!((Pod::PLURAL, Pod::GROUP, Pod::VERSION), ("pods", "", "v1"));
    }

    #[test]
    fn decoding_drops_managed_fields_and_reads_go_nulls() {
        let json =
            br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"b","managedFields":
            [{"manager":"x"}],"creationTimestamp":null},"spec":{"containers":null}}"#;
        let pod: Pod = decode(json).expect("a pod");
        assert_eq!(pod.key().to_string(), "b/a");
        assert!(pod.metadata.managed_fields.is_none());
    }

    #[test]
    fn an_unset_time_is_no_error() {
        let json = br#"{"status":{"conditions":[{"type":"A","status":"True","reason":"","message":"",
            "lastTransitionTime":null}]}}"#;
        let service: crate::core::v1::Service = decode(json).expect("a service");
        let conditions = service.status.and_then(|status| status.conditions).expect("conditions");
        assert_eq!(conditions[0].type_, "A");
    }

    #[test]
    fn amounts() {
        for (text, whole, milli) in [("100m", 1, 100), ("2", 2, 2_000), ("1Ki", 1024, 1_024_000), ("x", 0, 0)]
        {
            let quantity = Quantity(text.into());
            assert_eq!((amount(&quantity), milli_amount(&quantity)), (whole, milli), "{text}");
        }
    }
}
