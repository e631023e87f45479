//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted.

use crate::Kubeconfig;
use crate::failure;
use crate::watch::EventStream;
use api::core::v1::ConfigMap;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use std::path::Path;

/// What a watch brings, by whichever pieces it comes: an event or an error a line.
pub fn watch(data: &[u8]) {
    let lines = data.iter().filter(|b| **b == b'\n').count();
    let [pieces, whole] = [3, data.len().max(1)].map(|size| {
        let pieces: Vec<_> = data.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut events = EventStream::<ConfigMap>::new(Box::pin(stream::iter(pieces)));
        let mut found = Vec::new();
        while let Some(event) = events.next().now_or_never().expect("nothing is waited for") {
            found.push(event.map(|event| format!("{event:?}")).map_err(|error| error.to_string()));
        }
        assert_eq!(found.len(), lines);
        found
    });
    assert_eq!(pieces, whole, "whatever the pieces");
}

/// A kubeconfig. The folder is none, so that no file that it names is there.
pub fn kubeconfig(data: &[u8]) {
    if let Ok(config) = Kubeconfig::parse(data, Path::new("/proc/none")) {
        assert!(config.token_file.is_none_or(|file| !file.as_os_str().is_empty()));
    }
}

/// The body of an answer that is no success: it always becomes an error with a code and a text.
pub fn failure(data: &[u8]) {
    let error = failure::failure(&Method::GET, StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new(), data);
    assert!(error.code().is_some());
    let _ = (error.to_string(), error.retry_after(), error.is_namespace_terminating());
}
