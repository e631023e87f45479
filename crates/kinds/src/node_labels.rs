//! Labels of nodes that selectors should not use any more (`pkg/api/node/util.go`).

use meta::field::Path;
use value::Value;

/// What to say of a deprecated label.
pub(crate) fn deprecated(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"
        }
        "beta.kubernetes.io/instance-type" => {
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            "deprecated since v1.22; use Taints and Tolerations instead"
        }
        "node-role.kubernetes.io/master" => "use \"node-role.kubernetes.io/control-plane\" instead",
        _ => return None,
    })
}

/// Warnings for a label selector on nodes.
pub(crate) fn selector_warnings(selector: &Value, path: &Path<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let expressions = path.child("matchExpressions");
    for (i, expression) in selector.at("matchExpressions").items().iter().enumerate() {
        let key = expression.at("key").str();
        if let Some(text) = deprecated(key) {
            let path = expressions.index(i);
            warnings.push(format!("{}: {key} is {text}", path.child("key")));
        }
    }
    for (key, _) in selector.at("matchLabels").entries() {
        if let Some(text) = deprecated(key) {
            let path = path.child("matchLabels");
            warnings.push(format!("{}: {text}", path.child(key)));
        }
    }
    warnings
}
