//! Sums of what is used, and the status that they make. Pure.

use api::Quantity;
use api::core::v1::ResourceQuota;
use quota::Evaluator;
use quota::amounts::{self, Amounts};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use value::Value;

/// Resources that quotas name without `count/`.
const PLAIN: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// What is used of each resource that could be counted.
#[derive(Debug, Default)]
pub(super) struct Counted(Amounts);

impl Counted {
    /// Adds the use of objects, as far as the quota (with limits on `names`) is about it.
    pub(super) fn add(
        &mut self,
        evaluator: &Evaluator,
        names: &[&str],
        usages: impl Iterator<Item = Amounts>,
    ) {
        for name in names.iter().filter(|name| evaluator.counts(name)) {
            self.0.entry((*name).into()).or_default();
        }
        for usage in usages {
            let of_interest = usage.into_iter().filter(|(name, _)| self.0.contains_key(name)).collect();
            amounts::add(&mut self.0, &of_interest);
        }
    }
}

/// The other resources that a quota counts: group and name.
pub(super) fn others<'a>(names: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let mut others: Vec<(&str, &str)> = names
        .iter()
        .filter_map(|name| match name.strip_prefix("count/") {
            Some(counted) => {
                let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
                Some((group, resource))
            }
            None => PLAIN.contains(name).then_some(("", *name)),
        })
        .collect();
    others.sort_unstable();
    others.dedup();
    others
}

/// The quota's status as it is to be; nothing if it is so.
pub(super) fn status(quota: &ResourceQuota, counted: &Counted) -> Option<Json> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let old = quota.status.clone().unwrap_or_default();
    let old_used = old.used.clone().unwrap_or_default();
    let mut used: BTreeMap<String, Quantity> = BTreeMap::new();
    for name in hard.keys() {
        // What cannot be counted now stays as it was last seen.
        let amount = counted.0.get(name.as_str()).map(|amount| Quantity(amount.to_string()));
        if let Some(amount) = amount.or_else(|| old_used.get(name).cloned()) {
            used.insert(name.clone(), amount);
        }
    }
    let unchanged = old.hard.is_some() && old.used.is_some();
    if unchanged && same(&hard, old.hard.as_ref().unwrap_or(&hard)) && same(&used, &old_used) {
        return None;
    }
    Some(json!({ "hard": hard, "used": used }))
}

fn same(a: &BTreeMap<String, Quantity>, b: &BTreeMap<String, Quantity>) -> bool {
    let parse = |q: &Quantity| meta::quantity::Quantity::parse(&q.0).unwrap_or_default();
    a.len() == b.len()
        && a.iter().all(|(name, amount)| b.get(name).is_some_and(|other| parse(other) == parse(amount)))
}

/// A typed object as crate `quota` reads it.
pub(super) fn tree(object: &impl Serialize) -> Value {
    serde_json::to_vec(object).ok().and_then(|json| value::json::parse(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::time::Time;

    fn quota(hard: &Json, status: &Json) -> ResourceQuota {
        serde_json::from_value(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": status}))
            .expect("a quota")
    }

    #[test]
    fn other_resources_of_a_quota() {
        let names =
            ["count/deployments.apps", "count/toys.x.y.io", "secrets", "count/secrets", "pods", "cpu"];
        assert_eq!(others(&names), [("", "secrets"), ("apps", "deployments"), ("x.y.io", "toys")]);
    }

    #[test]
    fn statuses() {
        let now = Time::from_unix(0, 0);
        let evaluator = Evaluator::new("", "pods");
        let pod = tree(&json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "300m"}}}]}}));
        let names = ["pods", "requests.cpu", "limits.memory", "strange.io/thing"];
        let mut counted = Counted::default();
        counted.add(&evaluator, &names, [&pod, &pod].into_iter().map(|pod| evaluator.usage(pod, now)));
        let hard = json!({"pods": "5", "requests.cpu": "1", "limits.memory": "1Gi", "strange.io/thing": "2"});
        let wanted =
            json!({"hard": hard, "used": {"pods": "2", "requests.cpu": "600m", "limits.memory": "0"}});
        assert_eq!(status(&quota(&hard, &json!({})), &counted), Some(wanted.clone()));
        assert_eq!(status(&quota(&hard, &wanted), &counted), None);
        let other_form = json!({"hard": {"pods": "5", "requests.cpu": "1000m", "limits.memory": "1024Mi",
            "strange.io/thing": "2"}, "used": {"pods": "2", "requests.cpu": "0.6", "limits.memory": "0"}});
        assert_eq!(status(&quota(&hard, &other_form), &counted), None);
        let seen = json!({"hard": hard, "used": {"strange.io/thing": "1"}});
        let kept = status(&quota(&hard, &seen), &counted).expect("a status");
        assert_eq!(kept["used"]["strange.io/thing"], "1");
    }
}
