//! The audit log: who did what, when, by a policy that says how much of it is told.
//!
//! A request that the policy is interested in carries a [`Record`], which is filled on its way and written at
//! each stage; others carry nothing. The policy is asked once, when the caller is known.
//!
//! Invariants:
//! - Without a policy, or at level `None`, a request costs no allocation here.
//! - At level `Metadata` no object is encoded.
//! - Every request of a record ends with exactly one of `ResponseComplete` and `Panic`, also when the client
//!   goes away (but refused credentials, whose one event is `ResponseStarted`, as upstream).
//!
//! Not there: the webhook backend.
//!
//! Upstream: `k8s.io/apiserver/pkg/audit`, `pkg/endpoints/filters/audit.go`.

mod event;
pub(crate) mod fuzz;
mod log;
mod policy;
mod text;

pub use log::{Format, LogConfig, Mode};

use crate::body::{ByteStream, ResponseBody};
use crate::call::Call;
use crate::reply::Reply;
use bytes::Bytes;
use event::{Fixed, Noted};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use log::Log;
use meta::status::Status;
use parking_lot::Mutex;
use policy::Policy;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use value::Str;

/// The header that carries a request's audit id, in both directions.
pub const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// What the client calls its request.
///
/// Upstream: `WithAuditInit` in `k8s.io/apiserver/pkg/endpoints/filters/audit_init.go`.
pub(crate) fn id_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(AUDIT_ID).filter(|id| !id.is_empty()).cloned()
}

/// How much is told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when, and the outcome.
    Metadata,
    /// The body of the request as well.
    Request,
    /// The body of the answer as well.
    RequestResponse,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// As a policy writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// Where a request is when an event tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its headers are read.
    RequestReceived,
    /// The headers of a long answer are sent.
    ResponseStarted,
    /// Its answer is sent.
    ResponseComplete,
    /// The server has panicked over it.
    Panic,
}

impl Stage {
    const ALL: [Self; 4] =
        [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    /// As an event writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// What upstream's flags `--audit-*` say.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--audit-policy-file`
    pub policy_file: PathBuf,
    /// `--audit-log-*`
    pub log: LogConfig,
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy cannot be used.
    #[error("loading audit policy file: {error}: from file {path}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
    /// The log cannot be written.
    #[error("cannot open the audit log {path:?}: {error}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}

/// Counters for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// By level.
    pub(crate) levels: [AtomicU64; 4],
    pub(crate) events: AtomicU64,
    pub(crate) rejected: AtomicU64,
    /// Events that were not written: the log's error, or a full buffer.
    pub(crate) errors: AtomicU64,
}

/// The audit log.
#[derive(Debug)]
pub struct Audit {
    policy: Policy,
    log: Log,
    pub(crate) counters: Arc<Counters>,
}

/// That a policy can be read and makes sense.
///
/// # Errors
/// [`Error::Policy`].
pub fn check_policy(file: &Path) -> Result<(), Error> {
    Policy::read(file).map(drop)
}

impl Audit {
    /// Reads the policy and opens the log.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(config: &Config) -> Result<Arc<Self>, Error> {
        let policy = Policy::read(&config.policy_file)?;
        let counters = Arc::<Counters>::default();
        Ok(Arc::new(Self { policy, log: Log::open(&config.log, counters.clone())?, counters }))
    }

    /// Writes what still waits to be written; to be called when all requests have ended.
    pub fn close(&self) {
        self.log.close();
    }

    /// Begins a request's record: after its credentials were judged, before anything else.
    ///
    /// # Errors
    /// An answer, where the log must not miss anything (`blocking-strict`) and has.
    pub(crate) fn begin(self: &Arc<Self>, call: &Call, authenticated: bool) -> Result<Option<Record>, Reply> {
        let user = authenticated.then_some(&*call.user);
        let decision = self.policy.evaluate(user, &call.info, &call.path);
        self.counters.levels[decision.level as usize].fetch_add(1, Relaxed);
        if decision.level == Level::None {
            return Ok(None);
        }
        let record = Record(Box::new(Inner {
            level: decision.level,
            omit_managed_fields: decision.omit_managed_fields,
            omit: decision.omit_stages,
            authenticated,
            long_running: call.is_long_running(),
            fixed: Fixed::of(call, user),
            noted: Mutex::new(Noted::of(call)),
            audit: self.clone(),
        }));
        if authenticated && !record.0.write(Stage::RequestReceived) {
            self.counters.rejected.fetch_add(1, Relaxed);
            // Nothing has happened yet that a further event could tell of.
            record.0.noted.lock().finished = true;
            let text = meta::quote::quote(call.uri.path());
            let text = format!("Internal Server Error: {text}: failed to store audit event");
            return Err(Reply::text_only(500, text));
        }
        Ok(Some(record))
    }
}

/// What is told of one request. Dropping it ends it.
pub(crate) struct Record(Box<Inner>);

struct Inner {
    audit: Arc<Audit>,
    level: Level,
    omit: policy::Stages,
    omit_managed_fields: bool,
    authenticated: bool,
    long_running: bool,
    fixed: Fixed,
    noted: Mutex<Noted>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", self.0.fixed.id)
    }
}

impl Record {
    /// Whether objects are told as well.
    pub(crate) fn wants(&self, level: Level) -> bool {
        self.0.level >= level
    }

    /// Adds an annotation; the first value of a key stands.
    pub(crate) fn annotate(&self, key: &str, value: &str) {
        let mut noted = self.0.noted.lock();
        if let Some(there) = noted.annotations.get(key) {
            if there != value {
                tracing::warn!(
                    key,
                    value,
                    id = %self.0.fixed.id,
                    "an audit annotation has been set to another value already"
                );
            }
            return;
        }
        noted.annotations.insert(key.into(), value.into());
    }

    /// Notes as whom the caller acts.
    pub(crate) fn impersonated(&self, user: &auth::UserInfo) {
        let mut noted = self.0.noted.lock();
        noted.impersonated = Some(event::user_json(user));
        noted.impersonated_name = user.name.clone();
    }

    /// Notes the object of a write. `json` is asked for only where it is told.
    pub(crate) fn request_object(&self, metadata: &value::Value, json: impl FnOnce() -> Vec<u8>) {
        let mut noted = self.0.noted.lock();
        if let Some(reference) = &mut noted.reference {
            reference.complete(metadata);
        }
        if self.wants(Level::Request) && noted.request.is_none() {
            noted.request = Some(text::compact(&json(), self.0.omit_managed_fields));
        }
    }

    /// Notes a patch.
    pub(crate) fn request_patch(&self, json: impl FnOnce() -> Vec<u8>) {
        if self.wants(Level::Request) {
            self.0.noted.lock().request = Some(text::compact(&json(), false));
        }
    }

    /// Notes the JSON of an answer that goes out in another form.
    pub(crate) fn response_object(&self, json: &[u8]) {
        self.0.noted.lock().response = Some(text::compact(json, self.0.omit_managed_fields));
    }

    /// Notes an answer that is a Status.
    pub(crate) fn status(&self, status: &Status) {
        self.0.noted.lock().status = Some(status.clone());
    }

    /// The answer is about to be sent: gives it back as it is to be sent.
    pub(crate) fn respond(self, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
        let code = response.status().as_u16();
        if self.wants(Level::RequestResponse) {
            self.note_body(&mut response);
        }
        let inner = &self.0;
        inner.noted.lock().code = Some(code);
        if !inner.authenticated {
            inner.write(Stage::ResponseStarted);
            inner.noted.lock().finished = true;
            return response;
        }
        if inner.long_running {
            inner.write(Stage::ResponseStarted);
        }
        let body = std::mem::replace(response.body_mut(), ResponseBody::empty());
        *response.body_mut() = match body {
            ResponseBody::Stream(stream) => {
                ResponseBody::Stream(Box::new(Followed { stream, record: Some(self) }))
            }
            ResponseBody::Remote { body, stop } => {
                // What ends with the body ends the record.
                let stop = Box::pin(async move {
                    let _record = self;
                    stop.await;
                });
                ResponseBody::Remote { body, stop }
            }
            whole => whole,
        };
        response
    }

    fn note_body(&self, response: &mut Response<ResponseBody>) {
        let media = response.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media = media.unwrap_or_default();
        let (json, yaml) = (media.starts_with("application/json"), media.starts_with("application/yaml"));
        if self.0.noted.lock().response.is_some() || !self.0.fixed.is_resource {
            return;
        }
        let whole = response.body_mut().to_vec();
        if json && !whole.is_empty() {
            self.response_object(&whole);
        } else if yaml && let Ok(tree) = value::yaml::parse(&whole) {
            self.response_object(&value::json::to_vec(&tree));
        }
    }
}

impl Inner {
    /// Writes an event, unless the policy leaves the stage out. False if it was lost.
    fn write(&self, stage: Stage) -> bool {
        if self.omit.contains(stage) {
            return true;
        }
        self.audit.counters.events.fetch_add(1, Relaxed);
        let noted = self.noted.lock();
        let now = if stage == Stage::RequestReceived { self.fixed.received } else { jiff::Timestamp::now() };
        self.audit
            .log
            .write(|format, bare| event::line(format, self.level, stage, &self.fixed, &noted, now, bare))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.noted.get_mut().finished {
            return;
        }
        if std::thread::panicking() {
            let status = Status {
                reason: meta::status::reason::INTERNAL_ERROR.into(),
                message: "APIServer panic'd".into(),
                ..Status::default()
            };
            self.noted.get_mut().status = Some(status);
            self.noted.get_mut().code = Some(500);
            self.write(Stage::Panic);
            return;
        }
        if self.noted.get_mut().code.is_none() {
            let message = "Connection closed early".into();
            let status = Status { success: true, message, ..Status::default() };
            self.noted.get_mut().status = Some(status);
            self.noted.get_mut().code = Some(200);
            if self.long_running {
                self.write(Stage::ResponseStarted);
            }
        }
        self.write(Stage::ResponseComplete);
    }
}

/// The body of a long answer, whose end is told.
struct Followed {
    stream: Box<dyn ByteStream>,
    record: Option<Record>,
}

impl ByteStream for Followed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let next = self.stream.poll_next(cx);
        if matches!(next, Poll::Ready(None)) {
            self.record = None;
        }
        next
    }

    fn is_waiting(&self) -> bool {
        self.stream.is_waiting()
    }
}

/// Reads a file of at most a mebibyte.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(1 << 20).read_to_end(&mut text)?;
    Ok(text)
}

/// Sorted annotations.
type Annotations = std::collections::BTreeMap<Str, Str>;
