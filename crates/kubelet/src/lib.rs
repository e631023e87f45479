//! The node agent: makes the pods of this node run, and says how they are.
//!
//! Upstream counterpart: `pkg/kubelet`.
//!
//! What it must not know: the store, the command line, the environment, how the network is made (it only asks the
//! runtime whether the network is ready).

mod config;
mod pods;
pub(crate) mod runtime;
pub mod server;

pub use config::Config;
