//! PersistentVolumes, and their specs inline in VolumeAttachments.
//!
//! Upstream: `ValidatePersistentVolume*` in `pkg/apis/core/validation/validation.go`,
//! `pkg/volume/validation`, `pkg/api/persistentvolume`, `pkg/registry/core/persistentvolume/strategy.go`.

use super::diff::diff;
use super::pod_defaults::{default_source, round_up};
use super::pod_warnings::node_term;
use super::pvc::{VOLUME_MODES, access_modes, volume_mode};
use super::resources::{basic_quantity, positive_quantity};
use super::scheduling;
use super::util::{finalizer_names, is_set, object, optional_one_of, require, unsupported, whole_metadata};
use super::volume_sources::{self as sources, MORE_THAN_ONE};
use crate::check::{self, default, default_text};
use crate::equal::semantic_equal;
use crate::hooks::{Context, Hooks};
use crate::internal;
use crate::prepare;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::object_meta;
use value::Value;

const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

pub(super) const HOOKS: Hooks = Hooks {
    default: |volume| {
        if let Some(status) = volume.object_at("status") {
            default_text(status, "phase", "Pending");
        }
        if let Some(spec) = volume.object_at("spec") {
            default_spec(spec);
        }
    },
    prepare_create: |context, volume| {
        let status = [("phase", "Pending".into()), ("lastPhaseTransitionTime", context.now.clone().into())];
        volume.set("status", object(status));
    },
    prepare_update: |_, new, old| prepare::keep(new, old, "status"),
    validate_create: |_, volume| validate(volume, None),
    validate_update: |_, new, old| validate_update(new, old),
    warn_create: |_, volume| warnings(volume),
    warn_update: |_, new, _| warnings(new),
    prepare_subresource: prepare_status,
    validate_subresource: |_, new, _| {
        let mut errors = ErrorList::new();
        finalizer_names(new, &mut errors);
        if new.at("metadata").at("resourceVersion").str().is_empty() {
            errors.push(Error::required(&Path::new("resourceVersion"), ""));
        }
        errors
    },
    ..Hooks::NONE
};

/// Defaults of the spec of a volume.
fn default_spec(spec: &mut Value) {
    default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
    default(spec, "volumeMode", "Filesystem");
    default_inline_spec(spec);
}

/// Defaults of a spec inline: only what the markers of fields say.
pub(super) fn default_inline_spec(spec: &mut Value) {
    round_up(spec, "capacity");
    default_source(spec);
}

fn prepare_status(context: &Context, new: &mut Value, old: &Value) {
    prepare::keep(new, old, "spec");
    let before = old.at("status");
    let Some(status) = new.object_at("status") else { return };
    let name = "lastPhaseTransitionTime";
    let same_phase = status.at("phase").str() == before.at("phase").str();
    let time = status.at(name).clone();
    if same_phase && time.is_null() {
        prepare::keep(status, before, name);
    } else if !same_phase && (time.is_null() || &time == before.at(name)) {
        status.set(name, context.now.clone());
    }
}

fn validate(volume: &Value, old: Option<&Value>) -> ErrorList {
    let mut errors = ErrorList::new();
    if old.is_some() {
        whole_metadata(volume, object_meta::Scope::Cluster, names::name_is_dns_subdomain, &mut errors);
    } else {
        finalizer_names(volume, &mut errors);
    }
    spec(volume, old, &mut errors);
    mount_options(volume, &mut errors);
    errors
}

fn spec(volume: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let lenient =
        old.is_some_and(|o| scheduling::has_invalid_value(o.path(&["spec", "nodeAffinity", "required"])));
    let scope = Scope { name: volume.at("metadata").at("name").str(), inline: false, lenient };
    validate_spec(volume.at("spec"), &scope, &Path::new("spec"), errors);
}

/// Kinds of volumes that know mount options.
const MOUNTABLE: [&str; 13] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "cinder",
    "cephfs",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
];

fn mount_options(volume: &Value, errors: &mut ErrorList) {
    let mountable = MOUNTABLE.iter().any(|n| is_set(volume.at("spec"), n));
    if !mountable && volume.at("metadata").at("annotations").get(MOUNT_OPTIONS).is_some() {
        let path = Path::new("metadata");
        let path = path.child("annotations");
        let text = "may not specify mount options for this volume type";
        errors.push(Error::forbidden(&path.child(MOUNT_OPTIONS), text));
    }
}

/// What a spec is validated for.
pub(super) struct Scope<'a> {
    /// Name of the volume.
    pub(super) name: &'a str,
    /// Whether it is inline in another object.
    pub(super) inline: bool,
    /// Whether values in the node selector may be anything.
    pub(super) lenient: bool,
}

type Check = fn(&Value, &Scope<'_>, &Path<'_>, &mut ErrorList);

/// Member, that member in an error about too many, and in errors of its own, and the rules.
const SOURCES: [(&str, &str, &str, Check); 21] = [
    ("hostPath", "hostPath", "hostPath", |v, _, path, errors| sources::host_path(v, path, errors)),
    ("gcePersistentDisk", "gcePersistentDisk", "persistentDisk", |v, _, path, errors| {
        sources::partition("pdName", v, path, errors);
    }),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", |v, _, path, errors| {
        sources::partition("volumeID", v, path, errors);
    }),
    ("glusterfs", "glusterfs", "glusterfs", glusterfs),
    ("flocker", "flocker", "flocker", |v, _, path, errors| sources::flocker(v, path, errors)),
    ("nfs", "nfs", "nfs", |v, _, path, errors| sources::nfs(v, path, errors)),
    ("rbd", "rbd", "rbd", |v, _, path, errors| sources::rbd(v, path, errors)),
    ("quobyte", "quobyte", "quobyte", |v, _, path, errors| sources::quobyte(v, path, errors)),
    ("cephfs", "cephFS", "cephfs", |v, _, path, errors| sources::cephfs(v, path, errors)),
    ("iscsi", "iscsi", "iscsi", iscsi),
    ("cinder", "cinder", "cinder", |v, _, path, errors| sources::cinder(v, true, path, errors)),
    ("fc", "fc", "fc", |v, _, path, errors| sources::fc(v, path, errors)),
    ("flexVolume", "", "flexVolume", |v, _, path, errors| sources::flex(v, path, errors)),
    ("azureFile", "azureFile", "azureFile", |v, _, path, errors| {
        sources::azure_file(v, true, path, errors);
    }),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", |v, _, path, errors| {
        require(v, "volumePath", path, errors);
    }),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", |v, _, path, errors| {
        require(v, "pdID", path, errors);
    }),
    ("portworxVolume", "portworxVolume", "portworxVolume", |v, _, path, errors| {
        require(v, "volumeID", path, errors);
    }),
    ("azureDisk", "azureDisk", "azureDisk", |v, _, path, errors| sources::azure_disk(v, path, errors)),
    ("scaleIO", "scaleIO", "scaleIO", |v, _, path, errors| sources::scale_io(v, path, errors)),
    ("local", "local", "local", |v, _, path, errors| sources::local(v, path, errors)),
    ("storageos", "storageos", "storageos", |v, _, path, errors| {
        sources::storage_os(v, true, path, errors);
    }),
];

fn glusterfs(v: &Value, _: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    sources::glusterfs(v, path, errors);
    if let Some(namespace) = v.at("endpointsNamespace").as_str() {
        let path = path.child("endpointsNamespace");
        if namespace.is_empty() {
            let text = "if the endpointnamespace is set, it must be a valid namespace name";
            errors.push(Error::invalid(&path, namespace, text));
        } else {
            check::dns1123_label(namespace, &path, errors);
        }
    }
}

fn iscsi(v: &Value, scope: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    require(v, "targetPortal", path, errors);
    let portal = v.at("targetPortal").str();
    let length = scope.name.len() + 1 + portal.len();
    if is_set(v, "initiatorName") && length > sources::ISCSI_NAME_MAX_BYTES {
        errors.push(Error::invalid(&path.child("targetportal"), portal, sources::ISCSI_NAME_TOO_LONG));
    }
    sources::iscsi(v, "must be valid format", true, path, errors);
}

fn csi(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    sources::csi_driver(v.at("driver").str(), &path.child("driver"), errors);
    require(v, "volumeHandle", path, errors);
    for name in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let (secret, path) = (v.at(name), path.child(name));
        if secret.is_null() {
            continue;
        }
        let (name, namespace) = (secret.at("name").str(), secret.at("namespace").str());
        require(secret, "name", &path, errors);
        if !name.is_empty() {
            check::dns1123_subdomain(name, &path.child("name"), errors);
        }
        require(secret, "namespace", &path, errors);
        if !namespace.is_empty() {
            check::dns1123_label(namespace, &path.child("namespace"), errors);
        }
    }
}

/// The spec of a volume (`ValidatePersistentVolumeSpec`).
pub(super) fn validate_spec(spec: &Value, scope: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    if scope.inline {
        for name in ["claimRef", "capacity"] {
            if !spec.at(name).is_null() && (name == "claimRef" || !spec.at(name).is_empty()) {
                errors.push(Error::forbidden(&path.child(name), INLINE));
            }
        }
        if !is_set(spec, "csi") {
            let text = "has to be specified in the context of inline volumes";
            errors.push(Error::required(&path.child("csi"), text));
        }
    }
    let modes_path = path.child("accessModes");
    if spec.at("accessModes").items().is_empty() {
        errors.push(Error::required(&modes_path, ""));
    }
    access_modes(spec.at("accessModes"), &modes_path, errors);
    if !scope.inline {
        capacity(spec.at("capacity"), &path.child("capacity"), errors);
    }
    reclaim_policy(spec, scope, path, errors);
    if is_set(spec, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        let required = spec.at("nodeAffinity").at("required");
        if scope.inline {
            errors.push(Error::forbidden(&path, INLINE));
        } else if required.is_null() {
            errors.push(Error::required(&path.child("required"), "must specify required node constraints"));
        } else {
            scheduling::node_selector(required, scope.lenient, &path.child("required"), errors);
        }
    }
    source(spec, scope, path, errors);
    let host_path = spec.at("hostPath").at("path").str();
    let policy = spec.at("persistentVolumeReclaimPolicy").str();
    if is_set(spec, "hostPath") && is_root(host_path) && policy == "Recycle" {
        let text = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(Error::forbidden(&path.child("persistentVolumeReclaimPolicy"), text));
    }
    let (class, class_path) = (spec.at("storageClassName").str(), path.child("storageClassName"));
    match class {
        "" => {}
        _ if scope.inline => errors.push(Error::forbidden(&class_path, INLINE)),
        class => check::dns1123_subdomain(class, &class_path, errors),
    }
    let mode_path = path.child("volumeMode");
    if !scope.inline {
        optional_one_of(spec.at("volumeMode"), &VOLUME_MODES, &mode_path, errors);
    } else if spec.at("volumeMode").as_str().is_some_and(|mode| mode != "Filesystem") {
        let text = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(Error::forbidden(&mode_path, text));
    }
    // Upstream looks at no class of an inline volume.
    if let Some(class) = spec.at("volumeAttributesClassName").as_str()
        && !scope.inline
    {
        let class_path = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(Error::required(&class_path, "an empty string is disallowed"));
        } else {
            check::dns1123_subdomain(class, &class_path, errors);
        }
        if !is_set(spec, "csi") {
            let text = "has to be specified when using volumeAttributesClassName";
            errors.push(Error::required(&path.child("csi"), text));
        }
    }
}

fn capacity(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if v.is_empty() {
        errors.push(Error::required(path, ""));
    }
    if v.get("storage").is_none() || v.entries().count() > 1 {
        errors.push(Error::not_supported_in_order(path, v.clone(), &["storage"]));
    }
    for (name, amount) in v.entries() {
        let path = path.key(name);
        basic_quantity(amount, &path, errors);
        positive_quantity(amount, &path, errors);
    }
}

fn reclaim_policy(spec: &Value, scope: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let path = path.child("persistentVolumeReclaimPolicy");
    match spec.at("persistentVolumeReclaimPolicy").str() {
        "" => {}
        policy if scope.inline => {
            if policy != "Retain" {
                let text = "may only be Retain in the context of inline volumes";
                errors.push(Error::forbidden(&path, text));
            }
        }
        policy => {
            let known = ["Delete", "Recycle", "Retain"];
            if !known.contains(&policy) {
                errors.push(unsupported(&path, policy, &known));
            }
        }
    }
}

fn source(spec: &Value, scope: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut count = 0;
    for (name, too_many, own, check) in SOURCES {
        let v = spec.at(name);
        if v.is_null() {
            continue;
        }
        count += 1;
        if count > 1 && !too_many.is_empty() {
            errors.push(Error::forbidden(&path.child(too_many), MORE_THAN_ONE));
            continue;
        }
        check(v, scope, &path.child(own), errors);
        if name == "local" && (scope.inline || !is_set(spec, "nodeAffinity")) {
            errors.push(Error::required(&path.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    }
    if is_set(spec, "csi") {
        count += 1;
        let path = path.child("csi");
        if count > 1 {
            errors.push(Error::forbidden(&path, MORE_THAN_ONE));
        } else {
            csi(spec.at("csi"), &path, errors);
        }
    }
    if count == 0 {
        errors.push(Error::required(path, "must specify a volume type"));
    }
}

/// Whether a path is `/` once cleaned (Go's `path.Clean`).
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

/// Members of the spec that are not the source.
const NOT_SOURCE: [&str; 9] = [
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];

fn only_source(spec: &Value) -> Value {
    let mut source = spec.clone();
    for name in NOT_SOURCE {
        source.remove(name);
    }
    source
}

fn validate_update(new: &Value, old: &Value) -> ErrorList {
    let mut errors = validate(new, Some(old));
    // Upstream validates all of it twice on update.
    whole_metadata(new, object_meta::Scope::Cluster, names::name_is_dns_subdomain, &mut errors);
    spec(new, Some(old), &mut errors);
    let (spec, before) = (new.at("spec"), old.at("spec"));
    let (mut source, stands) = (only_source(spec), only_source(before));
    let name = "controllerExpandSecretRef";
    if is_set(before, "csi")
        && !is_set(before.at("csi"), name)
        && let Some(csi) = source.get_mut("csi")
    {
        csi.remove(name);
    }
    if !semantic_equal(&source, &stands) {
        let path = Path::new("spec");
        let text = format!(
            "spec.persistentvolumesource is immutable after creation\n{}",
            diff("core.PersistentVolumeSource", &stands, &source)
        );
        errors.push(Error::forbidden(&path.child("persistentvolumesource"), text));
    }
    volume_mode(spec, before, &mut errors);
    let (affinity, stands) = (spec.at("nodeAffinity"), before.at("nodeAffinity"));
    if !stands.is_null() && !semantic_equal(affinity, &with_new_keys(stands, affinity)) {
        let path = Path::new("nodeAffinity");
        let text = "field is immutable, except for updating from beta label to GA";
        let shown = internal::text("*core.VolumeNodeAffinity", affinity);
        errors.push(Error::invalid(&path, affinity.clone(), text).shown_as(shown));
    }
    let name = "volumeAttributesClassName";
    if is_set(before, name) && !is_set(spec, name) {
        let text = "update from non-nil value to nil is forbidden";
        errors.push(Error::forbidden(&Path::new("spec").child(name), text));
    }
    errors
}

/// The old affinity with labels of the beta replaced where the new one has their successors.
fn with_new_keys(old: &Value, new: &Value) -> Value {
    let mut old = old.clone();
    let new_terms = new.at("required").at("nodeSelectorTerms").items();
    let terms =
        old.get_mut("required").and_then(|r| r.get_mut("nodeSelectorTerms")).and_then(Value::as_array_mut);
    for (term, new) in terms.into_iter().flatten().zip(new_terms) {
        for list in ["matchExpressions", "matchFields"] {
            let Some(expressions) = term.get_mut(list).and_then(Value::as_array_mut) else { continue };
            for (expression, new) in expressions.iter_mut().zip(new.at(list).items()) {
                let successor = match expression.at("key").str() {
                    "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
                    "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
                    "beta.kubernetes.io/os" => "kubernetes.io/os",
                    "beta.kubernetes.io/arch" => "kubernetes.io/arch",
                    "beta.kubernetes.io/instance-type" => "node.kubernetes.io/instance-type",
                    _ => continue,
                };
                if new.at("key").str() == successor {
                    expression.set("key", successor);
                }
            }
        }
    }
    old
}

fn warnings(volume: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let path = Path::new("metadata");
    let path = path.child("annotations");
    for (key, text) in [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        (MOUNT_OPTIONS, "deprecated since v1.31; use \"mountOptions\" attribute instead"),
    ] {
        if volume.at("metadata").at("annotations").get(key).is_some() {
            warnings.push(format!("{}: {text}", path.key(key)));
        }
    }
    let (spec, path) = (volume.at("spec"), Path::new("spec"));
    if spec.at("persistentVolumeReclaimPolicy").str() == "Recycle" {
        let text = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic \
             provisioning.";
        warnings.push(format!("{}: {text}", path.child("persistentVolumeReclaimPolicy")));
    }
    let terms_path = path.child("nodeAffinity");
    let terms_path = terms_path.child("required");
    let terms_path = terms_path.child("nodeSelectorTerms");
    let terms = spec.path(&["nodeAffinity", "required", "nodeSelectorTerms"]);
    for (i, term) in terms.items().iter().enumerate() {
        node_term(term, false, &terms_path.index(i), &mut warnings);
    }
    for (name, shown, text) in [
        ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ] {
        if is_set(spec, name) {
            warnings.push(format!("{}: {text}", path.child(shown)));
        }
    }
    warnings
}
