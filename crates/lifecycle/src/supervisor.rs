//! The parent of Corten's processes: starts them in order, says how long each took, restarts what ends.
//!
//! It has no async runtime and no threads that outlive a start: one poll waits for signals, for the ends of
//! children and for what they tell. If it is killed, the kernel ends its children with it; containers and
//! containerd run on, and the next `up` finds them.

pub mod logs;
