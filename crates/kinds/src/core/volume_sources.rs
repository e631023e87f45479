//! Sources that volumes of pods and PersistentVolumes share, or nearly share.
//!
//! Upstream: `validate*VolumeSource` in `pkg/apis/core/validation/validation.go`.

use super::util::{is_set, no_backsteps, optional_one_of, repeats, require};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use value::Value;

pub(super) const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Both names together must fit into what initiators accept.
pub(super) const ISCSI_NAME_MAX_BYTES: usize = 64;
pub(super) const ISCSI_NAME_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 \
     characters if iscsi.initiatorName is specified.";

pub(super) fn host_path(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let text = v.at("path").str();
    if text.is_empty() {
        errors.push(Error::required(&path.child("path"), ""));
        return;
    }
    no_backsteps(text, &path.child("path"), errors);
    optional_one_of(v.at("type"), &HOST_PATH_TYPES, &path.child("type"), errors);
}

pub(super) fn local(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "path", path, errors);
    no_backsteps(v.at("path").str(), &path.child("path"), errors);
}

pub(super) fn partition(id: &str, v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, id, path, errors);
    let n = v.at("partition").int();
    if !(0..=255).contains(&n) {
        let text = names::inclusive_range_error(1, 255);
        errors.push(Error::invalid(&path.child("partition"), n, text));
    }
}

/// An iSCSI target; `strangers` is what names of another kind are told.
pub(super) fn iscsi(v: &Value, strangers: &str, persistent: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let iqn = v.at("iqn").str();
    if iqn.is_empty() {
        errors.push(Error::required(&path.child("iqn"), ""));
    } else {
        iscsi_name(iqn, strangers, &path.child("iqn"), errors);
    }
    let lun = v.at("lun").int();
    if !(0..=255).contains(&lun) {
        errors.push(Error::invalid(&path.child("lun"), lun, names::inclusive_range_error(0, 255)));
    }
    let chap = v.at("chapAuthDiscovery").bool() || v.at("chapAuthSession").bool();
    let secret_path = path.child("secretRef");
    if chap && !is_set(v, "secretRef") {
        errors.push(Error::required(&secret_path, ""));
    }
    if persistent && is_set(v, "secretRef") {
        require(v.at("secretRef"), "name", &secret_path, errors);
    }
    if let Some(name) = v.at("initiatorName").as_str() {
        iscsi_name(name, strangers, &path.child("initiatorname"), errors);
    }
}

fn iscsi_name(name: &str, strangers: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let known = if name.starts_with("iqn") {
        is_iqn(name)
    } else if let Some(rest) = name.strip_prefix("eui") {
        is_fixed(rest, 16)
    } else if let Some(rest) = name.strip_prefix("naa") {
        is_fixed(rest, 32)
    } else {
        errors.push(Error::invalid(path, name, strangers));
        return;
    };
    if !known {
        errors.push(Error::invalid(path, name, "must be valid format"));
    }
}

/// One character of any kind but a line break, then so many letters and digits.
fn is_fixed(rest: &str, length: usize) -> bool {
    let mut chars = rest.chars();
    chars.next().is_some_and(|c| c != '\n')
        && chars.as_str().len() == length
        && chars.all(|c| c.is_ascii_alphanumeric())
}

/// Whether the text ends in `iqn.YYYY-MM.naming-authority:unique-name`: upstream's expression has no
/// anchor at the start.
fn is_iqn(name: &str) -> bool {
    let bytes = name.as_bytes();
    let forbidden =
        |b: &u8| matches!(b, b',' | b';' | b'*' | b'&' | b'$' | b'|' | b' ' | b'\t' | b'\n' | 0x0c | b'\r');
    let last_forbidden = bytes.iter().rposition(forbidden);
    let authority = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    // Where the run of characters of a naming authority ends that the cursor is in.
    let mut run_end = 0;
    for (start, _) in name.match_indices("iqn.") {
        let date = bytes.get(start + 4..start + 12).unwrap_or_default();
        let dated = date.iter().enumerate().all(|(i, b)| match i {
            4 => *b == b'-',
            7 => *b == b'.',
            _ => b.is_ascii_digit(),
        });
        if date.len() != 8 || !dated {
            continue;
        }
        let body = start + 12;
        if run_end < body {
            let rest = bytes.get(body..).unwrap_or_default();
            run_end = body + rest.iter().position(|b| !authority(b)).unwrap_or(rest.len());
        }
        let colon = bytes.get(run_end) == Some(&b':');
        if colon && run_end > body && run_end + 1 < bytes.len() && last_forbidden.is_none_or(|i| i <= run_end)
        {
            return true;
        }
    }
    false
}

pub(super) fn fc(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (names, ids, names_path) = (v.at("targetWWNs"), v.at("wwids"), path.child("targetWWNs"));
    if names.items().is_empty() && ids.items().is_empty() {
        let text = "must specify either targetWWNs or wwids, but not both";
        errors.push(Error::required(&names_path, text));
    }
    if !names.items().is_empty() {
        if !ids.items().is_empty() {
            let text = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(Error::invalid(&names_path, names.clone(), text));
        }
        let lun = v.at("lun");
        if lun.is_null() {
            errors.push(Error::required(&path.child("lun"), "lun is required if targetWWNs is specified"));
        } else if !(0..=255).contains(&lun.int()) {
            let text = names::inclusive_range_error(0, 255);
            errors.push(Error::invalid(&path.child("lun"), lun.int(), text));
        }
    }
}

pub(super) fn nfs(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "server", path, errors);
    require(v, "path", path, errors);
    let text = v.at("path").str();
    if !text.starts_with('/') {
        errors.push(Error::invalid(&path.child("path"), text, "must be an absolute path"));
    }
}

pub(super) fn quobyte(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let (registry, registry_path) = (v.at("registry").str(), path.child("registry"));
    if registry.is_empty() {
        errors.push(Error::required(&registry_path, PAIRS));
    } else if v.at("tenant").str().len() >= 65 {
        let text = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(Error::required(&path.child("tenant"), text));
    } else {
        let bad = registry.split(',').filter(|pair| !is_host_port(pair)).count();
        errors.extend(
            (0..bad.min(repeats(registry.len()))).map(|_| Error::invalid(&registry_path, registry, PAIRS)),
        );
    }
    require(v, "volume", path, errors);
}

/// Whether Go's `net.SplitHostPort` takes it.
fn is_host_port(text: &str) -> bool {
    let Some(colon) = text.rfind(':') else { return false };
    if let Some(rest) = text.strip_prefix('[') {
        let Some(end) = rest.find(']').map(|i| i + 1) else { return false };
        return end + 1 == colon
            && !text.get(1..).unwrap_or_default().contains('[')
            && !text.get(end + 1..).unwrap_or_default().contains(']');
    }
    !text.get(..colon).unwrap_or_default().contains(':') && !text.contains(['[', ']'])
}

pub(super) fn glusterfs(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "endpoints", path, errors);
    require(v, "path", path, errors);
}

pub(super) fn flocker(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let (name, uuid) = (v.at("datasetName").str(), v.at("datasetUUID").str());
    if name.is_empty() && uuid.is_empty() {
        errors.push(Error::required(path, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !uuid.is_empty() {
        let text = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(Error::invalid(path, "resource", text));
    }
    if name.contains('/') {
        errors.push(Error::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
}

pub(super) fn rbd(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    cephfs(v, path, errors);
    require(v, "image", path, errors);
}

pub(super) fn cephfs(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if v.at("monitors").items().is_empty() {
        errors.push(Error::required(&path.child("monitors"), ""));
    }
}

pub(super) fn cinder(v: &Value, namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "volumeID", path, errors);
    secret_ref(v, namespaced, path, errors);
}

/// A reference to a secret that may be absent.
fn secret_ref(v: &Value, namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    if is_set(v, "secretRef") {
        let path = path.child("secretRef");
        require(v.at("secretRef"), "name", &path, errors);
        if namespaced {
            require(v.at("secretRef"), "namespace", &path, errors);
        }
    }
}

pub(super) fn flex(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "driver", path, errors);
    let path = path.child("options");
    for (key, _) in v.at("options").entries() {
        let namespace = key.split('/').next().unwrap_or_default();
        let normalized = format!(".{}", namespace.to_lowercase());
        if normalized.ends_with(".kubernetes.io") || normalized.ends_with(".k8s.io") {
            let text = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(Error::invalid(&path.key(key), key.as_str(), text));
        }
    }
}

pub(super) fn azure_file(v: &Value, persistent: bool, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "secretName", path, errors);
    require(v, "shareName", path, errors);
    if persistent && is_set(v, "secretNamespace") {
        require(v, "secretNamespace", path, errors);
    }
}

pub(super) fn azure_disk(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "diskName", path, errors);
    require(v, "diskURI", path, errors);
    optional_one_of(
        v.at("cachingMode"),
        &["None", "ReadOnly", "ReadWrite"],
        &path.child("cachingMode"),
        errors,
    );
    optional_one_of(v.at("kind"), &["Dedicated", "Managed", "Shared"], &path.child("kind"), errors);
    let Some(kind) = v.at("kind").as_str() else { return };
    let (start, example) = if kind == "Managed" {
        (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        )
    } else {
        ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd")
    };
    let uri = v.at("diskURI").str();
    if !uri.starts_with(start) {
        errors.push(Error::not_supported_in_order(&path.child("diskURI"), uri, &[example]));
    }
}

pub(super) fn scale_io(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    for name in ["gateway", "system", "volumeName"] {
        require(v, name, path, errors);
    }
}

pub(super) fn storage_os(v: &Value, namespaced: bool, path: &Path<'_>, errors: &mut ErrorList) {
    let name = v.at("volumeName").str();
    if name.is_empty() {
        errors.push(Error::required(&path.child("volumeName"), ""));
    } else {
        check::dns1123_label(name, &path.child("volumeName"), errors);
    }
    let namespace = v.at("volumeNamespace").str();
    if !namespace.is_empty() {
        check::dns1123_label(namespace, &path.child("volumeNamespace"), errors);
    }
    secret_ref(v, namespaced, path, errors);
}

/// The name of a CSI driver.
pub(super) fn csi_driver(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    const NAME_MAX_BYTES: usize = 63;
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    if name.len() > NAME_MAX_BYTES {
        errors.push(Error::too_long(path, NAME_MAX_BYTES));
    }
    check::invalid_each(name, names::dns1123_subdomain(&name.to_lowercase()), path, errors);
}
