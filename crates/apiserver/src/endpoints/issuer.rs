//! By what others verify service-account tokens: the issuer's description and its keys.
//!
//! Upstream: `pkg/routes/openidmetadata.go`.

use crate::call::Call;
use crate::reply::Reply;
use crate::route::method_not_allowed;
use http::{HeaderValue, Method, header};
use meta::status::Status;

/// Answers a request for one of the two documents.
pub(super) fn answer(call: &Call) -> Result<Reply, Status> {
    if call.method != Method::GET {
        return Err(method_not_allowed());
    }
    let (keys, config) = (&call.api.access.keys, &call.api.config);
    let mut reply = if call.path == pki::JWKS_PATH {
        Reply::bytes(200, "application/jwk-set+json", keys.jwks())
    } else {
        let address = std::net::SocketAddr::new(config.advertise_address, config.port);
        let own = || format!("https://{address}{}", pki::JWKS_PATH);
        let uri = call.api.settings.jwks_uri.clone().unwrap_or_else(own);
        Reply::bytes(200, "application/json", keys.openid_configuration(&config.issuer, &uri))
    };
    let kept = format!("public, max-age={}", pki::JWKS_MAX_AGE_SECONDS);
    if let Ok(kept) = HeaderValue::try_from(kept) {
        reply.headers.push((header::CACHE_CONTROL, kept));
    }
    Ok(reply)
}
