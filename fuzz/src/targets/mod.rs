//! The targets: one function each, and a row.

mod json;
mod json_patch;
mod jsonpath;
mod yaml;

use crate::Target;

/// All targets.
pub const ALL: &[Target] = &[
    Target { name: "json", run: json::run, dictionary: json::DICTIONARY },
    Target { name: "json-patch", run: json_patch::run, dictionary: json_patch::DICTIONARY },
    Target { name: "yaml", run: yaml::run, dictionary: yaml::DICTIONARY },
    Target { name: "jsonpath", run: jsonpath::run, dictionary: jsonpath::DICTIONARY },
];
