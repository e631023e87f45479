//! Whether rules that someone has cover rules that they want to give.
//!
//! Upstream: `k8s.io/component-helpers/auth/rbac/validation`, `pkg/registry/rbac/validation/policy_compact.go`.

use super::Rule;
use super::rule::{has, has_or_star, path_matches};
use std::collections::HashMap;
use value::Str;

/// A rule is split into one per group, resource, verb and name; a hostile role could make that astronomic.
/// Beyond this many the rest is not looked at, and the answer is no.
const SUBRULES_MAX: usize = 50_000;

/// The parts of `wanted` that `owned` does not cover, split as finely as can be; none means covered.
pub fn covers(owned: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing = Vec::new();
    let mut looked_at = 0;
    for rule in wanted {
        // The usual cases without splitting: one rule covers all of it.
        if owned.iter().any(|own| rule_covers(own, rule)) {
            continue;
        }
        for part in Split::new(rule) {
            looked_at += 1;
            if looked_at > SUBRULES_MAX {
                missing.push(part);
                return missing;
            }
            if !owned.iter().any(|own| rule_covers(own, &part)) {
                missing.push(part);
            }
        }
    }
    missing
}

fn rule_covers(own: &Rule, wanted: &Rule) -> bool {
    let all = |own: &[Str], wanted: &[Str]| has(own, "*") || wanted.iter().all(|w| has(own, w));
    all(&own.verbs, &wanted.verbs)
        && all(&own.api_groups, &wanted.api_groups)
        && wanted.resources.iter().all(|w| resource_covered(&own.resources, w))
        && wanted.non_resource_urls.iter().all(|w| own.non_resource_urls.iter().any(|o| path_matches(o, w)))
        && match (own.resource_names.is_empty(), wanted.resource_names.is_empty()) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => wanted.resource_names.iter().all(|w| has(&own.resource_names, w)),
        }
}

fn resource_covered(own: &[Str], wanted: &str) -> bool {
    if has_or_star(own, wanted) {
        return true;
    }
    let Some((_, subresource)) = wanted.split_once('/') else { return false };
    own.iter().any(|o| o.strip_prefix("*/") == Some(subresource))
}

/// The parts of a rule, one after the other.
struct Split<'a> {
    rule: &'a Rule,
    next: usize,
}

impl<'a> Split<'a> {
    const fn new(rule: &'a Rule) -> Self {
        Self { rule, next: 0 }
    }
}

impl Iterator for Split<'_> {
    type Item = Rule;

    fn next(&mut self) -> Option<Rule> {
        let Rule { verbs, api_groups, resources, resource_names, non_resource_urls } = self.rule;
        let names = resource_names.len().max(1);
        let of_resources = api_groups
            .len()
            .saturating_mul(resources.len())
            .saturating_mul(verbs.len())
            .saturating_mul(names);
        let mut at = self.next;
        self.next = at.checked_add(1)?;
        // Mixed radix, the last digit running fastest: group, resource, verb, name.
        let mut digit = |base: usize| {
            let digit = at.checked_rem(base);
            at = at.checked_div(base)?;
            digit
        };
        let one = |list: &[Str], i: usize| list.get(i).map(|s| vec![s.clone()]).unwrap_or_default();
        if self.next <= of_resources {
            let name = digit(names)?;
            let verb = digit(verbs.len())?;
            let resource = digit(resources.len())?;
            let group = digit(api_groups.len())?;
            return Some(Rule {
                verbs: one(verbs, verb),
                api_groups: one(api_groups, group),
                resources: one(resources, resource),
                resource_names: one(resource_names, name),
                non_resource_urls: Vec::new(),
            });
        }
        at -= of_resources;
        let mut digit = |base: usize| {
            let digit = at.checked_rem(base);
            at = at.checked_div(base)?;
            digit
        };
        let verb = digit(verbs.len())?;
        let url = digit(non_resource_urls.len())?;
        (at == 0).then(|| Rule {
            verbs: one(verbs, verb),
            non_resource_urls: one(non_resource_urls, url),
            ..Rule::default()
        })
    }
}

/// Joins rules of one group and resource (and at most one name) that differ in verbs only.
pub fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    let mut simple: HashMap<(Str, Str, Option<Str>), usize> = HashMap::new();
    for rule in rules {
        let key =
            match (rule.api_groups.as_slice(), rule.resources.as_slice(), rule.resource_names.as_slice()) {
                ([group], [resource], [] | [_]) if rule.non_resource_urls.is_empty() => {
                    (group.clone(), resource.clone(), rule.resource_names.first().cloned())
                }
                _ => {
                    out.push(rule);
                    continue;
                }
            };
        match simple.get(&key) {
            Some(&at) => out[at].verbs.extend(rule.verbs),
            None => {
                simple.insert(key, out.len());
                out.push(rule);
            }
        }
    }
    out
}
