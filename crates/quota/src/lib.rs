//! What objects ask for and use, and which of them a ResourceQuota is about.
//!
//! For admission, which records use before an object is stored, and for the controller that counts it anew.
//! Objects are trees in Go's JSON form. Invariants: no I/O, no clock.

pub mod amounts;
mod scopes;
mod usage;

pub use amounts::Amounts;
pub use scopes::matches;
pub use usage::{Evaluator, Kind, is_terminating, replenishes};
