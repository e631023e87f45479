//! EndpointSlice. Upstream: `pkg/apis/discovery/{v1,validation}`, `pkg/registry/discovery`.

use crate::check;
use crate::equal::semantic_equal;
use crate::hooks::{Context, Hooks};
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, ip};
use std::collections::HashSet;
use std::net::IpAddr;
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    if plural == "endpointslices" { HOOKS } else { Hooks::NONE }
}

const HOOKS: Hooks = Hooks {
    default: |slice| {
        for port in slice.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            check::default(port, "name", "");
            check::default(port, "protocol", "TCP");
        }
    },
    prepare_create: |_, slice| drop_topology(slice, None),
    prepare_update: |_, new, old| {
        if !semantic_equal(new.at("endpoints"), old.at("endpoints")) {
            drop_topology(new, Some(old));
        }
    },
    validate_create: |_, slice| validate(slice, None),
    validate_update: |_, new, old| {
        let mut errors = validate(new, Some(old));
        let path = Path::new("addressType");
        check::immutable(new.at("addressType"), old.at("addressType"), &path, &mut errors);
        errors
    },
    warn_create: |_, slice| {
        let mut warnings = Vec::new();
        if slice.at("addressType").str() == "FQDN" {
            warnings.push("spec.addressType: FQDN endpoints are deprecated".into());
        }
        warnings.extend(address_warnings(slice));
        warnings
    },
    warn_update,
    generation_first: true,
    ..Hooks::NONE
};

fn warn_update(_: &Context, slice: &Value, _: &Value) -> Vec<String> {
    address_warnings(slice)
}

const HOST_LABEL: &str = "kubernetes.io/hostname";

/// The topology of `v1beta1` is not written by `v1`; a node's name in it moves to `nodeName` if an old
/// endpoint had it.
fn drop_topology(slice: &mut Value, old: Option<&Value>) {
    let old = old.map_or(&Value::Null, |o| o.at("endpoints"));
    let names: HashSet<&str> = old
        .items()
        .iter()
        .map(|e| e.at("deprecatedTopology").at(HOST_LABEL).str())
        .filter(|n| !n.is_empty())
        .collect();
    for endpoint in slice.get_mut("endpoints").and_then(Value::as_array_mut).into_iter().flatten() {
        let topology = endpoint.remove("deprecatedTopology").unwrap_or_default();
        let name = topology.at(HOST_LABEL).str();
        if endpoint.at("nodeName").is_null()
            && names.contains(name)
            && names::dns1123_subdomain(name).is_empty()
        {
            endpoint.set("nodeName", name);
        }
    }
}

/// Upstream's bounds.
const TOPOLOGY_LABELS_MAX: usize = 16;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ENDPOINTS_MAX: usize = 1000;
const HINTS_MAX: usize = 8;

fn validate(slice: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = slice.at("addressType").str();
    let path = Path::new("addressType");
    match kind {
        "" => errors.push(Error::required(&path, "")),
        "IPv4" | "IPv6" | "FQDN" => {}
        _ => errors.push(Error::not_supported_in_order(&path, kind, &["FQDN", "IPv4", "IPv6"])),
    }
    validate_ports(slice.at("ports").items(), &mut errors);
    // What stands may stay.
    if !old.is_some_and(|o| semantic_equal(o.at("endpoints"), slice.at("endpoints"))) {
        validate_endpoints(slice.at("endpoints").items(), kind, &mut errors);
    }
    errors
}

fn validate_ports(ports: &[Value], errors: &mut ErrorList) {
    let path = Path::new("ports");
    if ports.len() > PORTS_MAX {
        errors.push(Error::too_many(&path, ports.len(), PORTS_MAX));
        return;
    }
    let mut seen = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = port.at("name").str();
        if !name.is_empty() {
            check::dns1123_label(name, &path.child("name"), errors);
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let (protocol, protocol_path) = (port.at("protocol"), path.child("protocol"));
        let known = ["SCTP", "TCP", "UDP"];
        if protocol.is_null() {
            errors.push(Error::required(&protocol_path, ""));
        } else if !known.contains(&protocol.str()) {
            errors.push(Error::not_supported_in_order(&protocol_path, protocol.clone(), &known));
        }
        if let Some(app) = port.at("appProtocol").as_str() {
            check::qualified_name(app, &path.child("appProtocol"), errors);
        }
    }
}

fn validate_endpoints(endpoints: &[Value], kind: &str, errors: &mut ErrorList) {
    let path = Path::new("endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        errors.push(Error::too_many(&path, endpoints.len(), ENDPOINTS_MAX));
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = path.index(i);
        validate_addresses(endpoint.at("addresses").items(), kind, &path.child("addresses"), errors);
        if let Some(node) = endpoint.at("nodeName").as_str() {
            check::dns1123_subdomain(node, &path.child("nodeName"), errors);
        }
        let (topology, topology_path) = (endpoint.at("deprecatedTopology"), path.child("deprecatedTopology"));
        let labels = topology.entries().count();
        if labels > TOPOLOGY_LABELS_MAX {
            errors.push(Error::too_many(&topology_path, labels, TOPOLOGY_LABELS_MAX));
        }
        check::labels(topology, &topology_path, errors);
        if let Some(host) = endpoint.at("hostname").as_str() {
            check::dns1123_label(host, &path.child("hostname"), errors);
        }
        validate_hints(endpoint.at("hints"), &path.child("hints"), errors);
    }
}

fn validate_addresses(addresses: &[Value], kind: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if addresses.is_empty() {
        errors.push(Error::required(path, "must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        errors.push(Error::too_many(path, addresses.len(), ADDRESSES_MAX));
    }
    for (i, address) in addresses.iter().enumerate() {
        let text = address.str();
        let item_path = path.index(i);
        let (found, family) = match kind {
            "IPv4" => (
                ip::ip_for_legacy_field(&item_path, text, ip::Strictness::Strict, &[]),
                "must be an IPv4 address",
            ),
            "IPv6" => (ip::ip(&item_path, text), "must be an IPv6 address"),
            "FQDN" => {
                errors.extend(names::fully_qualified_domain_name(&item_path, text));
                continue;
            }
            _ => continue,
        };
        if !found.is_empty() {
            errors.extend(found);
            continue;
        }
        let Some(parsed) = ip::parse_ip_sloppy(text) else { continue };
        if parsed.is_ipv4() != (kind == "IPv4") {
            errors.push(Error::invalid(path, text, family));
        }
        validate_endpoint_ip(parsed, text, &item_path, errors);
    }
}

/// An address that traffic can be sent to.
pub(crate) fn validate_endpoint_ip(parsed: IpAddr, text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let mut refuse = |detail: String| errors.push(Error::invalid(path, text, detail));
    if parsed.is_unspecified() {
        refuse(format!("may not be unspecified ({text})"));
    }
    if parsed.is_loopback() {
        refuse("may not be in the loopback range (127.0.0.0/8, ::1/128)".into());
    }
    let (link_local, link_local_multicast) = match parsed {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        refuse("may not be in the link-local range (169.254.0.0/16, fe80::/10)".into());
    }
    if link_local_multicast {
        refuse("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".into());
    }
}

fn validate_hints(hints: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (list, check_name) in
        [("forZones", names::label_value as fn(&str) -> Vec<String>), ("forNodes", names::dns1123_subdomain)]
    {
        let path = path.child(list);
        let items = hints.at(list).items();
        if items.len() > HINTS_MAX {
            errors.push(Error::too_many(&path, items.len(), HINTS_MAX));
            return;
        }
        let mut seen = HashSet::new();
        for (i, item) in items.iter().enumerate() {
            let item_path = path.index(i);
            let (name, path) = (item.at("name").str(), item_path.child("name"));
            if !seen.insert(name) {
                errors.push(Error::duplicate(&path, name));
            }
            check::invalid_each(name, check_name(name), &path, errors);
        }
    }
}

fn address_warnings(slice: &Value) -> Vec<String> {
    let manager = slice.at("metadata").at("labels").at("endpointslice.kubernetes.io/managed-by").str();
    if matches!(manager, "endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io") {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let path = Path::new("endpoints");
    for (i, endpoint) in slice.at("endpoints").items().iter().enumerate() {
        let path = path.index(i);
        let path = path.child("addresses");
        for (j, address) in endpoint.at("addresses").items().iter().enumerate() {
            warnings.extend(ip::ip_warnings(&path.index(j), address.str()));
        }
    }
    warnings
}
