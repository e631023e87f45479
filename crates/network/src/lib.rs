//! Pod network (CNI), Service rules (nftables).
mod cidr;
pub mod cni;
mod link;
mod namespace;
mod netlink;
mod nft;
mod protocol;
pub mod proxy;

pub use cidr::{Cidr, Family, NotACidr};
pub use protocol::Protocol;

/// Waits until told to stop, or until there is nobody left to tell it.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    // The guard that is returned must not live across an await.
    drop(stop.wait_for(|stop| *stop).await);
}
