//! PodDisruptionBudgets: how many pods may be evicted. Mirrors `pkg/controller/disruption`.
//!
//! Watches budgets and pods; owns the budgets' status, but for the evicted pods in it, which the API server notes,
//! and sets condition `DisruptionTarget` of pods that were to be evicted and stay to `False`. `plan` decides.

mod plan;
mod scale;
mod stale;

use super::control;
use super::patch;
use super::written::Written;
use crate::context::{Context, Tasks, spawn};
use api::core::v1::Pod;
use api::meta::v1::ObjectMeta;
use api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use api::{Key, Object, Selector, reference};
use client::{Change, Client, Error, Lister, Patch};
use futures_util::future::BoxFuture;
use plan::Basis;
use reconcile::{Clock, EventKind, Next, Queue, Reconcile, Recorder, Result};
use scale::Scales;
use std::sync::Arc;
use std::time::Duration;

const ACCOUNT: &str = "disruption-controller";
/// The name under which events are told.
const COMPONENT: &str = "controllermanager";

/// How many budgets are looked at at a time. Upstream's one worker is a bottle's neck of large clusters.
const WORKERS: usize = 2;

/// How long changes of pods are gathered.
const GATHERING: Duration = Duration::from_millis(50);

/// Starts the controller.
pub(super) fn start(context: &Context, tasks: &mut Tasks) {
    let budgets = context.informers.get::<PodDisruptionBudget>();
    let pods = context.informers.get::<Pod>();
    let queue = Queue::new();
    control::follow(&budgets, &queue);
    follow_pods(&pods, &budgets, &queue);
    let client = context.client(ACCOUNT);
    let controller = Controller {
        client: client.clone(),
        recorder: context.recorder(ACCOUNT, COMPONENT),
        clock: context.clock.clone(),
        budgets: Written::new(budgets.clone()),
        pods: pods.clone(),
        scales: Scales::new(&context.informers, client),
    };
    stale::start(context, tasks, &pods);
    let scales = controller.scales.clone();
    let synced = async move {
        budgets.synced().await;
        pods.synced().await;
        scales.synced().await;
    };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, synced);
}

fn follow_pods(pods: &Lister<Pod>, budgets: &Lister<PodDisruptionBudget>, queue: &Queue) {
    let (budgets, queue) = (budgets.clone(), queue.clone());
    pods.subscribe(move |change| {
        let pod = change.object();
        let before = match change {
            Change::Updated(old, new) if old.metadata.labels != new.metadata.labels => Some(&old.metadata),
            _ => None,
        };
        for budget in budgets.list_in(pod.namespace()) {
            let mut metas = before.into_iter().chain([&pod.metadata]);
            if metas.any(|meta| selects(&budget, meta)) {
                queue.add_after(budget.key(), GATHERING);
            }
        }
    });
}

/// Whether the budget is about a pod. Without a selector it is about none, with an empty one about all.
fn selects(budget: &PodDisruptionBudget, meta: &ObjectMeta) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector
        .and_then(|selector| Selector::try_from(selector).ok())
        .is_some_and(|selector| selector.matches(meta.labels.as_ref()))
}

struct Controller {
    client: Client,
    recorder: Recorder,
    clock: Clock,
    budgets: Written<PodDisruptionBudget>,
    pods: Lister<Pod>,
    scales: Scales,
}

impl Reconcile for Controller {
    fn name(&self) -> &'static str {
        ACCOUNT
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result> {
        Box::pin(self.look(key))
    }
}

impl Controller {
    async fn look(&self, key: Key) -> Result {
        let Some(budget) = self.budgets.get(&key) else {
            self.budgets.forget(&key);
            return Ok(Next::Done);
        };
        let mut pods = self.pods.list_in(&key.namespace);
        pods.retain(|pod| selects(&budget, &pod.metadata));
        if pods.is_empty() {
            self.tell(&budget, EventKind::Normal, "NoPods", "No matching pods found");
        }
        let now = self.clock.now();
        let expected = self.expected(&budget, &pods).await;
        let plan = expected.and_then(|expected| plan::plan(now, &budget, &pods, expected));
        let plan = match plan {
            Ok(plan) => plan,
            Err(why) => {
                let text = format!("Failed to calculate the number of expected pods: {why}");
                self.tell(&budget, EventKind::Warning, "CalculateExpectedPodCountFailed", &text);
                self.write(&budget, plan::fail_safe(now, &budget, why)).await?;
                return Ok(Next::Done);
            }
        };
        for pod in &plan.not_deleted {
            let text = format!("Pod was expected by PDB {key} to be deleted but it wasn't");
            self.recorder.event(&reference(&**pod), EventKind::Warning, "NotDeleted", &text);
        }
        self.write(&budget, plan.status).await?;
        Ok(plan.again.map_or(Next::Done, Next::After))
    }

    /// How many pods there should be.
    async fn expected(
        &self,
        budget: &PodDisruptionBudget,
        pods: &[Arc<Pod>],
    ) -> std::result::Result<i32, String> {
        if plan::basis(budget) == Basis::Pods {
            return Ok(i32::try_from(pods.len()).unwrap_or(i32::MAX));
        }
        let scales = self.scales.of(pods).await?;
        if scales.unmanaged {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let selector = selector.and_then(|selector| Selector::try_from(selector).ok());
            let text = format!(
                "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, \
                 the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To \
                 account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
                selector.map(|selector| selector.to_string()).unwrap_or_default()
            );
            self.tell(budget, EventKind::Warning, "UnmanagedPods", &text);
        }
        Ok(scales.pods)
    }

    async fn write(
        &self,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> std::result::Result<(), Error> {
        let old = budget.status.clone().unwrap_or_default();
        let Some(patch) = patch::status(budget, &old, &status) else { return Ok(()) };
        let (key, patch) = (budget.key(), Patch::Update(patch));
        let patched = self.client.patch_subresource(&key.namespace, &key.name, "status", &patch).await?;
        self.budgets.stored(&key, patched);
        Ok(())
    }

    fn tell(&self, budget: &PodDisruptionBudget, kind: EventKind, reason: &str, text: &str) {
        self.recorder.event(&reference(budget), kind, reason, text);
    }
}
