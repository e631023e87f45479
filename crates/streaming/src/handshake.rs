//! How a connection to a server of TLS begins.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for it, as upstream.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// For a client that speaks HTTP without TLS, in Go's words.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// Begins TLS on a connection that was accepted; `None` if nothing comes of it.
pub async fn accept(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: TlsAcceptor,
) -> Option<TlsStream<TcpStream>> {
    // Key strokes and short answers are not to wait for each other.
    stream.set_nodelay(true).ok()?;
    // Boxed: what a handshake keeps is not to be kept for as long as the connection lasts.
    let handshake = Box::pin(tokio::time::timeout(TIMEOUT, shake_hands(stream, acceptor)));
    match handshake.await {
        Ok(Ok(Some(tls))) => return Some(tls),
        Ok(Ok(None)) => tracing::debug!(%remote, "a client speaks HTTP without TLS"),
        Ok(Err(error)) => tracing::debug!(%remote, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%remote, "TLS handshake timed out"),
    }
    None
}

/// `None` for a client that speaks HTTP without TLS, which is told, as Go's net/http (`conn.serve`) does.
async fn shake_hands(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0; 1];
    stream.peek(&mut first).await?;
    // A handshake begins with 22 (RFC 8446, 5.1), a method with a letter.
    if first[0].is_ascii_uppercase() {
        // What is left unread makes the kernel reset the connection, and the client may not see the answer.
        stream.try_read(&mut [0; 4 << 10])?;
        stream.write_all(PLAIN_HTTP).await?;
        stream.shutdown().await?;
        return Ok(None);
    }
    acceptor.accept(stream).await.map(Some)
}
