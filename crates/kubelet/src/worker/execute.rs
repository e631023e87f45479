//! Does what a plan says.

use std::time::Duration;

use jiff::SignedDuration;
use reconcile::EventKind;
use tokio::sync::watch;

use super::plan::{Action, Failure, KillReason, running_target};
use super::start::Start;
use super::status::Reason;
use super::{RETRY, RUNTIME_RETRY, Wish, Worker, next_pause, status, stop};
use crate::spec::{self, Kind};
use crate::volumes::Paths;
use crate::{hooks, logs, sandbox};

/// Sandboxes that fail are often waiting for the network: soon, then ever later.
const SANDBOX_RETRY_MAX: SignedDuration = SignedDuration::from_secs(10);

impl Worker {
    /// Acts; returns whether anything was done.
    pub(super) async fn execute(&mut self, actions: Vec<Action>, wishes: &watch::Receiver<Wish>) -> bool {
        let mut did_act = false;
        for action in actions {
            // A pod that is to end starts nothing more.
            if wishes.has_changed().unwrap_or(true) && is_ended_by(&wishes.borrow()) {
                return true;
            }
            did_act = true;
            match action {
                Action::Resize(names) => self.resize(&names).await,
                Action::KillPod => self.kill_pod().await,
                Action::ForgetInit => self.forget_init().await,
                Action::CreateSandbox { attempt, replaces } => self.create_sandbox(attempt, replaces).await,
                Action::Kill { id, name, message, reason } => self.kill(&id, &name, &message, reason).await,
                Action::Start { kind, name, restart_count } => {
                    let is_started = Box::pin(self.start(&name, restart_count, wishes.clone())).await;
                    if !is_started && kind == Kind::Init {
                        return true;
                    }
                }
            }
        }
        did_act
    }

    async fn kill_pod(&self) {
        let grace = Duration::from_secs(u64::try_from(spec::grace_seconds(&self.pod)).unwrap_or(0));
        if let Err(error) = stop::stop_all(&self.context, &self.pod, &self.state, grace).await {
            let text = format!("error killing pod: {error}");
            self.context.event(&self.pod, EventKind::Warning, "FailedKillPod", text);
            tokio::time::sleep(RUNTIME_RETRY).await;
        }
    }

    async fn forget_init(&self) {
        for init in spec::init_containers(&self.pod) {
            for run in self.state.runs_of(&init.name) {
                if let Err(error) = self.context.runtime.remove_container(&run.id).await {
                    tracing::warn!(container = run.name, %error, "cannot remove an init container");
                }
            }
        }
    }

    async fn create_sandbox(&mut self, attempt: u32, replaces: bool) {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        if replaces {
            let text = "Pod sandbox changed, it will be killed and re-created.";
            context.event(&pod, EventKind::Normal, "SandboxChanged", text);
        }
        let result = async {
            std::fs::create_dir_all(context.log_dir(&pod))
                .map_err(|error| format!("create pod log directory: {error}"))?;
            let config = sandbox::config(&context, &pod, attempt)?;
            let handler = sandbox::handler(&context, &pod).await?;
            context.runtime.run_sandbox(config, handler).await.map_err(|error| error.to_string())
        };
        match result.await {
            Ok(_) => self.sandbox_retry = None,
            Err(error) => {
                let text = format!("Failed to create pod sandbox: {error}");
                context.event(&pod, EventKind::Warning, "FailedCreatePodSandBox", text);
                let pause = next_pause(self.sandbox_retry, SignedDuration::from_secs(1), SANDBOX_RETRY_MAX);
                let now = context.clock.now();
                self.sandbox_retry = Some((now.saturating_add(pause).unwrap_or(now), pause));
            }
        }
    }

    async fn kill(&mut self, id: &str, name: &str, message: &str, reason: KillReason) {
        let Some(run) = self.state.runs.iter().find(|run| run.id == id) else { return };
        let Some((_, container)) = spec::find(&self.pod, name) else { return };
        let grace = stop::single_grace(&self.pod, &container, reason);
        let ip = self.state.ips().first().cloned().unwrap_or_default();
        if let Err(error) = stop::stop_one(&self.context, &self.pod, run, &ip, grace, message).await {
            tracing::warn!(container = name, %error, "cannot stop a container");
        }
    }

    /// Starts a container; whether it went well.
    async fn start(&mut self, name: &str, restart_count: u32, wishes: watch::Receiver<Wish>) -> bool {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        let Some((_, container)) = spec::find(&pod, name) else { return false };
        // What was killed just before is another run by now.
        let Ok(sandbox) = self.state.sandbox(&pod).cloned() else { return false };
        let sandbox_config = match sandbox::config(&context, &pod, sandbox.attempt) {
            Ok(config) => config,
            Err(message) => {
                let reason = Reason { reason: "ConfigPodSandboxError".into(), message };
                return self.fail(name, restart_count, reason).await;
            }
        };
        let restart_count = match self.state.run(name) {
            Some(_) => restart_count,
            None => logs::restart_count(&context.log_dir(&pod).join(name))
                .max(status::next_restart_count(&self.status, name)),
        };
        let empty = Paths::new();
        let start = Start {
            context: &context,
            pod: &pod,
            container: &container,
            restart_count,
            state: &self.state,
            sandbox: &sandbox.id,
            sandbox_config: &sandbox_config,
            volumes: self.volumes.as_ref().map_or(&empty, |(paths, _)| paths),
        };
        let now = context.clock.now();
        if let Some(ended) = self.state.ended(name) {
            self.crashes.next(name, ended, now);
        }
        let mut pulls = std::mem::take(&mut self.pulls);
        // A pull may take long: the pod's end does not wait for it.
        let images = tokio::select! {
            images = start.images(&mut pulls) => Some(images),
            () = until_ended(wishes.clone()) => None,
        };
        self.pulls = pulls;
        let result = match images {
            None => return false,
            Some(Err(reason)) => Err(reason),
            Some(Ok(images)) => start.run(&images).await,
        };
        let id = match result {
            Ok(id) => id,
            Err(reason) => return self.fail(name, restart_count, reason).await,
        };
        self.actuated.insert(id.clone(), container.resources.clone().unwrap_or_default());
        self.reasons.remove(name);
        self.failures.remove(name);
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone());
        let Some(hook) = hook else { return true };
        // Not ready before its hook is done; but everyone may see that it runs.
        if self.observe(false).await.is_ok() {
            self.publish(false);
        }
        let ip = self.state.ips().first().cloned().unwrap_or_default();
        let result = tokio::select! {
            result = hooks::run(&context, &pod, &container, &id, &ip, &hook) => result,
            () = until_ended(wishes) => return false,
        };
        let Err(message) = result else { return true };
        context.container_event(
            &pod,
            name,
            EventKind::Warning,
            "FailedPostStartHook",
            "PostStartHook failed",
        );
        if let Some(run) = self.state.runs.iter().find(|run| run.id == id) {
            let grace = Duration::from_secs(u64::try_from(spec::grace_seconds(&pod)).unwrap_or(0));
            let _ = stop::stop_one(&context, &pod, run, &ip, grace, "FailedPostStartHook").await;
        }
        self.fail(name, restart_count, Reason { reason: "PostStartHookError".into(), message }).await
    }

    async fn fail(&mut self, name: &str, attempt: u32, reason: Reason) -> bool {
        let (pod, namespace) = (spec::name(&self.pod), spec::namespace(&self.pod));
        let Reason { reason: word, message } = &reason;
        if is_news(self.reasons.get(name), &reason) {
            tracing::info!(
                pod,
                namespace,
                container = name,
                reason = word,
                message,
                "a container could not be started"
            );
        } else {
            tracing::debug!(
                pod,
                namespace,
                container = name,
                reason = word,
                message,
                "a container still cannot be started"
            );
        }
        let now = self.context.clock.now();
        let until = now.saturating_add(RETRY).unwrap_or(now);
        // As of the look that the start was planned by.
        let target = running_target(&self.pod, &self.state, name);
        self.failures.insert(name.to_owned(), Failure { attempt, until, target });
        self.reasons.insert(name.to_owned(), reason);
        // Told before the next look, which may find a crash to tell of instead.
        if self.observe(false).await.is_ok() {
            self.publish(false);
        }
        false
    }
}

/// Whether the log does not know yet that a container cannot be started, or why: it is tried, or looked at, every ten
/// seconds, and events and the status say it each time. That a pull waits is not another reason than that it failed.
fn is_news(before: Option<&Reason>, now: &Reason) -> bool {
    let kind = |reason: &'_ Reason| match reason.reason.as_str() {
        "ImagePullBackOff" => "ErrImagePull".to_owned(),
        other => other.to_owned(),
    };
    before.is_none_or(|before| kind(before) != kind(now))
}

fn is_ended_by(wish: &Wish) -> bool {
    match wish {
        Wish::Vanish => true,
        Wish::Be(pod) => pod.metadata.deletion_timestamp.is_some(),
    }
}

/// Waits until the pod is to end.
async fn until_ended(mut wishes: watch::Receiver<Wish>) {
    if wishes.wait_for(is_ended_by).await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_each_failure_once() {
        let of = |word: &str| Reason { reason: word.into(), message: "not found".into() };
        let pulls =
            ["ErrImagePull", "ImagePullBackOff", "ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"];
        let others = ["CreateContainerConfigError", "CreateContainerConfigError", "RunContainerError"];
        let mut before = None;
        let mut told = Vec::new();
        for word in pulls.into_iter().chain(others) {
            let now = of(word);
            if is_news(before.as_ref(), &now) {
                told.push(word);
            }
            before = Some(now);
        }
        assert_eq!(told, ["ErrImagePull", "CreateContainerConfigError", "RunContainerError"]);
    }
}
