//! Health over HTTP: `/healthz` and `/livez` of the proxy, and the ports that tell load balancers whether a
//! Service with `externalTrafficPolicy: Local` has endpoints here. Mirrors pkg/proxy/healthcheck.

use api::core::v1::Node;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The cluster autoscaler is about to remove the node.
const TO_BE_DELETED_TAINT: &str = "ToBeDeletedByClusterAutoscaler";
/// Twice kube-proxy's sync period: changes that wait for longer are a fault.
const PENDING_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// Load balancers and monitors ask a few times a minute each.
const CONNECTIONS_MAX: usize = 64;
/// As kube-proxy's.
const BIND_PAUSE: Duration = Duration::from_secs(5);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// What is known of the proxy's health.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    /// When the rules last were as wanted.
    updated: Timestamp,
    /// Since when changes wait, if any do.
    pending: Option<Timestamp>,
}

impl Health {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { updated: now, pending: None }
    }

    /// Something changed that the kernel has not seen.
    pub(crate) fn queued(&mut self, now: Timestamp) {
        self.pending.get_or_insert(now);
    }

    /// The kernel has what is wanted.
    pub(crate) fn updated(&mut self, now: Timestamp) {
        *self = Self { updated: now, pending: None };
    }

    fn is_healthy(&self, now: Timestamp) -> bool {
        self.pending.is_none_or(|since| now.duration_since(since) < PENDING_MAX)
    }

    /// The answer at `/healthz` with the node, at `/livez` without.
    fn answer(&self, now: Timestamp, eligible: Option<bool>) -> (StatusCode, String) {
        let rules_healthy = self.is_healthy(now);
        let healthy = rules_healthy && eligible.unwrap_or(true);
        // A healthy proxy has nothing to do since: its state is of now.
        let updated = if healthy { now } else { self.updated };
        let family = json!({ "lastUpdated": self.updated.to_string(), "healthy": rules_healthy });
        let mut body = json!({ "lastUpdated": updated.to_string(), "currentTime": now.to_string() });
        if let Some(eligible) = eligible {
            body["nodeEligible"] = eligible.into();
        }
        body["healthy"] = rules_healthy.into();
        body["status"] = json!({ "IPv4": family, "IPv6": family });
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, body.to_string())
    }
}

/// Whether load balancers should go on to use the node.
fn is_eligible(node: Option<&Node>) -> bool {
    node.is_some_and(|node| {
        let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        node.metadata.deletion_timestamp.is_none()
            && taints.into_iter().all(|taint| taint.key != TO_BE_DELETED_TAINT)
    })
}

/// The state that the servers answer from.
pub(crate) struct Shared {
    health: Mutex<Health>,
    counts: Mutex<BTreeMap<api::Key, usize>>,
    node: Box<dyn Fn() -> Option<Arc<Node>> + Send + Sync>,
}

impl Shared {
    pub(crate) fn new(node: impl Fn() -> Option<Arc<Node>> + Send + Sync + 'static) -> Arc<Self> {
        let health = Mutex::new(Health::new(Timestamp::now()));
        Arc::new(Self { health, counts: Mutex::default(), node: Box::new(node) })
    }

    pub(crate) fn queued(&self) {
        self.health.lock().queued(Timestamp::now());
    }

    pub(crate) fn updated(&self) {
        self.health.lock().updated(Timestamp::now());
    }

    fn proxy_answer(&self, path: &str) -> (StatusCode, String, Option<usize>) {
        let health = *self.health.lock();
        let now = Timestamp::now();
        match path {
            "/healthz" => {
                let (status, body) = health.answer(now, Some(is_eligible((self.node)().as_deref())));
                (status, body, None)
            }
            "/livez" => {
                let (status, body) = health.answer(now, None);
                (status, body, None)
            }
            _ => (StatusCode::NOT_FOUND, "404 page not found\n".to_owned(), None),
        }
    }

    fn service_answer(&self, key: &api::Key) -> (StatusCode, String, Option<usize>) {
        let count = self.counts.lock().get(key).copied().unwrap_or(0);
        let (status, body) = service_answer(key, count, self.health.lock().is_healthy(Timestamp::now()));
        (status, body, Some(count))
    }
}

fn service_answer(key: &api::Key, count: usize, healthy: bool) -> (StatusCode, String) {
    let body = json!({
        "service": { "namespace": key.namespace, "name": key.name },
        "localEndpoints": count,
        "serviceProxyHealthy": healthy,
    });
    let ok = count > 0 && healthy;
    (if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, format!("{body:#}"))
}

type Answer = dyn Fn(&str) -> (StatusCode, String, Option<usize>) + Send + Sync;

/// Serves `/healthz` and `/livez`. While the port is somebody else's, the network works without them.
pub(crate) fn serve_proxy(address: SocketAddr, shared: Arc<Shared>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) => {
                    tracing::error!(%address, %error, "cannot start the health server; trying again");
                    tokio::time::sleep(BIND_PAUSE).await;
                }
            }
        };
        serve(listener, Arc::new(move |path: &str| shared.proxy_answer(path))).await;
    })
}

/// The health check ports of Services.
pub(crate) struct ServicePorts {
    shared: Arc<Shared>,
    servers: BTreeMap<api::Key, (u16, JoinHandle<()>)>,
}

impl ServicePorts {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, servers: BTreeMap::new() }
    }

    /// Serves these ports and no others. A port that is taken is tried again the next time.
    pub(crate) async fn set(&mut self, checks: &BTreeMap<api::Key, (u16, usize)>) {
        *self.shared.counts.lock() = checks.iter().map(|(key, (_, count))| (key.clone(), *count)).collect();
        self.servers.retain(|key, (port, server)| {
            let keep = checks.get(key).is_some_and(|(wanted, _)| wanted == port);
            if !keep {
                server.abort();
            }
            keep
        });
        for (key, (port, _)) in checks {
            if self.servers.contains_key(key) {
                continue;
            }
            match bind_all(*port).await {
                Ok(listener) => {
                    let (shared, of) = (self.shared.clone(), key.clone());
                    let server =
                        tokio::spawn(serve(listener, Arc::new(move |_: &str| shared.service_answer(&of))));
                    self.servers.insert(key.clone(), (*port, server));
                }
                Err(error) => tracing::warn!(service = %key, port, %error, "cannot start the health check"),
            }
        }
    }
}

impl Drop for ServicePorts {
    fn drop(&mut self) {
        for (_, server) in self.servers.values() {
            server.abort();
        }
    }
}

/// All addresses of both families, or of IPv4 where there is no IPv6.
async fn bind_all(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

async fn serve(listener: TcpListener, answer: Arc<Answer>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a health check");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (status, body, weight) = answer(request.uri().path());
                async move { Ok::<_, Infallible>(response(status, body, weight)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off harms nobody.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(slot);
        });
    }
}

fn response(status: StatusCode, body: String, weight: Option<usize>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let kind = if status == StatusCode::NOT_FOUND { "text/plain; charset=utf-8" } else { "application/json" };
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    if let Some(weight) = weight {
        headers.insert("x-load-balancing-endpoint-weight", http::HeaderValue::from(weight));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn health_over_time() {
        let mut health = Health::new(at(0));
        assert!(health.is_healthy(at(1000)), "nothing waits");
        health.queued(at(1000));
        health.queued(at(1030));
        assert!(health.is_healthy(at(1059)));
        assert!(!health.is_healthy(at(1060)), "the first change counts");
        let (status, body) = health.answer(at(1060), None);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        expect![[r#"{"lastUpdated":"2027-01-15T08:00:00Z","currentTime":"2027-01-15T08:17:40Z","healthy":false,"status":{"IPv4":{"lastUpdated":"2027-01-15T08:00:00Z","healthy":false},"IPv6":{"lastUpdated":"2027-01-15T08:00:00Z","healthy":false}}}"#]]
        .assert_eq(&body);
        health.updated(at(1061));
        let (status, body) = health.answer(at(1070), Some(true));
        assert_eq!(status, StatusCode::OK);
        expect![[r#"{"lastUpdated":"2027-01-15T08:17:50Z","currentTime":"2027-01-15T08:17:50Z","nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":"2027-01-15T08:17:41Z","healthy":true},"IPv6":{"lastUpdated":"2027-01-15T08:17:41Z","healthy":true}}}"#]]
        .assert_eq(&body);
        assert_eq!(health.answer(at(1070), Some(false)).0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn eligibility() {
        let node = |more: serde_json::Value| {
            let mut node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" } });
            for (key, value) in more.as_object().unwrap() {
                node[key] = value.clone();
            }
            serde_json::from_value::<Node>(node).unwrap()
        };
        assert!(!is_eligible(None));
        assert!(is_eligible(Some(&node(json!({})))));
        let taint = |key: &str| json!({ "spec": { "taints": [{ "key": key, "effect": "NoSchedule" }] } });
        assert!(is_eligible(Some(&node(taint("a")))));
        assert!(!is_eligible(Some(&node(taint(TO_BE_DELETED_TAINT)))));
        let deleted = json!({ "metadata": { "name": "n", "deletionTimestamp": "2027-01-15T08:00:00Z" } });
        assert!(!is_eligible(Some(&node(deleted))));
    }

    #[test]
    fn services() {
        let (status, body) = service_answer(&api::Key::new("a", "b"), 2, true);
        assert_eq!(status, StatusCode::OK);
        expect![[r#"
            {
              "service": {
                "namespace": "a",
                "name": "b"
              },
              "localEndpoints": 2,
              "serviceProxyHealthy": true
            }"#]]
        .assert_eq(&body);
        assert_eq!(service_answer(&api::Key::new("a", "b"), 0, true).0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(service_answer(&api::Key::new("a", "b"), 2, false).0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
