//! Conversions between a served version and the hub form in which a kind is stored and validated.
//!
//! Upstream: `pkg/apis/*/*/conversion.go`.

mod event;
mod hpa;

use value::Value;

/// A conversion, in place, of a whole object. `apiVersion` is set, `metadata` kept.
#[derive(Clone, Copy, Debug)]
pub struct Convert {
    /// From the served version to the hub form.
    pub to_hub: fn(&mut Value) -> Result<(), String>,
    /// From the hub form to the served version.
    pub from_hub: fn(&mut Value) -> Result<(), String>,
}

/// `events.k8s.io/v1` Event, stored as `v1` Event.
pub(crate) const EVENT: Convert = Convert { to_hub: event::to_hub, from_hub: event::from_hub };

/// `autoscaling/v1` HorizontalPodAutoscaler, stored as `autoscaling/v2`.
pub(crate) const HPA: Convert = Convert { to_hub: hpa::to_hub, from_hub: hpa::from_hub };

/// `admissionregistration.k8s.io/v1` mutating policies, stored as `v1beta1`, which has the same shape.
pub(crate) const ADMISSION_POLICY: Convert = Convert {
    to_hub: |v| set_version(v, "admissionregistration.k8s.io/v1beta1"),
    from_hub: |v| set_version(v, "admissionregistration.k8s.io/v1"),
};

#[allow(clippy::unnecessary_wraps, reason = "has the shape of a conversion")]
fn set_version(v: &mut Value, api_version: &str) -> Result<(), String> {
    v.set("apiVersion", api_version);
    Ok(())
}
