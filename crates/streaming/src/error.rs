//! What can go wrong on the way to a backend.

use http::StatusCode;
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
    #[error("{}", http_text(.0))]
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
    /// The client's request is refused with this text and no `Status`.
    #[error("{why}")]
    Refused {
        /// The answer.
        code: StatusCode,
        /// Its body; it may be empty.
        why: &'static str,
    },
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
        // rustls says more of it: that TLS was not ended either.
        io::ErrorKind::UnexpectedEof => "unexpected EOF".into(),
        _ => error.to_string(),
    }
}

/// Of an answer that does not come: the connection is of one request, and ends before its first byte.
fn http_text(error: &hyper::Error) -> String {
    match io_error(error) {
        _ if is_end(error) => "EOF".into(),
        Some(source) => go_text(source),
        None => error.to_string(),
    }
}

fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Whether the connection ended before the answer, with or without an end of TLS.
fn is_end(error: &hyper::Error) -> bool {
    let is_end = |source: &io::Error| source.kind() == io::ErrorKind::UnexpectedEof;
    error.is_incomplete_message() || io_error(error).is_some_and(is_end)
}

impl Error {
    /// Of the answer to an upgrade: Go's client of those reads it with `http.ReadResponse`, which tells another end.
    pub(crate) fn of_upgrade(self) -> Self {
        match self {
            Self::Http(error) if is_end(&error) => Self::Io(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        }
    }
}

fn tls_text(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        // What the one who judges says has all of it.
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(why))) => {
            format!("tls: failed to verify certificate: {}", why.0)
        }
        Some(other) => format!("tls: {other}"),
        // Between two records, Go's `crypto/tls` takes the end for an end.
        None if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".into(),
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
        let end =
            || io::Error::new(io::ErrorKind::UnexpectedEof, "peer closed connection without close_notify");
        assert_eq!(Error::from(end()).to_string(), "unexpected EOF");
        assert_eq!(Error::Tls { address: "h:1".into(), source: end() }.to_string(), "EOF");
        let told = rustls::OtherError(std::sync::Arc::new(io::Error::other("x509: no")));
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::Other(told));
        let refused = Error::Tls { address: "h:1".into(), source: io::Error::other(refused) };
        assert_eq!(refused.to_string(), "tls: failed to verify certificate: x509: no");
    }
}
