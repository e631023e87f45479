//! The end of a pod: its containers, its volumes, its object, its traces.

use std::time::Duration;

use api::core::v1::Pod;
use api::meta::v1::{DeleteOptions, Preconditions};
use reconcile::EventKind;
use tokio::sync::watch;

use super::{RUNTIME_RETRY, Wish, Worker, stop};
use crate::spec;
use crate::volumes;

/// A pod that is no longer known has been told long ago that it is to end.
const VANISHED_GRACE: Duration = Duration::from_secs(2);

impl Worker {
    /// Ends the pod as far as it can be ended now; returns whether nothing of it is left.
    pub(super) async fn terminate(&mut self, is_gone: bool, wishes: &mut watch::Receiver<Wish>) -> bool {
        if let Err(error) = self.observe(true).await {
            tracing::warn!(pod = spec::name(&self.pod), %error, "cannot ask the runtime for a pod");
            tokio::time::sleep(RUNTIME_RETRY).await;
            return false;
        }
        let has_live = self.state.live().next().is_some();
        if has_live || self.state.sandboxes.iter().any(|sandbox| sandbox.is_ready) {
            if !is_gone {
                self.publish(false);
            }
            self.stop(is_gone, wishes).await;
            return false;
        }
        if !is_gone {
            self.publish(true);
        }
        if let Err(error) = volumes::remove_pod_dir(&self.context, spec::uid(&self.pod)) {
            tracing::warn!(pod = spec::name(&self.pod), %error, "cannot remove the directory of a pod");
            tokio::time::sleep(RUNTIME_RETRY).await;
            return false;
        }
        self.context.cgroups.remove(&self.pod);
        self.context.config_maps.forget(spec::uid(&self.pod));
        self.context.secrets.forget(spec::uid(&self.pod));
        self.has_cgroup = false;
        self.volumes = None;
        if is_gone {
            return self.remove_traces().await;
        }
        let tell = async {
            self.writer.flush().await;
            if self.pod.metadata.deletion_timestamp.is_some() {
                self.delete_object().await;
            }
        };
        // Of an object that is gone nothing can be told, however long the server does not take it.
        if unless_vanished(wishes.clone(), tell).await.is_none() {
            return false;
        }
        // Nothing is left to do until the object changes or goes.
        wishes.changed().await.is_err()
    }

    /// Ends all containers; anew with less time if the pod gets less time meanwhile.
    async fn stop(&self, is_gone: bool, wishes: &mut watch::Receiver<Wish>) {
        let grace = if is_gone {
            VANISHED_GRACE
        } else {
            Duration::from_secs(u64::try_from(spec::grace_seconds(&self.pod)).unwrap_or(0))
        };
        let stop = stop::stop_all(&self.context, &self.pod, &self.state, grace);
        let is_shorter = |wish: &Wish| match wish {
            Wish::Vanish => !is_gone,
            Wish::Be(pod) => shortens(&self.pod, pod),
        };
        tokio::select! {
            result = stop => {
                if let Err(error) = result {
                    let text = format!("error killing pod: {error}");
                    self.context.event(&self.pod, EventKind::Warning, "FailedKillPod", text);
                    tokio::time::sleep(RUNTIME_RETRY).await;
                }
            }
            () = async { drop(wishes.wait_for(is_shorter).await) } => {}
        }
    }

    /// The last word on the object: nothing of the pod runs any more.
    async fn delete_object(&self) {
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteOptions::default()
        };
        let (namespace, name) = (spec::namespace(&self.pod), spec::name(&self.pod));
        let mut pause = RUNTIME_RETRY;
        loop {
            match self.context.client.delete::<Pod>(namespace, name, &options).await {
                Ok(()) => return,
                Err(error) if error.is_not_found() || error.is_conflict() => return,
                Err(error) => {
                    tracing::warn!(pod = name, namespace, %error, "cannot delete the object of a pod that ended");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    /// Removes containers, sandboxes and logs.
    async fn remove_traces(&self) -> bool {
        let context = &self.context;
        let mut result = Ok(());
        for run in &self.state.runs {
            result = result.and(context.runtime.remove_container(&run.id).await);
            let link = format!(
                "{}_{}_{}-{}.log",
                spec::name(&self.pod),
                spec::namespace(&self.pod),
                run.name,
                run.id
            );
            let _ = std::fs::remove_file(context.config.container_logs_dir.join(link));
        }
        for sandbox in &self.state.sandboxes {
            result = result.and(context.runtime.remove_sandbox(&sandbox.id).await);
        }
        if let Err(error) = result {
            tracing::warn!(pod = spec::name(&self.pod), %error, "cannot remove the containers of a pod");
            tokio::time::sleep(RUNTIME_RETRY).await;
            return false;
        }
        let _ = std::fs::remove_dir_all(context.log_dir(&self.pod));
        true
    }
}

/// What comes of `work`; nothing if the pod's object goes before.
async fn unless_vanished<T>(mut wishes: watch::Receiver<Wish>, work: impl Future<Output = T>) -> Option<T> {
    let gone = async {
        if wishes.wait_for(|wish| matches!(wish, Wish::Vanish)).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = gone => None,
    }
}

/// Whether the pod is to end sooner than it was.
fn shortens(old: &Pod, new: &Pod) -> bool {
    new.metadata.deletion_timestamp.is_some()
        && (spec::grace_seconds(new) < spec::grace_seconds(old)
            || (old.metadata.deletion_timestamp.is_none()
                && spec::grace_seconds(new) <= spec::grace_seconds(old)))
        && new.metadata.resource_version != old.metadata.resource_version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[tokio::test]
    async fn what_is_told_of_an_object_that_is_gone_keeps_nobody() {
        let pod = std::sync::Arc::new(pod(json!({"containers": []})));
        let (wishes, received) = watch::channel(Wish::Be(pod));
        assert_eq!(unless_vanished(received.clone(), async { 1 }).await, Some(1));
        let telling = tokio::spawn(unless_vanished(received, std::future::pending::<()>()));
        wishes.send_replace(Wish::Vanish);
        assert_eq!(telling.await.unwrap(), None);
    }

    #[test]
    fn only_less_time_matters() {
        let make = |version: &str, grace: Option<i64>| {
            let mut pod = pod(json!({"containers": [], "terminationGracePeriodSeconds": 30}));
            pod.metadata.resource_version = Some(version.into());
            if let Some(grace) = grace {
                pod.metadata.deletion_timestamp = Some(api::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
                pod.metadata.deletion_grace_period_seconds = Some(grace);
            }
            pod
        };
        assert!(shortens(&make("1", Some(30)), &make("2", Some(0))));
        assert!(!shortens(&make("1", Some(30)), &make("2", Some(30))), "only the status changed");
        assert!(!shortens(&make("1", None), &make("2", None)));
    }
}
