//! Services.
//!
//! Upstream: `pkg/registry/core/service/strategy.go`, `SetDefaults_Service` in
//! `pkg/apis/core/v1/defaults.go`, `pkg/api/service`.

use super::service_ips::{self, needs_health_port};
use super::service_rules;
use super::util::{each, finalizer_names, is_set, object, strings};
use crate::check::{default, default_text};
use crate::hooks::{Hooks, NameRule};
use crate::prepare;
use meta::field::{ErrorList, Path};
use meta::names::ip;
use std::collections::HashSet;
use value::Value;

pub(super) const CLIENT_IP_SECONDS: i64 = 10_800;

pub(super) const HOOKS: Hooks = Hooks {
    default: default_service,
    prepare_create: |_, service| {
        prepare::reset_status(service);
        service_ips::normalize(service, None);
    },
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "status");
        drop_dependent(new, old);
    },
    validate_create: |_, service| {
        let mut errors = ErrorList::new();
        finalizer_names(service, &mut errors);
        service_rules::validate(service, None, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        service_ips::validate_change(new, old, &mut errors);
        service_rules::validate_change(new, old, &mut errors);
        service_rules::validate(new, Some(old), &mut errors);
        errors
    },
    warn_create: |_, service| warnings(service),
    warn_update: |_, new, _| warnings(new),
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, old| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        service_rules::validate_status(new, old, &mut errors);
        errors
    },
    warn_subresource: |_, new, _| {
        let path = Path::new("status");
        let path = path.child("loadBalancer");
        let path = path.child("ingress");
        let list = new.path(&["status", "loadBalancer", "ingress"]).items().iter().enumerate();
        let given = list.map(|(i, v)| (i, v.at("ip").str())).filter(|(_, ip)| !ip.is_empty());
        given.flat_map(|(i, ip)| ip::ip_warnings(&path.index(i), ip)).collect()
    },
    name: NameRule::DnsLabel,
    ..Hooks::NONE
};

/// Whether traffic comes from outside of the cluster.
pub(super) fn is_external(spec: &Value) -> bool {
    match spec.at("type").str() {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !spec.at("externalIPs").items().is_empty(),
        _ => false,
    }
}

fn default_service(service: &mut Value) {
    if let Some(spec) = service.object_at("spec") {
        default_spec(spec);
    }
    if service.at("spec").at("type").str() != "LoadBalancer" {
        return;
    }
    if let Some(balancer) = service.get_mut("status").and_then(|s| s.get_mut("loadBalancer")) {
        each(balancer, "ingress", |ingress| {
            if !ingress.at("ip").str().is_empty() {
                default(ingress, "ipMode", "VIP");
            }
        });
    }
}

fn default_spec(spec: &mut Value) {
    default_text(spec, "sessionAffinity", "None");
    match spec.at("sessionAffinity").str() {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" if !is_set(spec.at("sessionAffinityConfig").at("clientIP"), "timeoutSeconds") => {
            let client = object([("timeoutSeconds", CLIENT_IP_SECONDS.into())]);
            spec.set("sessionAffinityConfig", object([("clientIP", client)]));
        }
        _ => {}
    }
    default_text(spec, "type", "ClusterIP");
    each(spec, "ports", |port| {
        default_text(port, "protocol", "TCP");
        let target = port.at("targetPort");
        if target.is_null() || target.as_i64() == Some(0) || target.as_str() == Some("") {
            let number = port.at("port").int();
            port.set("targetPort", number);
        }
    });
    if is_external(spec) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(spec.at("type").str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default(spec, "internalTrafficPolicy", "Cluster");
    }
    if spec.at("type").str() == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// Clears what the new type does not know, where the writer left it as it was.
fn drop_dependent(new: &mut Value, old: &Value) {
    let before = old.at("spec");
    let was = before.at("type").str();
    let Some(spec) = new.get_mut("spec") else { return };
    let kind = spec.at("type").str().to_owned();
    let same = |spec: &Value, name: &str| spec.at(name) == before.at(name);
    if was != "ExternalName" && kind == "ExternalName" {
        let same_ips = strings(spec.at("clusterIPs")) == strings(before.at("clusterIPs"));
        if same_ips && spec.at("clusterIP").str() == before.at("clusterIP").str() {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for name in ["ipFamilies", "ipFamilyPolicy"] {
            if same(spec, name) {
                spec.remove(name);
            }
        }
    }
    let has_node_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    if has_node_ports(was) && !has_node_ports(&kind) {
        let ports = |spec: &Value| -> HashSet<i64> {
            let ports = spec.at("ports").items().iter();
            ports.map(|p| p.at("nodePort").int()).filter(|n| *n != 0).collect()
        };
        if ports(spec).is_subset(&ports(before)) {
            each(spec, "ports", |port| drop(port.remove("nodePort")));
        }
    }
    if needs_health_port(before) && !needs_health_port(spec) && same(spec, "healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if was == "LoadBalancer" && kind != "LoadBalancer" {
        for name in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(spec, name) {
                spec.remove(name);
            }
        }
    }
    if is_external(before) && !is_external(spec) && same(spec, "externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
    if kind != "LoadBalancer"
        && let Some(status) = new.object_at("status")
    {
        status.set("loadBalancer", Value::object());
    }
}

fn warnings(service: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let (spec, path) = (service.at("spec"), Path::new("spec"));
    let hints = "service.kubernetes.io/topology-aware-hints";
    if service.at("metadata").at("annotations").get(hints).is_some() {
        out.push(format!(
            "annotation {hints} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let addresses = |list: &str, out: &mut Vec<String>| {
        let path = path.child(list);
        for (i, ip) in spec.at(list).items().iter().enumerate() {
            out.extend(ip::ip_warnings(&path.index(i), ip.str()));
        }
    };
    let cluster_ip = spec.at("clusterIP").str();
    if !matches!(cluster_ip, "" | "None") {
        addresses("clusterIPs", &mut out);
    }
    let kind = spec.at("type").str();
    let headless = kind == "ClusterIP" && cluster_ip == "None";
    let (balancer_ip, external_ips) = (spec.at("loadBalancerIP").str(), spec.at("externalIPs").items());
    if headless {
        if !balancer_ip.is_empty() {
            out.push("spec.loadBalancerIP is ignored for headless services".into());
        }
        if !external_ips.is_empty() {
            out.push("spec.externalIPs is ignored for headless services".into());
        }
        if spec.at("sessionAffinity").str() != "None" {
            out.push("spec.SessionAffinity is ignored for headless services".into());
        }
    }
    addresses("externalIPs", &mut out);
    if !external_ips.is_empty() && !headless && kind != "ExternalName" {
        out.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    if !balancer_ip.is_empty() {
        out.extend(ip::ip_warnings(&path.child("loadBalancerIP"), balancer_ip));
    }
    let ranges_path = path.child("loadBalancerSourceRanges");
    for (i, range) in spec.at("loadBalancerSourceRanges").items().iter().enumerate() {
        out.extend(ip::cidr_warnings(&ranges_path.index(i), range.str()));
    }
    if kind == "ExternalName" && !external_ips.is_empty() {
        out.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if kind != "ExternalName" && !spec.at("externalName").str().is_empty() {
        out.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if spec.at("trafficDistribution").str() == "PreferClose" {
        out.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
    out
}
