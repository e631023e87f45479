//! A request on its way to the server of its group.
//!
//! Upstream: `kube-aggregator/pkg/apiserver/handler_proxy.go`.

use super::{Remote, Service};
use crate::api::Api;
use crate::body::RequestBody;
use crate::call::Call;
use crate::reply::Reply;
use crate::special::connect::{add_forwarded_for, remote_reply, remove_hop_by_hop, upgrade_reply};
use crate::webhook::service_address;
use auth::UserInfo;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use meta::status::Status;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;
use streaming::{Backend, upgrade};

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";
/// What stands in a header's name as it is (RFC 9110 section 5.6.2).
const TOKEN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');
/// How long the other server has for a document.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(6);
/// The largest document that is read.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// The remote that a request is for.
pub(crate) fn target(call: &Call) -> Option<Arc<Remote>> {
    let aggregation = &call.api.aggregation;
    if aggregation.remotes.load().is_empty() {
        return None;
    }
    if call.info.is_resource {
        return aggregation.find(&call.info.group, &call.info.version);
    }
    let parts: Vec<&str> = call.path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["apis", group, version, ..] | ["openapi", "v3", "apis", group, version] => {
            aggregation.find(group, version)
        }
        _ => None,
    }
}

fn unavailable() -> Reply {
    Reply::text_only(503, "service unavailable\n")
}

/// Passes a request on.
///
/// # Errors
/// What an upgrade that fails says.
pub(crate) async fn answer(call: &Call, remote: &Remote, body: RequestBody) -> Result<Reply, Status> {
    if !remote.is_available() {
        return Ok(unavailable());
    }
    let backend = match remote.backend(&call.api) {
        Ok(backend) => backend,
        Err(error) => {
            tracing::warn!(api = %remote.name, error, "an API has no server to be passed on to");
            return Ok(unavailable());
        }
    };
    if upgrade::is_upgrade(&call.headers) {
        let request = request(call, &remote.service, Empty::new())?;
        let outcome = upgrade::pass(&call.api.streams, call.upgrade.clone(), &backend, request).await;
        return upgrade_reply(call, outcome);
    }
    let mut request = request(call, &remote.service, body)?;
    remove_hop_by_hop(request.headers_mut());
    match backend.send(request).await {
        Ok(response) => Ok(remote_reply(call, response)),
        Err(error) => {
            tracing::warn!(api = %remote.name, %error, "an API's server cannot be reached");
            Ok(Reply::text_only(503, format!("error trying to reach service: {error}\n")))
        }
    }
}

fn request<B>(call: &Call, service: &Service, body: B) -> Result<Request<B>, Status> {
    let target = call.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut request = Request::new(body);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() =
        target.parse().map_err(|e: http::uri::InvalidUri| Status::bad_request(e.to_string()))?;
    let headers = request.headers_mut();
    headers.clone_from(&call.headers);
    headers.remove(header::AUTHORIZATION);
    set_user(headers, &call.user);
    let host = HeaderValue::try_from(format!("{}:{}", service.host(), service.port));
    headers.insert(header::HOST, host.map_err(Status::internal_error)?);
    add_forwarded_for(call, headers);
    Ok(request)
}

/// Says who asks. Whatever the client said of that is gone.
fn set_user(headers: &mut HeaderMap, user: &UserInfo) {
    let said: Vec<HeaderName> =
        headers.keys().filter(|n| n.as_str().starts_with("x-remote-")).cloned().collect();
    for name in said {
        headers.remove(name);
    }
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
    if let Some(name) = value(&user.name) {
        headers.insert(USER, name);
    }
    if let Some(uid) = value(&user.uid).filter(|_| !user.uid.is_empty()) {
        headers.insert(UID, uid);
    }
    for group in user.groups.iter().filter_map(|g| value(g)) {
        headers.append(GROUP, group);
    }
    for (key, values) in &user.extra {
        let name = format!("{EXTRA}{}", utf8_percent_encode(&key.to_ascii_lowercase(), TOKEN));
        let Ok(name) = HeaderName::try_from(name) else { continue };
        for value in values.iter().filter_map(|v| value(v)) {
            headers.append(name.clone(), value);
        }
    }
}

impl Remote {
    /// One of its endpoints.
    ///
    /// # Errors
    /// Why there is none.
    fn backend(&self, api: &Api) -> Result<Backend, String> {
        let Service { namespace, name, port } = &self.service;
        let address = service_address(api, namespace, name, *port)?;
        let (host, port) = address.rsplit_once(':').ok_or("an address without a port")?;
        let tls = self.tls.clone().ok_or("this server is no front proxy")?;
        Ok(Backend {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().map_err(|e| format!("{address}: {e}"))?,
            tls: Some(tls),
        })
    }

    /// Reads a document of it, as the aggregator itself: status, content type, body.
    ///
    /// # Errors
    /// Why there is no answer, in upstream's words.
    pub(super) async fn read(
        &self,
        api: &Api,
        path: &str,
        accept: &str,
    ) -> Result<(u16, String, Bytes), String> {
        let backend = self.backend(api)?;
        let url = format!("https://{}{path}", backend.authority());
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = path.parse().map_err(|e| format!("{path}: {e}"))?;
        let headers = request.headers_mut();
        let host = format!("{}:{}", self.service.host(), self.service.port);
        headers.insert(header::HOST, HeaderValue::try_from(host).map_err(|e| e.to_string())?);
        if let Ok(accept) = HeaderValue::from_str(accept) {
            headers.insert(header::ACCEPT, accept);
        }
        set_user(headers, &UserInfo::new("system:kube-aggregator", &["system:masters"]));
        let failed = |e: &dyn std::fmt::Display| format!("failing or missing response from {url}: {e}");
        let exchange = async {
            let sent = backend.send(request).await;
            let response = sent.map_err(|e| failed(&format!("Get \"{url}\": {e}")))?;
            let code = response.status().as_u16();
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let kind = kind.unwrap_or_default().to_owned();
            let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
            Ok((code, kind, body.map_err(|e| failed(&e))?.to_bytes()))
        };
        let timed = tokio::time::timeout(DOCUMENT_TIMEOUT, exchange).await;
        timed.unwrap_or_else(|_| Err(format!("timed out waiting for {url}")))
    }

    /// Whether it answers for its version.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn check(&self, api: &Api) -> Result<(), String> {
        let (code, ..) = self.read(api, &self.path(), "application/json").await?;
        if (200..300).contains(&code) {
            return Ok(());
        }
        let url = format!("https://{}:{}{}", self.service.host(), self.service.port, self.path());
        Err(format!("failing or missing response from {url}: bad status from {url}: {code}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn users_are_told_and_nobody_tells_otherwise() {
        let mut headers = HeaderMap::new();
        headers.insert(USER, "admin".parse().unwrap());
        headers.insert("x-remote-extra-scopes", "all".parse().unwrap());
        headers.append(GROUP, "system:masters".parse().unwrap());
        let mut user = UserInfo::new("jane", &["a", "b"]);
        user.extra.insert("example.org/Scope".into(), vec!["x".into(), "y".into()]);
        set_user(&mut headers, &user);
        let get = |name: &str| {
            let all = headers.get_all(name).iter();
            all.map(|v| v.to_str().unwrap()).collect::<Vec<_>>().join(",")
        };
        assert_eq!(get("x-remote-user"), "jane");
        assert_eq!(get("x-remote-group"), "a,b");
        assert_eq!(get("x-remote-extra-example.org%2fscope"), "x,y");
        assert_eq!(get("x-remote-extra-scopes"), "");
    }
}
