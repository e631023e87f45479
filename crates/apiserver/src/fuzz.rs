//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted where the parsers are.

use crate::{admission, aggregation, audit, crd, encryption, gzip, special, verbs};
use http::{HeaderMap, HeaderValue, header};

/// The continue token of a list.
pub fn continue_token(data: &[u8]) {
    verbs::list::fuzz_continue(data);
}

/// An `EncryptionConfiguration`.
pub fn encryption_configuration(data: &[u8]) {
    encryption::fuzz::configuration(data);
}

/// A value from the store, encrypted or not.
pub fn stored_value(data: &[u8]) {
    encryption::fuzz::stored(data);
}

/// An audit policy.
pub fn audit_policy(data: &[u8]) {
    audit::fuzz::policy(data);
}

/// An object as it goes into an audit event.
pub fn audit_object(data: &[u8]) {
    audit::fuzz::object(data);
}

/// What an admission webhook answers.
pub fn admission_review(data: &[u8]) {
    admission::webhooks::review::fuzz(data);
}

/// What a conversion webhook answers.
pub fn conversion_review(data: &[u8]) {
    crd::fuzz::answer(data);
}

/// A document of an aggregated API: discovery of either form, OpenAPI.
pub fn aggregated_document(data: &[u8]) {
    aggregation::documents::fuzz(data);
}

/// The query of `kubectl logs`, and the name in a proxy's path.
pub fn log_options(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        special::connect::fuzz::log_options(text);
    }
}

/// A page that comes through the proxy.
pub fn proxied_page(data: &[u8]) {
    special::connect::fuzz::page(data);
}

/// `Accept-Encoding`.
pub fn accept_encoding(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
    assert!(!gzip::is_wanted(&headers) || data.windows(4).any(|window| window == b"gzip"));
}
