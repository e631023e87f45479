//! A plain limit on requests at once, where priority and fairness is off: so many that read, so many that
//! write, and who comes on top is told to come again.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/filters/maxinflight.go`.

use super::too_many;
use crate::call::Call;
use crate::reply::Reply;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When a refused client is told to come again.
const RETRY_AFTER_SECONDS: i64 = 1;

/// How many requests at once; 0 for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// That read (`--max-requests-inflight`).
    pub reading: u32,
    /// That write (`--max-mutating-requests-inflight`).
    pub mutating: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reading: 400, mutating: 200 }
    }
}

/// The mechanism.
pub struct InFlight {
    reading: Option<Arc<Semaphore>>,
    mutating: Option<Arc<Semaphore>>,
}

impl InFlight {
    /// With these limits.
    pub fn new(limits: Limits) -> Self {
        let semaphore = |n: u32| (n > 0).then(|| Arc::new(Semaphore::new(n as usize)));
        Self { reading: semaphore(limits.reading), mutating: semaphore(limits.mutating) }
    }

    /// Lets a request in for as long as what it gets lasts, or refuses it with 429. What lasts long is not
    /// counted, and superusers always get an answer.
    pub(crate) fn enter(&self, call: &Call) -> Result<Option<OwnedSemaphorePermit>, Reply> {
        let reads = matches!(call.info.verb.as_str(), "get" | "list" | "watch");
        let limit = if reads { &self.reading } else { &self.mutating };
        let Some(limit) = limit.as_ref().filter(|_| !call.is_long_running()) else { return Ok(None) };
        match limit.clone().try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if call.user.in_group(auth::user::SYSTEM_MASTERS) => Ok(None),
            Err(_) => Err(too_many(RETRY_AFTER_SECONDS)),
        }
    }
}
