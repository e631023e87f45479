//! Paths that are no resources: health, version, discovery, OpenAPI, metrics.

mod issuer;
mod pages;
pub(crate) mod version;

use crate::aggregation::Merged;
use crate::body::RequestBody;
use crate::call::Call;
use crate::discovery;
use crate::flowcontrol;
use crate::health;
use crate::metrics;
use crate::negotiate::{Encoding, route_produces};
use crate::openapi;
use crate::reply::Reply;
use crate::route::method_not_allowed;
use http::Method;
use meta::status::Status;
use value::{Value, json};

/// Answers a request for a path.
pub(crate) async fn answer(call: &Call, _body: RequestBody) -> Result<Reply, Status> {
    if let Some(reply) = discovery::answer(call) {
        return reply;
    }
    if let Some(reply) = openapi::answer(call).await {
        return reply;
    }
    if let Some(reply) = call.api.flow.as_ref().and_then(|flow| flowcontrol::debug(call, flow)) {
        return Ok(reply);
    }
    let path = call.path.as_str();
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    if let Some(kind) = health::KINDS.into_iter().find(|kind| *kind == first) {
        return Ok(health::answer(call, kind, path).await);
    }
    match path {
        "/version" | "/version/" if call.method == Method::GET => {
            route_produces(call.accept(), &[Encoding::Json], false)?;
            Ok(Reply::bytes(200, "application/json", version::document()))
        }
        "/version" | "/version/" => Err(method_not_allowed()),
        "/flagz" => pages::flagz(call),
        "/statusz" => pages::statusz(call),
        "/metrics" => Ok(metrics::answer(call)),
        "/metrics/slis" => Ok(metrics::service_level(call)),
        pki::OPENID_CONFIG_PATH | pki::JWKS_PATH => issuer::answer(call),
        "/" | "/index.html" => Ok(index(call)),
        _ => Ok(Reply::no_such_path()),
    }
}

/// `/`: where one can go.
fn index(call: &Call) -> Reply {
    let registry = call.api.registry.load();
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned(), "/apis/".to_owned()];
    let own = registry.iter().map(|s| (s.row.group.clone(), s.row.version.clone()));
    let merged = Merged::of(&call.api);
    let others = merged.iter().flat_map(Merged::places).map(|p| (p.group, p.version));
    for (group, version) in own.chain(others).filter(|(group, _)| !group.is_empty()) {
        for path in [format!("/apis/{group}"), format!("/apis/{group}/{version}")] {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths.extend(health::paths(&call.api));
    paths.extend(
        [
            "/flagz",
            "/metrics",
            "/metrics/slis",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/statusz",
            "/version",
        ]
        .map(str::to_owned),
    );
    paths.extend([pki::OPENID_CONFIG_PATH, pki::JWKS_PATH].map(str::to_owned));
    paths.sort();
    let mut document = Value::object();
    document.set("paths", paths);
    Reply::bytes(200, "application/json", crate::reply::indent(&json::to_vec(&document)))
}
