//! Ends containers: hook, turn, signal, and at last the runtime's force.
//!
//! Upstream counterparts: `killContainer` and `killPodWithSyncResult` of `pkg/kubelet/kuberuntime`, and its
//! `kuberuntime_termination_order.go`.

use std::collections::BTreeMap;
use std::time::Duration;

use api::core::v1::{Container, LifecycleHandler, Pod};
use futures_util::future::join_all;
use reconcile::EventKind;
use tokio::sync::watch;
use tokio::time::Instant;

use super::plan::KillReason;
use crate::context::Context;
use crate::hooks;
use crate::runtime;
use crate::spec;
use crate::state::{PodState, Run};

/// What every container gets at least: upstream's `minimumGracePeriodInSeconds`.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// The grace of a container that is killed by itself.
pub(crate) fn single_grace(pod: &Pod, container: &Container, reason: KillReason) -> Duration {
    let probe = match reason {
        KillReason::Startup => container.startup_probe.as_ref(),
        KillReason::Liveness => container.liveness_probe.as_ref(),
        KillReason::Changed | KillReason::Unknown => None,
    };
    let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
    let is_deleted = pod.metadata.deletion_grace_period_seconds.is_some();
    let seconds = own.filter(|_| !is_deleted).unwrap_or_else(|| spec::grace_seconds(pod));
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Ends one container.
pub(crate) async fn stop_one(
    context: &Context,
    pod: &Pod,
    run: &Run,
    ip: &str,
    grace: Duration,
    message: &str,
) -> Result<(), runtime::Error> {
    stop(context, pod, run, ip, grace, message, None).await
}

/// Ends all containers of a pod, sidecars after the others, and its sandboxes.
pub(crate) async fn stop_all(
    context: &Context,
    pod: &Pod,
    state: &PodState,
    grace: Duration,
) -> Result<(), runtime::Error> {
    let ip = state.ips().first().cloned().unwrap_or_default();
    let running: Vec<&Run> = state.live().collect();
    let names: Vec<String> = running.iter().map(|run| run.name.clone()).collect();
    let turns = Turns::new(pod, &names);
    let stops = running.into_iter().map(|run| {
        let message = format!("Stopping container {}", run.name);
        let (turns, ip) = (&turns, &ip);
        async move {
            let result = stop(context, pod, run, ip, grace, &message, Some(turns)).await;
            turns.done(&run.name);
            result
        }
    });
    join_all(stops).await.into_iter().collect::<Result<(), _>>()?;
    for sandbox in &state.sandboxes {
        match context.runtime.stop_sandbox(&sandbox.id).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn stop(
    context: &Context,
    pod: &Pod,
    run: &Run,
    ip: &str,
    grace: Duration,
    message: &str,
    turns: Option<&Turns>,
) -> Result<(), runtime::Error> {
    context.container_event(pod, &run.name, EventKind::Normal, "Killing", message);
    let begun = Instant::now();
    if let Some((container, hook)) = pre_stop(pod, run)
        && !grace.is_zero()
    {
        let hook = hooks::run(context, pod, &container, &run.id, ip, &hook);
        if let Ok(Err(error)) = tokio::time::timeout(grace, hook).await {
            tracing::info!(container = run.name, %error, "a preStop hook failed");
            // Without the hook's output: it may hold secrets.
            context.container_event(
                pod,
                &run.name,
                EventKind::Warning,
                "FailedPreStopHook",
                "PreStopHook failed",
            );
        }
    }
    if let Some(turns) = turns {
        let left = grace.saturating_sub(begun.elapsed());
        let _ = tokio::time::timeout(left, turns.wait(&run.name)).await;
    }
    let left = grace.saturating_sub(begun.elapsed()).max(GRACE_MIN);
    match context.runtime.stop_container(&run.id, left).await {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

/// The hook before the container's end, with the container as it is known.
fn pre_stop(pod: &Pod, run: &Run) -> Option<(Container, LifecycleHandler)> {
    match spec::find(pod, &run.name) {
        Some((_, container)) => {
            let hook = container.lifecycle.as_ref()?.pre_stop.clone()?;
            Some((container, hook))
        }
        // The pod is not known any more; what was noted when the container was made still is.
        None => {
            let container = Container { name: run.name.clone(), ..Container::default() };
            Some((container, run.recorded_pre_stop()?))
        }
    }
}

/// Who waits for whose end.
struct Turns {
    ended: BTreeMap<String, watch::Sender<bool>>,
    before: BTreeMap<String, Vec<String>>,
}

impl Turns {
    fn new(pod: &Pod, running: &[String]) -> Self {
        let ended = running.iter().map(|name| (name.clone(), watch::Sender::new(false))).collect();
        Self { ended, before: order(pod) }
    }

    async fn wait(&self, name: &str) {
        for before in self.before.get(name).into_iter().flatten() {
            let Some(ended) = self.ended.get(before) else { continue };
            let _ = ended.subscribe().wait_for(|ended| *ended).await;
        }
    }

    fn done(&self, name: &str) {
        if let Some(ended) = self.ended.get(name) {
            ended.send_replace(true);
        }
    }
}

/// Which containers end before each sidecar: all app containers, and the sidecars after it.
fn order(pod: &Pod) -> BTreeMap<String, Vec<String>> {
    let mut before: Vec<String> =
        spec::containers(pod).iter().map(|container| container.name.clone()).collect();
    let mut order = BTreeMap::new();
    for sidecar in spec::init_containers(pod).iter().filter(|container| spec::is_sidecar(container)).rev() {
        order.insert(sidecar.name.clone(), before.clone());
        before.push(sidecar.name.clone());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn sidecars_end_last_in_reverse_order() {
        let pod = pod(json!({
            "initContainers": [{"name": "s1", "restartPolicy": "Always"}, {"name": "i"},
                {"name": "s2", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}, {"name": "b"}]}));
        let order = order(&pod);
        assert_eq!(order["s2"], ["a", "b"]);
        assert_eq!(order["s1"], ["a", "b", "s2"]);
        assert_eq!(order.len(), 2);
    }

    #[test]
    fn graces() {
        let of = |extra: serde_json::Value, reason| {
            let mut spec = json!({"terminationGracePeriodSeconds": 30, "containers": [{"name": "a",
                "livenessProbe": {"terminationGracePeriodSeconds": 5}}]});
            spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            let pod = pod(spec);
            single_grace(&pod, &spec::containers(&pod)[0], reason).as_secs()
        };
        assert_eq!(of(json!({}), KillReason::Liveness), 5);
        assert_eq!(of(json!({}), KillReason::Changed), 30);
        assert_eq!(of(json!({"terminationGracePeriodSeconds": 1}), KillReason::Startup), 1);
    }
}
