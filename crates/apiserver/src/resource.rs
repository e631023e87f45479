//! What is served: one [`Hub`] for each kind that is stored, one [`Served`] for each version of it, and the
//! [`Registry`] by which a request finds them.

use crate::cache::{Cache, Entry, Head, Selection, View};
use crate::codec::Codec;
use crate::managed::Tracking;
use crate::negotiate::Allows;
use crate::storage::Transform;
use bytes::Bytes;
use kinds::Row;
use kinds::table::Subresource;
use meta::gvk::{GroupKind, GroupResource};
use meta::status::Status;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use value::{Str, Value};

/// The stored side of a kind: its cache and how its bytes are read and written. All served versions share
/// it.
#[derive(Debug)]
pub struct Hub {
    /// The row of the hub version.
    pub row: Arc<Row>,
    /// The codec of the hub version.
    pub codec: Codec,
    /// All objects.
    pub cache: Cache,
    /// How values are encrypted.
    pub transform: Arc<dyn Transform>,
}

impl Hub {
    /// The store's key of an object.
    pub fn store_key(&self, namespace: &str, name: &str) -> String {
        self.row.key(namespace, name).expect("a hub's row is stored")
    }

    /// The cache's key of an object.
    pub fn cache_key(&self, namespace: &str, name: &str) -> Str {
        Str::from(&*self.key_text(namespace, name))
    }

    fn key_text<'a>(&self, namespace: &str, name: &'a str) -> Cow<'a, str> {
        if self.row.namespaced { [namespace, "/", name].concat().into() } else { name.into() }
    }

    /// An object in the cache.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.cache.get(&self.key_text(namespace, name))
    }

    /// Lays on the defaults of the stored version, as upstream does with whatever it reads.
    pub fn default(&self, object: &mut Value) {
        match (self.codec.custom(), &self.row.storage) {
            (Some(custom), _) => custom.default(object),
            (None, Some(storage)) => (storage.default)(object),
            (None, None) => {}
        }
    }

    /// The same as [`Self::tree`], where an object that cannot be read is better not shown at all.
    ///
    /// # Errors
    /// 500 with the converter's text.
    pub fn try_tree(&self, entry: &Entry) -> Result<Value, Status> {
        let object = self.codec.from_stored(&entry.stored);
        Ok(self.finish(entry, object.map_err(Status::plain_error)?))
    }

    /// The tree of a cached object, with its `resourceVersion`.
    pub fn tree(&self, entry: &Entry) -> Value {
        let object = self.codec.from_stored(&entry.stored).unwrap_or_else(|error| {
            tracing::error!(kind = %self.row.kind, error, "cannot read a stored object");
            self.codec.peek_stored(&entry.stored).unwrap_or_default()
        });
        self.finish(entry, object)
    }

    fn finish(&self, entry: &Entry, mut object: Value) -> Value {
        // A custom object is read with the defaults of the version that it was stored in.
        if self.codec.custom().is_none() {
            self.default(&mut object);
        }
        if entry.revision > 0 {
            set_resource_version(&mut object, entry.revision);
        }
        object
    }
}

/// What reads need to know of an object.
pub fn head(row: &Row, object: &Value) -> Head {
    let labels = object.at("metadata").at("labels").entries();
    Head {
        labels: labels.map(|(k, v)| (k.clone(), Str::from(v.str()))).collect(),
        fields: row.fields.values(object).into(),
        unconverted: false,
    }
}

/// The same of an object as [`Codec::peek_stored`] reads it.
pub fn peeked_head(codec: &Codec, row: &Row, object: &Value) -> Head {
    let as_stored = codec.custom().is_some_and(crate::crd::Custom::has_own_conversion);
    let unconverted = as_stored && object.at("apiVersion").str() != row.api_version();
    Head { unconverted, ..head(row, object) }
}

/// Sets `metadata.resourceVersion`.
pub fn set_resource_version(object: &mut Value, revision: u64) {
    if let Some(metadata) = object.object_at("metadata") {
        metadata.set("resourceVersion", revision.to_string());
    }
}

/// One version of a kind as clients see it.
#[derive(Debug)]
pub struct Served {
    /// Its row.
    pub row: Arc<Row>,
    /// Its codec.
    pub codec: Codec,
    /// Its stored side; `None` for kinds that exist only in requests.
    pub hub: Option<Arc<Hub>>,
    /// How its managed fields are kept.
    pub tracking: Tracking,
}

impl Served {
    /// What answers can be transformed to.
    pub fn allows(&self) -> Allows {
        if self.codec.custom().is_some() { Allows::CustomTransforms } else { Allows::Transforms }
    }

    /// Group and resource, as error texts name it.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.row.group.clone(), self.row.plural.clone())
    }

    /// Group and kind, as error texts name it: events of either group are the core group's.
    pub fn group_kind(&self) -> GroupKind {
        let group = self.row.storage.as_ref().map_or(&self.row.group, |s| &s.group);
        GroupKind::new(group.clone(), self.row.kind.clone())
    }

    /// Whether its objects are stored in this very version.
    pub fn is_hub(&self) -> bool {
        self.row.storage.as_ref().is_some_and(|s| s.convert.is_none() && s.version == self.row.version)
    }

    /// The served JSON of an object, with its `resourceVersion`.
    pub fn json(&self, hub: &Hub, entry: &Entry) -> Bytes {
        let mut line = self.line(hub, entry);
        line.truncate(line.len().saturating_sub(1));
        line
    }

    /// The same and a newline, as it is answered alone.
    pub fn line(&self, hub: &Hub, entry: &Entry) -> Bytes {
        if self.takes_webhook(entry)
            && let Ok(view) = self.view(entry)
        {
            return view.line.clone();
        }
        let make = || {
            let mut object = hub.tree(entry);
            self.from_hub(&mut object);
            self.codec.stamp(&mut object);
            line_of(self.codec.to_json(&object))
        };
        if self.is_hub() { entry.line(hub.cache.budget(), make) } else { make() }
    }

    /// The served protobuf of an object, without envelope, with its `resourceVersion`.
    pub fn protobuf(&self, hub: &Hub, entry: &Entry) -> Bytes {
        let make = || {
            let mut object = hub.tree(entry);
            self.from_hub(&mut object);
            Bytes::from(self.codec.to_protobuf(&object))
        };
        if self.is_hub() { entry.protobuf(hub.cache.budget(), make) } else { make() }
    }

    /// The tree of an object in this version, with `apiVersion`, `kind` and `resourceVersion`.
    pub fn tree(&self, hub: &Hub, entry: &Entry) -> Value {
        let mut object = hub.tree(entry);
        self.from_hub(&mut object);
        self.codec.stamp(&mut object);
        object
    }

    /// Whether it takes a webhook to show the object in this version.
    pub fn takes_webhook(&self, entry: &Entry) -> bool {
        self.asks_webhook() && (entry.head.unconverted || !self.is_hub())
    }

    /// The tree of an object that a webhook makes: from the version in which it is stored to this one, without
    /// a stop at the hub's.
    ///
    /// # Errors
    /// 500 with the converter's text.
    pub fn ask_webhook(&self, entry: &Entry) -> Result<Value, Status> {
        let mut object = self.codec.from_stored(&entry.stored).map_err(Status::plain_error)?;
        if entry.revision > 0 {
            set_resource_version(&mut object, entry.revision);
        }
        Ok(object)
    }

    /// The same, asked once for each object.
    ///
    /// # Errors
    /// 500 with the converter's text.
    pub fn view(&self, entry: &Entry) -> Result<Arc<View>, Status> {
        entry.view(&self.row.version, || {
            let object = self.ask_webhook(entry)?;
            let head = Arc::new(head(&self.row, &object));
            Ok(View { head, line: line_of(self.codec.to_json(&object)) })
        })
    }

    /// Whether the object is selected, as it looks in this version: the versions of a custom kind select by
    /// fields of their own.
    ///
    /// # Errors
    /// 500 with the converter's text.
    pub fn selects(&self, selection: &Selection, entry: &Entry) -> Result<bool, Status> {
        if !selection.matches_key(entry) {
            return Ok(false);
        }
        if self.takes_webhook(entry) {
            return Ok(selection.matches_head(entry, &self.view(entry)?.head));
        }
        Ok(selection.matches_head(entry, &entry.head))
    }

    /// Converts a tree of this version to the hub's.
    ///
    /// # Errors
    /// 400 when it cannot be expressed there.
    pub fn to_hub(&self, object: &mut Value) -> Result<(), Status> {
        match (self.codec.custom(), &self.hub) {
            (Some(_), Some(hub)) => {
                hub.codec.custom().map_or(Ok(()), |c| c.convert(object)).map_err(Status::plain_error)
            }
            _ => self.row.to_hub(object).map_err(Status::bad_request),
        }
    }

    /// Converts a hub tree to this version. A stored object that cannot be expressed is shown as it is.
    pub fn from_hub(&self, object: &mut Value) {
        if let Err(error) = self.try_from_hub(object) {
            tracing::error!(kind = %self.row.kind, error = %error.message, "cannot convert a stored object");
        }
    }

    /// The same, where an object that cannot be expressed is better not shown at all.
    ///
    /// # Errors
    /// 500 with the converter's text.
    pub fn try_from_hub(&self, object: &mut Value) -> Result<(), Status> {
        let converted = match self.codec.custom() {
            _ if self.is_hub() => Ok(()),
            Some(custom) => custom.convert(object).map(|()| custom.tidy(object)),
            None => self.row.from_hub(object).map(|()| self.codec.normalize(object)),
        };
        converted.map_err(Status::plain_error)
    }

    /// Whether its objects may be converted by somebody else, who may fail.
    pub fn asks_webhook(&self) -> bool {
        self.codec.custom().is_some_and(crate::crd::Custom::has_own_conversion)
    }

    /// Whether expressions judge what is written.
    pub fn has_rules(&self) -> bool {
        self.codec.custom().is_some_and(crate::crd::Custom::has_rules)
    }
}

fn line_of(mut json: Vec<u8>) -> Bytes {
    json.push(b'\n');
    json.into()
}

/// Everything that is served now. Replaced as a whole when a CRD comes or goes.
#[derive(Debug, Default)]
pub struct Registry {
    /// By the plural, which is enough to leave but a few: several groups and versions may have the same.
    by_resource: HashMap<Str, Vec<Arc<Served>>>,
    hubs: HashMap<(Str, Str), Arc<Hub>>,
    order: Vec<Arc<Served>>,
}

impl Registry {
    /// A registry of these, in the order of discovery.
    pub fn new(served: impl IntoIterator<Item = Arc<Served>>) -> Self {
        let mut registry = Self::default();
        for s in served {
            let row = &s.row;
            registry.by_resource.entry(row.plural.clone()).or_default().push(s.clone());
            if let Some(hub) = &s.hub {
                registry.hubs.insert((row.group.clone(), row.plural.clone()), hub.clone());
            }
            registry.order.push(s);
        }
        registry
    }

    /// Adds the stored side of a resource of which no version is served.
    pub fn add_hub(&mut self, hub: Arc<Hub>) {
        self.hubs.entry((hub.row.group.clone(), hub.row.plural.clone())).or_insert(hub);
    }

    /// The kind behind `/apis/<group>/<version>/.../<resource>`.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        let named = self.by_resource.get(resource)?;
        named.iter().rfind(|s| s.row.group == group && s.row.version == version)
    }

    /// The stored side of a resource.
    pub fn hub(&self, group: &str, resource: &str) -> Option<&Arc<Hub>> {
        self.hubs.get(&(Str::from(group), Str::from(resource)))
    }

    /// The version of a kind with this `apiVersion` and `kind`.
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Served>> {
        self.order.iter().find(|s| s.row.group == group && s.row.version == version && s.row.kind == kind)
    }

    /// All stored sides.
    pub fn hubs(&self) -> impl Iterator<Item = &Arc<Hub>> {
        self.hubs.values()
    }

    /// All, in the order of discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.order.iter()
    }

    /// Whether the group has built-in kinds.
    pub fn has_builtin_group(&self, group: &str) -> bool {
        self.order.iter().any(|s| s.row.group == group && s.codec.custom().is_none())
    }

    /// What discovery tells of: all but custom kinds whose definition is not yet said to be established. Those can be
    /// reached before, so that whoever sees that does not come too early.
    pub fn discoverable(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.order.iter().filter(|s| s.codec.custom().is_none_or(|custom| custom.is_established()))
    }

    /// Whether discovery tells of the group in this version.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.discoverable().any(|s| s.row.group == group && s.row.version == version)
    }
}

/// What a request is about: a kind, and a subresource if the path names one.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind.
    pub served: Arc<Served>,
    /// The subresource.
    pub sub: Option<Subresource>,
}

impl Target {
    /// What answers can be transformed to.
    pub fn allows(&self) -> Allows {
        if self.sub.as_ref().is_none_or(|s| s.makes_tables) { self.served.allows() } else { Allows::Metadata }
    }
}
