//! Compaction every five minutes, by one of all API servers of a cluster, upstream's or ours.
//!
//! They agree by the key `compact_rev_key`: its version is the clock. Who finds it as he left it one interval
//! ago writes it, and compacts to the revision that he saw then; the others take the new version and wait. The
//! value is the revision compacted to.
//!
//! Upstream counterpart: `storage/etcd3/compact.go`, with which this shares the key.

use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;

use super::client::Client;
use super::proto::{
    CompactionRequest, Compare, HeaderResponse, PutRequest, RangeRequest, Request, RequestOp, TxnRequest,
    TxnResponse,
};
use crate::Error;

const KEY: Bytes = Bytes::from_static(b"compact_rev_key");

/// What one server remembers between two intervals.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    version: i64,
    revision: u64,
}

/// Compacts at each interval until the client is gone.
pub(super) async fn run(client: Weak<Client>, interval: Duration) {
    let mut turn = Turn::default();
    loop {
        tokio::time::sleep(interval).await;
        let Some(client) = client.upgrade() else { return };
        match step(&client, turn).await {
            Ok(next) => turn = next,
            Err(error) => tracing::error!(%error, "etcd is not compacted"),
        }
    }
}

/// One interval.
pub(super) async fn step(client: &Client, turn: Turn) -> Result<Turn, Error> {
    let put = PutRequest { key: KEY, value: turn.revision.to_string().into(), lease: 0 };
    let get = RangeRequest { key: KEY, ..RangeRequest::default() };
    let request = TxnRequest {
        compare: vec![Compare::version(KEY, turn.version)],
        success: vec![RequestOp { request: Some(Request::Put(put)) }],
        failure: vec![RequestOp { request: Some(Request::Range(get)) }],
    };
    let answer: TxnResponse = client.write(super::TXN, request).await?;
    let revision = client.observe(answer.header);
    if !answer.succeeded {
        let kv =
            answer.responses.into_iter().next().and_then(|op| op.range).and_then(|mut range| range.kvs.pop());
        let Some(kv) = kv else { return Ok(Turn { version: 0, revision }) };
        if let Some(compacted) = std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse().ok()) {
            client.observe_compacted(compacted);
        }
        return Ok(Turn { version: kv.version, revision });
    }
    let next = Turn { version: turn.version + 1, revision };
    // At the first turn there is no revision of one interval ago.
    if turn.revision != 0 {
        compact(client, turn.revision).await?;
        tracing::debug!(revision = turn.revision, "compacted etcd");
    }
    Ok(next)
}

pub(super) async fn compact(client: &Client, revision: u64) -> Result<(), Error> {
    let request = CompactionRequest { revision: i64::try_from(revision).unwrap_or(i64::MAX) };
    let answer: HeaderResponse = client.write(super::COMPACT, request).await?;
    client.observe(answer.header);
    client.observe_compacted(revision);
    Ok(())
}
