//! Controllers.

use crate::context::Row;

/// All controllers of this folder.
pub const fn controllers() -> &'static [Row] {
    &[]
}
