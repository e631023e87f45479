//! `/metrics`: what the server has done and uses, in Prometheus' text format with upstream's names.
//!
//! Counting costs a request one hash, one shared lock and a few atomic additions. Series exist only for
//! resources that are served, so nobody can make them many by asking for nonsense.
//!
//! Upstream: `k8s.io/apiserver/pkg/endpoints/metrics`, `…/storage/etcd3/metrics`, client_golang's process
//! collector.

mod process;
mod vec;
pub(crate) mod webhooks;

use crate::call::Call;
use crate::reply::Reply;
use crate::request::RequestInfo;
use crate::resource::Registry;
use foldhash::quality::RandomState;
use http::Method;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use vec::{CounterVec, HistogramVec};

/// Upper bounds of the duration buckets, in seconds.
const BOUNDS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0,
];
/// How many of the lowest bounds the service level has no use for.
const SLI_WITHOUT: usize = 2;
/// How many different codes a series tells apart; the rest is counted with the last.
const CODES: usize = 12;
/// How many series there may be; what comes later is not counted.
const SERIES_MAX: usize = 4096;
/// Subresources whose requests are connections whatever their method.
const CONNECTIONS: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

#[derive(Default)]
struct Metrics {
    hasher: RandomState,
    /// By the hash of the labels: the keys never come from outside alone, and two that collide are counted
    /// as one.
    series: RwLock<HashMap<u64, Arc<Series>>>,
    reading: AtomicI64,
    mutating: AtomicI64,
}

static TERMINATIONS: CounterVec<8> = CounterVec::new(
    "apiserver_request_terminations_total",
    "[ALPHA] Number of requests which apiserver terminated in self-defense.",
    ["code", "component", "group", "resource", "scope", "subresource", "verb", "version"],
);
static UNAVAILABLE: CounterVec<2> = CounterVec::new(
    "aggregator_unavailable_apiservice_total",
    "[ALPHA] Counter of APIServices which are marked as unavailable broken down by APIService name and reason.",
    ["name", "reason"],
);
static CERTIFICATES: HistogramVec<0> = HistogramVec::new(
    "apiserver_client_certificate_expiration_seconds",
    "[ALPHA] Distribution of the remaining lifetime on the certificate used to authenticate a request.",
    &[
        0.0,
        1800.0,
        3600.0,
        7200.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        345_600.0,
        604_800.0,
        2_592_000.0,
        7_776_000.0,
        15_552_000.0,
        31_104_000.0,
    ],
    [],
);

/// Notes that a request was refused by a server that has too much to do.
pub(crate) fn terminated(call: &Call, code: u16) {
    let info = &call.info;
    let labels: [&str; 8] = [
        &code.to_string(),
        "apiserver",
        &info.group,
        &info.resource,
        scope(info),
        &info.subresource,
        verb(call),
        &info.version,
    ];
    // As of all series: nobody makes them many by asking for nonsense.
    if !info.is_resource || is_served(&call.api.registry.load(), info) {
        TERMINATIONS.count(labels);
    }
}

/// Notes that an APIService can no longer be used.
pub(crate) fn unavailable(name: &str, reason: &str) {
    UNAVAILABLE.count([name, reason]);
}

/// Notes that a caller showed a certificate that is good for so many seconds more.
pub(crate) fn certificate(seconds: i64) {
    CERTIFICATES.observe([], seconds as f64);
}

/// How long a request waited for what is not this server's, in nanoseconds. What it took besides is what the server is
/// measured by (its service level).
///
/// Upstream: `k8s.io/apiserver/pkg/endpoints/request/webhook_duration.go`.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// One after the other.
    mutating: AtomicU64,
    /// All at once.
    validating: AtomicU64,
    queued: AtomicU64,
}

impl Waits {
    pub(crate) fn mutating(&self, time: Duration) {
        self.mutating.fetch_add(nanoseconds(time), Relaxed);
    }

    pub(crate) fn validating(&self, time: Duration) {
        self.validating.fetch_max(nanoseconds(time), Relaxed);
    }

    pub(crate) fn queued(&self, time: Duration) {
        self.queued.fetch_add(nanoseconds(time), Relaxed);
    }

    fn sum(&self) -> u64 {
        let waits = [&self.mutating, &self.validating, &self.queued];
        waits.iter().map(|wait| wait.load(Relaxed)).fold(0, u64::saturating_add)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Requests of one kind.
struct Series {
    labels: Labels,
    /// How many of those that last are there now, and how many events they were sent.
    lasting: AtomicI64,
    events: AtomicU64,
    event_bytes: AtomicU64,
    times: Times,
    /// Without what they waited for others.
    own_times: Times,
    codes: [(AtomicU32, AtomicU64); CODES],
}

/// How long requests took.
#[derive(Default)]
struct Times {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Times {
    fn count(&self, nanoseconds: u64) {
        let seconds = nanoseconds as f64 / 1e9;
        let bucket = BOUNDS.iter().position(|b| seconds <= *b).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    fn reset(&self) {
        self.buckets.iter().chain([&self.nanoseconds]).for_each(|count| count.store(0, Relaxed));
    }

    /// Writes one series of a histogram, without so many of the lowest bounds.
    fn write(&self, out: &mut String, name: &str, labels: &str, without: usize) {
        let mut total = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Relaxed);
            match BOUNDS.get(i) {
                Some(_) if i < without => {}
                Some(bound) => _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}"),
                None => _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {total}"),
            }
        }
        let seconds = self.nanoseconds.load(Relaxed) as f64 / 1e9;
        _ = writeln!(out, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {total}");
    }
}

/// All labels but the code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    verb: &'static str,
    dry_run: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    component: &'static str,
}

/// A request on its way. Ends when it is dropped, also when the client goes away.
pub(crate) struct Observation {
    began: Instant,
    /// Whether it mutates; `None` for what lasts.
    mutates: Option<bool>,
}

impl Observation {
    /// Notes that a request is there.
    pub(crate) fn begin(info: &RequestInfo) -> Self {
        let lasts = info.verb == "watch" || crate::route::is_long_running(info);
        let mutates = (!lasts).then(|| !matches!(info.verb.as_str(), "get" | "list" | "head"));
        if let Some(mutates) = mutates {
            gauge(mutates).fetch_add(1, Relaxed);
        }
        Self { began: Instant::now(), mutates }
    }

    /// Notes how it was answered.
    pub(crate) fn end(self, call: &Call, code: u16) {
        METRICS.count(call, code, nanoseconds(self.began.elapsed()));
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        if let Some(mutates) = self.mutates {
            gauge(mutates).fetch_sub(1, Relaxed);
        }
    }
}

fn gauge(mutates: bool) -> &'static AtomicI64 {
    if mutates { &METRICS.mutating } else { &METRICS.reading }
}

impl Metrics {
    fn count(&self, call: &Call, code: u16, nanoseconds: u64) {
        self.with(call, |series| series.count(code, nanoseconds, call.waits.sum()));
    }

    /// Does something with the series of a request, if there is one.
    fn with<T>(&self, call: &Call, work: impl FnOnce(&Arc<Series>) -> T) -> Option<T> {
        let info = &call.info;
        if !info.is_resource && !is_health(&call.path) {
            return None;
        }
        let (verb, scope, dry_run) = (verb(call), scope(info), dry_run(call));
        let subresource = if info.is_resource { info.subresource.as_str() } else { call.path.as_str() };
        let key = self.hasher.hash_one((
            verb,
            scope,
            dry_run,
            info.group.as_str(),
            info.version.as_str(),
            info.resource.as_str(),
            subresource,
        ));
        if let Some(series) = self.series.read().get(&key) {
            return Some(work(series));
        }
        if info.is_resource && !is_served(&call.api.registry.load(), info) {
            return None;
        }
        let labels = Labels {
            verb,
            dry_run,
            group: info.group.as_str().to_owned(),
            version: info.version.as_str().to_owned(),
            resource: info.resource.as_str().to_owned(),
            subresource: subresource.to_owned(),
            scope,
            component: if info.is_resource { "apiserver" } else { "" },
        };
        let mut series = self.series.write();
        if series.len() >= SERIES_MAX {
            return None;
        }
        Some(work(series.entry(key).or_insert_with(|| Arc::new(Series::new(labels)))))
    }
}

/// A watch that is there until this is dropped.
pub(crate) struct Lasting(Option<Arc<Series>>);

impl Lasting {
    pub(crate) fn begin(call: &Call) -> Self {
        let series = METRICS.with(call, Arc::clone);
        if let Some(series) = &series {
            series.lasting.fetch_add(1, Relaxed);
        }
        Self(series)
    }

    /// Notes that events were sent.
    pub(crate) fn sent(&self, events: usize, bytes: usize) {
        if let Some(series) = self.0.as_ref().filter(|_| events > 0) {
            series.events.fetch_add(events as u64, Relaxed);
            series.event_bytes.fetch_add(bytes as u64, Relaxed);
        }
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        if let Some(series) = &self.0 {
            series.lasting.fetch_sub(1, Relaxed);
        }
    }
}

impl Series {
    fn new(labels: Labels) -> Self {
        Self {
            labels,
            lasting: AtomicI64::new(0),
            events: AtomicU64::new(0),
            event_bytes: AtomicU64::new(0),
            times: Times::default(),
            own_times: Times::default(),
            codes: std::array::from_fn(|_| (AtomicU32::new(0), AtomicU64::new(0))),
        }
    }

    fn reset(&self) {
        self.times.reset();
        self.own_times.reset();
        let counts = self.codes.iter().map(|(_, count)| count);
        counts.chain([&self.events, &self.event_bytes]).for_each(|count| count.store(0, Relaxed));
    }

    fn count(&self, code: u16, nanoseconds: u64, waited: u64) {
        self.times.count(nanoseconds);
        if self.labels.dry_run.is_empty() {
            self.own_times.count(nanoseconds.saturating_sub(waited));
        }
        let code = u32::from(code);
        for (i, (slot, count)) in self.codes.iter().enumerate() {
            let mut there = slot.load(Relaxed);
            if there == 0 {
                there = slot.compare_exchange(0, code, Relaxed, Relaxed).map_or_else(|other| other, |_| code);
            }
            if there == code || i == CODES - 1 {
                count.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}

/// Whether a path names a resource that is served.
fn is_served(registry: &Registry, info: &RequestInfo) -> bool {
    let served = registry.find(&info.group, &info.version, &info.resource);
    let has_sub = |sub: &str| {
        sub.is_empty() || served.is_some_and(|s| s.row.subresources.iter().any(|known| known.name == sub))
    };
    served.is_some() && has_sub(&info.subresource)
}

fn is_health(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz")
}

fn verb(call: &Call) -> &'static str {
    if CONNECTIONS.contains(&call.info.subresource.as_str()) {
        return "CONNECT";
    }
    match call.info.verb.as_str() {
        "list" => "LIST",
        "watch" | "watchlist" => "WATCH",
        "deletecollection" => "DELETECOLLECTION",
        _ => match call.method {
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => {
                let apply = call.header(http::header::CONTENT_TYPE) == Some("application/apply-patch+yaml");
                if apply { "APPLY" } else { "PATCH" }
            }
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "GET",
        },
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    if !info.name.is_empty() || info.verb == "create" {
        "resource"
    } else if !info.namespace.is_empty() {
        "namespace"
    } else if info.is_resource {
        "cluster"
    } else {
        ""
    }
}

fn dry_run(call: &Call) -> &'static str {
    match call.query.get("dryRun") {
        None => "",
        Some("All") => "All",
        Some(_) => "invalid",
    }
}

/// Answers `/metrics`.
pub(crate) fn answer(call: &Call) -> Reply {
    if call.method == Method::DELETE {
        reset();
        return Reply::text(200, "metrics reset\n");
    }
    let mut out = String::with_capacity(64 << 10);
    requests(&mut out);
    let help = "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.";
    family(&mut out, "apiserver_current_inflight_requests", "gauge", help);
    for (kind, gauge) in [("mutating", &METRICS.mutating), ("readOnly", &METRICS.reading)] {
        let n = gauge.load(Relaxed).max(0);
        _ = writeln!(out, "apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {n}");
    }
    watches(&mut out);
    if let Some(audit) = &call.api.audit {
        audited(audit, &mut out);
    }
    webhooks::write(&mut out);
    TERMINATIONS.write(&mut out);
    CERTIFICATES.write(&mut out);
    aggregated(call, &mut out);
    let registry = call.api.registry.load();
    objects(&registry, &mut out);
    cut(&registry, &mut out);
    if let Some(flow) = &call.api.flow {
        crate::flowcontrol::write_metrics(flow, &mut out);
    }
    build_info(&mut out);
    process::write(&mut out);
    page(out)
}

/// Counts of requests begin anew; what is there now stays.
fn reset() {
    METRICS.series.read().values().for_each(|series| series.reset());
    webhooks::reset();
    TERMINATIONS.reset();
    UNAVAILABLE.reset();
    CERTIFICATES.reset();
}

/// Answers `/metrics/slis`: how the health checks came out.
pub(crate) fn service_level(call: &Call) -> Reply {
    let mut out = String::new();
    call.api.health.write_metrics(&mut out);
    page(out)
}

fn page(text: String) -> Reply {
    Reply::bytes(200, "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", text)
}

/// Begins the series of one name.
pub(crate) fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn requests(out: &mut String) {
    let series = METRICS.series.read();
    let mut all: Vec<(String, &Series)> = series.values().map(|s| (s.labels.to_string(), &**s)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    const NAME: &str = "apiserver_request_duration_seconds";
    let help = "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.";
    family(out, NAME, "histogram", help);
    let timed = || all.iter().filter(|(_, s)| s.labels.verb != "WATCH");
    for (labels, series) in timed() {
        series.times.write(out, NAME, labels, 0);
    }
    const OWN_NAME: &str = "apiserver_request_sli_duration_seconds";
    let help = "[ALPHA] Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.";
    family(out, OWN_NAME, "histogram", help);
    for (labels, series) in timed().filter(|(_, s)| s.labels.dry_run.is_empty()) {
        series.own_times.write(out, OWN_NAME, &labels.replacen("dry_run=\"\",", "", 1), SLI_WITHOUT);
    }
    let help = "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.";
    family(out, "apiserver_request_total", "counter", help);
    for (labels, series) in &all {
        for (code, count) in series.codes.iter().map(|(c, n)| (c.load(Relaxed), n.load(Relaxed))) {
            if code != 0 {
                _ = writeln!(out, "apiserver_request_total{{code=\"{code}\",{labels}}} {count}");
            }
        }
    }
}

/// Watches: how many there are, and what they were sent.
fn watches(out: &mut String) {
    let series = METRICS.series.read();
    let mut all: Vec<&Arc<Series>> = series.values().filter(|s| s.labels.verb == "WATCH").collect();
    all.sort_by(|a, b| {
        let key = |s: &Series| (s.labels.group.clone(), s.labels.resource.clone(), s.labels.to_string());
        key(a).cmp(&key(b))
    });
    let help = "[STABLE] Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.";
    family(out, "apiserver_longrunning_requests", "gauge", help);
    for series in &all {
        let (labels, n) = (&series.labels, series.lasting.load(Relaxed).max(0));
        _ = writeln!(
            out,
            "apiserver_longrunning_requests{{component=\"{}\",group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"}} {n}",
            labels.component,
            labels.group,
            labels.resource,
            labels.scope,
            labels.subresource,
            labels.verb,
            labels.version
        );
    }
    // Scopes are not told apart here.
    let mut sums: Vec<(String, u64, u64)> = Vec::new();
    for series in &all {
        let labels = &series.labels;
        let text = format!(
            "group=\"{}\",resource=\"{}\",version=\"{}\"",
            labels.group, labels.resource, labels.version
        );
        let (events, bytes) = (series.events.load(Relaxed), series.event_bytes.load(Relaxed));
        match sums.last_mut().filter(|(last, ..)| *last == text) {
            Some((_, n, b)) => (*n, *b) = (*n + events, *b + bytes),
            None => sums.push((text, events, bytes)),
        }
    }
    let help = "[ALPHA] Number of events sent in watch clients";
    family(out, "apiserver_watch_events_total", "counter", help);
    for (labels, events, _) in &sums {
        _ = writeln!(out, "apiserver_watch_events_total{{{labels}}} {events}");
    }
    let help = "[ALPHA] Watch event size distribution in bytes";
    family(out, "apiserver_watch_events_sizes", "summary", help);
    for (labels, events, bytes) in &sums {
        _ = writeln!(out, "apiserver_watch_events_sizes_sum{{{labels}}} {bytes}");
        _ = writeln!(out, "apiserver_watch_events_sizes_count{{{labels}}} {events}");
    }
}

/// The APIs of other servers.
fn aggregated(call: &Call, out: &mut String) {
    UNAVAILABLE.write(out);
    let help = "[ALPHA] Gauge of APIServices which are marked as unavailable broken down by APIService name.";
    family(out, "aggregator_unavailable_apiservice", "gauge", help);
    for (name, is_available) in call.api.aggregation.states() {
        let n = u8::from(!is_available);
        _ = writeln!(out, "aggregator_unavailable_apiservice{{name=\"{name}\"}} {n}");
    }
}

/// What the audit log has done.
fn audited(audit: &crate::audit::Audit, out: &mut String) {
    let counters = &audit.counters;
    let plain: [(&str, &str, u64); 2] = [
        (
            "apiserver_audit_event_total",
            "[ALPHA] Counter of audit events generated and sent to the audit backend.",
            counters.events.load(Relaxed),
        ),
        (
            "apiserver_audit_requests_rejected_total",
            "[ALPHA] Counter of apiserver requests rejected due to an error in audit logging backend.",
            counters.rejected.load(Relaxed),
        ),
    ];
    for (name, help, n) in plain {
        family(out, name, "counter", help);
        _ = writeln!(out, "{name} {n}");
    }
    let help = "[ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.";
    family(out, "apiserver_audit_error_total", "counter", help);
    _ = writeln!(out, "apiserver_audit_error_total{{plugin=\"log\"}} {}", counters.errors.load(Relaxed));
    let help = "[ALPHA] Counter of policy levels for audit events (1 per request).";
    family(out, "apiserver_audit_level_total", "counter", help);
    for (level, n) in crate::audit::Level::ALL.iter().zip(&counters.levels) {
        let level = level.as_str();
        _ = writeln!(out, "apiserver_audit_level_total{{level=\"{level}\"}} {}", n.load(Relaxed));
    }
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // In the order of their names. None needs quoting: they are names of resources and the like.
        write!(
            f,
            "component=\"{}\",dry_run=\"{}\",group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
            self.component,
            self.dry_run,
            self.group,
            self.resource,
            self.scope,
            self.subresource,
            self.verb,
            self.version
        )
    }
}

/// How many objects there are of each kind.
fn objects(registry: &Registry, out: &mut String) {
    let hubs = registry.hubs().map(|h| (h.row.group.as_str(), h.row.plural.as_str(), h.cache.len()));
    let mut hubs: Vec<(&str, &str, usize)> = hubs.collect();
    hubs.sort_unstable();
    hubs.dedup();
    let help = "[ALPHA] Number of stored objects at the time of last check split by kind.";
    family(out, "apiserver_resource_objects", "gauge", help);
    for (group, resource, n) in &hubs {
        _ = writeln!(out, "apiserver_resource_objects{{group=\"{group}\",resource=\"{resource}\"}} {n}");
    }
    let help = "[STABLE] Number of stored objects at the time of last check split by kind. In case of a fetching error, the value will be -1.";
    family(out, "apiserver_storage_objects", "gauge", help);
    for (group, resource, n) in &hubs {
        let dot = if group.is_empty() { "" } else { "." };
        _ = writeln!(out, "apiserver_storage_objects{{resource=\"{resource}{dot}{group}\"}} {n}");
    }
}

/// Watches that were ended because nobody read them.
fn cut(registry: &Registry, out: &mut String) {
    let hubs = registry.hubs().map(|h| (h.row.group.as_str(), h.row.plural.as_str(), h.cache.cut()));
    let mut hubs: Vec<(&str, &str, u64)> = hubs.filter(|(_, _, n)| *n > 0).collect();
    hubs.sort_unstable();
    let help = "[ALPHA] Counter of watchers closed due to unresponsiveness broken by resource type.";
    family(out, "apiserver_terminated_watchers_total", "counter", help);
    for (group, resource, n) in hubs {
        _ = writeln!(
            out,
            "apiserver_terminated_watchers_total{{group=\"{group}\",resource=\"{resource}\"}} {n}"
        );
    }
}

fn build_info(out: &mut String) {
    let names = [
        ("build_date", "buildDate"),
        ("compiler", "compiler"),
        ("git_commit", "gitCommit"),
        ("git_tree_state", "gitTreeState"),
        ("git_version", "gitVersion"),
        ("go_version", "goVersion"),
        ("major", "major"),
        ("minor", "minor"),
        ("platform", "platform"),
    ];
    let labels = names.map(|(label, key)| format!("{label}=\"{}\"", crate::endpoints::version::field(key)));
    let help = "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";
    family(out, "kubernetes_build_info", "gauge", help);
    _ = writeln!(out, "kubernetes_build_info{{{}}} 1", labels.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_count() {
        let labels = Labels {
            verb: "GET",
            dry_run: "",
            group: "apps".into(),
            version: "v1".into(),
            resource: "deployments".into(),
            subresource: String::new(),
            scope: "resource",
            component: "apiserver",
        };
        let series = Series::new(labels);
        series.count(200, 5_000_000, 0);
        series.count(200, 5_000_001, 0);
        series.count(404, 70_000_000_000, 69_950_000_000);
        let buckets: Vec<u64> = series.times.buckets.iter().map(|b| b.load(Relaxed)).collect();
        assert_eq!((buckets[0], buckets[1], buckets[BOUNDS.len()]), (1, 1, 1));
        let codes: Vec<_> = series.codes.iter().map(|(c, n)| (c.load(Relaxed), n.load(Relaxed))).collect();
        assert_eq!(codes[..3], [(200, 2), (404, 1), (0, 0)]);
        series.reset();
        assert!(series.times.buckets.iter().all(|count| count.load(Relaxed) == 0));
        series.count(200, 5_000_000, 0);
        series.count(200, 5_000_001, 0);
        series.count(404, 70_000_000_000, 69_950_000_000);
        for code in 300..400 {
            series.count(code, 1, 2);
        }
        let mut out = String::new();
        series.own_times.write(&mut out, "x", "a=\"1\"", SLI_WITHOUT);
        let lines: Vec<&str> = out.lines().take(2).collect();
        assert_eq!(lines, ["x_bucket{a=\"1\",le=\"0.05\"} 103", "x_bucket{a=\"1\",le=\"0.1\"} 103"]);
        assert!(out.ends_with("x_sum{a=\"1\"} 0.060000001\nx_count{a=\"1\"} 103\n"), "{out}");
        let total: u64 = series.codes.iter().map(|(_, n)| n.load(Relaxed)).sum();
        assert_eq!(total, 103);
        assert_eq!(
            series.labels.to_string(),
            "component=\"apiserver\",dry_run=\"\",group=\"apps\",resource=\"deployments\",scope=\"resource\",\
             subresource=\"\",verb=\"GET\",version=\"v1\""
        );
    }
}
