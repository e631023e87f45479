//! Old states are forgotten in time (`apiserver/pkg/storage/etcd3/compact.go`): the store keeps what happened
//! in the last interval and the one before, and a list that was begun earlier cannot be gone on with.

use crate::api::Api;
use std::sync::Arc;
use std::time::Duration;

/// `--etcd-compaction-interval`, upstream's default.
const INTERVAL: Duration = Duration::from_secs(300);

/// Compacts until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let mut stopping = api.stopping.subscribe();
    let mut earlier = api.published.get();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let now = api.published.get();
        api.published.compact(earlier);
        match api.store.compact(earlier).await {
            // Another server on the same store, or the store by itself, was faster.
            Ok(()) | Err(store::Error::Compacted { .. }) => {}
            Err(error) => tracing::warn!(%error, revision = earlier, "the store cannot be compacted"),
        }
        earlier = now;
    }
}
