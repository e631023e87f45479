//! Conflicts of an apply.

use crate::fields::Path;
use crate::managed::Identity;

/// A field that is applied but belongs to another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Identity,
    /// The field.
    pub path: Path,
}
