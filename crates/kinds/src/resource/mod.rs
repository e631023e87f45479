//! The kinds of `resource.k8s.io`: dynamic resource allocation.
//!
//! Upstream: `pkg/apis/resource/{v1,validation}`, `pkg/registry/resource`. Who may ask for admin access or
//! write a claim's allocation is the door's business.

mod capacity;
mod claim;
mod claim_status;
mod device;
mod device_class;
mod names;
mod slice;

use crate::hooks::Hooks;
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

/// The hooks of a kind of this group, by its plural name.
pub(crate) fn hooks(plural: &str) -> Hooks {
    match plural {
        "deviceclasses" => device_class::HOOKS,
        "resourceclaims" => claim::CLAIM,
        "resourceclaimtemplates" => claim::TEMPLATE,
        "resourceslices" => slice::HOOKS,
        _ => Hooks::NONE,
    }
}

/// Each item of a list, which must not be longer than `max`.
fn each(
    list: &Value,
    max: usize,
    path: &Path<'_>,
    errors: &mut ErrorList,
    mut item: impl FnMut(&Value, &Path<'_>, &mut ErrorList),
) {
    let items = list.items();
    if items.len() > max {
        errors.push(Error::too_many(path, items.len(), max));
        return;
    }
    for (i, v) in items.iter().enumerate() {
        item(v, &path.index(i), errors);
    }
}

/// The same for a list whose items must differ in their key.
fn each_unique(
    list: &Value,
    max: usize,
    key: impl Fn(&Value) -> String,
    path: &Path<'_>,
    errors: &mut ErrorList,
    item: impl FnMut(&Value, &Path<'_>, &mut ErrorList),
) {
    each(list, max, path, errors, item);
    if list.items().len() > max {
        return;
    }
    let mut seen = HashSet::new();
    for (i, v) in list.items().iter().enumerate() {
        let key = key(v);
        if !seen.insert(key.clone()) {
            errors.push(Error::duplicate(&path.index(i), key));
        }
    }
}

/// A string item as its own key.
fn itself(v: &Value) -> String {
    v.str().to_owned()
}

/// The name of an item as its key.
fn by_name(v: &Value) -> String {
    v.at("name").str().to_owned()
}
