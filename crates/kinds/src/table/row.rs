//! A row: all that the server must know of a kind to serve it.

use super::fields::SelectableFields;
use super::generation::Generation;
use crate::convert::Convert;
use crate::hooks::{Context, Hooks};
use value::{Str, Value};

/// A path of object keys from the root of an object, e.g. `["spec"]` or `["metadata", "labels"]`.
pub type FieldPath = Vec<Str>;

/// A kind in one version.
///
/// Hooks other than [`Hooks::default`] see the object in its *hub* form: as [`Storage`] converts it, or as
/// it is when the row has no conversion. Defaults are laid on in the row's own version, before.
#[derive(Clone, Debug)]
pub struct Row {
    /// API group; empty for core.
    pub group: Str,
    /// Version, e.g. `v1`.
    pub version: Str,
    /// Kind, e.g. `Pod`.
    pub kind: Str,
    /// Kind of a list, e.g. `PodList`.
    pub list_kind: Str,
    /// Name in paths, e.g. `pods`.
    pub plural: Str,
    /// Singular name, e.g. `pod`.
    pub singular: Str,
    /// Short names, e.g. `po`.
    pub short_names: Vec<Str>,
    /// Categories, e.g. `all`.
    pub categories: Vec<Str>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs of the main resource, sorted.
    pub verbs: Vec<Str>,
    /// Subresources, sorted by name.
    pub subresources: Vec<Subresource>,
    /// Name of the Go type for a lookup in `schema::Types`, e.g. `k8s.io/api/core/v1.Pod`; empty for custom
    /// resources.
    pub go_type: Str,
    /// The same for the list.
    pub list_go_type: Str,
    /// How objects are stored; `None` for kinds that exist only in requests (reviews, bindings) or are
    /// computed (ComponentStatus).
    pub storage: Option<Storage>,
    /// Which fields a field selector may name.
    pub fields: SelectableFields,
    /// What deletion does with dependents when the request does not say.
    pub delete: DeletePolicy,
    /// Whether deletion is graceful in the kind's own way (pods: the kubelet confirms it).
    pub graceful: bool,
    /// Whether a deletion answers with the object as it was last, instead of a Status, also when no
    /// finalizer held it.
    pub returns_deleted: bool,
    /// Whether PUT of an object that does not exist makes it.
    pub create_on_update: bool,
    /// Whether PUT without a resourceVersion overwrites.
    pub unconditional_update: bool,
    /// What writes of the main resource reset: those fields get no owner in server-side apply.
    pub reset_fields: Vec<FieldPath>,
    /// When `metadata.generation` counts.
    pub generation: Generation,
    /// What an update checks of the metadata besides what every update does.
    pub update_meta: MetaChecks,
    /// Whether an object is gone after a time (Events, by `--event-ttl`).
    pub lapses: bool,
    /// A `Warning` for every request to the kind, when upstream has declared it deprecated.
    pub deprecation: Option<Str>,
    /// Place of the group among groups, higher first (`APIService.spec.groupPriorityMinimum`).
    pub group_priority: i32,
    /// Place of the version in its group, higher first (`APIService.spec.versionPriority`).
    pub version_priority: i32,
    /// `storageVersionHash` of discovery; empty for virtual kinds.
    pub storage_version_hash: Str,
    /// Defaults, preparation, validation.
    pub hooks: Hooks,
}

/// How and where objects of a kind are stored.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Group of the stored form (`""` for events of either group).
    pub group: Str,
    /// Version of the stored form.
    pub version: Str,
    /// Go type of the stored form; empty for custom resources.
    pub go_type: Str,
    /// Key prefix without trailing slash, e.g. `/registry/minions`. A key is the prefix, `/namespace` if
    /// namespaced, and `/name`.
    pub prefix: Str,
    /// How stored bytes are written. Both are read.
    pub encoding: Encoding,
    /// From the row's version to the hub form and back; `None` when they are the same.
    pub convert: Option<Convert>,
    /// Defaults of the stored version. Upstream lays them on whatever it reads from the store, so also on what
    /// it answers after a write: a Job that has no labels is served with those that its template got.
    pub default: crate::hooks::Default,
}

/// How stored bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `k8s\0` and a `runtime.Unknown` envelope.
    Protobuf,
    /// JSON.
    Json,
}

/// What deletion does with dependents when neither the request nor a finalizer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletePolicy {
    /// The garbage collector deletes them afterwards.
    Background,
    /// They are orphaned (kept from the first days of Job and ReplicationController).
    Orphan,
    /// The kind knows no garbage collection: orphan and foreground finalizers are never set.
    Unsupported,
}

/// A subresource of a kind.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// Name in paths, e.g. `status`.
    pub name: Str,
    /// Group of its kind as discovery says; empty when it is the row's own.
    pub group: Str,
    /// Version of its kind as discovery says; empty when it is the row's own.
    pub version: Str,
    /// Its kind, e.g. `Scale`.
    pub kind: Str,
    /// Go type of its body; empty for custom resources and for connections.
    pub go_type: Str,
    /// Verbs, sorted.
    pub verbs: Vec<Str>,
    /// What a request to it does.
    pub does: SubresourceKind,
    /// What writes of it reset.
    pub reset_fields: Vec<FieldPath>,
    /// Whether a write of it counts in `metadata.generation` as one of the main resource does.
    pub counts_generation: bool,
    /// What an update checks of the metadata besides what every update does.
    pub update_meta: MetaChecks,
    /// Whether answers can be Tables.
    pub makes_tables: bool,
}

/// What the strategy of a kind itself checks of the metadata of a changed object: clients see what is wrong once
/// for each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaChecks {
    /// All of it, as of a new object (`ValidateObjectMeta`). Kinds of core do that in their hooks.
    pub whole: bool,
    /// What changed (`ValidateObjectMetaUpdate`).
    pub update: UpdateCheck,
}

/// Where the errors of a strategy's own check of what changed in metadata stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateCheck {
    /// It makes none.
    None,
    /// Before those of all of it.
    Ahead,
    /// Before those of the rest of the object, behind those of all of it.
    First,
    /// Behind them.
    Last,
}

impl MetaChecks {
    /// What most strategies do.
    pub const USUAL: Self = Self { whole: false, update: UpdateCheck::First };
    /// Both.
    pub const BOTH: Self = Self { whole: true, update: UpdateCheck::First };
    /// Both, what changed before the rest.
    pub const TURNED: Self = Self { whole: true, update: UpdateCheck::Ahead };
    /// Both, with the object between them.
    pub const AROUND: Self = Self { whole: true, update: UpdateCheck::Last };
    /// As a new object only.
    pub const WHOLE: Self = Self { whole: true, update: UpdateCheck::None };
    /// Nothing.
    pub const NONE: Self = Self { whole: false, update: UpdateCheck::None };
}

/// What a request to a subresource does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubresourceKind {
    /// Reads and writes the whole parent object through `Hooks::prepare_subresource` and
    /// `Hooks::validate_subresource` (`status`, `approval`, `finalize`, `ephemeralcontainers`, `resize`).
    Object,
    /// Reads and writes `autoscaling/v1` Scale.
    Scale,
    /// Takes a POST of another kind (`binding`, `eviction`, `token`).
    Action,
    /// Opens a stream or a proxy, or reads a log.
    Connect,
}

impl Row {
    /// `group/version`, or the version alone in core: the `apiVersion` of its objects.
    pub fn api_version(&self) -> Str {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version).into()
        }
    }

    /// Whether the main resource knows the verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// `plural.group`, or the plural alone in core: upstream's `GroupResource.String()`, as error texts
    /// show it.
    pub fn group_resource(&self) -> Str {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group).into()
        }
    }

    /// `Kind.group`, or the kind alone in core: upstream's `GroupKind.String()`, as error texts show it.
    pub fn group_kind(&self) -> Str {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group).into() }
    }

    /// The stored key of an object; `None` for virtual kinds.
    pub fn key(&self, namespace: &str, name: &str) -> Option<String> {
        let prefix = &self.storage.as_ref()?.prefix;
        Some(if self.namespaced {
            format!("{prefix}/{namespace}/{name}")
        } else {
            format!("{prefix}/{name}")
        })
    }

    /// From the row's version to the hub form, in place.
    ///
    /// # Errors
    /// A text for a `BadRequest` when the object cannot be expressed there.
    pub fn to_hub(&self, object: &mut Value) -> Result<(), String> {
        match self.storage.as_ref().and_then(|s| s.convert) {
            Some(convert) => (convert.to_hub)(object),
            None => Ok(()),
        }
    }

    /// From the hub form to the row's version, in place.
    ///
    /// # Errors
    /// A text for an `InternalError` when the object cannot be expressed there.
    pub fn from_hub(&self, object: &mut Value) -> Result<(), String> {
        match self.storage.as_ref().and_then(|s| s.convert) {
            Some(convert) => (convert.from_hub)(object),
            None => Ok(()),
        }
    }

    /// Lays on the defaults that upstream lays on whatever it reads from the store, in the hub form: to be
    /// called on what is served after a write and on what enters the cache.
    pub fn default_stored(&self, object: &mut Value) {
        let default = self.storage.as_ref().map_or(self.hooks.default, |s| s.default);
        default(object);
    }

    /// Prepares a new object: the kind's hook, then the first generation.
    pub fn prepare_create(&self, context: &Context, object: &mut Value) {
        (self.hooks.prepare_create)(context, object);
        self.generation.create(object);
    }

    /// Prepares an update of the main resource: the kind's hook and the generation, as a rule in this order. The
    /// door has copied the old generation into `new` before.
    pub fn prepare_update(&self, context: &Context, new: &mut Value, old: &Value) {
        if self.hooks.generation_first {
            self.generation.update(new, old);
        }
        (self.hooks.prepare_update)(context, new, old);
        if !self.hooks.generation_first {
            self.generation.update(new, old);
        }
    }

    /// Whether what an update changes counts as a new generation.
    pub fn is_new_generation(&self, new: &Value, old: &Value) -> bool {
        self.generation.changed(new, old)
    }

    /// Prepares an update of the subresource that `context` names.
    pub fn prepare_subresource(&self, context: &Context, new: &mut Value, old: &Value) {
        (self.hooks.prepare_subresource)(context, new, old);
        if self.subresource(&context.subresource).is_some_and(|s| s.counts_generation) {
            self.generation.update(new, old);
        }
    }
}
