//! The status of an autoscaler: what was measured, and its conditions.

use super::calculate::Outcome;
use api::Quantity;
use api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricStatus, HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus, MetricValueStatus, ObjectMetricStatus,
    PodsMetricStatus, ResourceMetricStatus,
};
use api::meta::v1::Time;
use jiff::Timestamp;
use meta::quantity::{self, Format};

/// Sets a condition; its time is that of the last change of its status.
pub(super) fn set(
    now: Timestamp,
    status: &mut HorizontalPodAutoscalerStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
) {
    let conditions = status.conditions.get_or_insert_default();
    let place = conditions.iter().position(|condition| condition.type_ == kind);
    let since = place.map(|place| &conditions[place]).filter(|condition| condition.status == value);
    let condition = HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since.map_or(Some(Time(now)), |since| since.last_transition_time.clone()),
    };
    match place {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
}

/// What was measured by a metric.
pub(super) fn measured(spec: &MetricSpec, outcome: &Outcome) -> MetricStatus {
    let resource = spec.resource.as_ref().map(|source| source.name.as_str());
    let resource = resource.or_else(|| spec.container_resource.as_ref().map(|source| source.name.as_str()));
    let usage = Some(amount(outcome.usage, resource == Some("memory")));
    let average = MetricValueStatus {
        average_utilization: outcome.utilization,
        average_value: usage.clone(),
        value: None,
    };
    let whole = MetricValueStatus { average_utilization: None, average_value: None, value: usage };
    let by = |is_average: bool| if is_average { average.clone() } else { whole.clone() };
    MetricStatus {
        type_: spec.type_.clone(),
        resource: spec
            .resource
            .as_ref()
            .map(|source| ResourceMetricStatus { name: source.name.clone(), current: average.clone() }),
        container_resource: spec.container_resource.as_ref().map(|source| ContainerResourceMetricStatus {
            name: source.name.clone(),
            container: source.container.clone(),
            current: average.clone(),
        }),
        pods: spec
            .pods
            .as_ref()
            .map(|source| PodsMetricStatus { metric: source.metric.clone(), current: average.clone() }),
        object: spec.object.as_ref().map(|source| ObjectMetricStatus {
            described_object: source.described_object.clone(),
            metric: source.metric.clone(),
            current: by(source.target.average_value.is_some()),
        }),
        external: spec.external.as_ref().map(|source| ExternalMetricStatus {
            metric: source.metric.clone(),
            current: by(source.target.average_value.is_some()),
        }),
    }
}

/// Thousandths as the API server writes them.
fn amount(milli: i64, is_memory: bool) -> Quantity {
    let text = format!("{milli}m");
    let format = if is_memory { Format::BinarySi } else { Format::DecimalSi };
    Quantity(quantity::Quantity::parse(&text).map_or(text, |parsed| parsed.with_format(format).canonical()))
}
