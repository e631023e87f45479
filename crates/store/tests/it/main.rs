//! What the store promises, on every back end.

mod backends;
mod etcd;
mod moves;
mod restart;
