//! Aggregated ClusterRoles: rules gathered from all ClusterRoles that carry a label.
//!
//! Upstream: `pkg/controller/clusterroleaggregation`. Authorization goes by the stored rules, so whoever
//! runs the controller calls this and writes the result.

use super::Rule;
use meta::labels::Selector;
use value::Value;

/// The rules that the aggregated ClusterRole `role` should have, given all ClusterRoles `all` in order of
/// their names; `None` if it is not aggregated or has them already.
pub fn aggregated_rules<'a>(role: &Value, all: impl Iterator<Item = &'a Value> + Clone) -> Option<Vec<Rule>> {
    let selectors = role.get("aggregationRule").filter(|v| !v.is_null())?.at("clusterRoleSelectors").items();
    let own_name = role.at("metadata").at("name").str();
    let mut rules: Vec<Rule> = Vec::new();
    for selector in selectors {
        let selector = Selector::from_label_selector(selector).ok()?;
        for other in all.clone() {
            let metadata = other.at("metadata");
            if metadata.at("name").str() == own_name || !selector.matches(metadata.at("labels")) {
                continue;
            }
            for rule in other.at("rules").items().iter().map(Rule::from_value) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    let stored = role.at("rules").items();
    let same =
        stored.len() == rules.len() && stored.iter().zip(&rules).all(|(a, b)| Rule::from_value(a) == *b);
    (!same).then_some(rules)
}
