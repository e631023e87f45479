//! Paths that are no resources: health, version, discovery, OpenAPI, metrics.

use crate::call::Call;
use crate::door::Body;
use crate::reply::Reply;
use meta::status::Status;

/// Answers a request for a path.
pub(crate) async fn answer(call: &Call, _body: Body) -> Result<Reply, Status> {
    match call.path.as_str() {
        "/healthz" | "/livez" | "/readyz" => Ok(Reply::text(200, "ok")),
        _ => Ok(Reply::no_such_path()),
    }
}
