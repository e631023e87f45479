//! ServiceAccounts.
//!
//! Upstream: `pkg/registry/core/serviceaccount/strategy.go`.

use super::util::{each, finalizer_names, metadata_again, object};
use crate::hooks::Hooks;
use meta::field::ErrorList;
use meta::names;
use meta::object_meta::Scope;
use value::Value;

const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

pub(super) const HOOKS: Hooks = Hooks {
    prepare_create: |_, account| clean_secrets(account),
    prepare_update: |_, new, _| clean_secrets(new),
    validate_create: |_, account| {
        let mut errors = ErrorList::new();
        finalizer_names(account, &mut errors);
        errors
    },
    validate_update: |_, new, _| {
        let mut errors = ErrorList::new();
        metadata_again(new, Scope::Namespaced, names::name_is_dns_subdomain, &mut errors);
        errors
    },
    warn_create: |_, account| warnings(account, &Value::Null),
    warn_update: |_, new, old| warnings(new, old),
    ..Hooks::NONE
};

/// Of a reference to a secret only the name counts.
fn clean_secrets(account: &mut Value) {
    each(account, "secrets", |secret| {
        let name = secret.at("name").clone();
        *secret = if name.is_null() { Value::object() } else { object([("name", name)]) };
    });
}

fn warnings(account: &Value, old: &Value) -> Vec<String> {
    let has = |v: &Value| v.at("metadata").at("annotations").get(ENFORCE_MOUNTABLE).is_some();
    if has(old) || !has(account) {
        return Vec::new();
    }
    vec![format!(
        "metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate \
         access to mounted secrets"
    )]
}
