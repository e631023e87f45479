//! Match conditions: expressions that decide whether a webhook or policy is asked.

use crate::check;
use crate::expressions::{self, Place, Scope};
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

/// Upstream's bound.
const CONDITIONS_MAX: usize = 64;

/// Expressions that are stored already.
pub(super) type Stored<'a> = HashSet<&'a str>;

/// All conditions; `has_params` as the policy has a `paramKind`.
pub(super) fn validate(
    conditions: &Value,
    has_params: bool,
    stored: &Stored<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let items = conditions.items();
    if items.len() > CONDITIONS_MAX {
        errors.push(Error::too_many(path, items.len(), CONDITIONS_MAX));
    }
    let mut seen = HashSet::new();
    for (i, condition) in items.iter().enumerate() {
        let path = path.index(i);
        let text = condition.at("expression").str().trim();
        if text.is_empty() {
            errors.push(Error::required(&path.child("expression"), ""));
        } else {
            let scope = Scope { params: has_params, variables: None, stored: stored.contains(text) };
            if let Err(failure) = expressions::compile(text, Place::Condition, scope) {
                failure.report(text, &path.child("expression"), errors);
            }
        }
        let name = condition.at("name").str();
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
            continue;
        }
        check::qualified_name(name, &path.child("name"), errors);
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
}

/// The expressions of all conditions.
pub(super) fn expressions(conditions: &Value) -> impl Iterator<Item = &str> {
    conditions.items().iter().map(|c| c.at("expression").str())
}
