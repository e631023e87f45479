//! Priority and fairness: which requests run when there are more than the server can take.
//!
//! FlowSchemas sort requests into priority levels; each level has seats, queues and flows. While a level has
//! free seats and nobody waits, a request takes its seats with one atomic exchange; only then, when it must
//! wait, is there a lock, a queue and a hash. Read [`queueset`] for the fairness (a pure state machine),
//! [`level`] for how requests wait, `controller` for what follows the objects.
//!
//! Invariants:
//! - Seats in use are at most the level's limit, but for a request that is wider than the limit and alone.
//! - Whoever took seats gives them back when its [`Ticket`] is dropped, also when the client goes away.
//! - There is always a level for a request: without objects, `exempt` and `catch-all` are imagined.
//!
//! Differences from upstream: what is admitted without waiting is in no queue, so the fairness begins when
//! waiting begins; the deviation of a level's demand is that of independent arrivals, not measured.
//!
//! Upstream: `k8s.io/apiserver/pkg/util/flowcontrol`, `pkg/server/filters/priority-and-fairness.go`.

mod alloc;
mod config;
mod controller;
mod dump;
mod estimate;
mod in_flight;
mod level;
mod matching;
mod metrics;
mod queueset;
mod retry_after;
mod shuffle;

pub use in_flight::{InFlight, Limits};
pub(crate) use metrics::write as write_metrics;

use crate::call::Call;
use crate::reply::Reply;
use arc_swap::ArcSwap;
use config::Schema;
use http::{HeaderName, HeaderValue, header};
use level::Level;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The group of the objects.
pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// How long a request waits at most: a quarter of what it may take.
const WAIT_MAX: Duration = Duration::from_secs(15);
const LEVEL_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
const SCHEMA_UID: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");

/// The mechanism.
pub struct FlowControl {
    seats: u32,
    current: ArcSwap<Current>,
    /// Told when an object has changed.
    pub(crate) changed: Notify,
    retry_after: Mutex<retry_after::Tracker>,
    /// The time zero of the state machines.
    began: Instant,
}

/// What the objects say now.
#[derive(Default)]
struct Current {
    /// In the order in which they are asked.
    schemas: Vec<Arc<Schema>>,
    /// By name.
    levels: Vec<Arc<Level>>,
}

/// The headers of an answer that was sorted.
#[derive(Clone, Debug)]
pub(crate) struct Sorted {
    level: HeaderValue,
    schema: HeaderValue,
}

impl Sorted {
    pub(crate) fn write(self, headers: &mut http::HeaderMap) {
        headers.insert(LEVEL_UID, self.level);
        headers.insert(SCHEMA_UID, self.schema);
    }
}

/// A request that runs. Dropping it gives its seats back.
pub(crate) struct Ticket {
    seat: level::Seat,
    schema: Arc<Schema>,
    is_watch: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let lasted = self.seat.began.elapsed();
        self.schema.counters.finished(self.is_watch, self.seat.seats(), lasted);
        self.seat.lasted = Some(lasted);
    }
}

impl FlowControl {
    /// With so many seats for all levels together.
    pub fn new(seats: u32) -> Arc<Self> {
        let this = Self {
            seats,
            current: ArcSwap::default(),
            changed: Notify::new(),
            retry_after: Mutex::default(),
            began: Instant::now(),
        };
        this.digest(&[], &[]);
        Arc::new(this)
    }

    /// Lets a request in, perhaps after it has waited, or refuses it with 429. Whatever becomes of it, its
    /// answer says by what it was sorted.
    pub(crate) async fn enter(&self, call: &Call) -> (Result<Ticket, Reply>, Sorted) {
        let (schema, level) = {
            let current = self.current.load();
            let schema = current.schemas.iter().find(|s| s.matches(&call.user, &call.info, &call.path));
            // The last one is a catch-all; a request that it leaves out is its all the same.
            let schema = schema.or(current.schemas.last()).expect("catch-all is always there");
            (schema.clone(), schema.level.clone())
        };
        let sorted = Sorted { level: level.uid(), schema: schema.uid.clone() };
        let work = estimate::estimate(call, level.widest());
        let is_watch = call.info.verb == "watch";
        let began = Instant::now();
        if level.try_enter(work.max_seats()) {
            schema.counters.dispatched(work.max_seats());
            let seat = level::Seat::free(level, work, began);
            return (Ok(Ticket { seat, schema, is_watch }), sorted);
        }
        // Boxed: few wait, and all requests would be as large as those that do.
        (Box::pin(self.wait(call, schema, level, work, began)).await, sorted)
    }

    async fn wait(
        &self,
        call: &Call,
        schema: Arc<Schema>,
        level: Arc<Level>,
        work: queueset::Work,
        began: Instant,
    ) -> Result<Ticket, Reply> {
        let flow = schema.flow(&call.user, &call.info);
        let detail = dump::Detail::of(call, &schema, &flow);
        let name = level.name().clone();
        let waited = level.wait(schema.hash(&flow), work, detail, &schema.counters, WAIT_MAX).await;
        call.waits.queued(began.elapsed());
        let is_watch = call.info.verb == "watch";
        match waited {
            Ok(seat) => {
                schema.counters.waited(began.elapsed(), true);
                schema.counters.dispatched(seat.seats());
                Ok(Ticket { seat, schema, is_watch })
            }
            Err(why) => {
                schema.counters.waited(began.elapsed(), false);
                schema.counters.rejected(why);
                crate::metrics::terminated(call, 429);
                let second = jiff::Timestamp::now().as_second();
                Err(self.too_many(second, &name))
            }
        }
    }

    /// 429, with word when to come again.
    fn too_many(&self, second: i64, level: &str) -> Reply {
        too_many(self.retry_after.lock().dropped(second, level))
    }
}

/// 429: come again after so many seconds.
fn too_many(retry_after: i64) -> Reply {
    let mut reply = Reply::text_only(429, "Too many requests, please try again later.\n");
    reply.headers.push((header::RETRY_AFTER, HeaderValue::from(retry_after)));
    reply
}

/// Whether requests of this kind are sorted: connections are not.
pub(crate) fn concerns(call: &Call) -> bool {
    call.info.verb == "watch" || !crate::route::is_long_running(&call.info)
}

pub(crate) use controller::follow;
pub(crate) use dump::answer as debug;

#[cfg(test)]
mod tests;
