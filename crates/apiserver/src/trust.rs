//! Whom this server believes when it calls webhooks and other API servers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::Trust;

/// Those of a `caBundle`; without one, whom the machine believes.
///
/// # Errors
/// It is no base64 of PEM with certificates.
pub(crate) fn of_bundle(bundle: &str) -> Result<Trust, String> {
    if bundle.is_empty() {
        return Ok(Trust::system());
    }
    let pem = STANDARD.decode(bundle).map_err(|e| e.to_string());
    pem.and_then(|pem| Trust::from_pem(&pem).map_err(|e| e.to_string()))
        .map_err(|why| format!("unable to load root certificates: {why}"))
}
