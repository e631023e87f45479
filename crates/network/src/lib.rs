//! A node's network: pods (CNI), Services (what kube-proxy does), routes between nodes.
//!
//! | what | where |
//! |---|---|
//! | netlink, links and routes, nf_tables | `netlink`, `link`, `nft` |
//! | the CNI plugin and the agent that does its work | [`cni`] |
//! | Service rules | [`proxy`] |
//! | routes to other nodes' pods | `routes` |
//! | all of it at work | [`run`], [`prepare`], [`teardown`] |
//!
//! Invariants: no program is ever executed (no `nft`, `iptables`, `ip`); what the kernel was told outlives the
//! process; plans are pure; every name in the kernel carries the instance it belongs to, so that several
//! clusters live on one machine. The crate does not know the kubelet, nor what listens at a redirect.

mod cidr;
pub mod cni;
mod config;
pub mod fuzz;
mod link;
mod namespace;
mod netlink;
mod nft;
mod protocol;
pub mod proxy;
mod routes;
mod run;

pub use cidr::{Cidr, Family, NotACidr};
pub use config::Config;
pub use protocol::Protocol;
pub use run::{Objects, follow, prepare, run, teardown};

/// Waits until told to stop, or until there is nobody left to tell it.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // The guard that is returned must not live across an await.
    drop(stop.wait_for(|stop| *stop).await);
}
