//! Writes the status of one pod to its API object: the newest only, again and again until it is there.

use std::sync::Arc;
use std::time::Duration;

use api::core::v1::{Pod, PodStatus};
use client::Patch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::patch::status_patch;
use crate::context::Context;
use crate::spec;

/// Pauses between tries while the server cannot be reached.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A pod's writer; dropped, it ends.
pub(crate) struct Writer {
    wanted: watch::Sender<(u64, PodStatus)>,
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
    pub(crate) fn new(context: Arc<Context>, pod: &Pod) -> Self {
        let base = pod.status.clone().unwrap_or_default();
        let (wanted, wishes) = watch::channel((0, base.clone()));
        let (done, written) = watch::channel(0);
        let name = Name {
            namespace: spec::namespace(pod).to_owned(),
            name: spec::name(pod).to_owned(),
            uid: spec::uid(pod).to_owned(),
        };
        let task = tokio::spawn(write(context, name, base, wishes, done));
        Self { wanted, written, task }
    }

    /// Has the status written, soon.
    pub(crate) fn set(&self, status: &PodStatus) {
        self.wanted.send_if_modified(|(number, wanted)| {
            let is_new = wanted != status;
            if is_new {
                *number += 1;
                wanted.clone_from(status);
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
}

async fn write(
    context: Arc<Context>,
    pod: Name,
    mut base: PodStatus,
    mut wishes: watch::Receiver<(u64, PodStatus)>,
    done: watch::Sender<u64>,
) {
    let mut pause = PAUSE_FIRST;
    while wishes.changed().await.is_ok() {
        loop {
            let (number, wanted) = wishes.borrow_and_update().clone();
            let Some(patch) = status_patch(&pod.uid, &base, &wanted) else {
                done.send_replace(number);
                break;
            };
            let patch = Patch::Strategic(patch);
            match context.client.patch_subresource::<Pod>(&pod.namespace, &pod.name, "status", &patch).await {
                Ok(_) => {
                    base = wanted;
                    pause = PAUSE_FIRST;
                    done.send_replace(number);
                    break;
                }
                // The object is gone, or another one has its name.
                Err(error) if error.is_not_found() || error.is_conflict() => {
                    tracing::debug!(pod = pod.name, %error, "the pod of a status is gone");
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
