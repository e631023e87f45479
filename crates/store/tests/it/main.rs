//! What the store promises, on every back end.

mod backends;
mod crash;
mod etcd;
mod moves;
mod power;
mod restart;
mod simdisk;
