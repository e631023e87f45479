//! Names and amounts of resources, limits and requests.
//!
//! Upstream: `pkg/apis/core/helper/helpers.go`, `validateResourceRequirements` and its parts in
//! `pkg/apis/core/validation/validation.go`.

use super::util::{fractional, quantity};
use crate::check;
use meta::field::{Error, ErrorList, Path};
use meta::names;
use meta::quantity::Quantity;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use value::Value;

const HUGE_PAGES: &str = "hugepages-";

const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
    // Only this last one is not for quotas.
    "storage",
];

const INTEGER: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_quota_huge_page(name)
}

pub(super) fn is_standard_for_quota(name: &str) -> bool {
    name != "storage" && is_standard(name)
}

/// Whether it is in the `kubernetes.io` namespace, where names without one are too.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn is_integer(name: &str) -> bool {
    INTEGER.contains(&name) || is_extended(name)
}

/// Whether a pod as a whole can ask for it.
pub(super) fn is_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

fn invalid(path: &Path<'_>, name: &str, detail: &str) -> Error {
    super::util::invalid_named(path, name, detail)
}

/// The name of any resource. Says whether it is sound.
pub(super) fn resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) -> bool {
    let messages = names::qualified_name(name);
    if !messages.is_empty() {
        errors.extend(messages.into_iter().map(|m| invalid(path, name, &m)));
        return false;
    }
    if !name.contains('/') && !is_standard(name) {
        errors.push(invalid(path, name, "must be a standard resource type or fully qualified"));
        return false;
    }
    true
}

/// The name of a resource that a container can ask for (`ValidateContainerResourceName`).
pub(super) fn container_resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    resource_name(name, path, errors);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
            errors.push(invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

/// The name of a resource that a pod as a whole can ask for.
pub(super) fn pod_resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    if resource_name(name, path, errors) && !is_for_pods(name) {
        errors.push(super::util::unsupported(path, name, &["cpu", HUGE_PAGES, "memory"]));
    }
}

/// The name of a resource that a quota can bound.
pub(super) fn quota_resource_name(name: &str, path: &Path<'_>, errors: &mut ErrorList) {
    resource_name(name, path, errors);
    if !name.contains('/') && !is_standard_for_quota(name) {
        errors.push(invalid(path, name, "must be a standard resource for quota"));
    }
}

/// The amount of a resource: not negative, and whole where only whole ones make sense.
pub(super) fn resource_quantity(name: &str, v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let amount = quantity(v);
    if amount.sign() < 0 {
        errors.push(Error::invalid(path, amount.to_string(), "must be greater than or equal to 0"));
    }
    if is_integer(name) && fractional(&amount) {
        errors.push(Error::invalid(path, amount.to_string(), "must be an integer"));
    }
}

/// An amount above zero.
pub(super) fn positive_quantity(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let amount = quantity(v);
    if amount.sign() <= 0 {
        errors.push(Error::invalid(path, amount.to_string(), "must be greater than zero"));
    }
}

/// An amount that is not negative once rounded up (`validateBasicResource`).
pub(super) fn basic_quantity(v: &Value, path: &Path<'_>, errors: &mut ErrorList) {
    let n = quantity(v).value();
    if n < 0 {
        errors.push(Error::invalid(path, n, "must be a valid resource quantity"));
    }
}

/// Whether an amount of huge pages is a whole number of pages.
pub(super) fn is_divisible(name: &str, amount: &Quantity) -> bool {
    let Some(Ok(size)) = name.strip_prefix(HUGE_PAGES).map(Quantity::parse) else { return false };
    let bytes = size.value();
    size.sign() > 0 && !fractional(&size) && bytes != 0 && amount.value().checked_rem(bytes) == Some(0)
}

/// How the names of resources are checked.
pub(super) type NameCheck = fn(&str, &Path<'_>, &mut ErrorList);

/// What `requirements` needs to know of the pod around.
pub(super) struct Around<'a> {
    /// Names in `spec.resourceClaims`.
    pub(super) claims: &'a Claims<'a>,
    /// Whether amounts of huge pages may be broken ones, as those of the old object are.
    pub(super) indivisible_huge_pages: bool,
}

/// Names in `spec.resourceClaims`.
#[derive(Debug, Default)]
pub(super) struct Claims<'a> {
    names: HashSet<&'a str>,
    /// What is said of a claim that is none of them.
    text: String,
}

/// Longest list of claims that is shown: every container may ask for one that is not there.
const CLAIMS_SHOWN_MAX_BYTES: usize = 8 << 10;

impl<'a> Claims<'a> {
    pub(super) fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let names: BTreeSet<&str> = names.collect();
        let shown = names.iter().copied().collect::<Vec<_>>().join(", ");
        let mut text = "must be one of the names in pod.spec.resourceClaims".to_owned();
        if names.is_empty() {
            text.push_str(" which is empty");
        } else if shown.len() <= CLAIMS_SHOWN_MAX_BYTES {
            text.push_str(": ");
            text.push_str(&shown);
        }
        Self { names: names.into_iter().collect(), text }
    }
}

/// Limits, requests and claims (`validateResourceRequirements`).
pub(super) fn requirements(
    v: &Value,
    name_check: NameCheck,
    around: &Around<'_>,
    path: &Path<'_>,
    errors: &mut ErrorList,
) {
    let (limits_path, requests_path) = (path.child("limits"), path.child("requests"));
    let limits = v.at("limits");
    let (mut compute, mut huge_pages) = (false, false);
    let mut common = |name: &str, amount: &Value, path: &Path<'_>, errors: &mut ErrorList| {
        name_check(name, path, errors);
        resource_quantity(name, amount, path, errors);
        compute |= matches!(name, "cpu" | "memory");
    };
    let mut pages = |name: &str, amount: &Quantity, path: &Path<'_>, errors: &mut ErrorList| {
        if is_huge_page(name) {
            huge_pages = true;
            if !around.indivisible_huge_pages && !is_divisible(name, amount) {
                let text = format!("{amount} is not positive integer multiple of {name}");
                errors.push(Error::invalid(path, amount.to_string(), text));
            }
        }
    };
    for (name, v) in limits.entries() {
        let path = limits_path.key(name);
        common(name, v, &path, errors);
        pages(name, &quantity(v), &path, errors);
    }
    for (name, v) in v.at("requests").entries() {
        let path = requests_path.key(name);
        common(name, v, &path, errors);
        let amount = quantity(v);
        match limits.get(name) {
            Some(limit) => {
                let limit = quantity(limit);
                let order = amount.cmp(&limit);
                let text = if order != Ordering::Equal && !may_overcommit(name) {
                    "must be equal to"
                } else if order == Ordering::Greater {
                    "must be less than or equal to"
                } else {
                    ""
                };
                if !text.is_empty() {
                    let text = format!("{text} {name} limit of {limit}");
                    errors.push(Error::invalid(&requests_path, amount.to_string(), text));
                }
            }
            None if !may_overcommit(name) => {
                let text = "Limit must be set for non overcommitable resources";
                errors.push(Error::required(&limits_path, text));
            }
            None => {}
        }
        pages(name, &amount, &path, errors);
    }
    if huge_pages && !compute {
        errors.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    claim_names(v.at("claims").items(), around.claims, &path.child("claims"), errors);
}

/// The claims that a container uses (`validateResourceClaimNames`).
fn claim_names(claims: &[Value], known: &Claims<'_>, path: &Path<'_>, errors: &mut ErrorList) {
    let mut seen: HashSet<String> = HashSet::new();
    // How many keys with a request there are for each claim.
    let mut requests: HashMap<String, usize> = HashMap::new();
    for (i, claim) in claims.iter().enumerate() {
        let path = path.index(i);
        let (name, request) = (claim.at("name").str(), claim.at("request").str());
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(Error::duplicate(&path, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                check::dns1123_label(request, &path.child("request"), errors);
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                errors.push(Error::duplicate(&path, key.as_str()));
            } else if request.is_empty() {
                let overlaps = requests.get(name).copied().unwrap_or(0);
                errors.extend((0..overlaps).map(|_| Error::duplicate(&path, name)));
            }
            if let Some((claim, _)) = key.split_once('/')
                && !seen.contains(&key)
            {
                *requests.entry(claim.to_owned()).or_default() += 1;
            }
            seen.insert(key);
        }
        if !known.names.contains(name) {
            let mut error = Error::not_found(&path, name);
            error.detail.clone_from(&known.text);
            errors.push(error);
        }
    }
}
