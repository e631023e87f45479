//! The downward API: what a pod may know of itself.
//!
//! Pure. Upstream counterparts: `pkg/fieldpath`, `pkg/api/v1/resource/helpers.go`.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::core::v1::{Container, Pod, ResourceFieldSelector};
use api::{Quantity, amount, milli_amount};

use crate::resources;
use crate::spec;

/// What of the node and the pod's sandbox fields tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) node_ips: Vec<String>,
    pub(crate) pod_ips: Vec<String>,
    /// What the node has for pods: the limits of containers without any.
    pub(crate) allocatable: BTreeMap<String, Quantity>,
}

/// The value of a field of the pod.
pub(crate) fn field(pod: &Pod, path: &str, around: &Surroundings) -> Result<String, String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => spec::name(pod).to_owned(),
        "metadata.namespace" => spec::namespace(pod).to_owned(),
        "metadata.uid" => spec::uid(pod).to_owned(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => text(spec::spec(pod).node_name.as_ref()),
        "spec.serviceAccountName" => text(spec::spec(pod).service_account_name.as_ref()),
        "status.hostIP" => text(around.node_ips.first()),
        "status.hostIPs" => around.node_ips.join(","),
        "status.podIP" => text(around.pod_ips.first()),
        "status.podIPs" => around.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['a']` as map and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (key, value) in map.into_iter().flatten() {
        let _ = writeln!(text, "{key}={}", go_quote(value));
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// A text as Go's `%q` prints it.
fn go_quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            control if control.is_control() && u32::from(control) < 0x80 => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The value of a resource of a container, in units of the divisor, rounded up.
pub(crate) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    around: &Surroundings,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let found = named.and_then(|name| spec::find(pod, name).map(|(_, container)| container));
    let container = match (named, &found, own) {
        (Some(name), None, _) => return Err(format!("container {name} not found")),
        (_, Some(found), _) => found,
        (None, None, Some(own)) => own,
        (None, None, None) => return Err("container name is required".into()),
    };
    let (list, name) = selector
        .resource
        .split_once('.')
        .filter(|(list, _)| matches!(*list, "limits" | "requests"))
        .ok_or_else(|| format!("unsupported container resource : {}", selector.resource))?;
    let quantity = if list == "limits" {
        // Without a limit, a container may use what the node has.
        resources::limit(container, name).or_else(|| around.allocatable.get(name))
    } else {
        resources::request(container, name)
    };
    let (value, one) = if name == "cpu" {
        (quantity.map_or(0, milli_amount), 1000)
    } else {
        (quantity.map_or(0, amount), 1)
    };
    let divisor = selector
        .divisor
        .as_ref()
        .map_or(0, |divisor| if name == "cpu" { milli_amount(divisor) } else { amount(divisor) });
    let divisor = if divisor <= 0 { one } else { divisor };
    Ok(value.div_euclid(divisor).saturating_add(i64::from(value.rem_euclid(divisor) != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn fields_of_a_pod() {
        let mut pod = pod(json!({"containers": [], "nodeName": "node", "serviceAccountName": "sa"}));
        pod.metadata.labels = Some([("a".into(), "1".into()), ("b/c".into(), "x\"y\n".into())].into());
        let around = Surroundings {
            node_ips: vec!["1.1.1.1".into()],
            pod_ips: vec!["2.2.2.2".into(), "::2".into()],
            ..Surroundings::default()
        };
        let cases = [
            ("metadata.name", Ok("p")),
            ("metadata.labels['a']", Ok("1")),
            ("metadata.labels['none']", Ok("")),
            ("metadata.labels", Ok("a=\"1\"\nb/c=\"x\\\"y\\n\"")),
            ("spec.serviceAccountName", Ok("sa")),
            ("status.podIPs", Ok("2.2.2.2,::2")),
            ("status.hostIP", Ok("1.1.1.1")),
            ("spec.other", Err("unsupported fieldPath: spec.other")),
        ];
        for (path, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(field(&pod, path, &around), expected, "{path}");
        }
    }

    #[test]
    fn resources_in_units() {
        let pod = pod(json!({"containers": [{"name": "a", "resources": {
            "limits": {"cpu": "1500m"}, "requests": {"memory": "65Mi"}}}]}));
        let around = Surroundings {
            allocatable: [("memory".to_owned(), Quantity("4Gi".into()))].into(),
            ..Surroundings::default()
        };
        let cases = [
            ("limits.cpu", "0", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.memory", "1Mi", "65"),
            ("requests.memory", "64Mi", "2"),
            ("limits.memory", "0", "4294967296"),
            ("requests.cpu", "0", "0"),
        ];
        for (name, divisor, expected) in cases {
            let selector = ResourceFieldSelector {
                resource: name.into(),
                divisor: Some(Quantity(divisor.into())),
                container_name: Some("a".into()),
            };
            assert_eq!(resource(&pod, None, &selector, &around).unwrap(), expected, "{name} {divisor}");
        }
    }
}
