//! What a user may do in a namespace, as SelfSubjectRulesReview tells it.
//!
//! Upstream: `pkg/registry/authorization/selfsubjectrulesreview`, `RulesFor` of the authorizers.

use super::{Rbac, Rule, aggregate_texts};
use crate::UserInfo;
use crate::user::node_identity;
use value::Value;

/// The answer's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesReview {
    /// Rules on resources.
    pub resource_rules: Vec<Rule>,
    /// Rules on paths.
    pub non_resource_rules: Vec<Rule>,
    /// Whether the user may have rights that are not listed.
    pub incomplete: bool,
    /// What could not be evaluated; may be empty.
    pub evaluation_error: String,
}

/// All rules of a user in a namespace, by the Node and RBAC authorizers. (Being in `system:masters` is no
/// rule and not listed, as upstream.)
pub fn rules_review(rbac: &Rbac, user: &UserInfo, namespace: &str) -> RulesReview {
    let mut review = RulesReview::default();
    let mut errors = Vec::new();
    if node_identity(user).is_some() {
        review.incomplete = true;
        errors.push("node authorizer does not support user rule resolution".to_owned());
    }
    let (rules, missing) = rbac.rules_for(user, namespace);
    errors.extend(missing.iter().map(|m| m.text(None)));
    for rule in rules {
        if !rule.resources.is_empty() {
            review.resource_rules.push(Rule { non_resource_urls: Vec::new(), ..rule.clone() });
        }
        if !rule.non_resource_urls.is_empty() {
            review.non_resource_rules.push(Rule {
                verbs: rule.verbs,
                non_resource_urls: rule.non_resource_urls,
                ..Rule::default()
            });
        }
    }
    if !errors.is_empty() {
        review.evaluation_error = aggregate_texts(&errors);
    }
    review
}

impl RulesReview {
    /// `status` of a SelfSubjectRulesReview.
    pub fn to_value(&self) -> Value {
        let rules = |rules: &[Rule]| Value::Array(rules.iter().map(Rule::to_value).collect());
        let mut status = Value::object();
        status.set("resourceRules", rules(&self.resource_rules));
        status.set("nonResourceRules", rules(&self.non_resource_rules));
        status.set("incomplete", self.incomplete);
        if !self.evaluation_error.is_empty() {
            status.set("evaluationError", self.evaluation_error.as_str());
        }
        status
    }
}
