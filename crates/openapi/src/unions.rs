//! Structs of which one member is set, and their discriminators (`+union` in Go). They are few, and OpenAPI
//! is the only place that shows them.

use crate::tree::{array, object};
use value::Value;

/// A type without its version, the discriminator (empty if there is none), members in JSON and Go.
type Union = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const UNIONS: &[Union] = &[
    ("core.AppArmorProfile", "type", &[("localhostProfile", "LocalhostProfile")]),
    ("core.PodSchedulingGroup", "", &[("podGroupName", "PodGroupName")]),
    ("core.SeccompProfile", "type", &[("localhostProfile", "LocalhostProfile")]),
    ("flowcontrol.LimitResponse", "type", &[("queuing", "Queuing")]),
    ("flowcontrol.PriorityLevelConfigurationSpec", "type", &[("exempt", "Exempt"), ("limited", "Limited")]),
    (
        "flowcontrol.Subject",
        "kind",
        &[("group", "Group"), ("serviceAccount", "ServiceAccount"), ("user", "User")],
    ),
    ("scheduling.PodGroupSchedulingPolicy", "", &[("basic", "Basic"), ("gang", "Gang")]),
    ("scheduling.PodGroupTemplateReference", "", &[("workload", "Workload")]),
];

/// The extension of a type, if it is a union; `package` as in `core/v1`.
pub(crate) fn extension(package: &str, name: &str) -> Option<Value> {
    let group = package.split('/').next().unwrap_or_default();
    let (_, discriminator, members) =
        UNIONS.iter().find(|(ty, ..)| ty.split_once('.') == Some((group, name)))?;
    let mut fields = Value::object();
    for (json, go) in *members {
        fields.set(json, *go);
    }
    let mut union = object([("fields-to-discriminateBy", fields)]);
    if !discriminator.is_empty() {
        union.set("discriminator", *discriminator);
    }
    Some(array([union]))
}
