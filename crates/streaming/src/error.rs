//! What can go wrong on the way to a backend.

use std::io;

/// Why a request was not passed on. The texts are what Go's client says, because kubectl shows them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection was not made.
    #[error("dial tcp {address}: {}", go_text(.source))]
    Dial {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// TLS was not agreed on, or the certificate is not trusted.
    #[error("{}", tls_text(.source))]
    Tls {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The host can be in no certificate.
    #[error("{0} is no name of a server")]
    Name(String),
    /// HTTP went wrong.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The request makes no sense.
    #[error("{0}")]
    Request(#[from] http::Error),
    /// The backend answered an upgrade with something else.
    #[error("invalid upgrade response: status code {0}")]
    NotUpgraded(u16),
    /// The client's request is no upgrade, or one that is not spoken here.
    #[error("{0}")]
    Upgrade(&'static str),
    /// The frames make no sense.
    #[error("{0}")]
    Protocol(&'static str),
    /// Reading or writing failed.
    #[error("{}", go_text(.0))]
    Io(#[from] io::Error),
    /// There are as many as there may be.
    #[error("too many streaming connections")]
    TooMany,
}

fn go_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
        io::ErrorKind::TimedOut => "i/o timeout".into(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".into(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        _ => error.to_string(),
    }
}

/// What Go's `crypto/x509` says of the commonest faults.
fn x509_text(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    match error {
        E::UnknownIssuer | E::BadSignature => "certificate signed by unknown authority".into(),
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "certificate has expired or is not yet valid".into()
        }
        E::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            let names = presented.join(", ");
            format!("certificate is valid for {names}, not {expected}")
        }
        other => other.to_string(),
    }
}

fn tls_text(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: x509: {}", x509_text(why))
        }
        Some(other) => format!("tls: {other}"),
        None => go_text(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let dial =
            |kind: io::ErrorKind| Error::Dial { address: "h:1".into(), source: kind.into() }.to_string();
        assert_eq!(dial(io::ErrorKind::ConnectionRefused), "dial tcp h:1: connect: connection refused");
        assert_eq!(dial(io::ErrorKind::TimedOut), "dial tcp h:1: i/o timeout");
        let tls = |why: rustls::CertificateError| {
            let source = io::Error::other(rustls::Error::InvalidCertificate(why));
            Error::Tls { address: "h:1".into(), source }.to_string()
        };
        let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert_eq!(tls(rustls::CertificateError::UnknownIssuer), unknown);
        let expired = "tls: failed to verify certificate: x509: certificate has expired or is not yet valid";
        assert_eq!(tls(rustls::CertificateError::Expired), expired);
    }
}
