//! Estimated costs of all rules of a schema.
//!
//! Upstream: `pkg/apis/apiextensions/validation/cel_validation.go`.

use crate::schema::Schema;

/// The most one rule may cost.
pub(super) const RULE_MAX: u64 = 10_000_000;
/// The most all rules of a schema may cost.
pub(super) const TOTAL_MAX: u64 = 100_000_000;

/// The sum of what the rules of a schema cost.
#[derive(Default)]
pub(super) struct Total {
    pub(super) total: u64,
    /// The paths of the four most expensive rules, dearest first.
    pub(super) most: Vec<(String, u64)>,
}

impl Total {
    pub(super) fn add(&mut self, path: String, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost < TOTAL_MAX / 100 {
            return;
        }
        self.most.push((path, cost));
        self.most.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        self.most.truncate(4);
    }
}

/// How often data of a schema's children can stand in one of the schema; `None` for without bound.
pub(super) fn elements(s: &Schema) -> Option<u64> {
    let bound = |n: Option<i64>| n.map(|n| u64::try_from(n).unwrap_or(0));
    match s.ty.as_str() {
        "object" if s.additional_properties.is_some() => bound(s.max_properties),
        "array" => bound(s.max_items),
        _ => Some(1),
    }
}

/// What is said of a cost above a limit.
pub(super) fn message(name: &str, cost: u64, limit: u64) -> String {
    let exceeds = cost as f64 / limit as f64;
    let factor = if exceeds > 100.0 {
        "more than 100x".to_owned()
    } else if exceeds < 1.5 {
        format!("{exceeds:.6}x")
    } else {
        format!("{exceeds:.1}x")
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}
