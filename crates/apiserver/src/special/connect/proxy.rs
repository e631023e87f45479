//! The proxy subresources of pods, services and nodes.
//!
//! Upstream: `UpgradeAwareHandler` in `k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go`.

use super::rewrite::Rewriter;
use super::{add_forwarded_for, location, remote_reply, remove_hop_by_hop, upgrade_reply};
use crate::body::RequestBody;
use crate::body::ResponseBody;
use crate::call::Call;
use crate::path;
use crate::reply::Reply;
use crate::resource::Target;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use meta::status::Status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use streaming::{Backend, upgrade};
use value::Value;

/// What Go's `url.URL.EscapedPath` leaves as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');
/// The largest page whose links are rewritten; larger ones are refused.
const PAGE_BYTES_MAX: usize = 16 << 20;
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// Whoever answers through the server must not loosen what its origin may do.
const CORS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// Passes a request on to a pod, a service's pod or a node.
pub(super) async fn answer(
    call: &Call,
    _target: &Target,
    options: &Value,
    body: RequestBody,
) -> Result<Reply, Status> {
    let backend = location::proxied(call).await?;
    let mut path = path::clean_with_end(options.at("path").str());
    if upgrade::is_upgrade(&call.headers) {
        let request = request(call, &backend, &path, Empty::new())?;
        return upgrade_reply(
            call,
            upgrade::pass(&call.api.streams, call.upgrade.clone(), &backend, request).await,
        );
    }
    if !path.ends_with('/') && call.path.ends_with('/') {
        path.push('/');
    }
    if path.is_empty() && matches!(call.method, Method::GET | Method::HEAD) {
        return redirect(call);
    }
    let rewriter = Rewriter::new(&call.path, &path, backend.authority(), host(call, &backend));
    let mut request = request(call, &backend, &path, body)?;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    // Pages are rewritten, and only plain ones can be.
    headers.remove(header::ACCEPT_ENCODING);
    let escaped = utf8_percent_encode(&path, PATH).to_string();
    if let Ok(value) = HeaderValue::try_from(rewriter.join(&escaped)) {
        headers.insert(FORWARDED_URI, value);
    }
    let response = backend
        .send(request)
        .await
        .map_err(|e| Status::service_unavailable(format!("error trying to reach service: {e}")))?;
    finish(call, response, &rewriter).await
}

async fn finish(call: &Call, mut response: Response<Incoming>, rewriter: &Rewriter) -> Result<Reply, Status> {
    let headers = response.headers_mut();
    for name in CORS {
        headers.remove(name);
    }
    let location = headers.get(header::LOCATION).and_then(|v| v.to_str().ok());
    if let Some(value) = location.map(|l| HeaderValue::try_from(rewriter.url(l))) {
        headers.insert(header::LOCATION, value.map_err(Status::internal_error)?);
        return Ok(remote_reply(call, response));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let is_page = kind.split(';').next().unwrap_or_default().trim() == "text/html";
    if !is_page || headers.contains_key(header::CONTENT_ENCODING) || call.method == Method::HEAD {
        return Ok(remote_reply(call, response));
    }
    let (mut parts, body) = response.into_parts();
    let page = Limited::new(body, PAGE_BYTES_MAX).collect().await;
    let page =
        page.map_err(|e| Status::service_unavailable(format!("error trying to reach service: {e}")))?;
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.remove(header::CONTENT_LENGTH);
    let headers = parts.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let body = ResponseBody::from(rewriter.page(&page.to_bytes()));
    Ok(Reply { code: parts.status.as_u16(), content_type: "", body, headers })
}

/// The client's request as the backend gets it.
fn request<B>(call: &Call, backend: &Backend, path: &str, body: B) -> Result<Request<B>, Status> {
    let mut uri = utf8_percent_encode(path, PATH).to_string();
    if uri.is_empty() {
        uri.push('/');
    }
    if let Some(query) = call.uri.query() {
        uri.push('?');
        uri.push_str(query);
    }
    let mut request = Request::new(body);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() =
        uri.parse().map_err(|e: http::uri::InvalidUri| Status::bad_request(e.to_string()))?;
    let headers = request.headers_mut();
    headers.clone_from(&call.headers);
    let host = header_value(host(call, backend))?;
    headers.insert(header::HOST, host);
    add_forwarded_for(call, headers);
    Ok(request)
}

/// The name by which the client knows this server: backends get it, as upstream.
fn host(call: &Call, backend: &Backend) -> String {
    let header = call.header(header::HOST).map(str::to_owned);
    header.or_else(|| call.uri.authority().map(ToString::to_string)).unwrap_or_else(|| backend.authority())
}

/// A path without a slash at its end is the client's mistake: links of the page would lead elsewhere.
fn redirect(call: &Call) -> Result<Reply, Status> {
    let query = call.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let to = format!("{}/{query}", call.uri.path());
    let value = header_value(to)?;
    let headers = vec![(header::LOCATION, value)];
    Ok(Reply { code: 301, content_type: "", body: ResponseBody::Full(Bytes::new()), headers })
}

fn header_value(text: String) -> Result<HeaderValue, Status> {
    HeaderValue::try_from(text).map_err(|e| Status::bad_request(e.to_string()))
}
