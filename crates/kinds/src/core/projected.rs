//! Projected volumes.
//!
//! Upstream: `validateProjectionSources` in `pkg/apis/core/validation/validation.go`. Trust bundles and pod
//! certificates are behind gates that are off: their sources are dropped before validation.

use super::env;
use super::util::{is_set, non_reserved_path, require};
use super::volumes::{Scope, key_to_path};
use meta::field::{Error, ErrorList, Path};
use std::collections::HashSet;
use value::Value;

const TOKEN_SECONDS_MIN: i64 = 10 * 60;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

pub(super) fn validate(v: &Value, scope: &Scope<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen: HashSet<&str> = HashSet::new();
    let sources_path = path.child("sources");
    for (i, source) in v.at("sources").items().iter().enumerate() {
        let source_path = sources_path.index(i);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            let v = source.at(kind);
            if v.is_null() {
                continue;
            }
            count += 1;
            let own_path = source_path.child(kind);
            require(v, "name", &own_path, errors);
            let items_path = own_path.child("items");
            for (i, item) in v.at("items").items().iter().enumerate() {
                key_to_path(item, &items_path.index(i), errors);
                let file = item.at("path").str();
                if !file.is_empty() && !seen.insert(file) {
                    let name = v.at("name").str();
                    errors.push(Error::invalid(path, name, "conflicting duplicate paths"));
                }
            }
        }
        let v = source.at("downwardAPI");
        if !v.is_null() {
            count += 1;
            for item in v.at("items").items() {
                env::downward_api_file(item, &source_path.child("downwardAPI"), errors);
                let file = item.at("path").str();
                if !file.is_empty() && !seen.insert(file) {
                    errors.push(Error::invalid(path, file, "conflicting duplicate paths"));
                }
            }
        }
        if is_set(source, "serviceAccountToken") {
            count += 1;
            token(source.at("serviceAccountToken"), scope, path, &source_path, errors);
        }
        if count > 1 {
            let text = "may not specify more than 1 volume type per source";
            errors.push(Error::forbidden(&source_path, text));
        }
    }
}

/// A token; errors on its path stand, as upstream, at the volume's.
fn token(v: &Value, scope: &Scope<'_>, volume: &Path<'_>, source: &Path<'_>, errors: &mut ErrorList) {
    let path = source.child("serviceAccountToken");
    let path = path.child("expirationSeconds");
    let seconds = v.at("expirationSeconds").int();
    if seconds < TOKEN_SECONDS_MIN {
        let text = "may not specify a duration less than 10 minutes";
        errors.push(Error::invalid(&path, seconds, text));
    }
    if seconds > TOKEN_SECONDS_MAX {
        let text = "may not specify a duration larger than 2^32 seconds";
        errors.push(Error::invalid(&path, seconds, text));
    }
    require(v, "path", volume, errors);
    let file = v.at("path").str();
    if !file.is_empty() && !scope.allow.non_local_token_path {
        non_reserved_path(file, &volume.child("path"), errors);
    }
}
