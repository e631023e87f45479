//! Pod network (CNI), Service rules (nftables).
mod cidr;
pub mod cni;
mod link;
mod namespace;
mod netlink;
mod protocol;

pub use cidr::{Cidr, Family, NotACidr};
pub use protocol::Protocol;
