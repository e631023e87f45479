//! Rules that are known by a name: the formats of CEL and of declarative validation.

use super::{content, invalid};
use crate::field::{Error, ErrorList, Path};
use crate::quote::Quoted;

fn long_name(path: &Path<'_>, value: &str) -> ErrorList {
    invalid(path, value, content::dns1123_subdomain(value))
}

fn prefixed(mut errors: ErrorList, prefix: &str) -> ErrorList {
    for error in &mut errors {
        error.detail.insert_str(0, prefix);
    }
    errors
}

/// Subdomains with slashes between.
pub fn resource_pool_name(path: &Path<'_>, value: &str) -> ErrorList {
    const BYTES_MAX: usize = 253;
    let mut errors = ErrorList::new();
    if value.len() > BYTES_MAX {
        errors.push(Error::too_long(path, BYTES_MAX));
    }
    // Every error about an empty segment shows the whole value.
    let mut empty_left = crate::options::repeats_max(value.len());
    for (i, segment) in value.split('/').enumerate() {
        if !segment.is_empty() {
            errors.extend(prefixed(long_name(path, segment), &format!("segment {i}: ")));
        } else if empty_left > 0 {
            empty_left -= 1;
            errors.push(Error::invalid(path, value, format!("segment {i}: must not be empty")));
        }
    }
    errors
}

/// A resource of a domain other than Kubernetes': `example.com/gpu`.
pub fn extended_resource_name(path: &Path<'_>, value: &str) -> ErrorList {
    const OWN_DOMAIN: &str = "kubernetes.io/";
    const QUOTA_PREFIX: &str = "requests.";
    let mut errors = ErrorList::new();
    if !value.contains('/') {
        let text = "a name must be a domain-prefixed path, such as 'example.com/my-prop'";
        errors.push(Error::invalid(path, value, text));
    } else if value.contains(OWN_DOMAIN) {
        errors.push(Error::invalid(path, value, format!("must not have {} domain", Quoted(OWN_DOMAIN))));
    }
    if value.starts_with(QUOTA_PREFIX) {
        errors.push(Error::invalid(path, value, format!("must not have {} prefix", Quoted(QUOTA_PREFIX))));
    }
    // A quota must be able to name it.
    errors.extend(invalid(path, value, content::label_key(&format!("{QUOTA_PREFIX}{value}"))));
    errors
}

/// A domain, a slash, and an identifier of at most 32 bytes. More than one slash passes, as upstream.
pub fn resource_fully_qualified_name(path: &Path<'_>, value: &str) -> ErrorList {
    const DOMAIN_BYTES_MAX: usize = 63;
    let parts: Vec<&str> = value.splitn(3, '/').collect();
    match *parts.as_slice() {
        [name] => {
            let mut errors = resource_identifier(path, name);
            let text = "a fully qualified name must be a domain and a name separated by a slash";
            errors.push(Error::invalid(path, value, text));
            errors
        }
        [domain, name] => {
            let mut errors = ErrorList::new();
            if domain.is_empty() {
                errors.push(Error::invalid(path, "", "prefix must not be empty"));
            } else {
                if domain.len() > DOMAIN_BYTES_MAX {
                    errors.push(Error::too_long(path, DOMAIN_BYTES_MAX));
                }
                errors.extend(prefixed(long_name(path, domain), "prefix: "));
            }
            if name.is_empty() {
                errors.push(Error::invalid(path, "", "name must not be empty"));
            } else {
                errors.extend(resource_identifier(path, name));
            }
            errors
        }
        _ => ErrorList::new(),
    }
}

fn resource_identifier(path: &Path<'_>, name: &str) -> ErrorList {
    const BYTES_MAX: usize = 32;
    let mut errors = ErrorList::new();
    if name.len() > BYTES_MAX {
        errors.push(Error::too_long(path, BYTES_MAX));
    }
    errors.extend(invalid(path, name, content::c_identifier(name)));
    errors
}
