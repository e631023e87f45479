//! Environment variables, and fields of the pod that variables and files show.
//!
//! Upstream: `ValidateEnv`, `ValidateEnvFrom`, `validateObjectFieldSelector` and their like in
//! `pkg/apis/core/validation/validation.go`, `pkg/apis/core/pods`, `pkg/fieldpath`.

use super::util::{file_mode, is_set, no_backsteps, non_reserved_path, quantity, require};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, NameUse};
use value::Value;

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Fields that the API server can tell of a pod.
const POD_FIELDS: [&str; 14] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];

const RESOURCE_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `env`.
pub(super) fn validate(vars: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, var) in vars.items().iter().enumerate() {
        let path = path.index(i);
        let name = var.at("name").str();
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            check::invalid_each(name, names::relaxed_env_var_name(name), &path.child("name"), errors);
        }
        value_from(var, &path.child("valueFrom"), errors);
    }
}

fn value_from(var: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let source = var.at("valueFrom");
    if source.is_null() {
        return;
    }
    let mut count = 0;
    for name in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let v = source.at(name);
        if v.is_null() {
            continue;
        }
        count += 1;
        let path = path.child(name);
        match name {
            "fieldRef" => field_ref(v, &ENV_FIELDS, &path, errors),
            "resourceFieldRef" => resource_field_ref(v, false, &path, errors),
            "fileKeyRef" => file_key_ref(v, &path, errors),
            _ => key_ref(v, &path, errors),
        }
    }
    let text = if count == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    } else if !var.at("value").str().is_empty() {
        "may not be specified when `value` is not empty"
    } else if count > 1 {
        "may not have more than one field specified at a time"
    } else {
        return;
    };
    errors.push(Error::invalid(path, "", text));
}

/// A key of a ConfigMap or Secret.
fn key_ref(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    check::dns1123_subdomain(v.at("name").str(), &path.child("name"), errors);
    let key = v.at("key").str();
    if key.is_empty() {
        errors.push(Error::required(&path.child("key"), ""));
    } else {
        check::invalid_each(key, names::config_map_key(key), &path.child("key"), errors);
    }
}

fn file_key_ref(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["key", "volumeName", "path"] {
        let (text, path) = (v.at(name).str(), path.child(name));
        match name {
            _ if text.is_empty() => errors.push(Error::required(&path, "")),
            "key" => check::invalid_each(text, names::relaxed_env_var_name(text), &path, errors),
            "volumeName" => check::dns1123_label(text, &path, errors),
            _ => no_backsteps(text, &path, errors),
        }
    }
}

/// `path['subscript']`, taken apart.
fn split_subscript(path: &str) -> Option<(&str, &str)> {
    let (name, subscript) = path.strip_suffix("']")?.split_once("['")?;
    (!name.is_empty()).then_some((name, subscript))
}

/// A field of the pod.
fn field_ref(v: &Value, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    let (version, field, field_path) =
        (v.at("apiVersion").str(), v.at("fieldPath").str(), path.child("fieldPath"));
    for name in ["apiVersion", "fieldPath"] {
        if v.at(name).str().is_empty() {
            errors.push(Error::required(&path.child(name), ""));
            return;
        }
    }
    let subscript = split_subscript(field);
    let problem = if version != "v1" {
        format!("unsupported pod version: {version}")
    } else if let Some((name, _)) = subscript {
        match name {
            "metadata.annotations" | "metadata.labels" => String::new(),
            _ => format!("field label does not support subscript: {field}"),
        }
    } else if field == "spec.host" || POD_FIELDS.contains(&field) {
        String::new()
    } else {
        format!("field label not supported: {field}")
    };
    if !problem.is_empty() {
        errors.push(Error::invalid(&field_path, field, format!("error converting fieldPath: {problem}")));
        return;
    }
    match subscript {
        Some(("metadata.annotations", key)) => check::qualified_name(&key.to_lowercase(), path, errors),
        Some((_, key)) => check::qualified_name(key, path, errors),
        None => {
            let field = if field == "spec.host" { "spec.nodeName" } else { field };
            if !known.contains(&field) {
                errors.push(Error::not_supported_in_order(&field_path, field, known));
            }
        }
    }
}

fn is_huge_page_field(resource: &str) -> bool {
    resource.starts_with("requests.hugepages-") || resource.starts_with("limits.hugepages-")
}

/// A limit or request of a container.
fn resource_field_ref(v: &Value, in_volume: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let resource = v.at("resource").str();
    if in_volume && v.at("containerName").str().is_empty() {
        errors.push(Error::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(Error::required(&path.child("resource"), ""));
    } else if !RESOURCE_FIELDS.contains(&resource) && !is_huge_page_field(resource) {
        errors.push(Error::not_supported_in_order(&path.child("resource"), resource, &RESOURCE_FIELDS));
    }
    let divisor = quantity(v.at("divisor"));
    if divisor.is_zero() {
        return;
    }
    let (known, what): (&[&str], &str) = match resource {
        "limits.cpu" | "requests.cpu" => (&["1m", "1"], "cpu"),
        "limits.memory" | "requests.memory" => (&BYTE_DIVISORS, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            (&BYTE_DIVISORS, "local ephemeral storage")
        }
        _ if is_huge_page_field(resource) => (&BYTE_DIVISORS, "hugepages"),
        _ => return,
    };
    if !known.contains(&divisor.to_string().as_str()) {
        let values = if what == "cpu" { "1m and 1".to_owned() } else { BYTE_DIVISORS.join(", ") };
        let text = format!("only divisor's values {values} are supported with the {what} resource");
        errors.push(Error::invalid(&path.child("divisor"), resource, text));
    }
}

/// A file that shows a field of the pod. Upstream gives the path of the whole list.
pub(super) fn downward_api_file(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "path", path, errors);
    non_reserved_path(v.at("path").str(), &path.child("path"), errors);
    if is_set(v, "fieldRef") {
        field_ref(v.at("fieldRef"), &FILE_FIELDS, &path.child("fieldRef"), errors);
        if is_set(v, "resourceFieldRef") {
            let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(Error::invalid(path, "resource", text));
        }
    } else if is_set(v, "resourceFieldRef") {
        resource_field_ref(v.at("resourceFieldRef"), true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.push(Error::required(path, "one of fieldRef and resourceFieldRef is required"));
    }
    file_mode(v.at("mode"), &path.child("mode"), errors);
}

/// `envFrom`.
pub(super) fn validate_from(sources: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for (i, source) in sources.items().iter().enumerate() {
        let own = path.index(i);
        let prefix = source.at("prefix").str();
        if !prefix.is_empty() {
            check::invalid_each(prefix, names::relaxed_env_var_name(prefix), &own.child("prefix"), errors);
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            let v = source.at(kind);
            if v.is_null() {
                continue;
            }
            count += 1;
            let (name, own) = (v.at("name").str(), own.child(kind));
            if name.is_empty() {
                errors.push(Error::required(&own.child("name"), ""));
            } else {
                let messages = names::name_is_dns_subdomain(name, NameUse::Prefix);
                check::invalid_each(name, messages, &own.child("name"), errors);
            }
        }
        match count {
            0 => {
                errors.push(Error::invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
            }
            1 => {}
            _ => {
                errors.push(Error::invalid(path, "", "may not have more than one field specified at a time"));
            }
        }
    }
}

/// That files with variables are in volumes of type `emptyDir` (`validateFileKeyRefVolumes`).
pub(super) fn file_volumes(spec: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let volumes: std::collections::HashMap<&str, &Value> =
        spec.at("volumes").items().iter().map(|v| (v.at("name").str(), v)).collect();
    for (list, i, container) in super::util::containers(spec) {
        for (j, var) in container.at("env").items().iter().enumerate() {
            let reference = var.at("valueFrom").at("fileKeyRef");
            if reference.is_null() {
                continue;
            }
            let path = path.child(list);
            let path = path.index(i);
            let path = path.child("env");
            let path = path.index(j);
            let path = path.child("valueFrom");
            let path = path.child("fileKeyRef");
            let path = path.child("volumeName");
            let name = reference.at("volumeName").str();
            match volumes.get(name) {
                None => errors.push(Error::not_found(&path, name)),
                Some(volume) if !is_set(volume, "emptyDir") => {
                    let text = "referenced volume must be of type emptyDir";
                    errors.push(Error::invalid(&path, name, text));
                }
                Some(_) => {}
            }
        }
    }
}
