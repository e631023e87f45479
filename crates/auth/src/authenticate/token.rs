//! Where a request carries a token.
//!
//! Upstream: `request/bearertoken`, `request/websocket`.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{self, HeaderMap, HeaderValue};

/// What a WebSocket subprotocol that carries a token begins with; browsers can set no other header.
const PROTOCOL_PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Unpadded base64url, as lenient on trailing bits as Go's.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The token of `Authorization: Bearer TOKEN`, if there is a non-empty one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    // Tokens are ASCII; what is not cannot be one, but is a credential all the same.
    let value = std::str::from_utf8(value.as_bytes()).unwrap_or("Bearer \u{fffd}").trim();
    let mut parts = value.split(' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token among the subprotocols of a WebSocket request, and the other subprotocols.
pub(super) fn websocket(headers: &HeaderMap) -> Result<Option<(String, Vec<String>)>, String> {
    let has = |name: header::HeaderName, wanted: &str| {
        let mut values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
        values.any(|v| v.to_ascii_lowercase().split(',').any(|item| item.trim() == wanted))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Ok(None);
    }
    let (mut token, mut rest) = (None, Vec::new());
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter();
    for value in values.filter_map(|v| v.to_str().ok()) {
        for protocol in value.split(',').map(str::trim) {
            let Some(encoded) = protocol.strip_prefix(PROTOCOL_PREFIX) else {
                rest.push(protocol.to_owned());
                continue;
            };
            if token.is_some() {
                return Err("multiple base64.bearer.authorization tokens specified".into());
            }
            let bytes = BASE64
                .decode(encoded)
                .map_err(|_| "invalid base64.bearer.authorization token encoding".to_owned())?;
            let text = String::from_utf8(bytes);
            token = Some(text.map_err(|_| "invalid base64.bearer.authorization token".to_owned())?);
        }
    }
    match token {
        Some(token) if !token.is_empty() && rest.is_empty() => Err("missing additional subprotocol".into()),
        Some(token) if !token.is_empty() => Ok(Some((token, rest))),
        _ => Ok(None),
    }
}

/// Puts the subprotocols without the token back.
pub(super) fn set_protocols(headers: &mut HeaderMap, protocols: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&protocols.join(",")) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
}
