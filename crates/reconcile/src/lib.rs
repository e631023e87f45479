//! What every controller stands on: a queue of keys, workers, events, a leader's lease, and the clock.
//!
//! Level-triggered: a key says which object to look at, never what happened to it. A controller subscribes
//! to caches ([`client::Lister::subscribe`]), puts keys into its [`Queue`], and [`run`] calls it for one
//! key at a time per key, as `client-go/util/workqueue` does.
//!
//! Invariants: no kind is named here but Event and Lease; a failure is tried again, ever more slowly, and
//! never ends the controller, and neither does a panic.

mod clock;
mod events;
pub mod lease;
mod queue;
mod worker;

pub use clock::Clock;
pub use events::{EventKind, Recorder};
pub use queue::Queue;
pub use worker::{Next, Reconcile, Result, run};
