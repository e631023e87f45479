//! Entry points for fuzzers: any bytes, no panic. The crate's own tests feed them noise.

use crate::authenticate::{self, ServiceAccountToken};
use crate::impersonation::wanted_user;
use http::{HeaderMap, HeaderName, HeaderValue};

/// A bearer token and a payload.
pub fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = pki::ServiceAccountKeys::peek(text);
    }
    if let Some(claims) = ServiceAccountToken::from_payload(data) {
        let again = ServiceAccountToken::from_payload(&claims.to_payload());
        assert_eq!(again.as_ref().map(|c| &c.account), Some(&claims.account));
    }
}

/// Headers (`NAME:VALUE` lines) that authenticate or impersonate.
pub fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n') {
        let mut parts = line.splitn(2, |b| *b == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let prefixed = [b"impersonate-extra-", name].concat();
        for name in [name, &prefixed] {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
    }
    authenticate::fuzz::headers(&headers);
    let _ = wanted_user(&mut headers);
}

/// What is said of requests, certificates and keys (DER) that somebody sends.
pub fn x509(data: &[u8]) {
    if let Err(told) = pki::checks::request(data) {
        assert!(!told.is_empty());
    }
    if pki::checks::certificate(data).is_ok() {
        assert_eq!(pki::checks::certificate(&[data, data].concat()), Ok(()), "one after the other");
    }
    assert!(pki::checks::key_pair(data, data).is_err(), "a certificate is no key");
}

/// A certificate and a certificate request (DER, PEM).
pub fn certificates(data: &[u8]) {
    let _ = pki::Certificate::from_der(data);
    // Nobody is trusted, and nobody's certificate is.
    if let Ok(nobody) = pki::ClientAuthorities::new(&[]) {
        let chain = [data.into(), data.into()];
        assert!(nobody.verify(&chain, 1_800_000_000).is_err());
    }
    let _ = pki::CertificateRequest::from_der(data);
    let _ = pki::CertificateRequest::from_pem(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = pki::Certificate::all_from_pem(text);
        let _ = pki::PublicKey::all_from_pem(text);
    }
}
