//! Volumes of pods.
//!
//! Upstream: `ValidateVolumes`, `validateVolumeSource` in `pkg/apis/core/validation/validation.go`.

use super::options::Allow;
use super::util::{descending_path, file_mode, is_set, non_reserved_path, one_of, quantity, require};
use super::volume_sources::{self as sources, MORE_THAN_ONE};
use super::{env, projected, pvc};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use std::collections::{HashMap, HashSet};
use value::Value;

/// The volumes of a pod by name; only those that are valid.
pub(super) type Volumes<'a> = HashMap<&'a str, &'a Value>;

/// What checks of a source may look at.
pub(super) struct Scope<'a> {
    /// Name of the volume.
    pub(super) name: &'a str,
    /// Name of the pod; empty in templates, and when it is still to be generated.
    pub(super) pod: &'a str,
    /// What is allowed.
    pub(super) allow: &'a Allow,
}

type Check = fn(&Value, &Scope<'_>, &Path<'_>, &mut ErrorList);

/// A kind of source: its member, that member in an error about too many, and in errors of its own.
struct Source {
    name: &'static str,
    too_many: &'static str,
    own: &'static str,
    check: Check,
}

const fn source(name: &'static str, check: Check) -> Source {
    Source { name, too_many: name, own: name, check }
}

/// All kinds, in upstream's order. Some are misspelt upstream.
static SOURCES: [Source; 30] = [
    source("emptyDir", |v, _, path, errors| {
        if is_set(v, "sizeLimit") && quantity(v.at("sizeLimit")).sign() < 0 {
            let text = "SizeLimit field must be a valid resource quantity";
            errors.push(Error::forbidden(&path.child("sizeLimit"), text));
        }
    }),
    source("hostPath", |v, _, path, errors| sources::host_path(v, path, errors)),
    source("gitRepo", |v, _, path, errors| {
        require(v, "repository", path, errors);
        descending_path(v.at("directory").str(), &path.child("directory"), errors);
    }),
    Source {
        own: "persistentDisk",
        ..source("gcePersistentDisk", |v, _, path, errors| sources::partition("pdName", v, path, errors))
    },
    source("awsElasticBlockStore", |v, _, path, errors| sources::partition("volumeID", v, path, errors)),
    source("secret", |v, _, path, errors| {
        require(v, "secretName", path, errors);
        keys_to_paths(v, path, errors);
    }),
    source("nfs", |v, _, path, errors| sources::nfs(v, path, errors)),
    source("iscsi", |v, _, path, errors| {
        require(v, "targetPortal", path, errors);
        sources::iscsi(v, "must be valid format starting with iqn, eui, or naa", false, path, errors);
    }),
    source("glusterfs", |v, _, path, errors| sources::glusterfs(v, path, errors)),
    source("flocker", |v, _, path, errors| sources::flocker(v, path, errors)),
    source("persistentVolumeClaim", |v, _, path, errors| require(v, "claimName", path, errors)),
    source("rbd", |v, _, path, errors| sources::rbd(v, path, errors)),
    source("cinder", |v, _, path, errors| sources::cinder(v, false, path, errors)),
    Source { too_many: "cephFS", ..source("cephfs", |v, _, path, errors| sources::cephfs(v, path, errors)) },
    source("quobyte", |v, _, path, errors| sources::quobyte(v, path, errors)),
    Source { too_many: "downwarAPI", ..source("downwardAPI", downward_api) },
    source("fc", |v, _, path, errors| sources::fc(v, path, errors)),
    source("flexVolume", |v, _, path, errors| sources::flex(v, path, errors)),
    source("configMap", |v, _, path, errors| {
        require(v, "name", path, errors);
        keys_to_paths(v, path, errors);
    }),
    source("azureFile", |v, _, path, errors| sources::azure_file(v, false, path, errors)),
    source("vsphereVolume", |v, _, path, errors| require(v, "volumePath", path, errors)),
    source("photonPersistentDisk", |v, _, path, errors| require(v, "pdID", path, errors)),
    source("portworxVolume", |v, _, path, errors| require(v, "volumeID", path, errors)),
    source("azureDisk", |v, _, path, errors| sources::azure_disk(v, path, errors)),
    source("storageos", |v, _, path, errors| sources::storage_os(v, false, path, errors)),
    source("projected", |v, scope, path, errors| {
        file_mode(v.at("defaultMode"), &path.child("defaultMode"), errors);
        projected::validate(v, scope, path, errors);
    }),
    source("scaleIO", |v, _, path, errors| sources::scale_io(v, path, errors)),
    source("csi", csi),
    source("ephemeral", ephemeral),
    source("image", |v, scope, path, errors| {
        if scope.allow.resource_is_pod {
            require(v, "reference", path, errors);
        }
        one_of(v.at("pullPolicy"), &["Always", "IfNotPresent", "Never"], &path.child("pullPolicy"), errors);
    }),
];

/// All volumes of a pod; returns those that containers can mount.
pub(super) fn validate<'a>(
    volumes: &'a Value,
    pod: &str,
    allow: &Allow,
    path: &Path<'_>,
    errors: &mut ErrorList,
) -> Volumes<'a> {
    let volumes = volumes.items();
    let mut made: HashSet<String> = HashSet::new();
    if !pod.is_empty() {
        let ephemeral = volumes.iter().filter(|v| is_set(v, "ephemeral"));
        made.extend(ephemeral.map(|v| format!("{pod}-{}", v.at("name").str())));
    }
    let mut known = Volumes::new();
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i);
        let name = volume.at("name").str();
        let before = errors.len();
        validate_source(volume, &Scope { name, pod, allow }, &path, errors);
        let name_path = path.child("name");
        if name.is_empty() {
            errors.push(Error::required(&name_path, ""));
        } else {
            check::dns1123_label(name, &name_path, errors);
        }
        if known.contains_key(name) {
            errors.push(Error::duplicate(&name_path, name));
        }
        if errors.len() == before {
            known.insert(name, volume);
        }
        let claim = volume.at("persistentVolumeClaim");
        let claim_name = claim.at("claimName").str();
        if !claim.is_null() && made.contains(claim_name) {
            let text = "must not reference a PVC that gets created for an ephemeral volume";
            let path = path.child("persistentVolumeClaim");
            errors.push(Error::invalid(&path.child("claimName"), claim_name, text));
        }
    }
    known
}

fn validate_source(volume: &Value, scope: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut count = 0;
    for source in &SOURCES {
        let v = volume.at(source.name);
        if v.is_null() {
            continue;
        }
        count += 1;
        if count > 1 {
            errors.push(Error::forbidden(&path.child(source.too_many), MORE_THAN_ONE));
        } else {
            (source.check)(v, scope, &path.child(source.own), errors);
        }
        match source.name {
            "iscsi" => {
                let length = scope.name.len() + 1 + v.at("targetPortal").str().len();
                if is_set(v, "initiatorName") && length > sources::ISCSI_NAME_MAX_BYTES {
                    let text = sources::ISCSI_NAME_TOO_LONG;
                    errors.push(Error::invalid(&path.child("name"), scope.name, text));
                }
            }
            "ephemeral" if count == 1 && !scope.pod.is_empty() && !scope.name.is_empty() => {
                let claim = format!("{}-{}", scope.pod, scope.name);
                for message in names::dns1123_subdomain(&claim) {
                    let text = format!("PVC name {}: {message}", meta::quote::quote(&claim));
                    errors.push(Error::invalid(&path.child("name"), scope.name, text));
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a volume type"));
    }
}

fn keys_to_paths(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    file_mode(v.at("defaultMode"), &path.child("defaultMode"), errors);
    let path = path.child("items");
    for (i, item) in v.at("items").items().iter().enumerate() {
        key_to_path(item, &path.index(i), errors);
    }
}

/// Which key goes into which file.
pub(super) fn key_to_path(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "key", path, errors);
    require(v, "path", path, errors);
    non_reserved_path(v.at("path").str(), &path.child("path"), errors);
    file_mode(v.at("mode"), &path.child("mode"), errors);
}

fn downward_api(v: &Value, _: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    file_mode(v.at("defaultMode"), &path.child("defaultMode"), errors);
    for file in v.at("items").items() {
        env::downward_api_file(file, path, errors);
    }
}

fn csi(v: &Value, _: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    sources::csi_driver(v.at("driver").str(), &path.child("driver"), errors);
    let secret = v.at("nodePublishSecretRef");
    if secret.is_null() {
        return;
    }
    let name = secret.at("name").str();
    if name.is_empty() {
        let path = path.child("nodePublishSecretRef");
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        check::dns1123_subdomain(name, &path.child("name"), errors);
    }
}

fn ephemeral(v: &Value, _: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("volumeClaimTemplate");
    let template = v.at("volumeClaimTemplate");
    if template.is_null() {
        errors.push(Error::required(&path, ""));
        return;
    }
    check::template_meta(template.at("metadata"), &path.child("metadata"), errors);
    pvc::validate_spec(template.at("spec"), &pvc::Options::default(), &path.child("spec"), errors);
}
