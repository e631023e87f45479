//! The phase of a pod, from the statuses of its containers.
//!
//! Pure. Upstream counterpart: `getPhase` of `pkg/kubelet/kubelet_pods.go`.

use api::core::v1::{ContainerStatus, Pod};

use crate::spec;

pub(crate) const PENDING: &str = "Pending";
pub(crate) const RUNNING: &str = "Running";
pub(crate) const SUCCEEDED: &str = "Succeeded";
pub(crate) const FAILED: &str = "Failed";

/// Whether a pod in that phase will never run again.
pub(crate) fn is_terminal(phase: &str) -> bool {
    matches!(phase, SUCCEEDED | FAILED)
}

#[derive(Default)]
struct Count {
    unknown: u32,
    running: u32,
    waiting: u32,
    stopped: u32,
    stopped_for_good: u32,
    succeeded: u32,
}

/// The phase. `is_ended`: no container will start any more; `app_is_live`: one of the app containers runs.
pub(crate) fn phase(
    pod: &Pod,
    statuses: &[ContainerStatus],
    is_ended: bool,
    app_is_live: bool,
) -> &'static str {
    let find = |name: &str| statuses.iter().find(|status| status.name == name);
    let mut count = Count::default();
    let (mut init_pending, mut sidecar_pending) = (0, 0);
    for container in spec::init_containers(pod) {
        let status = find(&container.name);
        let state = status.and_then(|status| status.state.clone()).unwrap_or_default();
        let last = status.and_then(|status| status.last_state.clone()).unwrap_or_default();
        if spec::is_sidecar(container) {
            if state.running.is_some() {
                count.running += 1;
                let is_started = status.is_some_and(|status| status.started == Some(true));
                sidecar_pending += u32::from(!is_started);
            } else if state.waiting.is_some() && last.terminated.is_none() {
                sidecar_pending += 1;
                count.waiting += 1;
            } else if state.terminated.is_none() && state.waiting.is_none() {
                count.unknown += 1;
                sidecar_pending += u32::from(status.is_some());
            }
            continue;
        }
        let ended = if state.waiting.is_some() { last.terminated } else { state.terminated };
        match ended {
            Some(ended) if ended.exit_code != 0 => {
                if !spec::restarts(pod, container, ended.exit_code) {
                    return FAILED;
                }
            }
            Some(_) => {}
            None => init_pending += 1,
        }
    }
    for container in spec::containers(pod) {
        let Some(status) = find(&container.name) else {
            count.unknown += 1;
            continue;
        };
        let state = status.state.clone().unwrap_or_default();
        let last = status.last_state.clone().unwrap_or_default();
        let mut stop = |code: i32| {
            count.stopped += 1;
            count.stopped_for_good += u32::from(!spec::restarts(pod, container, code));
        };
        if state.running.is_some() {
            count.running += 1;
        } else if let Some(ended) = state.terminated {
            stop(ended.exit_code);
            count.succeeded += u32::from(ended.exit_code == 0);
        } else if state.waiting.is_some() {
            match last.terminated {
                Some(ended) => stop(ended.exit_code),
                None => count.waiting += 1,
            }
        } else {
            count.unknown += 1;
        }
    }
    if init_pending > 0 || (sidecar_pending > 0 && !app_is_live) || count.waiting > 0 {
        return PENDING;
    }
    judge(&count, is_ended)
}

fn judge(count: &Count, is_ended: bool) -> &'static str {
    if count.unknown > 0 {
        return PENDING;
    }
    if count.running > 0 {
        return RUNNING;
    }
    if count.stopped == 0 {
        return PENDING;
    }
    if !is_ended && count.stopped != count.stopped_for_good {
        return RUNNING;
    }
    if count.stopped == count.succeeded { SUCCEEDED } else { FAILED }
}
