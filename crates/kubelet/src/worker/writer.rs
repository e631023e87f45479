//! Writes the status of one pod to its API object: the newest only, again and again until it is there.
//!
//! Never to another pod of that name: the UID is a precondition of each patch, and of what the server refuses it is asked
//! whether that pod is still there. Upstream (`syncPod` of `pkg/kubelet/status`) asks that before each patch; here the
//! informer tells it first, and nothing is asked while all goes well.

use std::time::Duration;

use api::core::v1::{Pod, PodStatus};
use client::{Client, ListOptions, Patch};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::patch::status_patch;
use crate::spec;

/// Pauses between tries while the server cannot be reached.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What is to be written, by number; nothing where nobody wants it any more.
type Wanted = (u64, Option<PodStatus>);

/// A pod's writer; dropped, it ends.
pub(crate) struct Writer {
    wanted: watch::Sender<Wanted>,
    written: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Writer {
    /// A writer for the pod, whose object has its status now.
    pub(crate) fn new(client: Client, pod: &Pod) -> Self {
        let base = pod.status.clone().unwrap_or_default();
        let (wanted, wishes) = watch::channel((0, Some(base.clone())));
        let (done, written) = watch::channel(0);
        let name = Name {
            namespace: spec::namespace(pod).to_owned(),
            name: spec::name(pod).to_owned(),
            uid: spec::uid(pod).to_owned(),
            node: spec::spec(pod).node_name.clone().unwrap_or_default(),
        };
        let task = tokio::spawn(write(client, name, base, wishes, done));
        Self { wanted, written, task }
    }

    /// Has the status written, soon.
    pub(crate) fn set(&self, status: &PodStatus) {
        self.want(Some(status));
    }

    /// Has nothing written any more: the object is gone, and its name may be another pod's by now.
    pub(crate) fn withdraw(&self) {
        self.want(None);
    }

    fn want(&self, status: Option<&PodStatus>) {
        self.wanted.send_if_modified(|(number, wanted)| {
            let is_new = wanted.as_ref() != status;
            if is_new {
                *number += 1;
                *wanted = status.cloned();
            }
            is_new
        });
    }

    /// Has `told` become true when all that was set is written.
    pub(crate) fn tell_when_written(&self, told: watch::Sender<bool>) {
        let number = self.wanted.borrow().0;
        let mut written = self.written.clone();
        tokio::spawn(async move {
            // Where the writer ended, nobody will ever write it.
            let _ = written.wait_for(|written| *written >= number).await;
            told.send_replace(true);
        });
    }

    /// Waits until all that was set is written, or nobody wants it any more.
    pub(crate) async fn flush(&mut self) {
        let number = self.wanted.borrow().0;
        let _ = self.written.wait_for(|written| *written >= number).await;
    }
}

struct Name {
    namespace: String,
    name: String,
    uid: String,
    node: String,
}

impl Name {
    /// Whether a refusal means that the object is gone, or that another one has its name: a pod of another node the server
    /// may refuse to this one before it compares UIDs.
    async fn is_gone(&self, client: &Client, refusal: &client::Error) -> bool {
        if refusal.is_not_found() {
            return true;
        }
        if refusal.status().is_none() {
            return false;
        }
        // A node may not even read a pod of another one; but it may list its own.
        let selector = format!("metadata.name={},spec.nodeName={}", self.name, self.node);
        let found = client.list::<Pod>(&self.namespace, &ListOptions::fields(selector)).await;
        found.is_ok_and(|found| !found.items.iter().any(|pod| spec::uid(pod) == self.uid))
    }
}

async fn write(
    client: Client,
    pod: Name,
    mut base: PodStatus,
    mut wishes: watch::Receiver<Wanted>,
    done: watch::Sender<u64>,
) {
    let mut pause = PAUSE_FIRST;
    while wishes.changed().await.is_ok() {
        loop {
            let (number, wanted) = wishes.borrow_and_update().clone();
            let patch = wanted.as_ref().and_then(|wanted| status_patch(&pod.uid, &base, wanted));
            let (Some(wanted), Some(patch)) = (wanted, patch) else {
                done.send_replace(number);
                break;
            };
            let patch = Patch::Strategic(patch);
            match client.patch_subresource::<Pod>(&pod.namespace, &pod.name, "status", &patch).await {
                Ok(_) => {
                    base = wanted;
                    pause = PAUSE_FIRST;
                    done.send_replace(number);
                    break;
                }
                Err(error) if pod.is_gone(&client, &error).await => {
                    tracing::debug!(pod = pod.name, uid = pod.uid, %error, "the pod of a status is gone");
                    base = wanted;
                    done.send_replace(number);
                    break;
                }
                Err(error) => {
                    tracing::warn!(pod = pod.name, namespace = pod.namespace, %error, "cannot write the status of a pod");
                    let _ = tokio::time::timeout(pause, wishes.changed()).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use bytes::Bytes;
    use client::{ByteBody, Error, Transport};
    use futures_util::future::BoxFuture;
    use futures_util::stream;
    use http::{Method, Request, Response};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use tokio::sync::mpsc;

    /// However slow the machine is, by then it has happened.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A server that refuses patches with a code, and lists pods of these UIDs; without any it refuses that too.
    struct Server {
        code: u16,
        uids: Option<&'static [&'static str]>,
        asked: mpsc::UnboundedSender<(Method, String, Value)>,
    }

    impl Transport for Server {
        fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<ByteBody>, Error>> {
            let body = serde_json::from_slice(request.body()).unwrap_or_default();
            let _ = self.asked.send((request.method().clone(), request.uri().to_string(), body));
            let pod = |uid: &&str| json!({"metadata": {"name": "p", "uid": uid}, "spec": {"containers": []}});
            let (code, answer) = match (self.code, self.uids) {
                (0, _) => return Box::pin(async { Err(Error::Transport("refused".into())) }),
                (_, Some(uids)) if request.method() == Method::GET => {
                    let items: Vec<_> = uids.iter().map(pod).collect();
                    (200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
                }
                (code, _) => (code, json!({"kind": "Status", "code": code, "message": "no"})),
            };
            let body: ByteBody = Box::pin(stream::iter([Ok(Bytes::from(answer.to_string()))]));
            Box::pin(async move { Ok(Response::builder().status(code).body(body).unwrap()) })
        }
    }

    type Requests = mpsc::UnboundedReceiver<(Method, String, Value)>;

    fn refusing(code: u16, uids: Option<&'static [&'static str]>) -> (Client, Requests) {
        let (asked, requests) = mpsc::unbounded_channel();
        (Client::new(Arc::new(Server { code, uids, asked }), "kubelet"), requests)
    }

    fn failed(client: Client) -> Writer {
        let writer = Writer::new(client, &pod(json!({"nodeName": "n1", "containers": []})));
        writer.set(&PodStatus { phase: Some("Failed".into()), ..PodStatus::default() });
        writer
    }

    #[tokio::test]
    async fn a_pod_of_the_same_name_is_left_alone() {
        let (client, mut requests) = refusing(403, Some(&["another"]));
        tokio::time::timeout(PATIENCE, failed(client).flush()).await.expect("it is not tried for ever");
        let (method, path, patch) = requests.try_recv().unwrap();
        assert_eq!((method, path.as_str()), (Method::PATCH, "/api/v1/namespaces/n/pods/p/status"));
        assert_eq!(patch["metadata"], json!({"uid": "u"}));
        let (method, path, _) = requests.try_recv().unwrap();
        assert_eq!(method, Method::GET);
        // What the node authorizer lets a node list.
        assert!(path.contains("fieldSelector=metadata.name%3Dp%2Cspec.nodeName%3Dn1"), "{path}");
        assert!(requests.try_recv().is_err(), "it is not tried again");
    }

    #[tokio::test]
    async fn refusals() {
        let cases: [(u16, Option<&'static [&'static str]>, bool); 9] = [
            (404, None, true),
            (409, Some(&["another"]), true),
            (409, Some(&["u"]), false),
            (403, Some(&[]), true),
            (403, Some(&["another"]), true),
            (403, Some(&["u"]), false),
            (422, Some(&["another"]), true),
            (403, None, false),
            (0, None, false),
        ];
        let name = Name { namespace: "n".into(), name: "p".into(), uid: "u".into(), node: "n1".into() };
        for (code, uids, wanted) in cases {
            let refusal = match code {
                0 => Error::Transport("refused".into()),
                code => Error::Status(Box::new(api::meta::v1::Status {
                    code: Some(code.into()),
                    ..Default::default()
                })),
            };
            let (client, _requests) = refusing(code, uids);
            assert_eq!(name.is_gone(&client, &refusal).await, wanted, "{code} {uids:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_tried_again_for_an_object_that_is_gone() {
        let (client, mut requests) = refusing(403, None);
        let mut writer = failed(client);
        assert_eq!(requests.recv().await.unwrap().0, Method::PATCH);
        writer.withdraw();
        tokio::time::timeout(PATIENCE, writer.flush()).await.expect("it is not tried for ever");
        while let Ok((method, ..)) = requests.try_recv() {
            assert_eq!(method, Method::GET);
        }
    }
}
