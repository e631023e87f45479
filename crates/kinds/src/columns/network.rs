//! Services, endpoints, ingresses, nodes.

use super::format::{age, first_three, labels, name, none, selector, sorted};
use meta::time::Time;
use value::Value;

pub(super) fn service(o: &Value, now: Time) -> Vec<Value> {
    let spec = o.at("spec");
    let ports: Vec<String> = spec
        .at("ports")
        .items()
        .iter()
        .map(|p| {
            let (port, node, protocol) = (p.at("port").int(), p.at("nodePort").int(), p.at("protocol").str());
            if node > 0 { format!("{port}:{node}/{protocol}") } else { format!("{port}/{protocol}") }
        })
        .collect();
    vec![
        name(o),
        spec.at("type").str().into(),
        none(spec.at("clusterIPs").items().first().map_or("", Value::str)),
        external_ip(o).into(),
        none(&ports.join(",")),
        age(o, now),
        labels(spec.at("selector")),
    ]
}

fn external_ip(o: &Value) -> String {
    let spec = o.at("spec");
    let external: Vec<String> = spec.at("externalIPs").items().iter().map(|v| v.str().to_owned()).collect();
    match spec.at("type").str() {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".into(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let mut all = ingress_points(o.at("status").at("loadBalancer"));
            all.extend(external);
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        "ExternalName" => spec.at("externalName").str().to_owned(),
        _ => "<unknown>".into(),
    }
}

/// Addresses or host names of a load balancer.
fn ingress_points(status: &Value) -> Vec<String> {
    let points = status.at("ingress").items().iter().map(|i| match i.at("ip").str() {
        "" => i.at("hostname").str().to_owned(),
        ip => ip.to_owned(),
    });
    sorted(points.filter(|p| !p.is_empty()).collect())
}

pub(super) fn endpoints(o: &Value, now: Time) -> Vec<Value> {
    let mut list = Vec::new();
    for subset in o.at("subsets").items() {
        let addresses = subset.at("addresses").items();
        let ports = subset.at("ports").items();
        if ports.is_empty() {
            list.extend(addresses.iter().map(|a| a.at("ip").str().to_owned()));
        }
        for port in ports {
            list.extend(addresses.iter().map(|a| {
                let (ip, port) = (a.at("ip").str(), port.at("port").int());
                if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
            }));
        }
    }
    let shown = if o.at("subsets").items().is_empty() { "<none>".into() } else { first_three(&list) };
    vec![name(o), shown.into(), age(o, now)]
}

pub(super) fn endpoint_slice(o: &Value, now: Time) -> Vec<Value> {
    let ports: Vec<String> = o
        .at("ports")
        .items()
        .iter()
        .map(|p| match (p.at("port").as_i64(), p.at("name").as_str()) {
            (Some(port), _) => port.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".into(),
        })
        .collect();
    let addresses: Vec<String> = o
        .at("endpoints")
        .items()
        .iter()
        .flat_map(|e| e.at("addresses").items())
        .map(|a| a.str().to_owned())
        .collect();
    let shown = |list: &[String]| Some(first_three(list)).filter(|text| !text.is_empty());
    let shown = |list: &[String]| shown(list).unwrap_or_else(|| "<unset>".into());
    vec![
        name(o),
        o.at("addressType").str().into(),
        shown(&ports).into(),
        shown(&addresses).into(),
        age(o, now),
    ]
}

pub(super) fn ingress(o: &Value, now: Time) -> Vec<Value> {
    const SHOWN: usize = 3;
    let spec = o.at("spec");
    let rules = spec.at("rules").items();
    let hosts: Vec<&str> = rules.iter().map(|r| r.at("host").str()).filter(|h| !h.is_empty()).collect();
    let more = rules.len() > SHOWN && hosts.len() >= SHOWN;
    let hosts = match (hosts.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, true) => format!("{} + {} more...", hosts[..SHOWN].join(","), rules.len() - SHOWN),
        (false, false) => hosts.join(","),
    };
    let ports = if spec.at("tls").items().is_empty() { "80" } else { "80, 443" };
    vec![
        name(o),
        spec.at("ingressClassName").as_str().unwrap_or("<none>").into(),
        hosts.into(),
        ingress_points(o.at("status").at("loadBalancer")).join(",").into(),
        ports.into(),
        age(o, now),
    ]
}

pub(super) fn ingress_class(o: &Value, now: Time) -> Vec<Value> {
    let parameters = o.at("spec").at("parameters");
    let shown = if parameters.is_null() {
        "<none>".into()
    } else {
        let kind = parameters.at("kind").str();
        let group = parameters.at("apiGroup").as_str().map(|g| format!(".{g}")).unwrap_or_default();
        format!("{kind}{group}/{}", parameters.at("name").str())
    };
    let annotations = o.at("metadata").at("annotations");
    let default = annotations.at("ingressclass.kubernetes.io/is-default-class").str() == "true";
    let name = o.at("metadata").at("name").str();
    let name = if default { format!("{name} (default)") } else { name.to_owned() };
    vec![name.into(), o.at("spec").at("controller").str().into(), shown.into(), age(o, now)]
}

pub(super) fn network_policy(o: &Value, now: Time) -> Vec<Value> {
    vec![name(o), selector(o.at("spec").at("podSelector")), age(o, now)]
}

pub(super) fn ip_address(o: &Value, now: Time) -> Vec<Value> {
    let parent = o.at("spec").at("parentRef");
    let shown = if parent.is_null() {
        "<none>".to_owned()
    } else {
        let (resource, group) = (parent.at("resource").str(), parent.at("group").str());
        let mut text = if group.is_empty() {
            resource.to_lowercase()
        } else {
            format!("{resource}.{group}").to_lowercase()
        };
        for part in [parent.at("namespace").str(), parent.at("name").str()].iter().filter(|p| !p.is_empty()) {
            text.push('/');
            text.push_str(part);
        }
        text
    };
    vec![name(o), shown.into(), age(o, now)]
}

pub(super) fn node(o: &Value, now: Time) -> Vec<Value> {
    let (status, info) = (o.at("status"), o.at("status").at("nodeInfo"));
    let ready = status.at("conditions").items().iter().rfind(|c| c.at("type").str() == "Ready");
    let mut state = match ready {
        Some(c) if c.at("status").str() == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if o.at("spec").at("unschedulable").bool() {
        state.push_str(",SchedulingDisabled");
    }
    let unknown = |field: &str| match info.at(field).str() {
        "" => "<unknown>".to_owned(),
        text => text.to_owned(),
    };
    let mut kernel = unknown("kernelVersion");
    let architecture = info.at("architecture").str();
    if !architecture.is_empty() {
        kernel = format!("{kernel} ({architecture})");
    }
    let address = |ty: &str| {
        let found = status.at("addresses").items().iter().find(|a| a.at("type").str() == ty);
        // One that is there is shown as it is, even if it is empty.
        found.map_or_else(|| none(""), |a| a.at("address").str().into())
    };
    vec![
        name(o),
        state.into(),
        none(&roles(o).join(",")),
        age(o, now),
        info.at("kubeletVersion").str().into(),
        address("InternalIP"),
        address("ExternalIP"),
        unknown("osImage").into(),
        kernel.into(),
        unknown("containerRuntimeVersion").into(),
    ]
}

fn roles(o: &Value) -> Vec<String> {
    let labels = o.at("metadata").at("labels").entries();
    let roles = labels.filter_map(|(k, v)| match k.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if k == "kubernetes.io/role" => Some(v.str().to_owned()),
        None => None,
    });
    sorted(roles.filter(|r| !r.is_empty()).collect())
}
