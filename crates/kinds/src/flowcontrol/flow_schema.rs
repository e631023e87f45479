//! FlowSchema.

use crate::check;
use crate::equal::semantic_equal;
use crate::hooks::Hooks;
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::{Value, json};

pub(super) const HOOKS: Hooks = Hooks {
    default: |schema| {
        if let Some(spec) = schema.object_at("spec")
            && spec.at("matchingPrecedence").int() == 0
        {
            spec.set("matchingPrecedence", 1000);
        }
    },
    validate_create: |_, schema| validate(schema),
    validate_update: |_, schema, _| validate(schema),
    ..super::COMMON
};

const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Upstream's bound.
const PRECEDENCE_MAX: i64 = 10_000;

/// Schemas that must be there and must be just so.
fn mandatory(name: &str) -> Option<Value> {
    let (head, groups) = match name {
        "exempt" => (
            r#""priorityLevelConfiguration":{"name":"exempt"},"matchingPrecedence":1"#,
            &["system:masters"][..],
        ),
        "catch-all" => (
            r#""priorityLevelConfiguration":{"name":"catch-all"},"matchingPrecedence":10000,"distinguisherMethod":{"type":"ByUser"}"#,
            &["system:unauthenticated", "system:authenticated"][..],
        ),
        _ => return None,
    };
    let subjects: Vec<String> =
        groups.iter().map(|g| format!(r#"{{"kind":"Group","group":{{"name":"{g}"}}}}"#)).collect();
    let text = format!(
        r#"{{{head},"rules":[{{"subjects":[{}],"resourceRules":[{{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"clusterScope":true,"namespaces":["*"]}}],"nonResourceRules":[{{"verbs":["*"],"nonResourceURLs":["*"]}}]}}]}}"#,
        subjects.join(",")
    );
    Some(json::parse(text.as_bytes()).expect("a constant of this file is valid JSON"))
}

fn validate(schema: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let (spec, path) = (schema.at("spec"), Path::new("spec"));
    let name = schema.at("metadata").at("name").str();
    validate_head(name, spec, &path, &mut errors);
    let rules_path = path.child("rules");
    for (i, rule) in spec.at("rules").items().iter().enumerate() {
        validate_rule(rule, &rules_path.index(i), &mut errors);
    }
    if mandatory(name).is_some_and(|fixed| !semantic_equal(spec, &fixed)) {
        let text = format!("spec of '{name}' must equal the fixed value");
        errors.push(internal::invalid(&path, "flowcontrol.FlowSchemaSpec", spec, &text));
    }
    super::validate_status(schema.at("status"), &mut errors);
    errors
}

fn validate_head(name: &str, spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let precedence = spec.at("matchingPrecedence").int();
    let precedence_path = path.child("matchingPrecedence");
    let mut refuse = |text: String| errors.push(Error::invalid(&precedence_path, precedence, text));
    if precedence <= 0 {
        refuse("must be a positive value".into());
    }
    if precedence > PRECEDENCE_MAX {
        refuse(format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if precedence == 1 && name != "exempt" {
        refuse("only the schema named 'exempt' may have matchingPrecedence 1".into());
    }
    let method = spec.at("distinguisherMethod");
    let methods = ["ByNamespace", "ByUser"];
    if !method.is_null() && !methods.contains(&method.at("type").str()) {
        let path = path.child("distinguisherMethod");
        let shown = internal::text("flowcontrol.FlowDistinguisherMethod", method);
        let error = Error::not_supported_in_order(&path.child("type"), method.clone(), &methods);
        errors.push(error.shown_as(shown));
    }
    let level = spec.at("priorityLevelConfiguration").at("name").str();
    let level_path = path.child("priorityLevelConfiguration");
    let level_path = level_path.child("name");
    if level.is_empty() {
        errors.push(Error::required(&level_path, "must reference a priority level"));
    } else {
        check::dns1123_subdomain(level, &level_path, errors);
    }
}

fn validate_rule(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (subjects, subjects_path) = (rule.at("subjects").items(), path.child("subjects"));
    for (i, subject) in subjects.iter().enumerate() {
        validate_subject(subject, &subjects_path.index(i), errors);
    }
    if subjects.is_empty() {
        errors.push(Error::required(&subjects_path, "subjects must contain at least one value"));
    }
    let (resources, others) = (rule.at("resourceRules").items(), rule.at("nonResourceRules").items());
    if resources.is_empty() && others.is_empty() {
        let text = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, text));
    }
    let list_path = path.child("resourceRules");
    for (i, rule) in resources.iter().enumerate() {
        validate_resource_rule(rule, &list_path.index(i), errors);
    }
    let list_path = path.child("nonResourceRules");
    for (i, rule) in others.iter().enumerate() {
        validate_non_resource_rule(rule, &list_path.index(i), errors);
    }
}

/// (kind, field, noun)
const SUBJECTS: [(&str, &str); 3] =
    [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

fn validate_subject(subject: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let kind = subject.at("kind").str();
    let Some((_, field)) = SUBJECTS.iter().find(|(k, _)| *k == kind) else {
        let known = ["Group", "ServiceAccount", "User"];
        errors.push(Error::not_supported_in_order(&path.child("kind"), kind, &known));
        return;
    };
    let (named, named_path) = (subject.at(field), path.child(field));
    if named.is_null() {
        let text = format!("{field} is required when subject kind is '{kind}'");
        errors.push(Error::required(&named_path, text));
    } else {
        let name = named.at("name").str();
        if name.is_empty() {
            errors.push(Error::required(&named_path.child("name"), ""));
        } else if kind == "ServiceAccount" && name != "*" {
            check::dns1123_subdomain(name, &named_path.child("name"), errors);
        }
        if kind == "ServiceAccount" {
            let (namespace, path) = (named.at("namespace").str(), named_path.child("namespace"));
            if namespace.is_empty() {
                errors.push(Error::required(&path, "must specify namespace for service account"));
            } else {
                check::dns1123_label(namespace, &path, errors);
            }
        }
    }
    for (other_kind, other) in SUBJECTS.iter().filter(|(k, _)| *k != kind) {
        if !subject.at(other).is_null() {
            let text = format!("{other} is forbidden when subject kind is not '{other_kind}'");
            errors.push(Error::forbidden(&path.child(other), text));
        }
    }
}

fn has_wildcard(list: &Value) -> bool {
    list.items().iter().any(|v| v.str() == "*")
}

fn lonely_wildcard(list: &Value, what: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if list.items().len() > 1 && has_wildcard(list) {
        let text = format!("if '*' is present, must not specify other {what}");
        errors.push(Error::invalid(path, list.clone(), text));
    }
}

fn validate_verbs(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (verbs, path) = (rule.at("verbs"), path.child("verbs"));
    if verbs.items().is_empty() {
        errors.push(Error::required(&path, "verbs must contain at least one value"));
    } else if has_wildcard(verbs) {
        lonely_wildcard(verbs, "verbs", &path, errors);
    } else if !verbs.items().iter().all(|v| VERBS.contains(&v.str())) {
        errors.push(Error::not_supported_in_order(&path, verbs.clone(), &VERBS));
    }
}

fn validate_resource_rule(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    validate_verbs(rule, path, errors);
    for (name, one, many) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        let (list, path) = (rule.at(name), path.child(name));
        if list.items().is_empty() {
            errors.push(Error::required(&path, format!("resource rules must supply at least one {one}")));
        } else {
            lonely_wildcard(list, many, &path, errors);
        }
    }
    let (namespaces, path) = (rule.at("namespaces"), path.child("namespaces"));
    if namespaces.items().is_empty() && !rule.at("clusterScope").bool() {
        let text = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(Error::required(&path, text));
    } else if has_wildcard(namespaces) {
        lonely_wildcard(namespaces, "namespaces", &path, errors);
    } else {
        for (i, namespace) in namespaces.items().iter().enumerate() {
            for message in names::dns1123_label(namespace.str()) {
                let text = format!("each member of this list must be '*' or a DNS-1123 label; {message}");
                errors.push(Error::invalid(&path.index(i), namespace.clone(), text));
            }
        }
    }
}

fn validate_non_resource_rule(rule: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    validate_verbs(rule, path, errors);
    let (urls, path) = (rule.at("nonResourceURLs"), path.child("nonResourceURLs"));
    if urls.items().is_empty() {
        errors.push(Error::required(&path, "nonResourceURLs must contain at least one value"));
    } else if has_wildcard(urls) {
        lonely_wildcard(urls, "non-resource URLs", &path, errors);
    } else {
        for (i, url) in urls.items().iter().enumerate() {
            if let Some(text) = url_error(url.str()) {
                errors.push(Error::invalid(&path.index(i), url.clone(), text));
            }
        }
    }
}

fn url_error(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || (stars == 1 && !url.ends_with("/*")) => {
            Some("wildcard can only do suffix matching")
        }
        _ => None,
    }
}
