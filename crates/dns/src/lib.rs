//! The cluster's DNS, answered on every node from the caches that the Service rules live on.
//!
//! Names as the "Kubernetes DNS-Based Service Discovery" specification (1.1.0) says, with pods' names as
//! CoreDNS's `pods insecure`; everything else goes to the node's own resolvers.
//!
//! | what | where |
//! |---|---|
//! | which records a name of the cluster has | [`Zone`]: pure, over caches |
//! | one question, one answer, on the wire | `answer` |
//! | sockets, limits | `server` |
//! | other names | `forward` |
//!
//! Invariants: no DNS pod is needed; a question never waits for the API server; whatever comes over the
//! wire is answered or dropped, and held in limits.

mod answer;
mod forward;
pub mod fuzz;
mod resolv_conf;
mod server;
mod zone;

pub use forward::Upstreams;
pub use server::{Config, run};
pub use zone::{Found, Zone};
