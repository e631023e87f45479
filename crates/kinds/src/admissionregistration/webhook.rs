//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use super::match_conditions::{self, Stored};
use super::rules::{self, one_of};
use crate::check;
use crate::go_url;
use crate::hooks::{Context, Hooks};
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::HashSet;
use value::Value;

pub(super) const VALIDATING: Hooks =
    Hooks { default: |c| default(c, false), validate_create, validate_update, ..Hooks::NONE };

pub(super) const MUTATING: Hooks = Hooks { default: |c| default(c, true), ..VALIDATING };

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];

fn default(config: &mut Value, mutating: bool) {
    for hook in config.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        check::default(hook, "failurePolicy", "Fail");
        check::default(hook, "matchPolicy", "Equivalent");
        check::default(hook, "namespaceSelector", Value::object());
        check::default(hook, "objectSelector", Value::object());
        check::default(hook, "timeoutSeconds", 10);
        if mutating {
            check::default(hook, "reinvocationPolicy", "Never");
        }
        rules::default_rules(hook.get_mut("rules"));
        if let Some(service) = hook.get_mut("clientConfig").and_then(|c| c.get_mut("service")) {
            check::default(service, "port", 443);
        }
    }
}

/// How strictly hooks are looked at: what stands may stay.
struct Options<'a> {
    match_conditions: bool,
    no_side_effects: bool,
    review_version: bool,
    unique_names: bool,
    lenient_selectors: bool,
    stored: Stored<'a>,
}

fn validate_create(_: &Context, config: &Value) -> ErrorList {
    validate(
        config,
        &Options {
            match_conditions: true,
            no_side_effects: true,
            review_version: true,
            unique_names: true,
            lenient_selectors: false,
            stored: Stored::new(),
        },
    )
}

fn validate_update(_: &Context, new: &Value, old: &Value) -> ErrorList {
    let (olds, news) = (old.at("webhooks").items(), new.at("webhooks").items());
    let same_conditions = olds.len() == news.len()
        && olds.iter().zip(news).all(|(o, n)| o.at("matchConditions") == n.at("matchConditions"));
    let mut seen = HashSet::new();
    validate(
        new,
        &Options {
            match_conditions: !same_conditions,
            no_side_effects: olds.iter().all(|h| NO_SIDE_EFFECTS.contains(&h.at("sideEffects").str())),
            review_version: olds.iter().all(|h| {
                let versions = h.at("admissionReviewVersions").items();
                versions.is_empty() || versions.iter().any(|v| REVIEW_VERSIONS.contains(&v.str()))
            }),
            unique_names: olds.iter().all(|h| seen.insert(h.at("name").str())),
            lenient_selectors: olds.iter().any(has_invalid_selector),
            stored: olds
                .iter()
                .flat_map(|h| match_conditions::expressions(h.at("matchConditions")))
                .collect(),
        },
    )
}

fn has_invalid_selector(hook: &Value) -> bool {
    let mut errors = ErrorList::new();
    for name in ["namespaceSelector", "objectSelector"] {
        check::label_selector(hook.at(name), &Path::new(name), &mut errors);
    }
    !errors.is_empty()
}

fn validate(config: &Value, options: &Options<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("webhooks");
    let mut seen = HashSet::new();
    for (i, hook) in config.at("webhooks").items().iter().enumerate() {
        let path = path.index(i);
        validate_hook(hook, options, &path, &mut errors);
        validate_versions(hook, options, &path.child("admissionReviewVersions"), &mut errors);
        let name = hook.at("name").str();
        if options.unique_names && !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

fn validate_hook(hook: &Value, options: &Options<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    errors.extend(names::fully_qualified_name(&path.child("name"), hook.at("name").str()));
    let rules_path = path.child("rules");
    for (i, rule) in hook.at("rules").items().iter().enumerate() {
        rules::validate_rule(rule, &rules_path.index(i), errors);
    }
    one_of(hook.at("failurePolicy"), &rules::FAILURE_POLICIES, &path.child("failurePolicy"), errors);
    one_of(hook.at("matchPolicy"), &rules::MATCH_POLICIES, &path.child("matchPolicy"), errors);
    let allowed: &[&str] = if options.no_side_effects { &NO_SIDE_EFFECTS } else { &SIDE_EFFECTS };
    if hook.at("sideEffects").is_null() {
        let text = format!("must specify one of {}", allowed.join(", "));
        errors.push(Error::required(&path.child("sideEffects"), text));
    }
    one_of(hook.at("sideEffects"), allowed, &path.child("sideEffects"), errors);
    let timeout = hook.at("timeoutSeconds");
    if !timeout.is_null() && !(1..=30).contains(&timeout.int()) {
        let text = "the timeout value must be between 1 and 30 seconds";
        errors.push(Error::invalid(&path.child("timeoutSeconds"), timeout.clone(), text));
    }
    for name in ["namespaceSelector", "objectSelector"] {
        check::label_selector_with(hook.at(name), options.lenient_selectors, &path.child(name), errors);
    }
    one_of(
        hook.at("reinvocationPolicy"),
        &rules::REINVOCATION_POLICIES,
        &path.child("reinvocationPolicy"),
        errors,
    );
    validate_client(hook.at("clientConfig"), &path.child("clientConfig"), errors);
    if options.match_conditions {
        let path = path.child("matchConditions");
        match_conditions::validate(hook.at("matchConditions"), false, &options.stored, &path, errors);
    }
}

fn validate_versions(hook: &Value, options: &Options<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let versions = hook.at("admissionReviewVersions");
    if versions.items().is_empty() {
        let text = format!("must specify one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::required(path, text));
        return;
    }
    let mut seen = HashSet::new();
    for (i, version) in versions.items().iter().enumerate() {
        let path = path.index(i);
        if !seen.insert(version.str()) {
            errors.push(Error::invalid(&path, version.clone(), "duplicate version"));
            continue;
        }
        check::invalid_each(version.str(), names::dns1035_label(version.str()), &path, errors);
    }
    if options.review_version && !REVIEW_VERSIONS.iter().any(|v| seen.contains(v)) {
        let text = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(Error::invalid(path, versions.clone(), text));
    }
}

fn validate_client(client: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (url, service) = (client.at("url"), client.at("service"));
    match (url.is_null(), service.is_null()) {
        (true, true) | (false, false) => {
            errors.push(Error::required(path, "exactly one of url or service is required"));
        }
        (false, true) => validate_url(url.str(), &path.child("url"), errors),
        (true, false) => validate_service(service, &path.child("service"), errors),
    }
}

fn validate_url(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    const FORM: &str = "; desired format: https://host[/path]";
    let url = match go_url::parse(text) {
        Ok(url) => url,
        Err(e) => {
            errors.push(Error::required(path, format!("url must be a valid URL: {e}{FORM}")));
            return;
        }
    };
    if url.scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(Error::invalid(path, url.scheme.as_str(), detail));
    }
    if url.host.is_empty() {
        errors.push(Error::invalid(path, "", format!("host must be specified{FORM}")));
    }
    if let Some(user) = &url.user {
        errors.push(Error::invalid(path, user.as_str(), "user information is not permitted in the URL"));
    }
    if !url.fragment.is_empty() {
        errors.push(Error::invalid(path, url.fragment.as_str(), "fragments are not permitted in the URL"));
    }
    if !url.query.is_empty() {
        let detail = "query parameters are not permitted in the URL";
        errors.push(Error::invalid(path, url.query.as_str(), detail));
    }
}

fn validate_service(service: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    // Upstream passes name and namespace the wrong way round, so each is blamed for the other.
    if service.at("namespace").str().is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    if service.at("name").str().is_empty() {
        errors.push(Error::required(&path.child("namespace"), ""));
    }
    let port = service.at("port").int();
    let messages = names::port_num(port);
    if !messages.is_empty() {
        let detail = format!("port is not valid: {}", messages.join(", "));
        errors.push(Error::invalid(&path.child("port"), port, detail));
    }
    validate_path(service.at("path").str(), &path.child("path"), errors);
}

fn validate_path(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let mut refuse = |detail: String| errors.push(Error::invalid(path, text, detail));
    match text {
        "" | "/" => return,
        "//" => return refuse("segment[0] may not be empty".into()),
        _ => {}
    }
    if !text.starts_with('/') {
        refuse("must start with a '/'".into());
    }
    // Upstream cuts the first byte off, whatever it is.
    let rest = text.char_indices().nth(1).map_or("", |(i, _)| &text[i..]);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    for (i, step) in rest.split('/').enumerate() {
        if step.is_empty() {
            refuse(format!("segment[{i}] may not be empty"));
            continue;
        }
        for message in names::dns1123_subdomain(step) {
            refuse(format!("segment[{i}]: {message}"));
        }
    }
}
