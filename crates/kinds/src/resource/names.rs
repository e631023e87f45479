//! Names of drivers, pools, attributes and shares.

use crate::check;
use crate::storage::validate_driver_name;
use meta::field::{Error, ErrorList, Path};
use meta::names;

/// Upstream's bounds.
pub(super) const POOL_NAME_MAX_BYTES: usize = 253;
pub(super) const ID_MAX_BYTES: usize = 32;
const DOMAIN_MAX_BYTES: usize = 63;
pub(super) const KEY_MAX_BYTES: usize = DOMAIN_MAX_BYTES + 1 + ID_MAX_BYTES;

pub(super) fn pool(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if name.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    if name.len() > POOL_NAME_MAX_BYTES {
        errors.push(Error::too_long(path, POOL_NAME_MAX_BYTES));
    }
    for part in name.split('/') {
        check::dns1123_subdomain(part, path, errors);
    }
}

/// `[domain/]identifier`.
pub(super) fn qualified(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => c_identifier(id, path, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.push(Error::invalid(path, "", "the domain must not be empty"));
            } else {
                validate_driver_name(domain, path, errors);
            }
            if id.is_empty() {
                errors.push(Error::invalid(path, "", "the name must not be empty"));
            } else {
                c_identifier(id, path, errors);
            }
        }
        // Upstream has nothing to say of more parts.
        _ => {}
    }
}

/// `domain/identifier`.
pub(super) fn fully_qualified(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    qualified(name, path, errors);
    if !name.contains('/') {
        let text = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(Error::invalid(path, name, text));
    }
}

fn c_identifier(id: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if id.len() > ID_MAX_BYTES {
        errors.push(Error::too_long(path, ID_MAX_BYTES));
    }
    check::invalid_each(id, names::content::c_identifier(id), path, errors);
}

/// A UUID in its normal form.
pub(super) fn uid(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    let grouped = |s: &str| {
        let groups: Vec<&str> = s.split('-').collect();
        groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|g| hex(g))
    };
    let fault = match text.len() {
        36 if grouped(text) => None,
        32 if hex(text) => None,
        38 if text.is_char_boundary(1) && text.is_char_boundary(37) && grouped(&text[1..37]) => None,
        45 if text.to_ascii_lowercase().strip_prefix("urn:uuid:").is_some_and(grouped) => None,
        45 => Some(format!("invalid urn prefix: {}", meta::quote::quote(text.get(..9).unwrap_or("")))),
        32 | 36 | 38 => Some("invalid UUID format".into()),
        n => Some(format!("invalid UUID length: {n}")),
    };
    if let Some(fault) = fault {
        errors.push(Error::invalid(path, text, format!("error validating uid: {fault}")));
    } else if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        let detail = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase \
                      hexadecimal characters";
        errors.push(Error::invalid(path, text, detail));
    }
}

/// A key in a path: long ones lose their middle.
pub(super) fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let remaining = max - 3;
    let head = text.get(..remaining.div_ceil(2)).unwrap_or("");
    let tail = text.get(text.len() - remaining / 2..).unwrap_or("");
    format!("{head}...{tail}")
}
