//! The one door: what happens to every request, in this order.
//!
//! accept → request info → authenticate → impersonate → audit → priority and fairness → authorize → verb.
//! Upstream: `DefaultBuildHandlerChain` in `k8s.io/apiserver/pkg/server/config.go`.

use crate::api::Api;
use crate::body::{RequestBody, ResponseBody};
use crate::call::Call;
use crate::listen::{Answer, Connection, Handler};
use crate::metrics::{Observation, Waits};
use crate::query::{self, Query};
use crate::reply::Reply;
use crate::request::RequestInfo;
use crate::{access, aggregation, audit, endpoints, flowcontrol, gzip, route};
use auth::UserInfo;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{Method, Request, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use meta::status::Status;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The largest body of a write, as upstream (`--max-request-body-bytes`).
pub const BODY_BYTES_MAX: usize = 3 << 20;
/// Objects larger than this are not worked at in their connection's task: 64 KiB take about a millisecond.
pub(crate) const BYTES_HERE_MAX: usize = 64 << 10;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A connection; who is behind it is to be found out.
    Wire(Arc<Connection>),
    /// This process, with an identity of its own: authorized, admitted and audited like any other.
    Process(Arc<UserInfo>),
}

impl Api {
    /// Answers a request of this process: the same door, without a connection.
    pub async fn call(
        self: &Arc<Self>,
        user: Arc<UserInfo>,
        request: Request<Bytes>,
    ) -> Response<ResponseBody> {
        answer(self.clone(), Origin::Process(user), request.map(RequestBody::Bytes)).await
    }
}

impl Handler for Api {
    fn handle(self: Arc<Self>, connection: Arc<Connection>, request: Request<RequestBody>) -> Answer {
        let fenced = AssertUnwindSafe(answer(self, Origin::Wire(connection), request)).catch_unwind();
        Box::pin(fenced.map(|answer| answer.unwrap_or_else(|_| panicked())))
    }
}

/// The panic hook has logged it; the client and the other requests go on.
fn panicked() -> Response<ResponseBody> {
    let status =
        Status::internal_error("this request caused apiserver to panic. Look in the logs for details.");
    Reply::error(&status, None, false).into_response(&[])
}

async fn answer(api: Arc<Api>, origin: Origin, mut request: Request<RequestBody>) -> Response<ResponseBody> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let path = match parts.uri.path() {
        plain if !plain.as_bytes().contains(&b'%') => plain.to_owned(),
        // Go's server says so before anybody looks at the request.
        broken if query::has_broken_escape(broken) => {
            return Reply::text(400, "400 Bad Request").into_response(&[]);
        }
        escaped => percent_decode_str(escaped).decode_utf8_lossy().into_owned(),
    };
    let query = Query::parse(parts.uri.query());
    let watch = query.bool("watch").unwrap_or(false);
    let field_name = query.get("fieldSelector").and_then(only_name);
    let info = RequestInfo::parse(&parts.method, &path, watch, field_name.as_deref());
    if info.is_cut_short {
        let url = parts.uri.path_and_query().map_or("", |url| url.as_str());
        let why = format!("unable to determine kind and namespace from url, {url}");
        let url = meta::quote::quote(url);
        let text = format!("Internal Server Error: {url}: failed to create RequestInfo: {why}\n");
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        return Reply::text_only(500, text).into_response(&[]);
    }
    let audit_id = audit::id_of(&parts.headers).unwrap_or_else(|| api.new_audit_id());
    let mut call = Call {
        api,
        audit_id,
        method: parts.method,
        uri: parts.uri,
        path,
        query,
        headers: parts.headers,
        info,
        user: Arc::default(),
        warnings: Mutex::default(),
        origin,
        waits: Waits::default(),
        sorted: None,
        audit: None,
        upgrade,
    };
    let head = call.method == Method::HEAD;
    let observation = Observation::begin(&call.info);
    let result = pass(&mut call, body).await;
    let reply = match result {
        Ok(reply) => reply,
        Err(status) => {
            if let Some(audit) = &call.audit {
                audit.status(&status);
            }
            Reply::error(&status, call.accept(), call.pretty())
        }
    };
    observation.end(&call, reply.code);
    let mut response = reply.into_response(&call.warnings.lock());
    if let Some(sorted) = call.sorted.take() {
        sorted.write(response.headers_mut());
    }
    // An aggregated server has its own.
    response.headers_mut().entry(audit::AUDIT_ID).or_insert(call.audit_id);
    if let Some(audit) = call.audit.take() {
        response = audit.respond(response);
    }
    if gzip::is_wanted(&call.headers) {
        response = gzip::compress(response);
    }
    if head {
        without_body(&mut response);
    }
    response
}

/// Takes the body away, and says how long it would have been.
fn without_body(response: &mut Response<ResponseBody>) {
    let body = std::mem::replace(response.body_mut(), ResponseBody::empty());
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

/// A request's way from its headers to its answer.
async fn pass(call: &mut Call, body: RequestBody) -> Result<Reply, Status> {
    let timeout = timeout(call)?;
    let authenticated = access::authenticate(call);
    if let Some(audit) = &call.api.audit {
        match audit.begin(call, authenticated.is_ok()) {
            Ok(record) => call.audit = record,
            Err(refusal) => return Ok(refusal),
        }
    }
    authenticated?;
    access::impersonate(call)?;
    let _ticket = match &call.api.flow {
        Some(flow) if flowcontrol::concerns(call) => {
            let (entered, sorted) = flow.enter(call).await;
            call.sorted = Some(sorted);
            match entered {
                Ok(ticket) => Some(ticket),
                Err(refusal) => return Ok(refusal),
            }
        }
        _ => None,
    };
    let _permit = match call.api.in_flight.as_ref().map(|limit| limit.enter(call)) {
        Some(Err(refusal)) => return Ok(refusal),
        Some(Ok(permit)) => permit,
        None => None,
    };
    access::authorize(call)?;
    let long_running = call.is_long_running();
    // Pinned here: whoever waits for it, with a timeout or without, makes no room for another.
    let mut work = std::pin::pin!(async {
        if let Some(remote) = aggregation::target(call) {
            return Box::pin(aggregation::answer(call, &remote, body)).await;
        }
        if !call.info.is_resource {
            return Box::pin(endpoints::answer(call, body)).await;
        }
        route::answer(call, body).await
    });
    if long_running {
        return work.await;
    }
    // Most answers are at hand, and need no clock.
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        return result;
    }
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => {
            crate::metrics::terminated(call, 504);
            let text = "request did not complete within requested timeout - context deadline exceeded";
            Err(Status::timeout(text, 0))
        }
    }
}

/// How long a request may take: what it asks for, up to the server's limit (`WithRequestDeadline`).
fn timeout(call: &Call) -> Result<Duration, Status> {
    let limit = call.api.settings.request_timeout;
    let Some(text) = call.query.get("timeout").filter(|t| !t.is_empty() && !call.is_long_running()) else {
        return Ok(limit);
    };
    let asked = meta::time::Duration::parse(text)
        .map_err(|e| Status::bad_request(format!("invalid timeout specified in the request URL - {e}")))?;
    let asked = u64::try_from(asked.nanos()).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    Ok(asked.map_or(limit, |asked| asked.min(limit)))
}

/// Reads a body up to the limit.
pub(crate) async fn read_body(call: &Call, mut body: RequestBody) -> Result<Bytes, Status> {
    if let RequestBody::Bytes(bytes) = body {
        return Ok(bytes);
    }
    let too_large = || Status::request_entity_too_large(format!("limit is {BODY_BYTES_MAX}"));
    let announced = call.header(header::CONTENT_LENGTH).and_then(|l| l.parse::<u64>().ok());
    if announced.is_some_and(|l| l > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Status::bad_request(format!("cannot read the request body: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        match (&mut first, all.is_empty()) {
            (None, true) => first = Some(data),
            (first, _) => {
                if let Some(f) = first.take() {
                    all.extend_from_slice(&f);
                }
                all.extend_from_slice(&data);
            }
        }
    }
    let bytes = first.unwrap_or_else(|| all.freeze());
    if bytes.len() > BYTES_HERE_MAX {
        crate::listen::apart(&call.api).await;
    }
    Ok(bytes)
}

/// The name that a field selector demands, if it demands one: lists by name are authorized by name.
fn only_name(selector: &str) -> Option<String> {
    let parsed = meta::fields::Selector::parse(selector).ok()?;
    let name = parsed.requires_exact_match("metadata.name")?;
    meta::names::content::path_segment_name(name).is_empty().then(|| name.to_owned())
}
