//! How the server fares: named checks behind `/healthz`, `/livez` and `/readyz`.
//!
//! Upstream: `k8s.io/apiserver/pkg/server/healthz`; names and order are its own. Of its hooks after the start there
//! are those whose work is done here, too. Unlike upstream's, one that has failed is tried again.

use crate::api::Api;
use crate::call::Call;
use crate::metrics;
use crate::reply::Reply;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The paths, without their slash.
pub(crate) const KINDS: [&str; 3] = ["healthz", "livez", "readyz"];

/// How long a store may take to answer, as upstream's `--etcd-healthcheck-timeout`.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// A store in another process is asked once in this time, however often the server is.
const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// What must have been done before the server is healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// The namespaces of the system are there.
    Namespaces,
    /// What others need in order to trust the cluster is there, and since when old tokens are noted.
    Authorities,
    /// The RBAC policy is there.
    Policy,
    /// The priority classes of the system are there.
    PriorityClasses,
    /// Flow schemas and priority levels are there.
    Flow,
    /// The Service `kubernetes` is there.
    Services,
    /// The Service range is there.
    ServiceRange,
    /// The APIServices of what is served here are there, and it is known which APIs are served elsewhere.
    ApiServices,
}

impl Hook {
    const COUNT: usize = Self::ApiServices as usize + 1;
}

/// Upstream's hooks after the start. Those of none are done before the first request is answered, or nothing has to be
/// done before it: caches are read and followed, what works on them runs, documents are made when they are asked for,
/// addresses and ports are given out by what is stored (what is missing there is mended once a minute), and no other
/// server has this one for its peer.
const HOOKS: [(&str, Option<Hook>); 33] = [
    ("poststarthook/start-apiserver-admission-initializer", None),
    ("poststarthook/generic-apiserver-start-informers", None),
    (FLOW_CONSUMER, None),
    (FLOW_FILTER, None),
    (IN_FLIGHT, None),
    ("poststarthook/storage-object-count-tracker-hook", None),
    ("poststarthook/start-apiextensions-informers", None),
    ("poststarthook/start-apiextensions-controllers", None),
    ("poststarthook/crd-informer-synced", None),
    ("poststarthook/start-system-namespaces-controller", Some(Hook::Namespaces)),
    ("poststarthook/peer-endpoint-reconciler-controller", None),
    ("poststarthook/start-cluster-authentication-info-controller", Some(Hook::Authorities)),
    ("poststarthook/start-kube-apiserver-identity-lease-controller", None),
    ("poststarthook/start-kube-apiserver-identity-lease-garbage-collector", None),
    ("poststarthook/storage-readiness", None),
    ("poststarthook/start-legacy-token-tracking-controller", Some(Hook::Authorities)),
    ("poststarthook/start-service-ip-repair-controllers", None),
    ("poststarthook/rbac/bootstrap-roles", Some(Hook::Policy)),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", Some(Hook::PriorityClasses)),
    ("poststarthook/priority-and-fairness-config-producer", Some(Hook::Flow)),
    ("poststarthook/bootstrap-controller", Some(Hook::Services)),
    ("poststarthook/start-kubernetes-service-cidr-controller", Some(Hook::ServiceRange)),
    ("poststarthook/aggregator-reload-proxy-client-cert", None),
    ("poststarthook/start-kube-aggregator-informers", None),
    ("poststarthook/apiservice-status-local-available-controller", None),
    ("poststarthook/apiservice-status-remote-available-controller", None),
    ("poststarthook/apiservice-registration-controller", Some(Hook::ApiServices)),
    ("poststarthook/apiservice-wait-for-first-sync", Some(Hook::ApiServices)),
    ("poststarthook/apiservice-discovery-controller", Some(Hook::ApiServices)),
    ("poststarthook/kube-apiserver-autoregistration", None),
    ("autoregister-completion", Some(Hook::ApiServices)),
    ("poststarthook/apiservice-openapi-controller", None),
    ("poststarthook/apiservice-openapiv3-controller", None),
];

/// Those of priority and fairness, and the one that is there without.
const FLOW_CONSUMER: &str = "poststarthook/priority-and-fairness-config-consumer";
const FLOW_FILTER: &str = "poststarthook/priority-and-fairness-filter";
const IN_FLIGHT: &str = "poststarthook/max-in-flight-filter";

/// A part of the control plane that may run in this process or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The scheduler.
    Scheduler,
    /// The controllers.
    ControllerManager,
}

/// What the server knows of itself.
#[derive(Debug, Default)]
pub struct Health {
    components: Mutex<Vec<Component>>,
    done: Mutex<[bool; Hook::COUNT]>,
    /// Why caches no longer follow the store.
    feed: Mutex<Option<String>>,
    /// What the store last said, and when; whoever asks it holds the lock.
    store: tokio::sync::Mutex<Option<(Instant, Result<(), store::Error>)>>,
    /// How the checks of each path came out, by their name and it.
    outcomes: Mutex<BTreeMap<(&'static str, &'static str), Outcomes>>,
}

/// How a check came out whenever all of its path were asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Outcomes {
    errors: u64,
    successes: u64,
    was_error: bool,
}

impl Health {
    /// Notes that a component runs in this process, which ends if that does.
    pub fn component_runs(&self, component: Component) {
        self.components.lock().push(component);
    }

    /// Whether a component runs in this process.
    pub(crate) fn runs_here(&self, component: Component) -> bool {
        self.components.lock().contains(&component)
    }

    /// Notes how a hook came out.
    pub(crate) fn note(&self, hook: Hook, is_done: bool) {
        self.done.lock()[hook as usize] = is_done;
    }

    /// Whether every hook has done its work.
    pub(crate) fn all_done(&self) -> bool {
        self.done.lock().iter().all(|done| *done)
    }

    /// Notes that the caches do not follow the store any more.
    pub(crate) fn feed_ended(&self, error: &store::Error) {
        *self.feed.lock() = Some(error.to_string());
    }

    /// Notes how a check of a path came out.
    fn came_out(&self, name: &'static str, kind: &'static str, is_error: bool) {
        let mut outcomes = self.outcomes.lock();
        let outcomes = outcomes.entry((name, kind)).or_default();
        outcomes.was_error = is_error;
        *(if is_error { &mut outcomes.errors } else { &mut outcomes.successes }) += 1;
    }

    /// Writes what `/metrics/slis` tells.
    pub(crate) fn write_metrics(&self, out: &mut String) {
        let outcomes = self.outcomes.lock();
        let help = "[STABLE] This metric records the result of a single healthcheck.";
        metrics::family(out, "kubernetes_healthcheck", "gauge", help);
        for ((name, kind), outcomes) in outcomes.iter() {
            let value = u8::from(!outcomes.was_error);
            _ = writeln!(out, "kubernetes_healthcheck{{name=\"{name}\",type=\"{kind}\"}} {value}");
        }
        let help = "[STABLE] This metric records the results of all healthcheck.";
        metrics::family(out, "kubernetes_healthchecks_total", "counter", help);
        let mut lines = Vec::new();
        for ((name, kind), outcomes) in outcomes.iter() {
            for (status, count) in [("error", outcomes.errors), ("success", outcomes.successes)] {
                let labels = format!("name=\"{name}\",status=\"{status}\",type=\"{kind}\"");
                lines.extend(
                    (count > 0).then(|| format!("kubernetes_healthchecks_total{{{labels}}} {count}\n")),
                );
            }
        }
        lines.sort();
        out.extend(lines);
    }

    /// What the store says of itself.
    async fn store(&self, api: &Api) -> Result<(), store::Error> {
        // One in this process knows at once.
        let answer = match api.store.health().now() {
            Ok(known) => return known,
            Err(answer) => answer,
        };
        let mut last = self.store.lock().await;
        if let Some((_, said)) = last.as_ref().filter(|(when, _)| when.elapsed() < STORE_INTERVAL) {
            return said.clone();
        }
        let late = || {
            let message = "context deadline exceeded".to_owned();
            Err(store::Error::Unavailable { message, maybe_applied: false })
        };
        let said = tokio::time::timeout(STORE_TIMEOUT, answer).await.unwrap_or_else(|_| late());
        *last = Some((Instant::now(), said.clone()));
        said
    }
}

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// The server answers.
    Ping,
    /// It can say what it does: lines are written at once, and a server that cannot write hangs.
    Log,
    /// Requests of this process are answered: they need no certificate that could expire.
    Loopback,
    /// The store answers.
    Store,
    /// The store takes writes.
    StoreReadiness,
    /// The caches follow the store.
    Caches,
    /// Something done after the start, or before it.
    Hook(&'static str, Option<Hook>),
    /// The server is to stay.
    Shutdown,
}

impl Check {
    /// Those of a path, in upstream's order. That the store answers is part of its readiness: the recorded server has
    /// no `/readyz/etcd` either.
    fn all(api: &Api, kind: &str) -> Vec<Self> {
        let is_there = |name: &str| match name {
            FLOW_CONSUMER | FLOW_FILTER => api.flow.is_some(),
            IN_FLIGHT => api.flow.is_none(),
            _ => true,
        };
        let is_readiness = kind == "readyz";
        let mut all = vec![Self::Ping, Self::Log];
        match is_readiness {
            true => all.extend([Self::StoreReadiness, Self::Caches]),
            false => all.extend([Self::Loopback, Self::Store]),
        }
        let hooks = HOOKS.into_iter().filter(|(name, _)| is_there(name));
        all.extend(hooks.map(|(name, hook)| Self::Hook(name, hook)));
        all.extend(is_readiness.then_some(Self::Shutdown));
        all
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Log => "log",
            Self::Loopback => "loopback-serving-certificate",
            Self::Store => "etcd",
            Self::StoreReadiness => "etcd-readiness",
            Self::Caches => "informer-sync",
            Self::Hook(name, _) => name,
            Self::Shutdown => "shutdown",
        }
    }

    async fn run(self, api: &Api) -> Result<(), String> {
        let reading = |error| format!("error getting data from etcd: {error}");
        match self {
            Self::Ping | Self::Log | Self::Loopback => Ok(()),
            Self::Store => match api.health.store(api).await {
                // It reads and deletes; a new start would not help.
                Err(store::Error::NoSpace) => Ok(()),
                said => said.map_err(reading),
            },
            Self::StoreReadiness => api.health.store(api).await.map_err(|error| match error {
                store::Error::NoSpace => error.to_string(),
                other => reading(other),
            }),
            Self::Caches => match &*api.health.feed.lock() {
                None => Ok(()),
                Some(error) => Err(format!("the caches do not follow the store any more: {error}")),
            },
            Self::Hook(_, Some(hook)) if !api.health.done.lock()[hook as usize] => Err("not finished".into()),
            Self::Hook(..) => Ok(()),
            Self::Shutdown if *api.stopping.borrow() => Err("process is shutting down".into()),
            Self::Shutdown => Ok(()),
        }
    }
}

/// Whether the store answers, as the check `etcd`.
///
/// # Errors
/// Why it does not.
pub(crate) async fn store(api: &Api) -> Result<(), String> {
    Check::Store.run(api).await
}

/// The paths of all checks.
pub(crate) fn paths(api: &Api) -> impl Iterator<Item = String> {
    KINDS.into_iter().flat_map(move |kind| {
        let of_check = move |check: Check| format!("/{kind}/{}", check.name());
        std::iter::once(format!("/{kind}")).chain(Check::all(api, kind).into_iter().map(of_check))
    })
}

/// Answers a request for one of the paths, `kind` being its first part.
pub(crate) async fn answer(call: &Call, kind: &'static str, path: &str) -> Reply {
    let checks = Check::all(&call.api, kind);
    match path.strip_prefix('/').and_then(|path| path.strip_prefix(kind)) {
        Some("") => all(call, kind, &checks).await,
        Some(rest) => match checks.into_iter().find(|check| rest.strip_prefix('/') == Some(check.name())) {
            Some(check) => match check.run(&call.api).await {
                Ok(()) => Reply::text(200, "ok"),
                Err(error) => Reply::text_only(500, format!("internal server error: {error}\n")),
            },
            None => Reply::no_such_path(),
        },
        None => Reply::no_such_path(),
    }
}

async fn all(call: &Call, kind: &'static str, checks: &[Check]) -> Reply {
    let excluded: Vec<&str> = call.query.all("exclude").map(|name| name.as_str()).collect();
    let mut text = String::new();
    let mut failed = Vec::new();
    for check in checks {
        let name = check.name();
        if excluded.contains(&name) {
            text.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        let outcome = check.run(&call.api).await;
        call.api.health.came_out(name, kind, outcome.is_err());
        text.push_str(&match outcome {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(error) => {
                failed.push(format!("{name}: {error}"));
                // Anybody may read this; who may know more asks for the check by its name.
                format!("[-]{name} failed: reason withheld\n")
            }
        });
    }
    let mut unknown: Vec<String> = excluded
        .iter()
        .filter(|name| !checks.iter().any(|check| check.name() == **name))
        .map(|name| format!("{name:?}"))
        .collect();
    unknown.sort();
    unknown.dedup();
    if !unknown.is_empty() {
        let names = unknown.join(",");
        text.push_str(&format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
    }
    if !failed.is_empty() {
        tracing::info!(failed = failed.join("; "), "{kind} check failed");
        return Reply::text_only(500, format!("{text}{kind} check failed\n"));
    }
    if !call.query.has("verbose") {
        return Reply::text_only(200, "ok");
    }
    Reply::text_only(200, format!("{text}{kind} check passed\n"))
}
