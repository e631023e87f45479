//! From a decision to a bound pod: volumes first, then the pod. Upstream: `bindingCycle` in
//! `pkg/scheduler/schedule_one.go`, `BindPodVolumes` in `plugins/volumebinding/binder.go`.

use super::Engine;
use crate::action::{Action, PodRef};
use crate::queue::Waiting;
use crate::volumes::Plan;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A pod that is being bound.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) waiting: Waiting,
    node: Arc<str>,
    pub(super) plan: Plan,
}

impl Engine {
    pub(super) fn begin_binding(&mut self, waiting: Waiting, node: Arc<str>, plan: Plan) {
        let pod = waiting.pod.clone();
        self.actions.push(match plan.is_empty() {
            true => bind(&pod, node.clone()),
            false => {
                self.cluster.volumes.assume(&plan, &node);
                Action::BindVolumes { pod: PodRef::from(&*pod), node: node.clone(), plan: plan.clone() }
            }
        });
        self.bindings.insert(pod.uid.clone(), Binding { waiting, node, plan });
    }

    /// A pod is not being bound any more.
    pub(super) fn end_binding(&mut self, uid: &str) -> Option<Binding> {
        self.waiting_for_volumes.remove(uid);
        self.bindings.remove(uid)
    }

    /// A pod was bound, or could not be.
    pub fn bound(&mut self, now: Timestamp, uid: &str, result: Result<(), String>) {
        let Some(binding) = self.end_binding(uid) else { return };
        if let Err(message) = result {
            self.binding_failed(now, binding, message);
        }
    }

    /// What binds a pod's volumes was written, or could not be.
    pub fn volumes_written(&mut self, now: Timestamp, uid: &str, result: Result<(), String>) {
        let Some(binding) = self.bindings.get(uid) else { return };
        match result {
            Ok(()) => {
                let profile = self.profiles.get(&binding.waiting.pod.class.scheduler);
                let seconds = profile.map_or(0, |profile| profile.volume_bind_timeout_seconds);
                let deadline = now + SignedDuration::from_secs(seconds);
                self.waiting_for_volumes.insert(binding.waiting.pod.uid.clone(), deadline);
                self.check_bindings(now);
            }
            Err(message) => {
                let message = format!("running PreBind plugin \"VolumeBinding\": {message}");
                if let Some(binding) = self.end_binding(uid) {
                    self.binding_failed(now, binding, message);
                }
            }
        }
    }

    /// Something about volumes changed, or time has passed: pods whose volumes are bound are bound.
    pub(super) fn check_bindings(&mut self, now: Timestamp) {
        let waiting: Vec<_> =
            self.waiting_for_volumes.iter().map(|(uid, until)| (uid.clone(), *until)).collect();
        for (uid, deadline) in waiting {
            match self.are_volumes_bound(&uid) {
                Ok(false) if now < deadline => {}
                Ok(true) => {
                    self.waiting_for_volumes.remove(&uid);
                    if let Some(binding) = self.bindings.get(&uid) {
                        self.actions.push(bind(&binding.waiting.pod, binding.node.clone()));
                    }
                }
                Ok(false) => self.volumes_failed(now, &uid, "context deadline exceeded"),
                Err(message) => self.volumes_failed(now, &uid, &message),
            }
        }
    }

    fn volumes_failed(&mut self, now: Timestamp, uid: &str, message: &str) {
        if let Some(binding) = self.end_binding(uid) {
            let text = format!("running PreBind plugin \"VolumeBinding\": binding volumes: {message}");
            self.binding_failed(now, binding, text);
        }
    }

    /// Whether the volumes of a pod are bound; an error if they never will be.
    fn are_volumes_bound(&self, uid: &str) -> Result<bool, String> {
        let Some(binding) = self.bindings.get(uid) else { return Ok(false) };
        let volumes = &self.cluster.volumes;
        let Some(node) =
            self.cluster.find(&binding.node).and_then(|id| self.cluster.slot(id).node.as_deref())
        else {
            return Err(format!("failed to get node \"{}\"", binding.node));
        };
        let mut all = true;
        for (volume, claim) in &binding.plan.bind {
            let (Some(now_volume), Some(now_claim)) =
                (volumes.volume(&volume.name), volumes.claim(&claim.key.namespace, &claim.key.name))
            else {
                return Err(format!(
                    "failed to check binding: pv \"{}\" or pvc \"{}\" is gone",
                    volume.name, claim.key
                ));
            };
            let pending = volumes.is_claim_pending(&volume.name);
            if !pending && now_volume.claim.is_none() {
                return Err(format!("ClaimRef got reset for pv \"{}\"", volume.name));
            }
            all &= !pending && now_claim.bound;
        }
        for claim in &binding.plan.provision {
            let Some(claim) = volumes.claim(&claim.key.namespace, &claim.key.name) else {
                return Err(format!("failed to check provisioning pvc: could not find \"{}\"", claim.key));
            };
            if volumes.is_node_pending(&claim.key) {
                all = false;
                continue;
            }
            // The provisioner takes the node away if it cannot make a volume there.
            if claim.selected_node.as_deref() != Some(&*binding.node) {
                return Err(format!("provisioning failed for PVC \"{}\"", claim.key.name));
            }
            if let Some(volume) = volumes.volume(&claim.volume)
                && !volume.is_reachable(node)
            {
                return Err(format!(
                    "pv \"{}\" node affinity doesn't match node \"{}\"",
                    volume.name, node.name
                ));
            }
            all &= claim.bound;
        }
        Ok(all)
    }
}

fn bind(pod: &crate::pod::Pod, node: Arc<str>) -> Action {
    Action::Bind { pod: PodRef::from(pod), node, scheduler: pod.class.scheduler.clone() }
}
