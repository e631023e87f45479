//! Groups and versions of kinds that every built-in group has, as upstream's schemes know them.

use crate::tree::gvk;
use value::Value;

/// The versions in which upstream's scheme has them, though nothing served says so.
const REGISTERED: &[(&str, &[&str])] = &[
    ("admission.k8s.io", &["v1", "v1beta1"]),
    ("admissionregistration.k8s.io", &["v1alpha1", "v1beta1"]),
    ("apiextensions.k8s.io", &["v1beta1"]),
    ("apiregistration.k8s.io", &["v1beta1"]),
    ("apps", &["v1beta1", "v1beta2"]),
    ("authentication.k8s.io", &["v1", "v1alpha1", "v1beta1"]),
    ("authorization.k8s.io", &["v1", "v1beta1"]),
    ("batch", &["v1beta1"]),
    ("certificates.k8s.io", &["v1alpha1", "v1beta1"]),
    ("coordination.k8s.io", &["v1alpha2", "v1beta1"]),
    ("discovery.k8s.io", &["v1beta1"]),
    ("events.k8s.io", &["v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"]),
    ("imagepolicy.k8s.io", &["v1alpha1"]),
    ("internal.apiserver.k8s.io", &["v1alpha1"]),
    ("networking.k8s.io", &["v1beta1"]),
    ("node.k8s.io", &["v1alpha1", "v1beta1"]),
    ("policy", &["v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1alpha1", "v1beta1"]),
    ("resource.k8s.io", &["v1alpha3", "v1beta1", "v1beta2"]),
    ("scheduling.k8s.io", &["v1alpha2", "v1beta1"]),
    ("storage.k8s.io", &["v1alpha1", "v1beta1"]),
    ("storagemigration.k8s.io", &["v1beta1"]),
];

/// Groups that the scheme of custom resources does not know.
pub(crate) const NOT_OF_CUSTOM: [&str; 4] =
    ["admission.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "imagepolicy.k8s.io"];

/// Adds the versions of which only the scheme knows to a kind's groups and versions, and sorts them; leaves
/// out the groups `without`.
pub(crate) fn add(kinds: &mut Vec<Value>, without: &[&str]) {
    let kind = kinds.first().map(|k| k.at("kind").str().to_owned()).unwrap_or_default();
    for (group, versions) in REGISTERED {
        kinds.extend(versions.iter().map(|version| gvk(group, version, &kind)));
    }
    kinds.retain(|k| !without.contains(&k.at("group").str()));
    kinds.sort_by_cached_key(|k| (k.at("group").str().to_owned(), k.at("version").str().to_owned()));
    kinds.dedup();
}
