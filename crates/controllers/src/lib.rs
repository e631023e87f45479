//! The controllers of Kubernetes (`kube-controller-manager`): one controller is one file, or a folder.
//!
//! Each opens with what it watches, what it owns and which upstream controller it mirrors, decides by a
//! pure `plan`, and acts under its own service account. Invariants: no controller sees the store or another
//! controller; nobody else writes what it owns; all changes are creates, patches, applies and deletes.

pub mod cluster;
mod context;
pub mod workloads;

pub use context::{Clients, Config, Context, Row, Tasks};

/// Runs all controllers but those named in `without`, until [`Context::stop`].
pub async fn run(context: Context, without: &[String]) {
    let mut tasks = Tasks::new();
    for row in workloads::controllers().iter().chain(cluster::controllers()) {
        if !without.iter().any(|name| name == row.name) {
            (row.start)(&context, &mut tasks);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a controller ended badly");
        }
    }
}
