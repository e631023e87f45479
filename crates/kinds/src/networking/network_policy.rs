//! NetworkPolicy.

use crate::check;
use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, ip};
use std::collections::HashSet;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    default,
    validate_create: |_, p| validate(p, None),
    validate_update: |_, new, old| validate(new, Some(old)),
    warn_create: |_, p| warnings(p),
    warn_update: |_, p, _| warnings(p),
    ..Hooks::NONE
};

/// (rules, peers of a rule)
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

fn default(policy: &mut Value) {
    let Some(spec) = policy.object_at("spec") else { return };
    for (rules, _) in DIRECTIONS {
        for rule in spec.get_mut(rules).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                check::default(port, "protocol", "TCP");
            }
        }
    }
    if spec.at("policyTypes").is_empty() {
        let mut types = vec!["Ingress"];
        if !spec.at("egress").is_empty() {
            types.push("Egress");
        }
        spec.set("policyTypes", types);
    }
}

/// What an old policy has may stay.
struct Options<'a> {
    lenient_selectors: bool,
    cidrs: HashSet<&'a str>,
}

impl Options<'_> {
    fn validate_cidr(&self, text: &str, path: &Path<'_>, errors: &mut ErrorList) {
        if !self.cidrs.contains(text) {
            errors.extend(ip::cidr_for_legacy_field(path, text, ip::Strictness::Strict, &[]));
        }
    }
}

fn validate(policy: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (policy.at("spec"), Path::new("spec"));
    let mut old_errors = ErrorList::new();
    if let Some(old) = old {
        check::label_selector(old.at("spec").at("podSelector"), &path, &mut old_errors);
    }
    let options = Options {
        lenient_selectors: !old_errors.is_empty(),
        cidrs: old.map(|o| cidrs(o.at("spec"))).unwrap_or_default(),
    };
    let selector_path = path.child("podSelector");
    check::label_selector_with(
        spec.at("podSelector"),
        options.lenient_selectors,
        &selector_path,
        &mut errors,
    );
    for (rules, peers) in DIRECTIONS {
        let path = path.child(rules);
        for (i, rule) in spec.at(rules).items().iter().enumerate() {
            let path = path.index(i);
            let ports_path = path.child("ports");
            for (i, port) in rule.at("ports").items().iter().enumerate() {
                validate_port(port, &ports_path.index(i), &mut errors);
            }
            let peers_path = path.child(peers);
            for (i, peer) in rule.at(peers).items().iter().enumerate() {
                validate_peer(peer, &options, &peers_path.index(i), &mut errors);
            }
        }
    }
    let (types, path) = (spec.at("policyTypes"), path.child("policyTypes"));
    if types.items().len() > 2 {
        let text = "may not specify more than two policyTypes";
        errors.push(Error::invalid(&path, types.clone(), text));
        return errors;
    }
    for (i, kind) in types.items().iter().enumerate() {
        if !["Ingress", "Egress"].contains(&kind.str()) {
            let known = ["Ingress", "Egress"];
            errors.push(Error::not_supported_in_order(&path.index(i), kind.clone(), &known));
        }
    }
    errors
}

fn blocks(spec: &Value) -> impl Iterator<Item = &Value> {
    DIRECTIONS
        .iter()
        .flat_map(|(rules, peers)| spec.at(rules).items().iter().flat_map(|r| r.at(peers).items()))
        .map(|peer| peer.at("ipBlock"))
        .filter(|b| !b.is_null())
}

fn cidrs(spec: &Value) -> HashSet<&str> {
    blocks(spec)
        .flat_map(|b| std::iter::once(b.at("cidr")).chain(b.at("except").items()))
        .map(Value::str)
        .collect()
}

fn validate_port(port: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let protocol = port.at("protocol");
    if !protocol.is_null() && !["TCP", "UDP", "SCTP"].contains(&protocol.str()) {
        let known = ["TCP", "UDP", "SCTP"];
        errors.push(Error::not_supported_in_order(&path.child("protocol"), protocol.clone(), &known));
    }
    let (number, end) = (port.at("port"), port.at("endPort"));
    let (port_path, end_path) = (path.child("port"), path.child("endPort"));
    let mut each = |v: &Value, messages: Vec<String>, path: &Path<'_>| {
        errors.extend(messages.into_iter().map(|m| Error::invalid(path, v.clone(), m)));
    };
    match number {
        Value::Null => {
            if !end.is_null() {
                each(end, vec!["may not be specified when `port` is not specified".into()], &end_path);
            }
        }
        Value::String(name) => {
            if !end.is_null() {
                each(end, vec!["may not be specified when `port` is non-numeric".into()], &end_path);
            }
            each(number, names::port_name(name), &port_path);
        }
        _ => {
            each(number, names::port_num(number.int()), &port_path);
            if !end.is_null() {
                if end.int() < number.int() {
                    // Upstream shows the port here, not its end.
                    each(number, vec!["must be greater than or equal to `port`".into()], &end_path);
                }
                each(end, names::port_num(end.int()), &end_path);
            }
        }
    }
}

fn validate_peer(peer: &Value, options: &Options<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut count = 0;
    for name in ["podSelector", "namespaceSelector"] {
        if !peer.at(name).is_null() {
            count += 1;
            check::label_selector_with(peer.at(name), options.lenient_selectors, &path.child(name), errors);
        }
    }
    let block = peer.at("ipBlock");
    if !block.is_null() {
        count += 1;
        validate_block(block, options, &path.child("ipBlock"), errors);
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a peer"));
    } else if count > 1 && !block.is_null() {
        errors.push(Error::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn validate_block(block: &Value, options: &Options<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let text = block.at("cidr").str();
    let cidr_path = path.child("cidr");
    if text.is_empty() {
        errors.push(Error::required(&cidr_path, ""));
        return;
    }
    options.validate_cidr(text, &cidr_path, errors);
    let Some(cidr) = ip::Cidr::parse_sloppy(text) else { return };
    let path = path.child("except");
    for (i, text) in block.at("except").items().iter().enumerate() {
        let path = path.index(i);
        options.validate_cidr(text.str(), &path, errors);
        let Some(except) = ip::Cidr::parse_sloppy(text.str()) else { continue };
        if !cidr.contains(except.network()) || cidr.prefix_len >= except.prefix_len {
            errors.push(Error::invalid(&path, text.clone(), "must be a strict subset of `cidr`"));
        }
    }
}

fn warnings(policy: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let path = Path::new("spec");
    for (rules, peers) in DIRECTIONS {
        let path = path.child(rules);
        for (i, rule) in policy.at("spec").at(rules).items().iter().enumerate() {
            let path = path.index(i);
            let path = path.child(peers);
            for (i, peer) in rule.at(peers).items().iter().enumerate() {
                let path = path.index(i);
                let (block, path) = (peer.at("ipBlock"), path.child("ipBlock"));
                if block.is_null() {
                    continue;
                }
                warnings.extend(ip::cidr_warnings(&path.child("cidr"), block.at("cidr").str()));
                let path = path.child("except");
                for (i, except) in block.at("except").items().iter().enumerate() {
                    warnings.extend(ip::cidr_warnings(&path.index(i), except.str()));
                }
            }
        }
    }
    warnings
}
