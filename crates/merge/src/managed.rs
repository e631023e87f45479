//! `metadata.managedFields`: who owns which fields, kept over every write.
//!
//! Upstream: `k8s.io/apimachinery/pkg/util/managedfields/internal`, a chain of managers around
//! structured-merge-diff, here one function per write.
//!
//! # How a server calls it
//!
//! All trees are in the version of the request (convert the live object first). `empty` is what an empty
//! object of the kind looks like in tree form, with `apiVersion` and `kind`: for built-in kinds in Go's JSON
//! form, for custom resources just those two.
//!
//! | request | order of steps (`apiserver/pkg/endpoints/handlers`) |
//! |---|---|
//! | POST | decode, default · wipe system metadata, check the namespace · drop repeated owner references · **[`update`]** with `empty` as live object · mutating admission ([`check_admission`]) · drop repeated owner references · prepare, validate, store. If it is too large to store: once more without managed fields |
//! | PUT | decode, default · namespace, name · drop repeated owner references · per attempt: read the live object · **[`update`]** on a copy of the decoded object · mutating admission ([`check_admission`]) · owner references · prepare (this is where a strategy resets fields), validate, store if changed ([`keep_timestamps`]). A PUT that creates passes `empty` as live object |
//! | PATCH (JSON, merge, strategic) | per attempt: patch the live object, decode, default · **[`update`]** · name, namespace · admission · as PUT |
//! | PATCH (apply) | per attempt: parse the YAML · **[`apply`]** onto the live object or onto `empty` · if it gives an object: decode and default it (errors: `failed to convert new object (ns/name; gvk) to proper version: …`), put the managed fields into it · strict-decoding errors count only now · name, namespace · admission · as PUT |
//!
//! - [`update`] sees the decoded object *before* empty lists collapse to null: `managedFields: []` means
//!   reset. It runs before admission; what mutating admission changes has no owner until the next write.
//! - `manager` is the `fieldManager` option, else [`manager_from_user_agent`]; for apply the option itself
//!   (it is required there).
//! - `subresource` is that of the request; writes through subresources never take managed fields from the
//!   request's object. `scale` works on the `Scale` object's own managed fields: [`scale`] translates.
//! - `reset_fields` are the strategy's, for the resource or the subresource at hand.
//! - Before storing, [`keep_timestamps`] undoes changes of times if nothing else changed, so that a repeated
//!   apply is no write.

mod apply;
mod cap;
mod conflict;
mod entry;
mod fast;
mod last_applied;
mod raw;
pub mod scale;
mod timestamps;
mod update;
mod user_agent;
mod validate;

pub use apply::{Applied, apply};
pub use conflict::to_status as conflict_status;
pub use entry::{Entry, Identity, Operation, decode, encode};
pub use timestamps::keep_timestamps;
pub use update::update;
pub use user_agent::from_user_agent as manager_from_user_agent;
pub use validate::{check_admission, validate_entries, validate_manager};

use crate::types::{Trust, Type};
use crate::updater::{ResetFields, Updater, Versions};
use value::Value;

/// A write, for the field managers.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// Who writes: the `fieldManager` option or a name from the user agent; empty becomes `unknown`.
    pub manager: &'a str,
    /// The subresource that is written through; empty for the object itself.
    pub subresource: &'a str,
    /// The time, RFC 3339 with seconds, UTC.
    pub now: &'a str,
    /// The `apiVersion` of the request, in which all trees are.
    pub version: &'a str,
    /// The kind of the request.
    pub kind: &'a str,
    /// The type of the kind in that version.
    pub ty: &'a Type,
    /// Whether live and decoded trees of the type need a full check ([`Trust::Decoded`] for built-in kinds).
    pub trust: Trust,
    /// The other versions of the kind.
    pub versions: &'a dyn Versions,
    /// Which fields the strategy resets.
    pub reset_fields: &'a ResetFields,
    /// An empty object of the kind.
    pub empty: &'a Value,
}

impl<'a> Write<'a> {
    fn updater(&self) -> Updater<'a> {
        Updater {
            version: self.version,
            ty: self.ty,
            versions: self.versions,
            reset_fields: self.reset_fields,
        }
    }

    fn identity(&self, operation: Operation) -> Identity {
        Identity {
            manager: if self.manager.is_empty() { "unknown".into() } else { self.manager.into() },
            operation,
            version: if operation == Operation::Update { self.version.into() } else { "".into() },
            subresource: self.subresource.into(),
        }
    }

    /// Checks a stored or decoded object as upstream's conversion to a typed value does.
    fn check_decoded(&self, v: &Value) -> Result<(), String> {
        use crate::typed::{Duplicates, validate, validate_decoded};
        let (schema, ty) = (&self.ty.schema, self.ty.id);
        let checked = match self.trust {
            Trust::Nothing => validate(schema, ty, v, Duplicates::Allowed),
            Trust::Decoded => validate_decoded(schema, ty, v),
        };
        checked.map_err(|e| e.to_string())
    }

    /// How upstream's errors name an object.
    fn name_of(&self, object: &Value) -> String {
        let metadata = object.at("metadata");
        let (group, version) = self.version.split_once('/').unwrap_or(("", self.version));
        format!(
            "{}/{}; {group}/{version}, Kind={}",
            metadata.at("namespace").str(),
            metadata.at("name").str(),
            self.kind
        )
    }
}

#[cfg(test)]
mod tests;
