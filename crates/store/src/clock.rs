//! Time by a handle, so that expiry and the length of the history can be tested without waiting.

use std::sync::Weak;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Where a store gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// Unix time in milliseconds.
    fn now(&self) -> u64;

    /// Calls `listener` whenever time jumps. A clock that only flows, as the system's, does nothing here:
    /// stores wait for their next deadline by themselves.
    fn on_jump(&self, listener: Weak<dyn Fn() + Send + Sync>);

    /// Whether waiting makes this clock advance.
    fn flows(&self) -> bool;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn on_jump(&self, _: Weak<dyn Fn() + Send + Sync>) {}

    fn flows(&self) -> bool {
        true
    }
}

/// A clock that stands until it is moved.
#[derive(Default)]
pub struct ManualClock {
    state: Mutex<Standing>,
}

#[derive(Default)]
struct Standing {
    now: u64,
    listeners: Vec<Weak<dyn Fn() + Send + Sync>>,
}

impl ManualClock {
    /// A clock that stands at this Unix time in milliseconds.
    pub fn at(now: u64) -> Self {
        Self { state: Mutex::new(Standing { now, listeners: Vec::new() }) }
    }

    /// Moves it forward; what became due is done or under way when this returns.
    pub fn advance(&self, by: Duration) {
        let listeners = {
            let mut state = self.state.lock();
            state.now = state.now.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX));
            state.listeners.retain(|listener| listener.strong_count() > 0);
            state.listeners.clone()
        };
        for listener in listeners {
            if let Some(listener) = listener.upgrade() {
                listener();
            }
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> u64 {
        self.state.lock().now
    }

    fn on_jump(&self, listener: Weak<dyn Fn() + Send + Sync>) {
        self.state.lock().listeners.push(listener);
    }

    fn flows(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}
