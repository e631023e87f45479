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
