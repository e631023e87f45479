//! What the store promises, on every back end.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "these are tests, helpers included")]

mod backends;
mod crash;
mod etcd;
mod moves;
mod power;
mod restart;
mod simdisk;
mod space;
