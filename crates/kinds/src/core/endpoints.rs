//! Endpoints.
//!
//! Upstream: `ValidateEndpoints` in `pkg/apis/core/validation/validation.go`,
//! `pkg/registry/core/endpoint/strategy.go`.

use super::util::{each, endpoint_ip, finalizer_names, invalid_number, legacy_ip, metadata_again, one_of};
use crate::check::{self, default_text};
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, ip};
use meta::object_meta::Scope;
use std::collections::HashSet;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default: |endpoints| {
        each(endpoints, "subsets", |subset| {
            each(subset, "ports", |port| default_text(port, "protocol", "TCP"));
        });
    },
    validate_create: |_, endpoints| {
        let mut errors = ErrorList::new();
        finalizer_names(endpoints, &mut errors);
        subsets(endpoints, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
        let mut found = ErrorList::new();
        subsets(new, &mut found);
        if !found.is_empty() && !semantic_equal(new.at("subsets"), old.at("subsets")) {
            errors.extend(found);
        }
        errors
    },
    warn_create: |_, endpoints| warnings(endpoints),
    warn_update: |_, new, _| warnings(new),
    ..Hooks::NONE
};

fn subsets(endpoints: &Value, errors: &mut ErrorList) {
    let path = Path::new("subsets");
    for (i, subset) in endpoints.at("subsets").items().iter().enumerate() {
        let path = path.index(i);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|l| subset.at(l).items().is_empty()) {
            errors.push(Error::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for list in lists {
            let path = path.child(list);
            for (j, v) in subset.at(list).items().iter().enumerate() {
                address(v, &path.index(j), errors);
            }
        }
        let ports = subset.at("ports").items();
        let path = path.child("ports");
        for (j, v) in ports.iter().enumerate() {
            port(v, ports.len() > 1, &path.index(j), errors);
        }
    }
}

fn address(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (ip, ip_path) = (v.at("ip").str(), path.child("ip"));
    legacy_ip(&ip_path, ip, &HashSet::new(), errors);
    let host = v.at("hostname").str();
    if !host.is_empty() {
        check::dns1123_label(host, &path.child("hostname"), errors);
    }
    if let Some(node) = v.at("nodeName").as_str() {
        check::dns1123_subdomain(node, &path.child("nodeName"), errors);
    }
    endpoint_ip(ip, &ip_path, errors);
}

fn port(v: &Value, named: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let (name, name_path) = (v.at("name").str(), path.child("name"));
    if !name.is_empty() {
        check::dns1123_label(name, &name_path, errors);
    } else if named {
        errors.push(Error::required(&name_path, ""));
    }
    let number = v.at("port").int();
    invalid_number(number, names::port_num(number), &path.child("port"), errors);
    one_of(v.at("protocol"), &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    if let Some(protocol) = v.at("appProtocol").as_str() {
        check::qualified_name(protocol, &path.child("appProtocol"), errors);
    }
}

fn warnings(endpoints: &Value) -> Vec<String> {
    let manager = endpoints.at("metadata").at("labels").at("endpoints.kubernetes.io/managed-by").str();
    if manager == "endpoint-controller" {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let path = Path::new("subsets");
    for (i, subset) in endpoints.at("subsets").items().iter().enumerate() {
        let path = path.index(i);
        for list in ["addresses", "notReadyAddresses"] {
            let path = path.child(list);
            for (j, v) in subset.at(list).items().iter().enumerate() {
                warnings.extend(ip::ip_warnings(&path.index(j).child("ip"), v.at("ip").str()));
            }
        }
    }
    warnings
}
