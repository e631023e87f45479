//! Connections that are passed on: plain requests, upgraded connections, and the two translations between
//! what clients speak (WebSocket) and what runtimes speak (SPDY/3.1).
//!
//! The API server passes requests on to kubelets and pods, a kubelet to its runtime: both by this crate, and the
//! connections of both begin by [`handshake`].
//! Upstream: `k8s.io/apimachinery/pkg/util/proxy`, `k8s.io/apiserver/pkg/util/proxy`, `k8s.io/streaming`.
//!
//! Invariants:
//! - Nothing here knows of objects, users or paths: who may connect whither is decided before.
//! - Bytes are never gathered without a limit: what is slow to read makes its sender wait.
//! - [`websocket`] and [`spdy`] are codecs: bytes in, frames out, no sockets.

pub mod backend;
pub mod error;
pub mod fuzz;
pub mod handshake;
pub mod messages;
mod peer;
pub mod spdy;
pub mod streams;
pub mod translate;
pub mod tunnel;
pub mod upgrade;
pub mod websocket;

pub use backend::Backend;
pub use error::Error;
pub use streams::Streams;
pub use upgrade::Outcome;
