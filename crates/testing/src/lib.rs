//! Real programs that tests of several crates run against. Only tests depend on this: what does not work panics.

pub mod etcd;
