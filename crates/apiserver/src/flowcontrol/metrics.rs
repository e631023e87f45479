//! `apiserver_flowcontrol_*`.
//!
//! Upstream: `metrics/metrics.go`.

use super::FlowControl;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of durations, in nanoseconds and as they are printed.
const BOUNDS: [(u64, &str); 13] = [
    (0, "0"),
    (5_000_000, "0.005"),
    (20_000_000, "0.02"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (200_000_000, "0.2"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_000_000_000, "2"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
    (15_000_000_000, "15"),
    (30_000_000_000, "30"),
];

/// The bits of a double.
static FAIR_FRACTION: AtomicU64 = AtomicU64::new(0);

pub(super) fn set_fair_fraction(fraction: f64) {
    FAIR_FRACTION.store(fraction.to_bits(), Relaxed);
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    ConcurrencyLimit,
    QueueFull,
    TimeOut,
}

impl Why {
    const ALL: [(Self, &'static str); 3] = [
        (Self::ConcurrencyLimit, "concurrency-limit"),
        (Self::QueueFull, "queue-full"),
        (Self::TimeOut, "time-out"),
    ];
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn observe(&self, lasted: Duration) {
        let nanoseconds = u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(b, _)| nanoseconds <= *b).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let mut total = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Relaxed);
            let bound = BOUNDS.get(i).map_or("+Inf", |(_, text)| text);
            _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
        }
        let seconds = self.nanoseconds.load(Relaxed) as f64 / 1e9;
        _ = writeln!(out, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {total}");
    }

    fn is_empty(&self) -> bool {
        self.buckets.iter().all(|b| b.load(Relaxed) == 0)
    }
}

/// What has happened to the requests of a schema.
#[derive(Debug, Default)]
pub(super) struct Counters {
    dispatched: AtomicU64,
    rejected: [AtomicU64; 3],
    running: AtomicI64,
    running_seats: AtomicI64,
    queued: AtomicI64,
    queued_seats: AtomicI64,
    ran: Histogram,
    initialized: Histogram,
    waited: [Histogram; 2],
}

impl Counters {
    pub(super) fn dispatched(&self, seats: u32) {
        self.dispatched.fetch_add(1, Relaxed);
        self.running.fetch_add(1, Relaxed);
        self.running_seats.fetch_add(seats.into(), Relaxed);
    }

    pub(super) fn finished(&self, is_watch: bool, seats: u32, lasted: Duration) {
        self.running.fetch_sub(1, Relaxed);
        self.running_seats.fetch_sub(seats.into(), Relaxed);
        if is_watch { &self.initialized } else { &self.ran }.observe(lasted);
    }

    pub(super) fn rejected(&self, why: Why) {
        self.rejected[why as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn waited(&self, lasted: Duration, executed: bool) {
        self.waited[usize::from(executed)].observe(lasted);
    }

    pub(super) fn queued(&self, change: i64, seats: u32) {
        self.queued.fetch_add(change, Relaxed);
        self.queued_seats.fetch_add(change * i64::from(seats), Relaxed);
    }
}

/// Writes all families.
pub(crate) fn write(flow: &FlowControl, out: &mut String) {
    const P: &str = "apiserver_flowcontrol_";
    let current = flow.current.load();
    let family = |out: &mut String, name: &str, kind: &str, help: &str| {
        _ = writeln!(out, "# HELP {P}{name} {help}\n# TYPE {P}{name} {kind}");
    };
    type Gauge = fn(&Counters) -> i64;
    let gauges: [(&str, &str, Gauge); 4] = [
        (
            "current_executing_requests",
            "[BETA] Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
            |c| c.running.load(Relaxed),
        ),
        (
            "current_executing_seats",
            "[BETA] Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
            |c| c.running_seats.load(Relaxed),
        ),
        (
            "current_inqueue_requests",
            "[BETA] Number of requests currently pending in queues of the API Priority and Fairness subsystem",
            |c| c.queued.load(Relaxed),
        ),
        (
            "current_inqueue_seats",
            "[ALPHA] Number of seats currently pending in queues of the API Priority and Fairness subsystem",
            |c| c.queued_seats.load(Relaxed),
        ),
    ];
    let used: Vec<(String, &Counters)> = current
        .schemas
        .iter()
        .map(|s| (format!("flow_schema=\"{}\",priority_level=\"{}\"", s.name, s.level.name()), &*s.counters))
        .filter(|(_, c)| c.dispatched.load(Relaxed) > 0 || c.rejected.iter().any(|r| r.load(Relaxed) > 0))
        .collect();
    for (name, help, get) in gauges {
        family(out, name, "gauge", help);
        for (labels, counters) in &used {
            _ = writeln!(out, "{P}{name}{{{labels}}} {}", get(counters).max(0));
        }
    }
    levels(flow, out, &family);
    let help = "[BETA] Number of requests executed by API Priority and Fairness subsystem";
    family(out, "dispatched_requests_total", "counter", help);
    for (labels, counters) in &used {
        let n = counters.dispatched.load(Relaxed);
        _ = writeln!(out, "{P}dispatched_requests_total{{{labels}}} {n}");
    }
    let help = "[BETA] Number of requests rejected by API Priority and Fairness subsystem";
    family(out, "rejected_requests_total", "counter", help);
    for (labels, counters) in &used {
        for (why, reason) in Why::ALL {
            let n = counters.rejected[why as usize].load(Relaxed);
            if n > 0 {
                _ = writeln!(out, "{P}rejected_requests_total{{{labels},reason=\"{reason}\"}} {n}");
            }
        }
    }
    let help = "[ALPHA] Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem";
    family(out, "request_execution_seconds", "histogram", help);
    for (labels, counters) in &used {
        for (kind, histogram) in [("regular", &counters.ran), ("watch", &counters.initialized)] {
            if !histogram.is_empty() {
                let labels = format!("{labels},type=\"{kind}\"");
                histogram.write(&format!("{P}request_execution_seconds"), &labels, out);
            }
        }
    }
    let help = "[BETA] Length of time a request spent waiting in its queue";
    family(out, "request_wait_duration_seconds", "histogram", help);
    for (labels, counters) in &used {
        for (executed, histogram) in [("false", &counters.waited[0]), ("true", &counters.waited[1])] {
            if !histogram.is_empty() {
                let labels = format!("execute=\"{executed}\",{labels}");
                histogram.write(&format!("{P}request_wait_duration_seconds"), &labels, out);
            }
        }
    }
}

fn levels(flow: &FlowControl, out: &mut String, family: &impl Fn(&mut String, &str, &str, &str)) {
    const P: &str = "apiserver_flowcontrol_";
    type Get = fn(&super::alloc::Demand) -> f64;
    let families: [(&str, &str, Get); 7] = [
        (
            "current_limit_seats",
            "[ALPHA] current derived number of execution seats available to each priority level",
            |d| d.current.into(),
        ),
        (
            "demand_seats_high_watermark",
            "[ALPHA] High watermark, over last adjustment period, of demand_seats",
            |d| d.watermark.into(),
        ),
        ("demand_seats_smoothed", "[ALPHA] Smoothed seat demands", |d| d.smoothed),
        (
            "lower_limit_seats",
            "[ALPHA] Configured lower bound on number of execution seats available to each priority level",
            |d| d.low.into(),
        ),
        (
            "nominal_limit_seats",
            "[BETA] Nominal number of execution seats configured for each priority level",
            |d| d.nominal.into(),
        ),
        ("target_seats", "[ALPHA] Seat allocation targets", |d| d.target()),
        (
            "upper_limit_seats",
            "[ALPHA] Configured upper bound on number of execution seats available to each priority level",
            |d| d.high.into(),
        ),
    ];
    let current = flow.current.load();
    for (name, help, get) in families {
        family(out, name, "gauge", help);
        for level in &current.levels {
            let value = get(&level.last_demand());
            _ = writeln!(out, "{P}{name}{{priority_level=\"{}\"}} {value}", level.name());
        }
    }
    let help =
        "[ALPHA] Fair fraction of server's concurrency to allocate to each priority level that can use it";
    family(out, "seat_fair_frac", "gauge", help);
    _ = writeln!(out, "{P}seat_fair_frac {}", f64::from_bits(FAIR_FRACTION.load(Relaxed)));
}
