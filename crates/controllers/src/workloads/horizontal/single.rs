//! Metrics of one value for all pods: of an object, or from outside. How upstream tells of them.

use super::Failure;
use api::autoscaling::v2::{
    CrossVersionObjectReference, ExternalMetricSource, MetricIdentifier, ObjectMetricSource,
};
use api::meta::v1::LabelSelector;

/// A metric of one value for all pods.
pub(super) enum Single<'a> {
    Object(&'a ObjectMetricSource),
    External(&'a ExternalMetricSource),
}

impl Single<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Object(_) => "object",
            Self::External(_) => "external",
        }
    }

    fn metric(&self) -> &MetricIdentifier {
        match self {
            Self::Object(source) => &source.metric,
            Self::External(source) => &source.metric,
        }
    }

    /// As conditions name it. (Upstream calls what is shared among pods external, whatever it is of.)
    pub(super) fn name(&self, by_pod: bool) -> String {
        let metric = self.metric();
        match self {
            Self::Object(source) if !by_pod => {
                format!("{} metric {}", source.described_object.kind, metric.name)
            }
            _ => format!("external metric {}({})", metric.name, go_selector(metric.selector.as_ref())),
        }
    }

    /// That it cannot be read.
    pub(super) fn unread(&self, namespace: &str, why: &str) -> String {
        let metric = self.metric();
        let name = &metric.name;
        match self {
            // In upstream's order, which is not what its words are for.
            Self::Object(source) => {
                let CrossVersionObjectReference { kind, name: object, .. } = &source.described_object;
                format!("unable to get metric {name}: {kind} on {namespace} {object}/{why}")
            }
            Self::External(_) => {
                let selector = go_selector(metric.selector.as_ref());
                format!("unable to get external metric {namespace}/{name}/{selector}: {why}")
            }
        }
    }

    pub(super) fn failure(&self, by_pod: bool, why: String) -> Failure {
        let name = &self.metric().name;
        let (reason, context) = match self {
            Self::Object(_) if by_pod => {
                let context =
                    format!("failed to get object metric value: failed to get {name} object metric: ");
                ("FailedGetObjectMetric", context)
            }
            Self::Object(_) => ("FailedGetObjectMetric", "failed to get object metric value: ".to_owned()),
            Self::External(source) => {
                let inner = match (&source.target.average_value, &source.target.value) {
                    (Some(_), _) => format!("failed to get {name} external metric: "),
                    (None, Some(_)) => format!("failed to get external metric {name}: "),
                    (None, None) => String::new(),
                };
                let context = format!("failed to get {name} external metric value: {inner}");
                ("FailedGetExternalMetric", context)
            }
        };
        Failure { reason, why, context }
    }
}

fn go_selector(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.iter().flatten().map(String::as_str).collect();
        (one.key.as_str(), one.operator.as_str(), values)
    });
    meta::labels::go_selector(labels, expressions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(target: Value) -> ObjectMetricSource {
        let described = json!({"apiVersion": "v1", "kind": "Service", "name": "s"});
        let source = json!({"describedObject": described, "metric": {"name": "o"}, "target": target});
        serde_json::from_value(source).unwrap()
    }

    fn external(target: Value, selector: Value) -> ExternalMetricSource {
        let metric = json!({"name": "q", "selector": selector});
        serde_json::from_value(json!({"metric": metric, "target": target})).unwrap()
    }

    /// Reason, the text of the condition, the text of the event of all metrics.
    fn told(source: &Single<'_>, by_pod: bool) -> (&'static str, String, String) {
        let Failure { reason, why, context } = source.failure(by_pod, source.unread("h2", "no"));
        (reason, why.clone(), context + &why)
    }

    #[test]
    fn failures_of_objects() {
        let source = object(json!({"type": "Value", "value": "1"}));
        let source = Single::Object(&source);
        let inner = "unable to get metric o: Service on h2 s/no";
        let whole = |context: &str| ("FailedGetObjectMetric", inner.to_owned(), format!("{context}{inner}"));
        assert_eq!(told(&source, false), whole("failed to get object metric value: "));
        let both = "failed to get object metric value: failed to get o object metric: ";
        assert_eq!(told(&source, true), whole(both));
        assert_eq!(source.name(false), "Service metric o");
        assert_eq!(source.name(true), "external metric o(nil)");
    }

    #[test]
    fn failures_from_outside() {
        let source = external(json!({"type": "Value", "value": "1"}), Value::Null);
        let inner = "unable to get external metric h2/q/nil: no";
        let whole =
            |context: &str| ("FailedGetExternalMetric", inner.to_owned(), format!("{context}{inner}"));
        let both = "failed to get q external metric value: failed to get external metric q: ";
        assert_eq!(told(&Single::External(&source), false), whole(both));
        let source = external(json!({"type": "AverageValue", "averageValue": "1"}), Value::Null);
        let both = "failed to get q external metric value: failed to get q external metric: ";
        assert_eq!(told(&Single::External(&source), true), whole(both));
    }

    #[test]
    fn selectors_as_go_prints_them() {
        let expression = json!({"key": "k", "operator": "In", "values": ["x", "y"]});
        let selector = json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [expression]});
        let source = external(json!({"type": "Value", "value": "1"}), selector);
        let expected = "external metric q(&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},\
            MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},})";
        assert_eq!(Single::External(&source).name(false), expected);
    }
}
