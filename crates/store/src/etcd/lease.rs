//! Times to live by etcd's leases, shared between keys so that a burst of events does not grant thousands.
//!
//! Upstream counterpart: `storage/etcd3/lease_manager.go`, whose numbers these are.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::Client;
use super::proto::{LeaseGrantRequest, LeaseGrantResponse};
use crate::Error;

/// A lease is handed out again for so long after it was granted, at most...
const REUSE_MAX: Duration = Duration::from_secs(60);
/// ...and for this part of its time to live...
const REUSE_PART: u32 = 20;
/// ...and to so many keys.
const REUSE_KEYS_MAX: u32 = 1000;

/// The newest lease.
#[derive(Default)]
pub(super) struct Leases(Mutex<Option<Lease>>);

struct Lease {
    id: i64,
    expires: Instant,
    keys: u32,
}

impl Leases {
    /// A lease that lasts `ttl` or a little longer.
    pub(super) async fn get(&self, client: &Client, ttl: Duration) -> Result<i64, Error> {
        // Whole seconds, and not less than asked for.
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))
            .max(Duration::from_secs(1));
        let extra = Duration::from_secs((ttl / REUSE_PART).min(REUSE_MAX).as_secs());
        let mut newest = self.0.lock().await;
        let now = Instant::now();
        if let Some(lease) = &mut *newest
            && lease.expires > now + ttl
            && lease.expires < now + ttl + extra
            && lease.keys < REUSE_KEYS_MAX
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        let whole = ttl + extra;
        let request = LeaseGrantRequest { ttl: i64::try_from(whole.as_secs()).unwrap_or(i64::MAX) };
        let granted: LeaseGrantResponse = client.write(super::LEASE_GRANT, request).await?;
        if !granted.error.is_empty() {
            return Err(Error::unavailable(format!("etcd grants no lease: {}", granted.error)));
        }
        *newest = Some(Lease { id: granted.id, expires: now + whole, keys: 1 });
        Ok(granted.id)
    }
}
