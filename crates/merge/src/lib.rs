//! Server-side apply, the bookkeeping of field managers, and strategic merge patch.
//!
//! The counterpart of `sigs.k8s.io/structured-merge-diff/v6`, of `k8s.io/apimachinery/pkg/util/
//! {managedfields,strategicpatch}` and of `k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager`.
//!
//! Invariants:
//! - No I/O, no clock (the time comes in as an argument), no kind is named: what differs between kinds
//!   comes in as a [`Type`] and, for strategic merge patch, as patch facts of its fields.
//! - Nothing that a client sent makes this crate panic or recurse without bound ([`DEPTH_MAX`]).
//! - Objects are trees as ARCHITECTURE.md describes them: in Go's JSON form for built-in kinds, so that a
//!   field is in the tree exactly if upstream's typed view of the Go struct would show it.
//!
//! From the bottom up:
//!
//! | module | what |
//! |---|---|
//! | [`order`] | equality, order and texts of values |
//! | [`fields`] | paths, sets of paths, FieldsV1, filters |
//! | [`types`], [`builtin`], [`structural`] | what can be owned separately: the model, for built-in kinds, for custom resources |
//! | [`typed`] | walks of a tree along its type |
//! | [`updater`] | update and apply over the sets of all managers |
//! | [`managed`] | `metadata.managedFields`; **the entry points for a server**, and the order to call them in |
//! | [`strategic`] | strategic merge patch |

pub mod builtin;
pub mod fields;
pub mod managed;
pub mod order;
pub mod strategic;
pub mod structural;
pub mod typed;
pub mod types;
pub mod updater;

#[cfg(test)]
mod testing;

pub use fields::{Filter, Path, PathElement, Set};
pub use types::{Builder, Schema, Type, TypeId};

/// How deep a tree, a field set or a patch may be. Upstream's JSON decoder stops at 10,000; nothing that a
/// person writes comes near this, and every walk of this depth fits the stack of a server thread.
pub const DEPTH_MAX: usize = 500;
