//! What a kind does beyond its schema: defaults, preparation and validation.
//!
//! Trees that hooks see are in Go's JSON form (see the `schema` crate), so a field that upstream's Go
//! struct holds by value may be absent, null or zero alike; read them with `Value::at(..).str()` and
//! friends. Hooks do no I/O and are deterministic.

use meta::field::ErrorList;
use value::{Str, Value};

/// What a hook may know of the request.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The time of the request, RFC 3339 with seconds, UTC.
    pub now: Str,
    /// The caller's name, for the few kinds that record it.
    pub user: Str,
    /// The caller's uid, groups and extra, as in `authentication.k8s.io/v1` UserInfo.
    pub user_info: Value,
    /// The namespace of the request; empty for cluster-scoped kinds.
    pub namespace: Str,
    /// The subresource of the request; empty for the object itself.
    pub subresource: Str,
    /// Whether defaults have taken the object's labels from its pod template. In Go the two are one map then: what
    /// is added to those of the template is added to the object's.
    pub labels_of_template: bool,
}

/// Fills in what the writer left out. Idempotent.
pub type Default = fn(&mut Value);
/// Clears and sets what the writer has no say in, before validation, on create.
pub type PrepareCreate = fn(&Context, &mut Value);
/// The same on update: new, old.
pub type PrepareUpdate = fn(&Context, &mut Value, &Value);
/// All errors of a new object (not those of its ObjectMeta, which the door checks for all kinds).
pub type ValidateCreate = fn(&Context, &Value) -> ErrorList;
/// All errors of an update: new, old (not those of ObjectMeta).
pub type ValidateUpdate = fn(&Context, &Value, &Value) -> ErrorList;
/// Texts for `Warning` headers; asked only when validation found nothing.
pub type WarnCreate = fn(&Context, &Value) -> Vec<String>;
/// Texts for `Warning` headers: new, old.
pub type WarnUpdate = fn(&Context, &Value, &Value) -> Vec<String>;

/// The hooks of one kind in one version. Absent ones do nothing.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Defaults; run on whatever is decoded, and after each mutation by admission.
    pub default: Default,
    /// Before validation on create.
    pub prepare_create: PrepareCreate,
    /// Before validation on update of the object itself.
    pub prepare_update: PrepareUpdate,
    /// Validation on create.
    pub validate_create: ValidateCreate,
    /// Validation on update of the object itself.
    pub validate_update: ValidateUpdate,
    /// Warnings on create.
    pub warn_create: WarnCreate,
    /// Warnings about a new object as it was prepared, told even if it is refused.
    pub warn_prepared: WarnCreate,
    /// Warnings on update.
    pub warn_update: WarnUpdate,
    /// Before validation on update of a subresource that writes the whole object (`status` and such);
    /// `Context::subresource` says which.
    pub prepare_subresource: PrepareUpdate,
    /// Validation on update of such a subresource.
    pub validate_subresource: ValidateUpdate,
    /// Warnings on update of such a subresource.
    pub warn_subresource: WarnUpdate,
    /// How `metadata.name` is checked: upstream's name function of the kind.
    pub name: NameRule,
    /// What `metadata.generateName` becomes.
    pub generated: Generated,
    /// Whether a new object's metadata is looked at once its own validation has found nothing: where the kind's
    /// strategy leaves that to what all kinds have in common, or looks at it at a place of its own.
    pub metadata_last: bool,
    /// Whether an update's generation is counted before it is prepared: what is dropped then counts as well.
    pub generation_first: bool,
}

/// What `metadata.generateName` becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// The start of a name.
    Random,
    /// The name itself, for kinds whose names cannot be random.
    AsGiven,
}

/// How a kind's `metadata.name` must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain, the usual rule.
    DnsSubdomain,
    /// RFC 1123 label.
    DnsLabel,
    /// The subdomain of declarative validation, which says bytes where the older rule says characters, and
    /// looks at names only, not at what they are generated from.
    LongName,
    /// A path segment: anything without `/` and `%` that is not `.` or `..` (RBAC kinds).
    PathSegment,
    /// The same, looked at once there is nothing else to be said (`rest.BeforeCreate`).
    PathSegmentLast,
    /// The kind's `validate_create` checks it, and `generateName`.
    Own,
}

impl Hooks {
    /// No hooks.
    pub const NONE: Self = Self {
        default: |_| {},
        prepare_create: |_, _| {},
        prepare_update: |_, _, _| {},
        validate_create: |_, _| Vec::new(),
        validate_update: |_, _, _| Vec::new(),
        warn_create: |_, _| Vec::new(),
        warn_prepared: |_, _| Vec::new(),
        warn_update: |_, _, _| Vec::new(),
        prepare_subresource: |_, _, _| {},
        validate_subresource: |_, _, _| Vec::new(),
        warn_subresource: |_, _, _| Vec::new(),
        name: NameRule::DnsSubdomain,
        generated: Generated::Random,
        metadata_last: false,
        generation_first: false,
    };
}
