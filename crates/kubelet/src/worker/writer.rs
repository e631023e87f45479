//! Writes the status of one pod to its API object: the newest only, again and again until it is there.
//!
//! Never to another pod of that name: the UID is a precondition of each patch, and of what the server refuses it is asked
//! whether that pod is still there. Upstream (`syncPod` of `pkg/kubelet/status`) asks that before each patch; here the
//! informer tells it first, and nothing is asked while all goes well.

use std::time::Duration;

use api::core::v1::{Pod, PodCondition, PodStatus};
use client::{Client, ListOptions, Patch};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::conditions::OWN;
use super::patch::status_patch;
use crate::spec;

/// Pauses between tries while the server cannot be reached.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What is to be written, by number; nothing where nobody wants it any more.
type Wanted = (u64, Option<PodStatus>);

/// A version of the object, and its conditions as of then, whoever wrote them.
type Seen = (u64, Vec<PodCondition>);

/// A pod's writer; dropped, it ends.
pub(crate) struct Writer {
    wanted: watch::Sender<Wanted>,
    seen: watch::Sender<Seen>,
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
        let (seen, sights) = watch::channel((0, Vec::new()));
        let name = Name {
            namespace: spec::namespace(pod).to_owned(),
            name: spec::name(pod).to_owned(),
            uid: spec::uid(pod).to_owned(),
            node: spec::spec(pod).node_name.clone().unwrap_or_default(),
        };
        let task = tokio::spawn(write(client, name, base, wishes, sights, done));
        Self { wanted, seen, written, task }
    }

    /// Hears how the object is. Whoever gives up a node says of its pods that they are not ready: what is the kubelet's
    /// to say it says again.
    pub(crate) fn saw(&self, pod: &Pod) {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone());
        self.seen.send_replace((version(pod), conditions.unwrap_or_default()));
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

/// The object's resource version as a number (KEP-5504).
fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Takes over into `base` those of the kubelet's own conditions that stand otherwise in the object. Says whether any does.
fn correct(base: &mut PodStatus, seen: &[PodCondition]) -> bool {
    let mut differs = false;
    for own in base.conditions.iter_mut().flatten().filter(|own| OWN.contains(&own.type_.as_str())) {
        let found = seen.iter().find(|found| found.type_ == own.type_ && found.status != own.status);
        if let Some(found) = found {
            own.clone_from(found);
            differs = true;
        }
    }
    differs
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
    mut sights: watch::Receiver<Seen>,
    done: watch::Sender<u64>,
) {
    let mut pause = PAUSE_FIRST;
    let mut own_version = 0;
    loop {
        let ended = tokio::select! {
            changed = wishes.changed() => changed.is_err(),
            changed = sights.changed() => {
                let (version, conditions) = &*sights.borrow_and_update();
                // Before anything was wanted, and of what is older than was written since, there is nothing to say.
                if changed.is_ok()
                    && (wishes.borrow().0 == 0 || *version <= own_version || !correct(&mut base, conditions))
                {
                    continue;
                }
                changed.is_err()
            }
        };
        if ended {
            return;
        }
        loop {
            let (number, wanted) = wishes.borrow_and_update().clone();
            let patch = wanted.as_ref().and_then(|wanted| status_patch(&pod.uid, &base, wanted));
            let (Some(wanted), Some(patch)) = (wanted, patch) else {
                done.send_replace(number);
                break;
            };
            let patch = Patch::Strategic(patch);
            match client.patch_subresource::<Pod>(&pod.namespace, &pod.name, "status", &patch).await {
                Ok(written) => {
                    own_version = version(&written);
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
                (200, None) => {
                    let metadata = json!({"name": "p", "uid": "u", "resourceVersion": "5"});
                    (
                        200,
                        json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": []}}),
                    )
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
    async fn what_others_say_of_readiness_is_set_right() {
        let (client, mut requests) = refusing(200, None);
        let ready = |status: &str, version: &str| {
            let mut pod = pod(json!({"containers": []}));
            pod.metadata.resource_version = Some(version.into());
            let conditions = json!([
                {"type": "Ready", "status": status},
                {"type": "example.com/gate", "status": status},
            ]);
            pod.status = Some(PodStatus {
                conditions: serde_json::from_value(conditions).unwrap(),
                ..PodStatus::default()
            });
            pod
        };
        let mut writer = Writer::new(client, &pod(json!({"containers": []})));
        // Nothing is wanted yet, so nothing is wrong.
        writer.saw(&ready("False", "3"));
        writer.set(ready("True", "").status.as_ref().unwrap());
        writer.flush().await;
        assert_eq!(requests.recv().await.unwrap().0, Method::PATCH);
        // From before what was written at version 5; and only what others own.
        writer.saw(&ready("False", "4"));
        tokio::task::yield_now().await;
        let mut gate = ready("True", "6");
        gate.status.as_mut().unwrap().conditions.as_mut().unwrap()[1].status = "False".into();
        writer.saw(&gate);
        tokio::task::yield_now().await;
        assert!(requests.try_recv().is_err());
        writer.saw(&ready("False", "7"));
        let (_, _, patch) = requests.recv().await.unwrap();
        assert_eq!(patch["status"], json!({"conditions": [{"type": "Ready", "status": "True"}]}));
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
