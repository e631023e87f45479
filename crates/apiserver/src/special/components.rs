//! ComponentStatuses: how scheduler, controller manager and store fare, asked anew for each request.
//!
//! Upstream: `pkg/registry/core/componentstatus`, `pkg/registry/core/rest/storage_core.go`. What runs in this
//! process is known; what does not is asked on this machine at its usual port, as upstream does.

use crate::api::Api;
use crate::cache::{Cache, Entry};
use crate::call::Call;
use crate::encryption::Encryption;
use crate::health::{self, Component};
use crate::negotiate::Allows;
use crate::nodes::Nodes;
use crate::render::Render;
use crate::reply::Reply;
use crate::resource::{Hub, Target, head};
use crate::verbs::{get, list};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use meta::gvk::GroupResource;
use meta::status::Status;
use std::sync::Arc;
use std::time::Duration;
use value::Value;

const STORE: &str = "etcd-0";
const HOST: &str = "127.0.0.1";
/// How long a component may take to answer, as upstream's.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of its answer is told.
const PROBE_BYTES_MAX: usize = 10 << 10;

impl Component {
    const ALL: [Self; 2] = [Self::Scheduler, Self::ControllerManager];

    const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::ControllerManager => "controller-manager",
        }
    }

    /// Where upstream's program listens unless it is told otherwise.
    const fn port(self) -> u16 {
        match self {
            Self::Scheduler => 10259,
            Self::ControllerManager => 10257,
        }
    }
}

/// How a component fares.
#[derive(Debug, PartialEq, Eq)]
struct Condition {
    is_healthy: bool,
    message: String,
    error: String,
}

impl Condition {
    fn healthy(message: impl Into<String>) -> Self {
        Self { is_healthy: true, message: message.into(), error: String::new() }
    }

    fn failed(message: String) -> Self {
        Self { is_healthy: false, message, error: String::new() }
    }

    fn object(&self, name: &str) -> Value {
        let mut condition = Value::object();
        condition.set("type", "Healthy");
        condition.set("status", if self.is_healthy { "True" } else { "False" });
        for (field, text) in [("message", &self.message), ("error", &self.error)] {
            if !text.is_empty() {
                condition.set(field, text.clone());
            }
        }
        let mut metadata = Value::object();
        metadata.set("name", name);
        let mut object = Value::object();
        object.set("metadata", metadata);
        object.set("conditions", Value::Array(vec![condition]));
        object
    }
}

/// Answers a get or a list.
///
/// # Errors
/// There is no such component, or the query makes no sense.
pub(super) async fn answer(call: &Call, target: &Target, verb: &str) -> Result<Reply, Status> {
    let served = &target.served;
    let accepted = call.negotiate_as(Allows::Transforms)?;
    let api = &*call.api;
    // Nothing is stored; by this they take all forms that stored kinds take.
    let hub = Arc::new(Hub {
        row: served.row.clone(),
        codec: served.codec.clone(),
        cache: Cache::new(api.published.clone(), None, 0, Vec::new()),
        transform: Encryption::none().transform(&served.row.group, &served.row.plural),
    });
    let names = Component::ALL.map(Component::name).into_iter().chain([STORE]);
    let entry = async |name: &'static str| {
        let mut object = condition(api, name).await.object(name);
        hub.codec.normalize(&mut object);
        let head = head(&hub.row, &object);
        Entry::new(name.into(), 0, Bytes::from(hub.codec.to_stored(&object)), head)
    };
    let mut render = Render::new(call, served.clone(), hub.clone(), accepted);
    if verb == "get" {
        get::check_options(call)?;
        let wanted = &call.info.name;
        let Some(name) = names.into_iter().find(|name| name == wanted) else {
            return Err(Status::not_found(&GroupResource::new("", "componentstatus"), wanted));
        };
        return render.one(200, &entry(name).await);
    }
    let selection = list::options(call, served, false)?.selection;
    let entries = join_all(names.map(entry)).await;
    let selected = entries.into_iter().filter(|entry| selection.matches(entry)).map(Arc::new).collect();
    render.list(selected, Value::object())
}

async fn condition(api: &Api, name: &str) -> Condition {
    match Component::ALL.into_iter().find(|component| component.name() == name) {
        Some(component) if api.health.runs_here(component) => Condition::healthy("ok"),
        Some(component) => probe(&api.nodes, component.port()).await,
        None => match health::store(api).await {
            Ok(()) => Condition::healthy("ok"),
            Err(error) => Condition { is_healthy: false, message: String::new(), error },
        },
    }
}

/// Asks a component for its health; whose certificate it shows does not matter.
async fn probe(nodes: &Nodes, port: u16) -> Condition {
    let url = format!("https://{HOST}:{port}/healthz");
    let asking = async {
        let backend = nodes.pod(HOST, port, true)?;
        let request = Request::get("/healthz").header(header::HOST, backend.authority());
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let response = backend.send(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), PROBE_BYTES_MAX).collect().await;
        let text =
            body.map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b.to_bytes()).into_owned());
        Ok::<_, String>((status.as_u16(), text))
    };
    let late =
        || Err("context deadline exceeded (Client.Timeout exceeded while awaiting headers)".to_owned());
    match tokio::time::timeout(PROBE_TIMEOUT, asking).await.unwrap_or_else(|_| late()) {
        Ok((200..=399, text)) => Condition::healthy(text),
        Ok((code, _)) => Condition::failed(format!("HTTP probe failed with statuscode: {code}")),
        Err(error) => Condition::failed(format!("Get \"{url}\": {error}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pki::{AnyClientCertificate, HotCertificate, Leaf, Pki};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn components_elsewhere_are_asked() {
        let directory = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now().as_second();
        let pki = Pki::open(directory.path(), pki::Config::default(), now).unwrap();
        let nodes = Nodes::default();
        nodes.trust(pki.leaf(Leaf::ApiServerKubeletClient), pki.authority().certificate()).unwrap();
        let certificate = HotCertificate::new(pki.leaf(Leaf::ApiServer)).unwrap();
        let tls = pki::server_config(certificate, AnyClientCertificate::new(&[])).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));

        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ask = async |answer: &str| {
            let serve = async {
                let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /healthz HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            tokio::join!(probe(&nodes, port), serve).0
        };
        let ok = ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert_eq!(ok, Condition::healthy("ok"));
        let bad = ask("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(bad, Condition::failed("HTTP probe failed with statuscode: 500".into()));
        drop(listener);
        let gone = format!(
            "Get \"https://127.0.0.1:{port}/healthz\": dial tcp 127.0.0.1:{port}: connect: connection refused"
        );
        assert_eq!(probe(&nodes, port).await, Condition::failed(gone));
    }
}
