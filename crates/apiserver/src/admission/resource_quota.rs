//! Namespaces do not use more than their ResourceQuotas give them; use is recorded before the object is
//! stored, and a controller takes back what was recorded for nothing.
//!
//! One request of a namespace is checked at a time, so that recording conflicts only with others than us.
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/resourcequota`; there are no limited resources.

use super::objects::{self, Derived};
use super::{AsyncPlugin, Attributes, Operation};
use crate::bootstrap;
use crate::call::Call;
use futures_util::future::BoxFuture;
use meta::status::Status;
use parking_lot::Mutex;
use quota::amounts::{Amounts, amounts};
use quota::{Evaluator, Kind};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use value::{Str, Value};

/// How often recording is tried again when a quota changes under it, as upstream.
const RETRIES: usize = 3;
/// How long a request waits for its turn, as upstream.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Over how many locks namespaces are spread.
const LOCKS: usize = 64;
/// How many recorded quotas are remembered until the cache shows them.
const RECORDED_MAX: usize = 1000;

pub(super) struct ResourceQuota {
    quotas: Derived<()>,
    locks: Vec<tokio::sync::Mutex<()>>,
    /// Quotas as they were recorded last, for as long as the cache lags behind.
    recorded: Mutex<HashMap<Str, (u64, Value)>>,
}

impl Default for ResourceQuota {
    fn default() -> Self {
        Self {
            quotas: Derived::new("", "resourcequotas"),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
            recorded: Mutex::default(),
        }
    }
}

/// What is not stored, events, and namespaces (which are in no namespace) are not counted.
fn ignored(a: &Attributes) -> bool {
    matches!(
        (a.resource.group.as_str(), a.resource.resource.as_str()),
        ("", "bindings" | "componentstatuses" | "events" | "namespaces")
            | ("events.k8s.io", "events")
            | ("authentication.k8s.io", _)
            | (
                "authorization.k8s.io",
                "subjectaccessreviews"
                    | "selfsubjectaccessreviews"
                    | "localsubjectaccessreviews"
                    | "selfsubjectrulesreviews"
            )
    )
}

fn evaluator(a: &Attributes) -> Evaluator {
    Evaluator::new(&a.resource.group, &a.resource.resource)
}

/// Whether the request can change what is used.
fn changes_use(kind: Kind, a: &Attributes, new: &Value, old: Option<&Value>) -> bool {
    let create = a.operation == Operation::Create;
    match (kind, a.subresource.as_str()) {
        (Kind::Pods, "") => {
            create || old.is_some_and(|old| quota::is_terminating(old) != quota::is_terminating(new))
        }
        (Kind::Pods, "resize") => !create,
        (Kind::Claims, "status") => old.is_some_and(|old| quota::replenishes(new, old)),
        (Kind::Services | Kind::Claims | Kind::DeviceClaims, "") => true,
        (Kind::Other, "") => create,
        _ => false,
    }
}

impl AsyncPlugin for ResourceQuota {
    fn handles(&self, call: &Call, a: &Attributes) -> bool {
        matches!(a.operation, Operation::Create | Operation::Update)
            && !a.namespace.is_empty()
            && !self.quotas.is_empty(call)
            && !ignored(a)
    }

    fn validate<'a>(
        &'a self,
        call: &'a Call,
        a: &'a Attributes,
        object: Option<&'a Value>,
        old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            let evaluator = evaluator(a);
            if !changes_use(evaluator.kind, a, object, old) {
                return Ok(());
            }
            let mut hasher = DefaultHasher::new();
            a.namespace.hash(&mut hasher);
            let lock = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
            let Some(lock) = self.locks.get(lock) else { return Ok(()) };
            let Ok(_alone) = tokio::time::timeout(WAIT_MAX, lock.lock()).await else {
                return Err(Status::internal_error("resource quota evaluation timed out"));
            };
            let mut quotas = self.current(call, &a.namespace);
            for retries_left in (0..=RETRIES).rev() {
                let changed = check(call, a, &evaluator, &quotas, object, old)?;
                if a.dry_run || changed.is_empty() {
                    return Ok(());
                }
                let mut failed: Vec<Str> = Vec::new();
                let mut error = None;
                for quota in &changed {
                    if let Err(status) = self.record(call, quota).await {
                        failed.push(quota.at("metadata").at("name").str().into());
                        error = Some(status);
                    }
                }
                let Some(error) = error else { return Ok(()) };
                if retries_left == 0 {
                    return Err(error);
                }
                quotas = self.live(call, &a.namespace, &failed).await?;
            }
            Ok(())
        })
    }
}

impl ResourceQuota {
    /// The quotas of a namespace, as new as is known.
    fn current(&self, call: &Call, namespace: &str) -> Vec<Value> {
        let Some(hub) = self.quotas.hub(call) else { return Vec::new() };
        let query = crate::cache::Query { namespace, ..Default::default() };
        let mut recorded = self.recorded.lock();
        let newest = |entry: &crate::cache::Entry| {
            match recorded.get(&entry.key) {
                Some((revision, quota)) if *revision > entry.revision => return quota.clone(),
                Some(_) => drop(recorded.remove(&entry.key)),
                None => {}
            }
            hub.tree(entry)
        };
        hub.cache.list(query).entries.iter().map(|e| &**e).map(newest).collect()
    }

    /// Quotas as the store has them.
    async fn live(&self, call: &Call, namespace: &str, names: &[Str]) -> Result<Vec<Value>, Status> {
        let Some(hub) = self.quotas.hub(call) else { return Ok(Vec::new()) };
        let mut quotas = Vec::with_capacity(names.len());
        for name in names {
            if let Some(entry) = objects::read(call, hub, namespace, name).await? {
                quotas.push(hub.tree(&entry));
            }
        }
        Ok(quotas)
    }

    /// Writes a quota's status, if it is still as it was read.
    async fn record(&self, call: &Call, quota: &Value) -> Result<(), Status> {
        let metadata = quota.at("metadata");
        let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
        let path = format!("/api/v1/namespaces/{namespace}/resourcequotas/{name}/status");
        let (code, answer) = bootstrap::call(&call.api, http::Method::PUT, &path, Some(quota))
            .await
            .map_err(Status::internal_error)?;
        if code != 200 {
            let status = Status::from_value(&answer);
            return Err(status.unwrap_or_else(|| Status::internal_error("the quota cannot be recorded")));
        }
        let revision = answer.at("metadata").at("resourceVersion").str().parse().unwrap_or(0);
        let mut recorded = self.recorded.lock();
        if recorded.len() >= RECORDED_MAX {
            recorded.clear();
        }
        recorded.insert(format!("{namespace}/{name}").into(), (revision, answer));
        Ok(())
    }
}

/// What is taken from each quota by the request; the quotas that change, with the new use.
fn check(
    call: &Call,
    a: &Attributes,
    evaluator: &Evaluator,
    quotas: &[Value],
    object: &Value,
    old: Option<&Value>,
) -> Result<Vec<Value>, Status> {
    let now = call.api.now();
    let mut interesting = Vec::new();
    for quota in quotas {
        let hard = amounts(quota.at("status").at("hard"));
        let restricted: Vec<&Str> = hard.keys().filter(|name| evaluator.counts(name)).collect();
        if restricted.is_empty() || !quota::matches(evaluator, quota, object) {
            continue;
        }
        let name = quota.at("metadata").at("name").str();
        evaluator
            .constraints(&restricted, object)
            .map_err(|why| a.forbidden(format!("failed quota: {name}: {why}")))?;
        let used = quota.at("status").at("used");
        if restricted.iter().any(|resource| used.get(resource).is_none()) {
            let resources: Vec<&str> = restricted.iter().map(|r| r.as_str()).collect();
            return Err(
                a.forbidden(format!("status unknown for quota: {name}, resources: {}", resources.join(",")))
            );
        }
        interesting.push((quota, hard));
    }
    if interesting.is_empty() {
        return Ok(Vec::new());
    }
    let usage = evaluator.usage(object, now);
    let negative: Vec<&str> = usage.iter().filter(|(_, v)| v.sign() < 0).map(|(k, _)| k.as_str()).collect();
    if !negative.is_empty() {
        return Err(a.forbidden(format!("quota usage is negative for resource(s): {}", negative.join(","))));
    }
    let delta = old.map(|old| subtract(&usage, &evaluator.usage(old, now)));
    let mut changed = Vec::new();
    for (quota, hard) in interesting {
        let taken = match (&delta, old) {
            (Some(delta), Some(old)) if quota::matches(evaluator, quota, old) => delta,
            _ => &usage,
        };
        let asked: Amounts = taken
            .iter()
            .filter(|(name, amount)| !amount.is_zero() && hard.contains_key(*name))
            .map(|(name, amount)| (name.clone(), amount.clone()))
            .collect();
        if asked.is_empty() {
            continue;
        }
        let used = amounts(quota.at("status").at("used"));
        let mut new = used.clone();
        quota::amounts::add(&mut new, &asked);
        let exceeded = |name: &&Str| new.get(*name) > hard.get(*name);
        let exceeded: Vec<&Str> = asked.keys().filter(exceeded).collect();
        if a.subresource != "status" && !exceeded.is_empty() {
            return Err(a.forbidden(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                quota.at("metadata").at("name").str(),
                show(&asked, &exceeded),
                show(&used, &exceeded),
                show(&hard, &exceeded)
            )));
        }
        let mut quota = quota.clone();
        quota.set("apiVersion", "v1");
        quota.set("kind", "ResourceQuota");
        if let Some(used) = quota.object_at("status").and_then(|s| s.object_at("used")) {
            for (name, amount) in new {
                used.set(&name, amount.canonical());
            }
        }
        changed.push(quota);
    }
    Ok(changed)
}

fn show(list: &Amounts, names: &[&Str]) -> String {
    let shown = names.iter().filter_map(|name| Some(format!("{name}={}", list.get(*name)?)));
    shown.collect::<Vec<_>>().join(",")
}

/// What is used now and was not before: never less than nothing.
fn subtract(new: &Amounts, old: &Amounts) -> Amounts {
    let left = |(name, amount): (&Str, &meta::quantity::Quantity)| {
        let mut amount = amount.clone();
        if let Some(old) = old.get(name) {
            amount.sub(old);
        }
        (amount.sign() > 0).then(|| (name.clone(), amount))
    };
    new.iter().filter_map(left).collect()
}
