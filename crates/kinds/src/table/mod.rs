//! The table of kinds: one row per group, version and resource.
//!
//! Invariants: the built-in rows stand in the order of upstream's discovery; what discovery tells comes
//! from `facts.rs` (generated), everything else from `rules.rs` (written by hand). A row owns its strings,
//! so that one for a custom resource can be made while the server runs.

mod build;
#[rustfmt::skip]
mod facts;
mod fields;
mod generation;
mod row;
mod rules;

#[cfg(test)]
mod tests;

pub use fields::{FieldError, FieldReader, SelectableField, SelectableFields};
pub use generation::Generation;
pub use row::{
    DeletePolicy, Encoding, FieldPath, MetaChecks, Row, Storage, Subresource, SubresourceKind, UpdateCheck,
};

use std::sync::{Arc, LazyLock};

/// Rows in the order of discovery.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Arc<Row>>,
}

static BUILTIN: LazyLock<Table> = LazyLock::new(build::builtin);

impl Table {
    /// The kinds that a server of this version serves by default.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// A table of these rows, in this order.
    pub const fn new(rows: Vec<Arc<Row>>) -> Self {
        Self { rows }
    }

    /// All rows, in the order of discovery: core first, then groups by priority, in a group the preferred
    /// version first.
    pub fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// The row of a resource, by its plural name.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Row>> {
        self.rows.iter().find(|r| r.plural == plural && r.version == version && r.group == group)
    }

    /// The row of a kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Row>> {
        self.rows.iter().find(|r| r.kind == kind && r.version == version && r.group == group)
    }

    /// The groups with their versions, both in the order of discovery.
    pub fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|(g, _)| *g == row.group) {
                Some((_, versions)) if versions.contains(&row.version.as_str()) => {}
                Some((_, versions)) => versions.push(&row.version),
                None => groups.push((&row.group, vec![&row.version])),
            }
        }
        groups
    }
}
