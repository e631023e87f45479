//! What kubelets may do: the Node authorizer, and the NodeRestriction admission plugin.
//!
//! A node may read what the pods bound to it refer to, and nothing else of its kind; [`Graph`] knows which
//! that is. Upstream: `plugin/pkg/auth/authorizer/node`, `plugin/pkg/admission/noderestriction`.

mod authorizer;
mod graph;
mod references;
pub mod restriction;
#[cfg(test)]
mod tests;

pub use authorizer::authorize;
pub use graph::{Graph, Related};
pub use restriction::is_forbidden_label;
