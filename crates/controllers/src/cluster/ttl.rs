//! Tells nodes how long they may keep ConfigMaps and Secrets before they look again: the longer, the more
//! nodes there are.
//!
//! Watches Nodes; owns the annotation `node.alpha.kubernetes.io/ttl`. Upstream: `pkg/controller/ttl`.

use crate::context::{Context, Tasks, spawn};
use api::core::v1::Node;
use api::{Key, Object};
use client::{Change, Client, Lister, Patch};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use reconcile::{Next, Queue, Reconcile};
use serde_json::json;
use std::sync::Arc;

/// As `--concurrent-ttl-syncs` would be; upstream's number.
const WORKERS: usize = 5;
const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// From how many nodes on a step holds, up to how many, and its seconds. Steps overlap, so that a cluster on a
/// border does not go to and fro.
const STEPS: [(usize, usize, u32); 5] =
    [(0, 100, 0), (90, 500, 15), (450, 1_000, 30), (900, 2_000, 60), (1_800, usize::MAX, 300)];

/// Starts the controller.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let queue = Queue::new();
    let nodes = context.informers.get::<Node>();
    let step = Arc::new(Mutex::new(0));
    let (changed, all, current) = (queue.clone(), nodes.clone(), step.clone());
    nodes.subscribe(move |change| {
        if !matches!(change, Change::Updated(..)) {
            let count = all.len();
            let mut current = current.lock();
            let next = next_step(*current, count);
            if next != *current {
                *current = next;
                all.list().iter().for_each(|node| changed.add(node.key()));
            }
        }
        changed.add(change.object().key());
    });
    let controller = Ttl { client: context.client("ttl-controller"), nodes: nodes.clone(), step };
    spawn(context, tasks, queue, Arc::new(controller), WORKERS, async move { nodes.synced().await });
}

fn next_step(mut step: usize, nodes: usize) -> usize {
    while step > 0 && nodes < STEPS[step].0 {
        step -= 1;
    }
    while step + 1 < STEPS.len() && nodes > STEPS[step].1 {
        step += 1;
    }
    step
}

struct Ttl {
    client: Client,
    nodes: Lister<Node>,
    step: Arc<Mutex<usize>>,
}

impl Reconcile for Ttl {
    fn name(&self) -> &'static str {
        "ttl"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, reconcile::Result> {
        Box::pin(async move {
            let Some(node) = self.nodes.get_key(&key) else { return Ok(Next::Done) };
            let seconds = STEPS[*self.step.lock()].2.to_string();
            let has = node.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION));
            if has != Some(&seconds) {
                let patch = json!({"metadata": {"uid": node.uid(), "annotations": {ANNOTATION: seconds}}});
                self.client.patch::<Node>("", &key.name, &Patch::Merge(patch)).await?;
            }
            Ok(Next::Done)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_left_late() {
        for (step, nodes, next) in [
            (0, 1, 0),
            (0, 100, 0),
            (0, 101, 1),
            (1, 95, 1),
            (1, 89, 0),
            (0, 5_000, 4),
            (4, 3, 0),
            (4, 1_800, 4),
        ] {
            assert_eq!(next_step(step, nodes), next, "{step} {nodes}");
        }
    }
}
