//! Makes what must be there before anything of a pod starts: network, cgroup, volumes.

use jiff::{SignedDuration, Timestamp};
use reconcile::EventKind;

use super::plan::{Action, Plan};
use super::{RETRY, Worker, next_pause};
use crate::context::Network;
use crate::{spec, volumes};

/// How often volumes made of objects are compared with them, though nobody told of a change.
const VOLUMES_FRESH: SignedDuration = SignedDuration::from_mins(10);
/// Pauses between tries to make volumes that fail.
const VOLUMES_RETRY_MAX: SignedDuration = SignedDuration::from_secs(10);
/// How often a pod that waits for the node's network looks.
const NETWORK_RETRY: SignedDuration = SignedDuration::from_millis(500);

impl Worker {
    /// Makes what must be there before anything starts; or says when to try again.
    pub(super) async fn prepare(&mut self, plan: &Plan, now: Timestamp) -> Result<(), Timestamp> {
        let starts = plan
            .actions
            .iter()
            .any(|action| matches!(action, Action::CreateSandbox { .. } | Action::Start { .. }));
        if starts {
            self.check_network(now)?;
            self.make_cgroup(now)?;
        }
        let is_stale = self.volumes.as_ref().is_none_or(|(_, fresh)| *fresh <= now);
        if !is_stale || !(starts || volumes::are_live(&self.pod)) {
            return Ok(());
        }
        if let Some((after, _)) = self.volumes_retry
            && now < after
        {
            return Err(after);
        }
        self.mount(now, starts).await
    }

    fn check_network(&self, now: Timestamp) -> Result<(), Timestamp> {
        if spec::is_host_network(&self.pod) {
            return Ok(());
        }
        let network = self.context.network.read().clone();
        match network {
            Network::Ready => return Ok(()),
            Network::Unknown => {}
            Network::Missing(error) => {
                let text = format!("network is not ready: container runtime network not ready: {error}");
                self.context.event(&self.pod, EventKind::Warning, "NetworkNotReady", text);
            }
        }
        Err(now.saturating_add(NETWORK_RETRY).unwrap_or(now))
    }

    fn make_cgroup(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if self.has_cgroup {
            return Ok(());
        }
        match self.context.cgroups.create(&self.pod) {
            Ok(()) => {
                self.has_cgroup = true;
                self.context.weigh_classes();
                Ok(())
            }
            Err(error) => {
                let text = format!("unable to ensure pod container exists: {error}");
                self.context.event(&self.pod, EventKind::Warning, "FailedCreatePodContainer", text);
                Err(now.saturating_add(RETRY).unwrap_or(now))
            }
        }
    }

    async fn mount(&mut self, now: Timestamp, is_needed: bool) -> Result<(), Timestamp> {
        let dir = self.context.pod_dir(spec::uid(&self.pod));
        let made = ["volumes", "containers", "plugins"]
            .iter()
            .try_for_each(|name| std::fs::create_dir_all(dir.join(name)));
        if let Err(error) = made {
            let text = format!("error making pod data directories: {error}");
            self.context.event(&self.pod, EventKind::Warning, "Failed", text);
            return Err(now.saturating_add(RETRY).unwrap_or(now));
        }
        let around = self.context.surroundings(&self.pod, self.state.ips());
        match volumes::mount(&self.context, &self.pod, &around, &mut self.tokens).await {
            Ok(paths) => {
                let now = self.context.clock.now();
                let fresh = now.saturating_add(VOLUMES_FRESH).unwrap_or(now);
                let fresh = self.tokens.next().map_or(fresh, |renew| renew.min(fresh));
                self.volumes = Some((paths, fresh));
                self.volumes_retry = None;
                Ok(())
            }
            Err(errors) => {
                for error in errors {
                    self.context.event(&self.pod, EventKind::Warning, "FailedMount", error);
                }
                let pause =
                    next_pause(self.volumes_retry, SignedDuration::from_millis(500), VOLUMES_RETRY_MAX);
                let after = now.saturating_add(pause).unwrap_or(now);
                self.volumes_retry = Some((after, pause));
                // What runs goes on with what it has.
                if !is_needed && let Some((_, fresh)) = &mut self.volumes {
                    *fresh = after;
                    return Ok(());
                }
                Err(after)
            }
        }
    }
}
