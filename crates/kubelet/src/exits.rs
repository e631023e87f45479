//! Notices at once that a process has ended, without asking the runtime again and again.
//!
//! A container's first process is held by a pidfd, which the kernel makes readable when it ends; then the runtime is
//! asked until it knows too. Where the runtime tells no process id, the slow look of each worker is the net.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags};
use serde_json::Value;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::runtime;
use crate::runtime::messages::{ContainerState, Labels, PodSandboxState};
use crate::state::PodState;

/// How long a runtime may take to notice what the kernel already told.
const NOTICE_PAUSES: [u64; 10] = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];

/// The watches of one pod; dropped, they end.
pub(crate) struct Exits {
    context: Arc<Context>,
    wake: Arc<Notify>,
    tasks: BTreeMap<String, JoinHandle<()>>,
}

impl Drop for Exits {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

impl Exits {
    pub(crate) fn new(context: Arc<Context>, wake: Arc<Notify>) -> Self {
        Self { context, wake, tasks: BTreeMap::new() }
    }

    /// Watches what runs.
    pub(crate) fn follow(&mut self, state: &PodState) {
        let is_running = |id: &str| {
            state.runs.iter().any(|run| run.id == id && run.is_running())
                || state.sandboxes.iter().any(|sandbox| sandbox.id == id && sandbox.is_ready)
        };
        self.tasks.retain(|id, task| {
            let stays = is_running(id);
            if !stays {
                task.abort();
            }
            stays
        });
        for run in state.runs.iter().filter(|run| run.is_running()) {
            if self.tasks.contains_key(&run.id) {
                continue;
            }
            self.watch(&run.id, Thing::Container);
        }
        for sandbox in state.sandboxes.iter().filter(|sandbox| sandbox.is_ready) {
            if !self.tasks.contains_key(&sandbox.id) {
                self.watch(&sandbox.id, Thing::Sandbox);
            }
        }
    }

    fn watch(&mut self, id: &str, thing: Thing) {
        let watch = watch(self.context.clone(), self.wake.clone(), id.to_owned(), thing);
        self.tasks.insert(id.to_owned(), tokio::spawn(watch));
    }
}

/// What has a first process.
#[derive(Clone, Copy)]
enum Thing {
    Container,
    Sandbox,
}

impl Thing {
    /// Whether the runtime thinks that it runs, and the runtime's information of it.
    async fn ask(self, context: &Context, id: &str, verbose: bool) -> Result<(bool, Labels), runtime::Error> {
        match self {
            Self::Container => {
                let (status, info) = context.runtime.container_status(id, verbose).await?;
                Ok((status.state() == ContainerState::Running, info))
            }
            Self::Sandbox => {
                let (status, info) = context.runtime.sandbox_status(id, verbose).await?;
                Ok((status.state() == PodSandboxState::Ready, info))
            }
        }
    }
}

async fn watch(context: Arc<Context>, wake: Arc<Notify>, id: String, thing: Thing) {
    let Ok((_, info)) = thing.ask(&context, &id, true).await else {
        wake.notify_one();
        return;
    };
    let Some(pid) = pid(&info) else {
        tracing::debug!(id, "the runtime does not tell the container's process");
        return;
    };
    match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(handle) => {
            // Deprecated because a type may change its mind about its descriptor; an `OwnedFd` does not.
            #[allow(deprecated)]
            let Ok(handle) = AsyncFd::with_interest(handle, Interest::READABLE) else { return };
            let _ = handle.readable().await;
        }
        // Gone already.
        Err(rustix::io::Errno::SRCH) => {}
        Err(error) => {
            tracing::debug!(id, %error, "cannot watch the container's process");
            return;
        }
    }
    for pause in NOTICE_PAUSES {
        if !matches!(thing.ask(&context, &id, false).await, Ok((true, _))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    wake.notify_one();
}

/// The container's first process, from the runtime's own information (containerd and CRI-O alike).
pub(crate) fn pid(info: &Labels) -> Option<Pid> {
    let info: Value = serde_json::from_str(info.get("info")?).ok()?;
    let pid = info.get("pid")?.as_i64()?;
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_of_a_container() {
        let info = |text: &str| Labels::from([("info".to_owned(), text.to_owned())]);
        assert_eq!(pid(&info(r#"{"pid": 42, "config": {}}"#)), Pid::from_raw(42));
        assert_eq!(pid(&info(r#"{"pid": 0}"#)), None);
        assert_eq!(pid(&info("x")), None);
        assert_eq!(pid(&Labels::new()), None);
    }
}
