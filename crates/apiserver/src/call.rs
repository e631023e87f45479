//! One request on its way through the door: what the verbs need to know of it.

use crate::api::Api;
use crate::audit::{Level, Record};
use crate::cache::Entry;
use crate::door::Origin;
use crate::flowcontrol::Sorted;
use crate::metrics::Waits;
use crate::negotiate::{Accepted, Allows, Encoding, negotiate, not_acceptable, wants_pretty};
use crate::query::Query;
use crate::render::Render;
use crate::reply::Reply;
use crate::request::RequestInfo;
use crate::resource::{Hub, Served};
use auth::UserInfo;
use http::{HeaderMap, HeaderValue, Method, header};
use meta::status::Status;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use value::{Str, Value};

/// How long a read waits for a revision that the server has not seen yet, as upstream's cacher.
const FRESH_TIMEOUT: Duration = Duration::from_secs(3);
/// How many bytes of warnings one answer carries, and how long one is when there are too many, as upstream.
const WARNING_BYTES_MAX: usize = 4 << 10;

/// A request.
pub struct Call {
    /// The server.
    pub api: Arc<Api>,
    /// What the answer and the audit log call this request: what the client does, if it says.
    pub audit_id: HeaderValue,
    /// The HTTP method.
    pub method: Method,
    /// The URI as it was sent.
    pub uri: http::Uri,
    /// The percent-decoded path.
    pub path: String,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// What it asks for.
    pub info: RequestInfo,
    /// Who asks, after impersonation.
    pub user: Arc<UserInfo>,
    /// Texts for `Warning` headers, in order, each once.
    pub warnings: Mutex<Vec<Str>>,
    /// Where it comes from.
    pub origin: Origin,
    /// How long it waited for what is not this server's.
    pub(crate) waits: Waits,
    /// By what priority and fairness have sorted it, if they have.
    pub(crate) sorted: Option<Sorted>,
    /// What the audit log is told, if anything.
    pub(crate) audit: Option<Record>,
    /// The connection itself, once the answer has told the client that it speaks another protocol from there.
    pub upgrade: hyper::upgrade::OnUpgrade,
}

impl Call {
    /// A header as text; `None` if it is absent or not text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The `Accept` header.
    pub fn accept(&self) -> Option<&str> {
        self.header(header::ACCEPT)
    }

    /// The `User-Agent` header.
    pub fn user_agent(&self) -> &str {
        self.header(header::USER_AGENT).unwrap_or("")
    }

    /// Whether answers are to be indented.
    pub fn pretty(&self) -> bool {
        wants_pretty(self.query.get("pretty"), self.user_agent())
    }

    /// The form of an answer of what makes these.
    ///
    /// # Errors
    /// 406.
    pub fn negotiate_as(&self, allows: Allows) -> Result<Accepted, Status> {
        let mut accepted =
            negotiate(self.accept(), allows, &Encoding::ALL).ok_or_else(|| self.not_acceptable())?;
        accepted.pretty |= self.pretty();
        Ok(accepted)
    }

    /// 406.
    pub fn not_acceptable(&self) -> Status {
        not_acceptable(&Encoding::ALL, false)
    }

    /// Adds a warning.
    pub fn warn(&self, text: impl Into<Str>) {
        let text = text.into();
        let mut warnings = self.warnings.lock();
        let total: usize = warnings.iter().map(|w| w.len()).sum();
        if !text.is_empty() && total + text.len() <= WARNING_BYTES_MAX && !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// Whether it may last: it has no timeout, and the audit log tells of its beginning.
    pub fn is_long_running(&self) -> bool {
        self.info.verb == "watch" || crate::route::is_long_running(&self.info)
    }

    /// Adds an annotation to what the audit log is told.
    pub fn annotate(&self, key: &str, value: &str) {
        if let Some(audit) = &self.audit {
            audit.annotate(key, value);
        }
    }

    /// Tells the audit log which object a write is about. `object` is as the client sent it, with defaults.
    pub(crate) fn audit_object(&self, codec: &crate::codec::Codec, object: &Value) {
        if let Some(audit) = &self.audit {
            audit.request_object(object.at("metadata"), || codec.to_json(object));
        }
    }

    /// Waits until the cache shows `revision`, or (for `None`) everything that was acknowledged before now.
    pub async fn fresh(&self, revision: Option<u64>) -> Result<(), Status> {
        let newest = self.api.store.revision().await.map_err(|e| crate::storage::status(&e))?;
        let target = revision.unwrap_or(newest);
        let published = &self.api.published;
        if published.get() >= target {
            return Ok(());
        }
        if published.get() < newest {
            // The store is ahead of the cache: its feed brings it here without being asked.
            self.api.request_progress().await;
        }
        match tokio::time::timeout(FRESH_TIMEOUT, published.reached(target)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Status::too_large_resource_version(target, published.get(), 1)),
        }
    }

    /// An answer of one object.
    pub fn entry_reply(
        &self,
        code: u16,
        accepted: Accepted,
        served: &Arc<Served>,
        hub: &Arc<Hub>,
        entry: &Entry,
    ) -> Result<Reply, Status> {
        let render = |accepted| Render::new(self, served.clone(), hub.clone(), accepted).one(code, entry);
        self.audit_protobuf(accepted, render);
        render(accepted)
    }

    /// An answer of several objects.
    pub fn list_reply(
        &self,
        accepted: Accepted,
        served: &Arc<Served>,
        hub: &Arc<Hub>,
        entries: Vec<Arc<Entry>>,
        meta: Value,
    ) -> Result<Reply, Status> {
        let render = |accepted, entries, meta| {
            Render::new(self, served.clone(), hub.clone(), accepted).list(entries, meta)
        };
        self.audit_protobuf(accepted, |accepted| render(accepted, entries.clone(), meta.clone()));
        render(accepted, entries, meta)
    }

    /// The audit log's answers are JSON, whatever the client gets.
    fn audit_protobuf(&self, accepted: Accepted, json: impl FnOnce(Accepted) -> Result<Reply, Status>) {
        if accepted.encoding == Encoding::Protobuf
            && let Some(audit) = self.audit.as_ref().filter(|a| a.wants(Level::RequestResponse))
            && let Ok(mut reply) = json(Accepted { encoding: Encoding::Json, pretty: false, ..accepted })
        {
            audit.response_object(&reply.body.to_vec());
        }
    }

    /// An answer that is a Status, in the negotiated form.
    pub fn status_reply(&self, code: u16, accepted: Accepted, status: &Status) -> Result<Reply, Status> {
        if let Some(audit) = &self.audit {
            audit.status(status);
        }
        if accepted.encoding == Encoding::Protobuf {
            let body = crate::codec::status_protobuf(status);
            return Ok(Reply::bytes(code, Encoding::Protobuf.media_type(), body));
        }
        Ok(Reply::json(code, accepted, crate::codec::status_json(status)))
    }
}
