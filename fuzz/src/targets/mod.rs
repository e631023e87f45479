//! The targets: one function each, and a row.

mod json;
mod json_patch;

use crate::Target;

/// All targets.
pub const ALL: &[Target] = &[
    Target { name: "json", run: json::run, dictionary: json::DICTIONARY },
    Target { name: "json-patch", run: json_patch::run, dictionary: json_patch::DICTIONARY },
];
