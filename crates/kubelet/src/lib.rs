//! The node agent: makes the pods of this node run, and says how they are.
//!
//! | what | where |
//! |---|---|
//! | the Node object and its lease | `node` |
//! | which pods, and a worker for each | `manager`, `worker` |
//! | what is to be done for a pod (pure) | `worker::plan`; its status: `worker::status` |
//! | the container runtime | `runtime`, `exits` |
//! | what containers are made of | `sandbox`, `images`, `env`, `fields`, `dns`, `security`, `resources`, `cgroups`, `volumes`, `objects` |
//! | their health | `probes`, `hooks`, `http` |
//! | room on the disk | `logs`, `image_gc` |
//! | who asks for logs and commands | `server` |
//!
//! A kubelet that starts again finds its containers by their labels and goes on; it restarts nothing.
//!
//! What it must not know: the store, the command line, the environment, how the network is made (it only asks the
//! runtime whether the network is ready). Upstream counterpart: `pkg/kubelet`.

mod cgroups;
mod config;
mod context;
mod dns;
mod env;
mod eviction;
mod exits;
mod fields;
pub mod fuzz;
mod hooks;
mod http;
mod image_gc;
mod images;
mod logs;
mod machine;
mod manager;
mod node;
mod objects;
mod pods;
mod probes;
mod resources;
mod run;
pub(crate) mod runtime;
mod sandbox;
mod security;
pub mod server;
mod spec;
mod state;
#[cfg(test)]
mod testing;
mod text;
mod volumes;
mod worker;

pub use config::Config;
pub use eviction::Thresholds;
pub use machine::Disk;
pub use run::{Error, run, running_pods, stop_all};
