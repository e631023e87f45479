//! CertificateSigningRequest.

use super::{checks, pem};
use crate::equal::semantic_equal;
use crate::hooks::{Context, Hooks, NameRule};
use crate::prepare;
use base64::Engine as _;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::quote::quote;
use std::collections::HashSet;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    prepare_create,
    prepare_update: |_, new, old| {
        prepare::keep(new, old, "spec");
        prepare::keep(new, old, "status");
    },
    validate_create: |_, csr| validate(csr, None),
    validate_update: |_, new, old| validate_update(new, old, Allowed { approval: false, certificate: false }),
    prepare_subresource,
    validate_subresource: |context, new, old| {
        let approval = context.subresource == "approval";
        validate_update(new, old, Allowed { approval, certificate: !approval })
    },
    name: NameRule::PathSegmentLast,
    ..Hooks::NONE
};

/// The requester is who asks, whatever the request says.
fn prepare_create(context: &Context, csr: &mut Value) {
    if let Some(spec) = csr.object_at("spec") {
        for name in ["username", "uid", "groups", "extra"] {
            let given = context.user_info.at(name);
            if given.is_empty() || given.as_str() == Some("") {
                spec.remove(name);
            } else {
                spec.set(name, given.clone());
            }
        }
        if spec.at("username").str().is_empty() && !context.user.is_empty() {
            spec.set("username", context.user.clone());
        }
    }
    prepare::reset_status(csr);
}

fn prepare_subresource(context: &Context, new: &mut Value, old: &Value) {
    prepare::keep(new, old, "spec");
    if context.subresource == "approval" {
        populate_timestamps(context, new, old);
        let conditions = new.at("status").at("conditions").clone();
        prepare::keep(new, old, "status");
        if let Some(status) = new.object_at("status") {
            status.set("conditions", conditions);
        }
        return;
    }
    for kind in ["Approved", "Denied"] {
        preserve_conditions(new, old, kind);
    }
    populate_timestamps(context, new, old);
}

fn conditions<'a>(csr: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = csr.at("status").at("conditions").items().iter();
    all.filter(|c| c.at("type").str() == kind).collect()
}

/// Whoever writes the status cannot change the approval: equal numbers of its conditions are put back.
fn preserve_conditions(new: &mut Value, old: &Value, kind: &str) {
    let olds = conditions(old, kind);
    if olds.len() != conditions(new, kind).len() {
        return;
    }
    let list = new.get_mut("status").and_then(|s| s.get_mut("conditions")).and_then(Value::as_array_mut);
    let news = list.into_iter().flatten().filter(|c| c.at("type").str() == kind);
    for (new, old) in news.zip(olds) {
        *new = old.clone();
    }
}

fn populate_timestamps(context: &Context, new: &mut Value, old: &Value) {
    let list = new.get_mut("status").and_then(|s| s.get_mut("conditions")).and_then(Value::as_array_mut);
    for condition in list.into_iter().flatten() {
        if condition.at("lastUpdateTime").is_null() {
            condition.set("lastUpdateTime", context.now.clone());
        }
        if condition.at("lastTransitionTime").is_null() {
            let same = conditions(old, condition.at("type").str())
                .into_iter()
                .find(|c| c.at("status") == condition.at("status") && !c.at("lastTransitionTime").is_null());
            let time =
                same.map_or_else(|| context.now.clone().into(), |c| c.at("lastTransitionTime").clone());
            condition.set("lastTransitionTime", time);
        }
    }
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

/// Upstream's bound.
const EXPIRATION_MIN_SECONDS: i64 = 600;

/// What the old request has may stay.
struct Stands {
    both_decisions: bool,
    legacy_signer: bool,
    duplicate_types: bool,
    empty_type: bool,
    any_certificate: bool,
    unknown_usages: bool,
    duplicate_usages: bool,
}

impl Stands {
    fn of(new: &Value, old: Option<&Value>) -> Self {
        let Some(old) = old else {
            return Self {
                both_decisions: false,
                legacy_signer: false,
                duplicate_types: false,
                empty_type: false,
                any_certificate: false,
                unknown_usages: false,
                duplicate_usages: false,
            };
        };
        let types: Vec<&str> =
            old.at("status").at("conditions").items().iter().map(|c| c.at("type").str()).collect();
        let usages: Vec<&str> = old.at("spec").at("usages").items().iter().map(Value::str).collect();
        let certificate = |v: &Value| v.at("status").at("certificate").str().to_owned();
        Self {
            both_decisions: types.contains(&"Approved") && types.contains(&"Denied"),
            legacy_signer: old.at("spec").at("signerName").str() == LEGACY_SIGNER,
            duplicate_types: has_duplicates(&types),
            empty_type: types.contains(&""),
            any_certificate: certificate(new) == certificate(old)
                || certificate_error(&certificate(old)).is_some(),
            unknown_usages: usages.iter().any(|u| !USAGES.contains(u)),
            duplicate_usages: has_duplicates(&usages),
        }
    }
}

fn has_duplicates(all: &[&str]) -> bool {
    let mut seen = HashSet::new();
    !all.iter().all(|v| seen.insert(v))
}

fn validate(csr: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    let stands = Stands::of(csr, old);
    let (spec, path) = (csr.at("spec"), Path::new("spec"));
    if let Some(text) = request_error(spec.at("request").str()) {
        errors.push(Error::invalid(&path.child("request"), spec.at("request").clone(), text));
    }
    let (usages, usages_path) = (spec.at("usages").items(), path.child("usages"));
    if usages.is_empty() {
        errors.push(Error::required(&usages_path, ""));
    }
    if !stands.unknown_usages {
        for (i, usage) in usages.iter().enumerate().filter(|(_, u)| !USAGES.contains(&u.str())) {
            errors.push(Error::not_supported_in_order(&usages_path.index(i), usage.clone(), &USAGES));
        }
    }
    if !stands.duplicate_usages {
        let mut seen = HashSet::new();
        for (i, usage) in usages.iter().enumerate() {
            if !seen.insert(usage.str()) {
                errors.push(Error::duplicate(&usages_path.index(i), usage.clone()));
            }
        }
    }
    let signer = spec.at("signerName").str();
    if !stands.legacy_signer && signer == LEGACY_SIGNER {
        let text = "the legacy signerName is not allowed via this API version";
        errors.push(Error::invalid(&path.child("signerName"), signer, text));
    } else {
        validate_signer_name(signer, &path.child("signerName"), &mut errors);
    }
    let expiration = spec.at("expirationSeconds");
    if !expiration.is_null() && expiration.int() < EXPIRATION_MIN_SECONDS {
        let text = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(Error::invalid(&path.child("expirationSeconds"), expiration.clone(), text));
    }
    let path = Path::new("status");
    validate_conditions(csr, &stands, &path.child("conditions"), &mut errors);
    if !stands.any_certificate
        && let Some(text) = certificate_error(csr.at("status").at("certificate").str())
    {
        errors.push(Error::invalid(&path.child("certificate"), "<certificate data>", text));
    }
    errors
}

fn text_of(base64: &str) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request_error(base64: &str) -> Option<String> {
    let text = text_of(base64);
    match pem::decode(&text) {
        Some((block, _)) if block.kind == "CERTIFICATE REQUEST" => (checks().request)(&block.bytes).err(),
        _ => Some("PEM block type must be CERTIFICATE REQUEST".into()),
    }
}

fn certificate_error(base64: &str) -> Option<String> {
    if base64.is_empty() {
        return None;
    }
    let text = text_of(base64);
    let (mut rest, mut blocks) = (text.as_str(), 0);
    while let Some((block, after)) = pem::decode(rest) {
        if block.kind != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {}", quote(&block.kind)));
        }
        if block.has_headers {
            return Some("no PEM block headers are permitted".into());
        }
        blocks += 1;
        if block.bytes.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".into());
        }
        if let Err(text) = (checks().certificate)(&block.bytes) {
            return Some(text);
        }
        rest = after;
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".into())
}

/// A signer's name: `domain/path`.
pub(crate) fn validate_signer_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    const DOMAIN_MAX: usize = 253;
    const PATH_MAX: usize = DOMAIN_MAX + 63 + 1;
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let Some((domain, tail)) = name.split_once('/').filter(|(_, t)| !t.contains('/')) else {
        let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(Error::invalid(path, name, text));
        return;
    };
    if domain.len() > DOMAIN_MAX {
        errors.push(Error::too_long(path, DOMAIN_MAX));
    }
    let labels = |part: &str, check: fn(&str) -> Vec<String>, errors: &mut ErrorList| {
        let wrong = part.split('.').map(|l| (l, check(l))).find(|(_, messages)| !messages.is_empty());
        for (label, message) in wrong.into_iter().flat_map(|(l, ms)| ms.into_iter().map(move |m| (l, m))) {
            errors.push(Error::invalid(path, part, format!("validating label {}: {message}", quote(label))));
        }
    };
    labels(domain, names::dns1123_label, errors);
    if !domain.contains('.') {
        let text = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, domain, text));
    }
    labels(tail, names::dns1123_subdomain, errors);
    let max = DOMAIN_MAX + PATH_MAX + 1;
    if name.len() > max {
        errors.push(Error::too_long(path, max));
    }
}

fn validate_conditions(csr: &Value, stands: &Stands, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, condition) in csr.at("status").at("conditions").items().iter().enumerate() {
        let item_path = path.index(i);
        let kind = condition.at("type").str();
        if kind.is_empty() && !stands.empty_type {
            errors.push(Error::required(&item_path.child("type"), ""));
        }
        let known: &[&str] = if matches!(kind, "Approved" | "Denied" | "Failed") {
            &["True"]
        } else {
            &["False", "True", "Unknown"]
        };
        let status = condition.at("status").str();
        if status.is_empty() {
            errors.push(Error::required(&item_path.child("status"), ""));
        } else if !known.contains(&status) {
            errors.push(Error::not_supported_in_order(&item_path.child("status"), status, known));
        }
        let opposite = match kind {
            "Approved" => Some("Denied"),
            "Denied" => Some("Approved"),
            _ => None,
        };
        if !stands.both_decisions && opposite.is_some_and(|o| seen.contains(o)) {
            let text = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(path, kind, text));
        }
        if !seen.insert(kind) && !stands.duplicate_types {
            errors.push(Error::duplicate(&item_path.child("type"), kind));
        }
    }
}

/// What a subresource may write.
struct Allowed {
    approval: bool,
    certificate: bool,
}

fn validate_update(new: &Value, old: &Value, allowed: Allowed) -> ErrorList {
    let mut errors = validate(new, Some(old));
    let path = Path::new("status");
    let conditions_path = path.child("conditions");
    let mut forbid = |text: String| errors.push(Error::forbidden(&conditions_path, text));
    for kind in ["Approved", "Denied", "Failed"] {
        if conditions(new, kind).len() < conditions(old, kind).len() {
            forbid(format!("updates may not remove a condition of type {}", quote(kind)));
        }
    }
    if !allowed.approval {
        for kind in ["Approved", "Denied"] {
            let (olds, news) = (conditions(old, kind), conditions(new, kind));
            if news.len() > olds.len() {
                forbid(format!("updates may not add a condition of type {}", quote(kind)));
            } else if news.len() == olds.len() && !olds.iter().zip(&news).all(|(o, n)| semantic_equal(o, n)) {
                forbid(format!("updates may not modify a condition of type {}", quote(kind)));
            }
        }
    }
    let certificate = |v: &Value| v.at("status").at("certificate").str().to_owned();
    if certificate(new) != certificate(old) {
        let certificate_path = path.child("certificate");
        if !allowed.certificate {
            errors.push(Error::forbidden(&certificate_path, "updates may not set certificate content"));
        } else if !certificate(old).is_empty() {
            let text = "updates may not modify existing certificate content";
            errors.push(Error::forbidden(&certificate_path, text));
        }
    }
    errors
}
