//! The Container Network Interface, specification 1.1.0 (and the result forms of 0.3.x, 0.4.0 and 1.0.0).
//!
//! The runtime executes the plugin, which is this same binary under the name [`PLUGIN_NAME`]: [`plugin`]
//! forwards the request to the node's [`Agent`] and prints its answer. The agent gives addresses, makes the
//! interfaces and remembers both on disk; a pod's network does not depend on any process afterwards.

mod agent;
mod attach;
pub(crate) mod fuzz;
mod install;
mod ipam;
mod plugin;
mod record;
mod spec;

pub(crate) use agent::teardown;
pub use agent::{Agent, AgentConfig, HostPort};
pub use install::CONFIGURATION_NAME;
pub use plugin::{LOOPBACK_NAME, PLUGIN_NAME, plugin};
pub(crate) use record::fnv;
