//! Entry points for fuzzing: any bytes, no panic, and the promises that are asserted.

use std::sync::{Arc, LazyLock};

use futures_util::{FutureExt, stream};
use prost::Message;
use tokio::sync::mpsc;

use super::client::Client;
use super::features::Version;
use super::proto::{LeaseGrantResponse, RangeResponse, StatusResponse, TxnResponse, WatchResponse};
use super::watch::EtcdWatch;
use super::{EtcdOptions, conflict, kv_from};
use crate::{Error, Event, Watch};

/// A client that is connected to nobody. Channels are made in a runtime, which lives as long.
static CLIENT: LazyLock<(tokio::runtime::Runtime, Arc<Client>)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = EtcdOptions { endpoints: vec!["http://[::1]:1".to_owned()], ..EtcdOptions::default() };
    let client = runtime.block_on(Client::connect(&options)).expect("a client");
    (runtime, Arc::new(client))
});

/// What etcd answers: the first byte says to what; to a watch, several messages with their lengths.
pub fn answer(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 5 {
        0 => {
            let Ok(answer) = RangeResponse::decode(data) else { return };
            for kv in answer.kvs {
                let (key, value) = (kv.key.clone(), kv.value.clone());
                let ours = kv_from(kv);
                assert!(ours.key()[..] == key[..] && ours.value()[..] == value[..]);
            }
        }
        1 => {
            let Ok(answer) = TxnResponse::decode(data) else { return };
            let ops = answer.responses.len();
            assert_eq!(conflict(answer.responses).len(), ops, "an answer for each operation");
        }
        2 => {
            let _ = LeaseGrantResponse::decode(data);
        }
        3 => {
            let Ok(status) = StatusResponse::decode(data) else { return };
            let _ = Version::parse(&status.version).is_some_and(Version::tells_true_progress);
        }
        _ => watch(data),
    }
}

/// Events come in the order and the number in which etcd told them; half of a response is never shown.
fn watch(mut data: &[u8]) {
    let mut responses = Vec::new();
    while !data.is_empty()
        && let Ok(response) = WatchResponse::decode_length_delimited(&mut data)
    {
        responses.push(response);
    }
    let told: usize = responses.iter().map(|response| response.events.len()).sum();
    let (sender, _requests) = mpsc::channel(1);
    let responses = stream::iter(responses.into_iter().map(Ok));
    let mut watch = Watch::new(EtcdWatch::new(Box::pin(responses), CLIENT.1.clone(), 0, true, sender));
    let mut shown = 0;
    loop {
        match watch.next().now_or_never().expect("nothing is waited for") {
            Ok(batch) => {
                shown += batch.events.len();
                let last = batch.events.last().map(Event::revision);
                assert!(last.is_none_or(|last| last == batch.revision), "a batch is of its last event");
            }
            Err(Error::Compacted { compacted }) => break assert!(compacted > 0),
            Err(_) => break,
        }
    }
    assert!(shown <= told);
}
