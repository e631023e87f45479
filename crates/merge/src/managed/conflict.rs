//! How conflicts are told to the client.
//!
//! Upstream: `managedfields/internal/conflict.go`. The causes come sorted by manager; upstream's order among
//! managers is that of a Go map.

use super::{Identity, Operation};
use crate::updater::Conflict;
use meta::quote::quote;
use meta::status::{Cause, Status, cause};

/// The Status of an apply that failed with conflicts.
pub fn to_status(mut conflicts: Vec<Conflict>) -> Status {
    // Stable: the paths of one manager stay in the order of its set.
    conflicts.sort_by(|a, b| a.manager.compare(&b.manager));
    let causes = conflicts.iter().map(|c| Cause {
        reason: cause::FIELD_MANAGER_CONFLICT.into(),
        message: format!("conflict with {}", print_manager(&c.manager)),
        field: c.path.to_string(),
    });
    Status::apply_conflict(causes.collect(), message(&conflicts))
}

fn message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        let manager = print_manager(&only.manager);
        return format!("Apply failed with 1 conflict: conflict with {manager}: {}", only.path);
    }
    let mut lines = Vec::new();
    for of_manager in conflicts.chunk_by(|a, b| a.manager == b.manager) {
        lines.push(format!("conflicts with {}:", print_manager(&of_manager[0].manager)));
        lines.extend(of_manager.iter().map(|c| format!("- {}", c.path)));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

fn print_manager(manager: &Identity) -> String {
    let mut out = quote(&manager.manager);
    if !manager.subresource.is_empty() {
        out.push_str(&format!(" with subresource {}", quote(&manager.subresource)));
    }
    if manager.operation == Operation::Update {
        out.push_str(&format!(" using {}", manager.version));
    }
    out
}
