//! The subresources by which clients reach what runs on nodes: exec, attach, port-forward, logs, proxies.
//!
//! Each decides whither, then the bytes are passed on by the `streaming` crate. Upstream:
//! `ConnectResource` in `k8s.io/apiserver/pkg/endpoints/handlers/rest.go`, `pkg/registry/core/pod/rest`.

pub(crate) mod fuzz;
mod location;
mod log;
mod options;
mod proxy;
mod rewrite;
mod stream;

use crate::access;
use crate::admission::{Attributes, Operation};
use crate::body::RequestBody;
use crate::body::ResponseBody;
use crate::call::Call;
use crate::reply::Reply;
use crate::resource::{Hub, Target};
use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use hyper::body::Incoming;
use meta::gvk::GroupResource;
use meta::status::Status;
use std::sync::Arc;
use streaming::{Error, Outcome};

/// Answers a request for such a subresource.
///
/// # Errors
/// What upstream says.
pub(super) async fn answer(
    call: &Call,
    target: &Target,
    hub: &Arc<Hub>,
    body: RequestBody,
) -> Result<Reply, Status> {
    let Some(sub) = &target.sub else { return Err(crate::route::not_found()) };
    if sub.name == "log" {
        return log::answer(call, target, hub).await;
    }
    if call.query.get("dryRun").is_some_and(|v| !v.is_empty()) {
        return Err(Status::bad_request("dryRun is not supported"));
    }
    let mut options = options::read(call, &sub.kind).map_err(Status::bad_request)?;
    let mut attributes = Attributes::new(call, target, Operation::Connect, &call.info.name, false);
    let admission = &call.api.admission;
    admission.admit(call, &mut attributes, &mut options, None).await?;
    admission.validate(call, &attributes, Some(&options), None).await?;
    match sub.name.as_str() {
        "exec" | "attach" | "portforward" => {
            ensure_may_create(call)?;
            stream::answer(call, target, hub, &options).await
        }
        _ => proxy::answer(call, target, &options, body).await,
    }
}

/// A WebSocket is asked for by GET, but whoever may only read pods must not run commands in them
/// (`AuthorizePodWebsocketUpgradeCreatePermission`, `pkg/registry/core/pod/rest/authorize.go`).
fn ensure_may_create(call: &Call) -> Result<(), Status> {
    if call.info.verb == "create" {
        return Ok(());
    }
    let verdict = access::verdict(call, "create");
    if verdict.allowed() {
        return Ok(());
    }
    let resource = GroupResource::new(call.info.group.clone(), call.info.resource.clone());
    Err(Status::forbidden(&resource, &call.info.name, verdict.reason))
}

/// Headers that are about one connection (RFC 9110 section 7.6.1), as Go's `httputil.ReverseProxy` drops them.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|v| v.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Adds the caller's address to `X-Forwarded-For`.
pub(crate) fn add_forwarded_for(call: &Call, headers: &mut HeaderMap) {
    const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");
    let crate::door::Origin::Wire(connection) = &call.origin else { return };
    let mut hops: Vec<String> =
        headers.get_all(NAME).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect();
    hops.push(connection.remote.ip().to_canonical().to_string());
    if let Ok(value) = HeaderValue::try_from(hops.join(", ")) {
        headers.insert(NAME, value);
    }
}

/// What the client gets of how an upgrade went.
pub(crate) fn upgrade_reply(call: &Call, outcome: Result<Outcome, Error>) -> Result<Reply, Status> {
    match outcome {
        Ok(Outcome::Switched(response)) => {
            let headers = response.headers().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            Ok(Reply { code: 101, content_type: "", body: ResponseBody::empty(), headers })
        }
        Ok(Outcome::Refused(response)) => Ok(remote_reply(call, response)),
        Err(Error::TooMany) => {
            Err(Status::too_many_requests("too many streaming connections, please try again later.", 1))
        }
        Err(Error::Upgrade(why)) => Err(Status::bad_request(why)),
        Err(Error::Refused { code, why }) => Ok(Reply::text(code.as_u16(), why)),
        Err(error @ (Error::Dial { .. } | Error::Tls { .. } | Error::Name(_))) => {
            Err(Status::plain_error(format!("error dialing backend: {error}")))
        }
        Err(error) => Err(Status::plain_error(error)),
    }
}

/// What another server answered.
pub(crate) fn remote_reply(call: &Call, response: Response<Incoming>) -> Reply {
    let (mut parts, body) = response.into_parts();
    remove_hop_by_hop(&mut parts.headers);
    let headers = parts.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let body = ResponseBody::Remote { body, stop: call.api.shutdown_signal() };
    Reply { code: parts.status.as_u16(), content_type: "", body, headers }
}
