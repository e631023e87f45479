//! HorizontalPodAutoscaler `autoscaling/v1`, which knows one metric, and `v2`, which knows all.

use value::Value;

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
pub(super) fn to_hub(hpa: &mut Value) -> Result<(), String> {
    hpa.set("apiVersion", "autoscaling/v2");
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
pub(super) fn from_hub(hpa: &mut Value) -> Result<(), String> {
    hpa.set("apiVersion", "autoscaling/v1");
    Ok(())
}
