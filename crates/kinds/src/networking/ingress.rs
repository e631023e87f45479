//! Ingress.

use super::ingress_class::validate_reference;
use crate::check;
use crate::hooks::Hooks;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, ip};
use std::collections::HashSet;
use value::Value;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub(super) const HOOKS: Hooks = Hooks {
    prepare_create: |_, ingress| prepare::reset_status(ingress),
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, ingress| {
        let mut errors = validate(ingress, None);
        let class = ingress.at("spec").at("ingressClassName");
        if let Some(given) = ingress.at("metadata").at("annotations").at(CLASS_ANNOTATION).as_str()
            && !class.is_null()
            && class.str() != given
        {
            let path = Path::new("annotations");
            let text = "must match `ingressClassName` when both are specified";
            errors.push(Error::invalid(&path.child(CLASS_ANNOTATION), given, text));
        }
        errors
    },
    validate_update: |_, new, old| validate(new, Some(old)),
    warn_create: |_, ingress| {
        let annotated = ingress.at("metadata").at("annotations").get(CLASS_ANNOTATION).is_some();
        if annotated && ingress.at("spec").at("ingressClassName").is_null() {
            let text = "is deprecated, please use 'spec.ingressClassName' instead";
            return vec![format!("annotation {CLASS_ANNOTATION:?} {text}")];
        }
        Vec::new()
    },
    prepare_subresource: |_, new, old| prepare::keep(new, old, "spec"),
    validate_subresource: |_, new, old| validate_status(new, old),
    warn_subresource: |_, ingress, _| {
        let mut warnings = Vec::new();
        let path = Path::new("status");
        let path = path.child("loadBalancer");
        let path = path.child("ingress");
        for (i, ingress) in ingress.path(&["status", "loadBalancer", "ingress"]).items().iter().enumerate() {
            let address = ingress.at("ip").str();
            if !address.is_empty() {
                warnings.extend(ip::ip_warnings(&path.index(i), address));
            }
        }
        warnings
    },
    ..Hooks::NONE
};

/// What an old ingress has may stay.
struct Options {
    any_secret_name: bool,
    any_wildcard_rule: bool,
}

fn validate(ingress: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (ingress.at("spec"), Path::new("spec"));
    let old = old.map_or(&Value::Null, |o| o.at("spec"));
    let options = Options {
        any_secret_name: old.at("tls").items().iter().any(|t| !secret_name_errors(t).is_empty()),
        any_wildcard_rule: old.at("rules").items().iter().any(|r| {
            let mut errors = ErrorList::new();
            validate_http(r.at("http"), &path, &mut errors);
            r.at("host").str().contains('*') && !errors.is_empty()
        }),
    };
    let (rules, backend) = (spec.at("rules"), spec.at("defaultBackend"));
    if rules.items().is_empty() && backend.is_null() {
        let text = "either `defaultBackend` or `rules` must be specified";
        errors.push(Error::invalid(&path, rules.clone(), text));
    }
    if !backend.is_null() {
        validate_backend(backend, &path.child("defaultBackend"), &mut errors);
    }
    validate_rules(rules.items(), &options, &path.child("rules"), &mut errors);
    validate_tls(spec.at("tls").items(), &options, &path.child("tls"), &mut errors);
    if let Some(class) = spec.at("ingressClassName").as_str() {
        check::dns1123_subdomain(class, &path.child("ingressClassName"), &mut errors);
    }
    errors
}

fn validate_rules(rules: &[Value], options: &Options, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let host = rule.at("host").str();
        let wildcard = host.contains('*');
        if !host.is_empty() {
            let path = path.child("host");
            if ip::parse_ip_sloppy(host).is_some() {
                errors.push(Error::invalid(&path, host, "must be a DNS name, not an IP address"));
            }
            validate_host(host, &path, errors);
        }
        if !wildcard || !options.any_wildcard_rule {
            validate_http(rule.at("http"), &path, errors);
        }
    }
}

fn validate_host(host: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let messages = if host.contains('*') {
        names::wildcard_dns1123_subdomain(host)
    } else {
        names::dns1123_subdomain(host)
    };
    check::invalid_each(host, messages, path, errors);
}

fn secret_name_errors(tls: &Value) -> Vec<String> {
    let name = tls.at("secretName").str();
    if name.is_empty() { Vec::new() } else { names::dns1123_subdomain(name) }
}

fn validate_tls(all: &[Value], options: &Options, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, tls) in all.iter().enumerate() {
        let path = path.index(i);
        let hosts_path = path.child("hosts");
        for (i, host) in tls.at("hosts").items().iter().enumerate() {
            validate_host(host.str(), &hosts_path.index(i), errors);
        }
        if !options.any_secret_name {
            let path = path.child("secretName");
            check::invalid_each(tls.at("secretName").str(), secret_name_errors(tls), &path, errors);
        }
    }
}

fn validate_http(http: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if http.is_null() {
        return;
    }
    let path = path.child("http");
    let path = path.child("paths");
    let paths = http.at("paths").items();
    if paths.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    for (i, item) in paths.iter().enumerate() {
        validate_path(item, &path.index(i), errors);
    }
}

fn validate_path(item: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (text, text_path) = (item.at("path").str(), path.child("path"));
    let mut refuse = |detail: String| errors.push(Error::invalid(&text_path, text, detail));
    match item.at("pathType").as_str() {
        None => {
            errors.push(Error::required(&path.child("pathType"), "pathType must be specified"));
            return;
        }
        Some("Exact" | "Prefix") => {
            if !text.starts_with('/') {
                refuse("must be an absolute path".into());
            }
            for sequence in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(sequence) {
                    refuse(format!("must not contain '{sequence}'"));
                }
            }
            for suffix in ["/..", "/."] {
                if text.ends_with(suffix) {
                    refuse(format!("cannot end with '{suffix}'"));
                }
            }
        }
        Some("ImplementationSpecific") => {
            if !text.is_empty() && !text.starts_with('/') {
                refuse("must be an absolute path".into());
            }
        }
        Some(other) => {
            let known = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(Error::not_supported_in_order(&path.child("pathType"), other, &known));
        }
    }
    validate_backend(item.at("backend"), &path.child("backend"), errors);
}

fn validate_backend(backend: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (resource, service) = (backend.at("resource"), backend.at("service"));
    match (resource.is_null(), service.is_null()) {
        (false, false) => {
            errors.push(Error::invalid(path, "", "cannot set both resource and service backends"))
        }
        (false, true) => validate_reference(resource, &path.child("resource"), errors),
        (true, false) => validate_service(service, path, errors),
        (true, true) => errors.push(Error::invalid(path, "", "resource or service backend is required")),
    }
}

fn validate_service(service: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let service_path = path.child("service");
    let (name, name_path) = (service.at("name").str(), service_path.child("name"));
    if name.is_empty() {
        errors.push(Error::required(&name_path, ""));
    } else {
        check::dns1123_label(name, &name_path, errors);
    }
    let port_path = service_path.child("port");
    let (port_name, number) = (service.at("port").at("name").str(), service.at("port").at("number").int());
    match (port_name.is_empty(), number == 0) {
        (false, false) => errors.push(Error::invalid(path, "", "cannot set both port name & port number")),
        (false, true) => {
            check::invalid_each(port_name, names::port_name(port_name), &port_path.child("name"), errors);
        }
        (true, false) => {
            let path = port_path.child("number");
            errors.extend(names::port_num(number).into_iter().map(|m| Error::invalid(&path, number, m)));
        }
        (true, true) => errors.push(Error::required(path, "port name or number is required")),
    }
}

fn validate_status(new: &Value, old: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let ingresses = |v: &Value| v.path(&["status", "loadBalancer", "ingress"]).clone();
    let old = ingresses(old);
    let known: HashSet<&str> = old.items().iter().map(|i| i.at("ip").str()).collect();
    let path = Path::new("status");
    let path = path.child("loadBalancer");
    let path = path.child("ingress");
    for (i, ingress) in ingresses(new).items().iter().enumerate() {
        let path = path.index(i);
        let address = ingress.at("ip").str();
        if !address.is_empty() && !known.contains(address) {
            let path = path.child("ip");
            errors.extend(ip::ip_for_legacy_field(&path, address, ip::Strictness::Strict, &[]));
        }
        let host = ingress.at("hostname").str();
        if !host.is_empty() {
            let path = path.child("hostname");
            check::dns1123_subdomain(host, &path, &mut errors);
            if ip::parse_ip_sloppy(host).is_some() {
                errors.push(Error::invalid(&path, host, "must be a DNS name, not an IP address"));
            }
        }
    }
    errors
}
