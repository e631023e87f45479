//! The network for real: namespaces as a node and its pods, the plugin, the agent, the rules, and packets.
//!
//! Needs root; says so and does nothing otherwise.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod follow;
mod pods;
mod services;
mod world;
