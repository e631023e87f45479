//! Conflicts of an apply.

use crate::fields::{Path, Set};
use crate::managed::Identity;

/// A field that is applied but belongs to another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: Identity,
    /// The field.
    pub path: Path,
}

impl Conflict {
    /// The fields of several conflicts.
    pub fn set(conflicts: &[Self]) -> Set {
        let mut set = Set::new();
        for c in conflicts {
            set.insert(&c.path.0);
        }
        set
    }
}
