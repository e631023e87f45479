//! Small checks and readers that the kinds of core share.

use meta::field::{Error, ErrorList, Path};
use meta::names::NameUse;
use meta::names::ip::{self, Strictness};
use meta::object_meta::{self, Scope};
use meta::quantity::Quantity;
use std::collections::HashSet;
use value::{Map, Value};

/// A string member that must not be empty.
pub(super) fn require(v: &Value, name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if v.at(name).str().is_empty() {
        errors.push(Error::required(&path.child(name), ""));
    }
}

/// A value of one of Go's named string types that is none of the known ones.
pub(super) fn unsupported(path: &Path<'_>, value: &str, known: &[&str]) -> Error {
    Error::not_supported_in_order(path, value, known).shown_as_json()
}

/// A value of one of Go's named string types, or a pointer to a string, that is wrong.
pub(super) fn invalid_named(path: &Path<'_>, value: &str, detail: impl Into<String>) -> Error {
    Error::invalid(path, value, detail).shown_as_json()
}

/// A named string that may be absent, but if it is there must be one of those known.
pub(super) fn optional_one_of(v: &Value, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    if let Some(s) = v.as_str()
        && !known.contains(&s)
    {
        errors.push(unsupported(path, s, known));
    }
}

/// A named string that must be one of those known; the empty one is missing.
pub(super) fn one_of(v: &Value, known: &[&str], path: &Path<'_>, errors: &mut ErrorList) {
    match v.str() {
        "" => errors.push(Error::required(path, "")),
        s if known.contains(&s) => {}
        s => errors.push(unsupported(path, s, known)),
    }
}

/// A number that must not be below zero.
pub(super) fn non_negative(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    crate::check::non_negative(v, path, errors);
}

/// A number that must be above zero, in the words of core.
pub(super) fn positive(n: i64, path: &Path<'_>, errors: &mut ErrorList) {
    if n <= 0 {
        errors.push(Error::invalid(path, n, "must be greater than zero"));
    }
}

/// Errors about a number, one for each message.
pub(super) fn invalid_number(n: i64, messages: Vec<String>, path: &Path<'_>, errors: &mut ErrorList) {
    errors.extend(messages.into_iter().map(|m| Error::invalid(path, n, m)));
}

/// A quantity; zero for what is none, which decoding refuses.
pub(super) fn quantity(v: &Value) -> Quantity {
    Quantity::from_value(v).unwrap_or_default()
}

/// Whether a quantity has a fraction below one unit.
pub(super) fn fractional(quantity: &Quantity) -> bool {
    quantity.milli_value() % 1000 != 0
}

/// The strings of a list.
pub(super) fn strings(v: &Value) -> Vec<&str> {
    v.items().iter().map(Value::str).collect()
}

/// An address in a field that is older than the strict rules; those in `old` pass.
pub(super) fn legacy_ip(path: &Path<'_>, value: &str, old: &HashSet<&str>, errors: &mut ErrorList) {
    if !old.contains(value) {
        errors.extend(ip::ip_for_legacy_field(path, value, Strictness::Strict, &[]));
    }
}

/// A CIDR in such a field.
pub(super) fn legacy_cidr(path: &Path<'_>, value: &str, old: &HashSet<&str>, errors: &mut ErrorList) {
    if !old.contains(value) {
        errors.extend(ip::cidr_for_legacy_field(path, value, Strictness::Strict, &[]));
    }
}

/// Whether these addresses are of both families (`IsDualStackIPStrings`).
///
/// # Errors
/// Upstream's text if one of them is no address.
pub(super) fn is_dual_stack(ips: &[&str]) -> Result<bool, String> {
    let (mut v4, mut v6) = (false, false);
    for (i, text) in ips.iter().enumerate() {
        match ip::parse_ip_sloppy(text) {
            None => return Err(format!("invalid IP[{i}]: {text}")),
            Some(ip) if is_ipv6(ip) => v6 = true,
            Some(_) => v4 = true,
        }
    }
    Ok(v4 && v6)
}

/// Whether it is an IPv6 address to Go: one that is not IPv4 mapped.
pub(super) fn is_ipv6(ip: std::net::IpAddr) -> bool {
    match ip {
        std::net::IpAddr::V4(_) => false,
        std::net::IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
    }
}

/// Whether a text is an IPv6 address.
pub(super) fn is_ipv6_text(text: &str) -> bool {
    ip::parse_ip_sloppy(text).is_some_and(is_ipv6)
}

/// An object of these members.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(k, v)| (k.into(), v)).collect::<Map>())
}

/// Whether a pointer to a struct, a list or a map is set.
pub(super) fn is_set(v: &Value, name: &str) -> bool {
    !v.at(name).is_null()
}

/// `must be a number between 0 and 0777 (octal), both inclusive`, for a mode that may be absent.
pub(super) fn file_mode(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    if !v.is_null() && !(0..=0o777).contains(&v.int()) {
        let text = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(Error::invalid(path, v.int(), text));
    }
}

/// A path without `..` among its elements.
pub(super) fn no_backsteps(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if has_backsteps(text) {
        errors.push(Error::invalid(path, text, "must not contain '..'"));
    }
}

/// Whether `..` is an element of a path.
pub(super) fn has_backsteps(text: &str) -> bool {
    text.split('/').any(|part| part == "..")
}

/// A relative path without `..` among its elements (`validateLocalDescendingPath`).
pub(super) fn descending_path(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if text.starts_with('/') {
        errors.push(Error::invalid(path, text, "must be a relative path"));
    }
    no_backsteps(text, path, errors);
}

/// The same, and it must not start with `..` (`ValidateLocalNonReservedPath`).
pub(super) fn non_reserved_path(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    descending_path(text, path, errors);
    if text.starts_with("..") && !text.starts_with("../") {
        errors.push(Error::invalid(path, text, "must not start with '..'"));
    }
}

/// Keeps a member as the old object has it.
pub(super) fn keep(new: &mut Value, old: &Value, name: &str) {
    crate::prepare::keep(new, old, name);
}

/// The lists of containers of a pod spec, in the order in which upstream visits them.
pub(super) const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// All containers of a pod spec: the list, the index in it, the container.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    CONTAINER_LISTS
        .into_iter()
        .flat_map(move |list| spec.at(list).items().iter().enumerate().map(move |(i, c)| (list, i, c)))
}

/// Does something to all containers of a pod spec.
pub(super) fn each_container(spec: &mut Value, mut change: impl FnMut(&mut Value)) {
    for list in CONTAINER_LISTS {
        each(spec, list, &mut change);
    }
}

/// Does something to all elements of a list.
pub(super) fn each(v: &mut Value, name: &str, change: impl FnMut(&mut Value)) {
    if let Some(items) = v.get_mut(name).and_then(Value::as_array_mut) {
        items.iter_mut().for_each(change);
    }
}

/// Whether an init container is a sidecar.
pub(super) fn is_sidecar(container: &Value) -> bool {
    container.at("restartPolicy").str() == "Always"
}

/// Finalizers without a domain must be among the standard ones (`validateKubeFinalizerName`).
pub(super) fn finalizer_names(object: &Value, errors: &mut ErrorList) {
    let path = Path::new("metadata");
    let path = path.child("finalizers");
    for (i, name) in object.at("metadata").at("finalizers").items().iter().enumerate() {
        standard_finalizer(name.str(), &path.index(i), errors);
    }
}

/// One such name.
pub(super) fn standard_finalizer(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        let text = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(Error::invalid(path, name, text));
    }
}

/// What the strategies of core check of ObjectMeta once more on update, by the rules for new objects.
pub(super) fn metadata_again(
    object: &Value,
    scope: Scope,
    rule: fn(&str, NameUse) -> Vec<String>,
    errors: &mut ErrorList,
) {
    finalizer_names(object, errors);
    whole_metadata(object, scope, rule, errors);
}

/// The same where nothing else is checked of a change (`MetaChecks::NONE`).
pub(crate) fn whole_metadata(
    object: &Value,
    scope: Scope,
    rule: fn(&str, NameUse) -> Vec<String>,
    errors: &mut ErrorList,
) {
    errors.extend(object_meta::validate(object.at("metadata"), scope, rule, &Path::new("metadata")));
    finalizer_names(object, errors);
}

/// What changed in ObjectMeta (`ValidateObjectMetaUpdate`), where it is not the first or the last that the strategy
/// looks at.
pub(crate) fn changed_metadata(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::new("metadata");
    errors.extend(object_meta::validate_update(new.at("metadata"), old.at("metadata"), &path));
    finalizer_names(new, errors);
}

/// An address that traffic can be sent to (`ValidateEndpointIP`).
pub(super) fn endpoint_ip(text: &str, path: &Path<'_>, errors: &mut ErrorList) {
    match ip::parse_ip_sloppy(text) {
        None => errors.push(Error::invalid(path, text, "must be a valid IP address")),
        Some(ip) => crate::discovery::validate_endpoint_ip(ip.to_canonical(), text, path, errors),
    }
}

/// Most bytes that errors of one kind about one list may show together.
const SHOWN_MAX_BYTES: usize = 4 << 20;

/// How many errors may show a value of so many bytes: one at least, so that hostile lists do not make answers
/// that grow with their square.
pub(super) fn repeats(shown_bytes: usize) -> usize {
    (SHOWN_MAX_BYTES / shown_bytes.max(1)).clamp(1, 1000)
}

/// About how many bytes a list of strings shows.
pub(super) fn shown_bytes(list: &Value) -> usize {
    list.items().iter().map(|v| v.str().len() + 3).sum()
}
