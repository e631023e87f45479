//! Services: the rules by which packets to a Service reach an endpoint, as kube-proxy v1.36 has them.
//!
//! `plan` says what a Service becomes on a node, and is pure; `rules` compares; `kernel` makes it true. Layout:
//! `element.rs` and `skeleton.rs`.

mod conntrack;
pub(crate) mod element;
mod endpoints;
mod health;
mod kernel;
mod plan;
#[cfg(test)]
mod plan_tests;
mod rules;
mod service_rules;
mod skeleton;

pub(crate) use conntrack::fuzz_flow;
pub use element::{Backend, Frontend};
pub(crate) use health::{ServicePorts, Shared as HealthShared, serve_proxy as serve_health};
pub use plan::{Node, RuleSet, plan};
pub(crate) use service_rules::remove_tables;
pub use service_rules::{ProxyConfig, ServiceRules};
