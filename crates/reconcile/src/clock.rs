//! The time, by a handle: a simulation sets it.

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;

/// What time it is.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<Timestamp>>>);

impl Clock {
    /// The machine's.
    pub const fn system() -> Self {
        Self(None)
    }

    /// One that stands still until it is set.
    pub fn simulated(start: Timestamp) -> Self {
        Self(Some(Arc::new(Mutex::new(start))))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.0.as_ref().map_or_else(Timestamp::now, |now| *now.lock())
    }

    /// Moves a simulated clock on; the machine's goes by itself.
    pub fn advance(&self, by: SignedDuration) {
        if let Some(now) = &self.0 {
            let mut now = now.lock();
            *now = now.saturating_add(by).expect("a duration in seconds can be added");
        }
    }
}
