//! IPAddress: which Service or other object holds an address; its name is the address.

use crate::check;
use crate::core::{changed_metadata, whole_metadata};
use crate::hooks::{Generated, Hooks, NameRule};
use crate::internal;
use meta::field::{Error, ErrorList, Path};
use meta::names::{self, NameUse, ip};
use meta::object_meta::Scope;
use value::Value;

pub(super) const HOOKS: Hooks = Hooks {
    validate_create: |_, address| {
        let mut errors = ErrorList::new();
        let path = Path::new("metadata");
        for field in ["generateName", "name"] {
            let name = address.at("metadata").at(field).str();
            if !name.is_empty() {
                errors.extend(names::invalid(&path.child(field), name, name_errors(name, NameUse::Whole)));
            }
        }
        validate(address, &mut errors);
        errors
    },
    validate_update: |_, new, old| {
        let mut errors = ErrorList::new();
        whole_metadata(new, Scope::Cluster, name_errors, &mut errors);
        validate(new, &mut errors);
        changed_metadata(new, old, &mut errors);
        let parent = |v: &Value| v.at("spec").at("parentRef").clone();
        let path = Path::new("spec");
        let path = path.child("parentRef");
        internal::immutable("networking.ParentReference", &parent(new), &parent(old), &path, &mut errors);
        errors
    },
    name: NameRule::Own,
    generated: Generated::AsGiven,
    ..Hooks::NONE
};

/// Its name is an address, and so is what its name would be generated from.
fn name_errors(name: &str, _: NameUse) -> Vec<String> {
    ip::ip(&Path::ROOT, name).into_iter().map(|e| e.detail).collect()
}

fn validate(address: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let (parent, path) = (address.at("spec").at("parentRef"), path.child("parentRef"));
    if parent.is_null() {
        errors.push(Error::required(&path, ""));
        return;
    }
    let group = parent.at("group").str();
    if !group.is_empty() {
        check::dns1123_subdomain(group, &path.child("group"), errors);
    }
    check::required_path_segment(parent.at("resource").str(), &path.child("resource"), errors);
    check::required_path_segment(parent.at("name").str(), &path.child("name"), errors);
    let namespace = parent.at("namespace").str();
    if !namespace.is_empty() {
        check::path_segment(namespace, &path.child("namespace"), errors);
    }
}
