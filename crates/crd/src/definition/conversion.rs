//! `spec.conversion`.
//!
//! Upstream: `validateCustomResourceConversion`, and `k8s.io/apiserver/pkg/util/webhook/validation.go`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::HashSet;
use value::{Str, Value};

/// Versions of ConversionReview that are understood.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// What an existing definition may keep.
#[derive(Clone, Copy)]
pub(super) struct Lenience {
    pub(super) require_known_review: bool,
    pub(super) allow_invalid_bundle: bool,
}

pub(super) fn validate(conversion: &Value, lenience: Lenience, path: &Path<'_>, errors: &mut ErrorList) {
    if conversion.is_null() {
        return;
    }
    let strategy = conversion.at("strategy").str();
    errors.extend(super::spec::one_of(&path.child("strategy"), strategy, &["None", "Webhook"]));
    let webhook = conversion.at("webhook");
    let config = webhook.at("clientConfig");
    let versions = webhook.at("conversionReviewVersions");
    let config_path = path.child("webhookClientConfig");
    let versions_path = path.child("conversionReviewVersions");
    if strategy != "Webhook" {
        let text = "should not be set when strategy is not set to Webhook";
        if !config.is_null() {
            errors.push(Error::forbidden(&config_path, text));
        }
        if !versions.items().is_empty() {
            errors.push(Error::forbidden(&versions_path, text));
        }
        return;
    }
    if config.is_null() {
        errors.push(Error::required(&config_path, "required when strategy is set to Webhook"));
    } else {
        let (url, service) = (config.at("url").as_str(), config.at("service"));
        match url {
            Some(url) if service.is_null() => check_url(&config_path.child("url"), url, errors),
            None if !service.is_null() => check_service(&config_path.child("service"), service, errors),
            _ => errors.push(Error::required(&config_path, "exactly one of url or service is required")),
        }
        let bundle = config.at("caBundle").str();
        if !bundle.is_empty() && !lenience.allow_invalid_bundle {
            errors.extend(check_bundle(&config_path.child("caBundle"), bundle));
        }
    }
    review_versions(versions, lenience.require_known_review, &versions_path, errors);
}

fn review_versions(versions: &Value, require_known: bool, path: &Path<'_>, errors: &mut ErrorList) {
    if versions.items().is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let mut seen: HashSet<&str> = HashSet::new();
    for (i, v) in versions.items().iter().enumerate() {
        let v = v.str();
        if !seen.insert(v) {
            errors.push(Error::invalid(&path.index(i), v, "duplicate version"));
            continue;
        }
        errors.extend(names::invalid(&path.index(i), v, names::dns1035_label(v)));
    }
    if require_known && !REVIEW_VERSIONS.iter().any(|v| seen.contains(v)) {
        let text = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, versions.clone(), text));
    }
}

/// Whether the versions name one that is understood, or none at all.
pub(super) fn knows_review(conversion: &Value) -> bool {
    let versions = conversion.at("webhook").at("conversionReviewVersions").items();
    versions.is_empty() || versions.iter().any(|v| REVIEW_VERSIONS.contains(&v.str()))
}

fn check_url(path: &Path<'_>, url: &str, errors: &mut ErrorList) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => {
            (scheme.to_lowercase(), rest)
        }
        _ => (String::new(), rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").map_or("", |r| r.split('/').next().unwrap_or_default());
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(u, h)| (Some(u), h));
    if scheme != "https" {
        let text = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(Error::invalid(path, Str::from(scheme), text));
    }
    if host.is_empty() {
        errors.push(Error::invalid(path, host, format!("host must be specified{FORM}")));
    }
    if let Some(user) = user {
        errors.push(Error::invalid(path, user, "user information is not permitted in the URL"));
    }
    if !fragment.is_empty() {
        errors.push(Error::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if !query.is_empty() {
        errors.push(Error::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

fn check_service(path: &Path<'_>, service: &Value, errors: &mut ErrorList) {
    // Upstream passes the two names in the wrong order.
    if service.at("namespace").str().is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    if service.at("name").str().is_empty() {
        errors.push(Error::required(&path.child("namespace"), ""));
    }
    let port = service.at("port").int();
    let wrong = names::port_num(port);
    if !wrong.is_empty() {
        let text = format!("port is not valid: {}", wrong.join(", "));
        errors.push(Error::invalid(&path.child("port"), port, text));
    }
    let Some(url_path) = service.at("path").as_str() else { return };
    let at = path.child("path");
    if matches!(url_path, "" | "/") {
        return;
    }
    if url_path == "//" {
        errors.push(Error::invalid(&at, url_path, "segment[0] may not be empty"));
        return;
    }
    if !url_path.starts_with('/') {
        errors.push(Error::invalid(&at, url_path, "must start with a '/'"));
    }
    let mut rest = url_path.chars();
    rest.next();
    let rest = rest.as_str();
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(Error::invalid(&at, url_path, format!("segment[{i}] may not be empty")));
            continue;
        }
        for wrong in names::dns1123_subdomain(step) {
            errors.push(Error::invalid(&at, url_path, format!("segment[{i}]: {wrong}")));
        }
    }
}

/// Whether a bundle holds certificates.
fn check_bundle(path: &Path<'_>, bundle: &str) -> Option<Error> {
    let why = broken_bundle(bundle)?;
    Some(Error::invalid(path, bundle, format!("unable to load root certificates: {why}")))
}

fn broken_bundle(bundle: &str) -> Option<&'static str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let pem = BASE64_STANDARD.decode(bundle).unwrap_or_default();
    let pem = String::from_utf8_lossy(&pem);
    if !pem.contains("-----BEGIN ") {
        return Some("unable to parse bytes as PEM block");
    }
    let mut rest = &*pem;
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        let (body, behind) = behind.split_once(END).unwrap_or((behind, ""));
        let body: String = body.split_whitespace().collect();
        // A DER certificate is a long SEQUENCE.
        if BASE64_STANDARD.decode(body).is_ok_and(|der| der.starts_with(&[0x30, 0x82])) {
            return None;
        }
        rest = behind;
    }
    Some("no valid certificate authority data seen")
}

/// Whether a conversion's bundle, if it has one, is broken: then upstream does not establish the definition.
pub fn has_broken_bundle(conversion: &Value) -> bool {
    let bundle = conversion.at("webhook").at("clientConfig").at("caBundle").str();
    !bundle.is_empty() && broken_bundle(bundle).is_some()
}
