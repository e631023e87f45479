//! What holds for a Service, beside its cluster IPs.
//!
//! Upstream: `validateService`, `ValidateLoadBalancerStatus` in `pkg/apis/core/validation/validation.go`.

use super::service::is_external;
use super::service_ips::needs_health_port;
use super::service_ips::{self, is_headless};
use super::util::{
    endpoint_ip, invalid_named, invalid_number, is_set, legacy_cidr, legacy_ip, object, one_of,
    optional_one_of, unsupported,
};
use crate::check;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, ip};
use std::collections::HashSet;
use value::Value;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONLY_BALANCERS: &str = "may only be used when `type` is 'LoadBalancer'";
const CLIENT_IP_SECONDS_MAX: i64 = 86_400;

/// All errors of a service; `old` is the one that stands, on update.
pub(super) fn validate(service: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let annotations = service.at("metadata").at("annotations");
    if let (Some(hints), Some(mode)) = (annotations.get(HINTS), annotations.get(MODE))
        && hints != mode
    {
        let path = Path::new("metadata");
        let path = path.child("annotations");
        let text = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(Error::invalid(&path.key(MODE), mode.str(), text));
    }
    let (spec, path) = (service.at("spec"), Path::new("spec"));
    let before = old.map_or(&Value::Null, |o| o.at("spec"));
    let kind = spec.at("type").str();
    let (ports, ports_path) = (spec.at("ports").items(), path.child("ports"));
    if ports.is_empty() && !is_headless(spec) && kind != "ExternalName" {
        errors.push(Error::required(&ports_path, ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let path = path.child("clusterIPs");
            let text = format!("may not be set to 'None' for {kind} services");
            errors.push(Error::invalid(&path.index(0), "None", text));
        }
        "ExternalName" => external_name(spec, &path, errors),
        _ => {}
    }
    let mut names = HashSet::new();
    for (i, v) in ports.iter().enumerate() {
        port(v, ports.len() > 1, &mut names, &ports_path.index(i), errors);
    }
    check::labels(spec.at("selector"), &path.child("selector"), errors);
    affinity(spec, &path, errors);
    service_ips::validate(spec, before, errors);
    external_ips(spec, before, &path.child("externalIPs"), errors);
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of(spec.at("type"), &kinds, &path.child("type"), errors);
    port_clashes(spec, &ports_path, errors);
    source_ranges(service, old, &path, errors);
    let balancer = kind == "LoadBalancer";
    if is_set(spec, "allocateLoadBalancerNodePorts") != balancer {
        if balancer {
            errors.push(Error::required(&Path::new("allocateLoadBalancerNodePorts"), ""));
        } else {
            errors.push(Error::forbidden(&path.child("allocateLoadBalancerNodePorts"), ONLY_BALANCERS));
        }
    }
    balancer_class(spec, &path, errors);
    policies(spec, &path, errors);
}

fn external_name(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        let v = spec.at(name);
        let set = if name == "ipFamilyPolicy" { !v.is_null() } else { !v.items().is_empty() };
        if set {
            errors.push(Error::forbidden(&path.child(name), "may not be set for ExternalName services"));
        }
    }
    let name = spec.at("externalName").str();
    let name = name.strip_suffix('.').unwrap_or(name);
    let path = path.child("externalName");
    if name.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        check::dns1123_subdomain(name, &path, errors);
    }
}

fn port<'a>(
    v: &'a Value,
    named: bool,
    known: &mut HashSet<&'a str>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (name, name_path) = (v.at("name").str(), path.child("name"));
    if name.is_empty() {
        if named {
            errors.push(Error::required(&name_path, ""));
        }
    } else {
        check::dns1123_label(name, &name_path, errors);
        if !known.insert(name) {
            errors.push(Error::duplicate(&name_path, name));
        }
    }
    let number = v.at("port").int();
    invalid_number(number, names::port_num(number), &path.child("port"), errors);
    one_of(v.at("protocol"), &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    super::probes::port(v.at("targetPort"), &path.child("targetPort"), errors);
    if let Some(protocol) = v.at("appProtocol").as_str() {
        check::qualified_name(protocol, &path.child("appProtocol"), errors);
    }
}

fn affinity(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let known = ["ClientIP", "None"];
    one_of(spec.at("sessionAffinity"), &known, &path.child("sessionAffinity"), errors);
    let (config, path) = (spec.at("sessionAffinityConfig"), path.child("sessionAffinityConfig"));
    match spec.at("sessionAffinity").str() {
        "ClientIP" => {
            let text = "when session affinity type is ClientIP";
            let client_path = path.child("clientIP");
            let seconds_path = client_path.child("timeoutSeconds");
            if config.is_null() {
                errors.push(Error::required(&path, text));
            } else if !is_set(config, "clientIP") {
                errors.push(Error::required(&client_path, text));
            } else if !is_set(config.at("clientIP"), "timeoutSeconds") {
                errors.push(Error::required(&seconds_path, text));
            } else {
                let seconds = config.at("clientIP").at("timeoutSeconds").int();
                if seconds <= 0 || seconds > CLIENT_IP_SECONDS_MAX {
                    let text = format!("must be greater than 0 and less than {CLIENT_IP_SECONDS_MAX}");
                    errors.push(Error::invalid(&seconds_path, seconds, text));
                }
            }
        }
        "None" if !config.is_null() => {
            errors.push(Error::forbidden(&path, "must not be set when session affinity is None"));
        }
        _ => {}
    }
}

fn external_ips(spec: &Value, before: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let known: HashSet<&str> = before.at("externalIPs").items().iter().map(Value::str).collect();
    for (i, ip) in spec.at("externalIPs").items().iter().enumerate() {
        let path = path.index(i);
        let count = errors.len();
        legacy_ip(&path, ip.str(), &known, errors);
        if errors.len() == count {
            endpoint_ip(ip.str(), &path, errors);
        }
    }
}

/// Node ports where there are none, and ports that are there twice.
fn port_clashes(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let ports = spec.at("ports").items();
    let node_port = |v: &Value| v.at("nodePort").int();
    if spec.at("type").str() == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, v)| node_port(v) != 0) {
            let text = "may not be used when `type` is 'ClusterIP'";
            errors.push(Error::forbidden(&path.index(i).child("nodePort"), text));
        }
    }
    let mut seen = HashSet::new();
    for (i, v) in ports.iter().enumerate().filter(|(_, v)| node_port(v) != 0) {
        if !seen.insert((v.at("protocol").str(), node_port(v))) {
            errors.push(Error::duplicate(&path.index(i).child("nodePort"), node_port(v)));
        }
    }
    let mut seen = HashSet::new();
    for (i, v) in ports.iter().enumerate() {
        let (protocol, number) = (v.at("protocol"), v.at("port"));
        if !seen.insert((protocol.str(), number.int())) {
            let key = object([("protocol", protocol.clone()), ("port", number.clone())]);
            let shown = internal::text("core.ServicePort", &key);
            errors.push(Error::duplicate(&path.index(i), key).shown_as(shown));
        }
    }
}

fn source_ranges(service: &Value, old: Option<&Value>, path: &Path<'_>, errors: &mut ErrorList) {
    let spec = service.at("spec");
    let balancer = spec.at("type").str() == "LoadBalancer";
    let ranges = spec.at("loadBalancerSourceRanges").items();
    if !ranges.is_empty() {
        // Upstream spells it so.
        let path = path.child("LoadBalancerSourceRanges");
        if !balancer {
            errors.push(Error::forbidden(&path, ONLY_BALANCERS));
        }
        let before = old.map_or(&Value::Null, |o| o.at("spec").at("loadBalancerSourceRanges"));
        let known: HashSet<&str> = before.items().iter().map(|v| v.str().trim()).collect();
        for (i, range) in ranges.iter().enumerate() {
            legacy_cidr(&path.index(i), range.str().trim(), &known, errors);
        }
        return;
    }
    let annotation = |v: &Value| v.at("metadata").at("annotations").get(SOURCE_RANGES).cloned();
    let Some(given) = annotation(service) else { return };
    let path = Path::new("metadata");
    let path = path.child("annotations");
    let path = path.key(SOURCE_RANGES);
    if !balancer {
        errors.push(Error::forbidden(&path, ONLY_BALANCERS));
    }
    let before = old.and_then(annotation);
    if before.as_ref().is_some_and(|b| b.str() == given.str()) || given.str().trim().is_empty() {
        return;
    }
    for range in given.str().trim().split(',') {
        legacy_cidr(&path, range.trim(), &HashSet::new(), errors);
    }
}

fn balancer_class(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let Some(class) = spec.at("loadBalancerClass").as_str() else { return };
    let path = path.child("loadBalancerClass");
    if spec.at("type").str() == "LoadBalancer" {
        check::qualified_name(class, &path, errors);
    } else {
        errors.push(Error::forbidden(&path, ONLY_BALANCERS));
    }
}

fn policies(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (policy, policy_path) = (spec.at("externalTrafficPolicy"), path.child("externalTrafficPolicy"));
    if is_external(spec) {
        one_of(policy, &["Cluster", "Local"], &policy_path, errors);
    } else if !policy.str().is_empty() {
        let text = "may only be set for externally-accessible services";
        errors.push(invalid_named(&policy_path, policy.str(), text));
    }
    let (number, number_path) = (spec.at("healthCheckNodePort").int(), path.child("healthCheckNodePort"));
    if !needs_health_port(spec) {
        if number != 0 {
            let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(Error::invalid(&number_path, number, text));
        }
    } else if number == 0 {
        errors.push(Error::required(&number_path, ""));
    } else {
        invalid_number(number, names::port_num(number), &number_path, errors);
    }
    let (policy, policy_path) = (spec.at("internalTrafficPolicy"), path.child("internalTrafficPolicy"));
    let routed = matches!(spec.at("type").str(), "NodePort" | "LoadBalancer" | "ClusterIP");
    if policy.is_null() && routed {
        errors.push(Error::required(&policy_path, ""));
    }
    optional_one_of(policy, &["Cluster", "Local"], &policy_path, errors);
    if let Some(distribution) = spec.at("trafficDistribution").as_str() {
        let known = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        if !known.contains(&distribution) {
            let path = path.child("trafficDistribution");
            errors.push(Error::not_supported_in_order(&path, distribution, &known));
        }
    }
}

/// What must not change, beside cluster IPs and families.
pub(super) fn validate_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (spec, before, path) = (new.at("spec"), old.at("spec"), Path::new("spec"));
    let balancer = |spec: &Value| spec.at("type").str() == "LoadBalancer";
    let class = spec.at("loadBalancerClass");
    if balancer(spec) && balancer(before) && class != before.at("loadBalancerClass") {
        let error =
            Error::invalid(&path.child("loadBalancerClass"), class.clone(), "may not change once set");
        errors.push(error.shown_as_json());
    }
    balancer_class(spec, &path, errors);
    let number = |spec: &Value| spec.at("healthCheckNodePort").int();
    if needs_health_port(before) && needs_health_port(spec) && number(before) != number(spec) {
        errors.push(Error::forbidden(&path.child("healthCheckNodePort"), "field is immutable"));
    }
}

/// All errors of a changed status.
pub(super) fn validate_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let list = |v: &Value| v.path(&["status", "loadBalancer", "ingress"]).clone();
    let (ingresses, before) = (list(new), list(old));
    let path = Path::new("status");
    let path = path.child("loadBalancer");
    let path = path.child("ingress");
    if new.at("spec").at("type").str() != "LoadBalancer" {
        if !ingresses.items().is_empty() {
            let text = "may only be used when `spec.type` is 'LoadBalancer'";
            errors.push(Error::forbidden(&path, text));
        }
        return;
    }
    let known: HashSet<&str> =
        before.items().iter().map(|v| v.at("ip").str()).filter(|ip| !ip.is_empty()).collect();
    for (i, ingress) in ingresses.items().iter().enumerate() {
        let path = path.index(i);
        let (ip, host) = (ingress.at("ip").str(), ingress.at("hostname").str());
        if !ip.is_empty() {
            legacy_ip(&path.child("ip"), ip, &known, errors);
        }
        let mode_path = path.child("ipMode");
        match ingress.at("ipMode").as_str() {
            None if !ip.is_empty() => {
                errors.push(Error::required(&mode_path, "must be specified when `ip` is set"));
            }
            None => {}
            Some(_) if ip.is_empty() => {
                errors.push(Error::forbidden(&mode_path, "may not be specified when `ip` is not set"));
            }
            Some("Proxy" | "VIP") => {}
            Some(mode) => errors.push(unsupported(&mode_path, mode, &["Proxy", "VIP"])),
        }
        if !host.is_empty() {
            let path = path.child("hostname");
            check::dns1123_subdomain(host, &path, errors);
            if ip::parse_ip_sloppy(host).is_some() {
                errors.push(Error::invalid(&path, host, "must be a DNS name, not an IP address"));
            }
        }
    }
}
