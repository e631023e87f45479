//! What Go says of the certificate that a server shows, before it looks who signed it.
//!
//! Upstream: `crypto/x509/verify.go` (`isValid`, `VerifyHostname`, `HostnameError`, `CertificateInvalidError`).

use crate::Certificate;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// Checks that a certificate is valid at a time (Unix seconds) and has the name of a server.
///
/// # Errors
/// What is wrong with it.
pub fn server(der: &CertificateDer<'_>, name: &ServerName<'_>, now: i64) -> Result<(), String> {
    let malformed = |_| "x509: malformed certificate".to_owned();
    let certificate = Certificate::from_der(der).map_err(|_| malformed(()))?;
    let time = |seconds| jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let lapsed = |how: &str, limit| {
        let detail = format!("current time {} is {how} {}", time(now), time(limit));
        Err(format!("x509: certificate has expired or is not yet valid: {detail}"))
    };
    if now < certificate.not_before {
        return lapsed("before", certificate.not_before);
    }
    if now > certificate.not_after {
        return lapsed("after", certificate.not_after);
    }
    if super::is_plain(der) {
        return Err(wrong_name(&certificate, name));
    }
    let parsed = ParsedCertificate::try_from(der).map_err(|_| malformed(()))?;
    verify_server_name(&parsed, name).map_err(|_| wrong_name(&certificate, name))
}

fn wrong_name(certificate: &Certificate, name: &ServerName<'_>) -> String {
    let (names, host) = (&certificate.names, name.to_str());
    let common_name = &certificate.subject.common_name;
    if names.is_empty() && common_name.eq_ignore_ascii_case(&host) {
        return "x509: certificate relies on legacy Common Name field, use SANs instead".into();
    }
    let valid: Vec<String> = match name {
        ServerName::IpAddress(_) if names.ips.is_empty() => {
            return format!(
                "x509: cannot validate certificate for {host} because it doesn't contain any IP SANs"
            );
        }
        ServerName::IpAddress(_) => names.ips.iter().map(ToString::to_string).collect(),
        _ => names.dns.clone(),
    };
    if valid.is_empty() {
        return format!("x509: certificate is not valid for any names, but wanted to match {host}");
    }
    format!("x509: certificate is valid for {}, not {host}", valid.join(", "))
}
