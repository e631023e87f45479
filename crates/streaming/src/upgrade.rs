//! Upgraded connections that are passed on as they are.

use crate::streams::join;
use crate::{Backend, Error, Streams};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// How an upgrade went.
#[derive(Debug)]
pub enum Outcome {
    /// The client gets this 101; from then on bytes are passed on.
    Switched(Response<()>),
    /// The backend did not want to; its answer is for the client.
    Refused(Response<Incoming>),
}

/// Whether a request asks for another protocol.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .any(|v| v.to_ascii_lowercase().contains("upgrade"))
}

/// Sends the upgrade request to the backend; if it agrees, passes bytes on in both directions.
///
/// # Errors
/// The backend is not reached, or answers neither with the upgrade nor with an error.
pub async fn pass(
    streams: &Streams,
    client: OnUpgrade,
    backend: &Backend,
    request: Request<Empty<Bytes>>,
) -> Result<Outcome, Error> {
    let permit = streams.permit()?;
    let mut answer = backend.send(request).await.map_err(Error::of_upgrade)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        if answer.status().as_u16() < 400 {
            return Err(Error::NotUpgraded(answer.status().as_u16()));
        }
        return Ok(Outcome::Refused(answer));
    }
    let upgraded = hyper::upgrade::on(&mut answer);
    let (parts, _) = answer.into_parts();
    streams.spawn(permit, async move {
        let backend = upgraded.await?;
        let client = client.await?;
        join(TokioIo::new(client), TokioIo::new(backend)).await
    });
    let mut switched = Response::new(());
    *switched.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *switched.headers_mut() = parts.headers;
    Ok(Outcome::Switched(switched))
}
