//! Cluster IPs of Services and their families: what holds for them, and how they come about before one is
//! allocated. The API server allocates; it calls the public functions here before the hooks.
//!
//! Upstream: `ValidateServiceClusterIPsRelatedFields` in `pkg/apis/core/validation/validation.go`,
//! `normalizeClusterIPs`, `patchAllocatedValues`, `initIPFamilyFields` in
//! `pkg/registry/core/service/storage/{storage,alloc}.go`.

use super::util::{
    is_dual_stack, is_ipv6_text, is_set, legacy_ip, repeats, shown_bytes, strings, unsupported,
};
use meta::field::{Error, ErrorList, Path};
use std::collections::{HashMap, HashSet};
use value::Value;

const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const ONCE: &str = "may not change once set";

/// Whether its only cluster IP is `None`.
pub(super) fn is_headless(spec: &Value) -> bool {
    strings(spec.at("clusterIPs")) == ["None"]
}

/// Whether a Service with this `spec` gets addresses.
pub fn has_cluster_ip(spec: &Value) -> bool {
    spec.at("type").str() != "ExternalName"
}

/// The policy with its path, as an error shows it.
fn invalid_policy(spec: &Value, detail: &str) -> Error {
    let path = Path::new("spec");
    Error::invalid(&path.child("ipFamilyPolicy"), spec.at("ipFamilyPolicy").clone(), detail).shown_as_json()
}

/// All errors of cluster IPs, families and their policy; `before` is the old spec or null.
pub(super) fn validate(spec: &Value, before: &Value, errors: &mut ErrorList) {
    if !has_cluster_ip(spec) {
        return;
    }
    let path = Path::new("spec");
    let (ips_path, families_path) = (path.child("clusterIPs"), path.child("ipFamilies"));
    let ips = strings(spec.at("clusterIPs"));
    let invalid = |text: &str| Error::invalid(&ips_path, spec.at("clusterIPs").clone(), text);
    let own = spec.at("clusterIP").str();
    match ips.first() {
        None if !own.is_empty() => errors.push(Error::required(&ips_path, "")),
        Some(_) if own.is_empty() => errors.push(invalid("must be empty when `clusterIP` is not specified")),
        Some(first) if *first != own => errors.push(invalid("first value must match `clusterIP`")),
        _ => {}
    }
    let families = strings(spec.at("ipFamilies"));
    let mut seen = HashSet::new();
    for (i, family) in families.iter().enumerate() {
        let path = families_path.index(i);
        if !matches!(*family, "IPv4" | "IPv6") {
            errors.push(unsupported(&path, family, &["IPv4", "IPv6"]));
        }
        if !seen.insert(*family) {
            errors.push(Error::duplicate(&path, *family).shown_as_json());
        }
    }
    super::util::optional_one_of(spec.at("ipFamilyPolicy"), &POLICIES, &path.child("ipFamilyPolicy"), errors);
    let known: HashSet<&str> = before.at("clusterIPs").items().iter().map(Value::str).collect();
    let mut bad = false;
    for (i, ip) in ips.iter().enumerate() {
        let count = errors.len();
        if i > 0 || *ip != "None" {
            legacy_ip(&ips_path.index(i), ip, &known, errors);
        } else if ips.len() > 1 {
            errors.push(invalid("'None' must be the first and only value"));
        }
        bad |= errors.len() > count;
    }
    if ips.len() > 2 {
        errors.push(invalid("may only hold up to 2 values"));
    }
    if bad {
        return;
    }
    if ips.len() > 1 {
        let dual = is_dual_stack(&ips).unwrap_or_else(|e| {
            errors.push(Error::internal(&ips_path, format!("failed to check for dual stack with error:{e}")));
            false
        });
        if !dual {
            errors.push(invalid("may specify no more than one IP for each IP family"));
        }
    }
    if !is_headless(spec) {
        for (i, (ip, family)) in ips.iter().zip(&families).enumerate() {
            let wrong = match *family {
                "IPv4" => is_ipv6_text(ip),
                "IPv6" => !is_ipv6_text(ip),
                _ => false,
            };
            if wrong {
                let text = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
                errors.push(Error::invalid(&ips_path.index(i), *ip, text));
            }
        }
    }
}

/// Changes of cluster IPs and of families that are not allowed.
pub(super) fn validate_change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let (spec, before) = (new.at("spec"), old.at("spec"));
    if !has_cluster_ip(spec) || !has_cluster_ip(before) {
        return;
    }
    let (headless, was_headless) = (is_headless(spec), is_headless(before));
    if !(headless && was_headless) {
        ips_change(spec, before, errors);
    }
    if !headless && !was_headless {
        families_change(spec, before, errors);
    }
}

fn ips_change(spec: &Value, before: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("clusterIPs");
    let (ips, were) = (strings(spec.at("clusterIPs")), strings(before.at("clusterIPs")));
    let invalid = |i: usize, text: &str| Error::invalid(&path.index(i), spec.at("clusterIPs").clone(), text);
    if ips.len() == were.len() {
        let changed = ips.iter().zip(&were).enumerate().filter(|(_, (new, old))| new != old);
        errors
            .extend(changed.take(repeats(shown_bytes(spec.at("clusterIPs")))).map(|(i, _)| invalid(i, ONCE)));
        return;
    }
    let first_changed = matches!((ips.first(), were.first()), (Some(new), Some(old)) if new != old);
    if ips.is_empty() && !were.is_empty() {
        errors.push(invalid(0, "primary clusterIP can not be unset"));
    }
    if first_changed {
        errors.push(invalid(0, ONCE));
    }
    if were.len() > ips.len() && ips.len() == 1 && spec.at("ipFamilyPolicy").str() != "SingleStack" {
        let text = "must be set to 'SingleStack' when releasing the secondary clusterIP";
        errors.push(invalid_policy(spec, text));
    }
}

fn families_change(spec: &Value, before: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("ipFamilies");
    let (families, were) = (strings(spec.at("ipFamilies")), strings(before.at("ipFamilies")));
    let invalid = |shown: &str, text: &str| Error::invalid(&path.index(0), spec.at(shown).clone(), text);
    if families.len() == were.len() {
        let changed = families.iter().zip(&were).filter(|(new, old)| new != old).count();
        errors.extend(
            (0..changed.min(repeats(shown_bytes(spec.at("ipFamilies")))))
                .map(|_| invalid("ipFamilies", ONCE)),
        );
        return;
    }
    let reduced = were.len() > families.len();
    if reduced && spec.at("clusterIPs").items().is_empty() {
        errors.push(invalid("ipFamilies", "primary ipFamily can not be unset"));
    }
    if matches!((families.first(), were.first()), (Some(new), Some(old)) if new != old) {
        // Upstream shows the wrong list.
        errors.push(invalid("clusterIPs", ONCE));
    }
    if reduced && families.len() == 1 && spec.at("ipFamilyPolicy").str() != "SingleStack" {
        let text = "must be set to 'SingleStack' when releasing the secondary ipFamily";
        errors.push(invalid_policy(spec, text));
    }
}

/// Keeps `clusterIP` and `clusterIPs` in step where the writer gave only one of them; `old` is the service
/// that stands, on update. Upstream: `normalizeClusterIPs`.
pub fn normalize(new: &mut Value, old: Option<&Value>) {
    let Some(spec) = new.get_mut("spec") else { return };
    let own = spec.at("clusterIP").clone();
    let Some(before) = old.map(|o| o.at("spec")) else {
        if !own.str().is_empty() && spec.at("clusterIPs").items().is_empty() {
            spec.set("clusterIPs", vec![own]);
        }
        return;
    };
    let was = before.at("clusterIP").str();
    let were = strings(before.at("clusterIPs"));
    if !were.is_empty() && spec.at("clusterIPs").items().is_empty() && was == own.str() {
        let list = before.at("clusterIPs").clone();
        spec.set("clusterIPs", list);
    }
    if was == own.str() || strings(spec.at("clusterIPs")) != were {
        return;
    }
    if own.str().is_empty() {
        spec.remove("clusterIPs");
    } else {
        spec.set("clusterIPs", vec![own]);
    }
}

/// Whether the ports of a Service with this `spec` get node ports, where none are asked for.
pub fn needs_node_port(spec: &Value) -> bool {
    match spec.at("type").str() {
        "NodePort" => true,
        "LoadBalancer" => spec.at("allocateLoadBalancerNodePorts").as_bool() != Some(false),
        _ => false,
    }
}

/// Whether a load balancer asks nodes for the health of a Service with this `spec`.
pub fn needs_health_port(spec: &Value) -> bool {
    spec.at("type").str() == "LoadBalancer" && spec.at("externalTrafficPolicy").str() == "Local"
}

/// Puts back values that were allocated and that the writer of an update left out. Upstream:
/// `patchAllocatedValues`.
pub fn patch_allocated(new: &mut Value, old: &Value) {
    let before = old.at("spec");
    let Some(spec) = new.get_mut("spec") else { return };
    if has_cluster_ip(before) && has_cluster_ip(spec) {
        if spec.at("clusterIP").str().is_empty() && !before.at("clusterIP").str().is_empty() {
            super::util::keep(spec, before, "clusterIP");
        }
        if spec.at("clusterIPs").items().is_empty() && !before.at("clusterIPs").items().is_empty() {
            super::util::keep(spec, before, "clusterIPs");
        }
    }
    if needs_node_port(before) && needs_node_port(spec) {
        let used = |spec: &Value| -> HashSet<i64> {
            spec.at("ports").items().iter().map(|p| p.at("nodePort").int()).filter(|n| *n != 0).collect()
        };
        let both: HashSet<i64> = used(before).intersection(&used(spec)).copied().collect();
        let by_name: HashMap<&str, i64> =
            before.at("ports").items().iter().map(|p| (p.at("name").str(), p.at("nodePort").int())).collect();
        super::util::each(spec, "ports", |port| {
            let was = by_name.get(port.at("name").str()).copied().unwrap_or(0);
            if port.at("nodePort").int() == 0 && was != 0 && !both.contains(&was) {
                port.set("nodePort", was);
            }
        });
    }
    if needs_health_port(before) && needs_health_port(spec) && spec.at("healthCheckNodePort").int() == 0 {
        super::util::keep(spec, before, "healthCheckNodePort");
    }
}

/// Settles the policy and the families of a service. `families` are those of the cluster, the default first
/// (`["IPv4"]`). Upstream: `initIPFamilyFields`.
///
/// # Errors
/// What is wrong, for an answer `Invalid`.
pub fn init_families(new: &mut Value, old: Option<&Value>, families: &[&str]) -> Result<(), ErrorList> {
    let before = old.map_or(&Value::Null, |o| o.at("spec"));
    let Some(spec) = new.get_mut("spec") else { return Ok(()) };
    if !has_cluster_ip(spec) || (old.is_some() && is_same_preferred(spec, before)) {
        return Ok(());
    }
    let bare = spec.at("clusterIP").str() == "None" && spec.at("selector").is_empty();
    if !is_set(spec, "ipFamilyPolicy") {
        let policy = match before.at("ipFamilyPolicy").as_str() {
            Some(policy) => policy,
            None if bare => "RequireDualStack",
            None => "SingleStack",
        };
        spec.set("ipFamilyPolicy", policy);
    }
    let mut errors = ErrorList::new();
    validate(spec, before, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let single = spec.at("ipFamilyPolicy").str() == "SingleStack";
    if old.is_some() {
        reduce(spec, before, single, &mut errors);
    }
    if single {
        for (list, what) in [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")] {
            if spec.at(list).items().len() == 2 {
                let text = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                errors.push(invalid_policy(spec, &text));
            }
        }
    }
    infer(spec, families, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let own = strings(spec.at("ipFamilies")).iter().map(ToString::to_string).collect::<Vec<_>>();
    if !bare {
        configured(spec, families, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
    }
    let mut own = own;
    if own.is_empty() {
        own.extend(families.first().map(ToString::to_string));
    }
    if own.len() == 1 && !single && (bare || families.len() == 2) {
        let other = if own.first().is_some_and(|f| f == "IPv4") { "IPv6" } else { "IPv4" };
        own.push(other.to_owned());
    }
    spec.set("ipFamilies", own);
    Ok(())
}

/// A service that prefers two stacks does not change with its cluster.
fn is_same_preferred(spec: &Value, before: &Value) -> bool {
    let preferred = |spec: &Value| spec.at("ipFamilyPolicy").str() == "PreferDualStack";
    matches!(spec.at("type").str(), "ClusterIP" | "NodePort" | "LoadBalancer")
        && spec.at("type") == before.at("type")
        && preferred(spec)
        && (preferred(before) || !is_set(before, "ipFamilyPolicy"))
        && ["clusterIPs", "ipFamilies"].iter().all(|n| strings(spec.at(n)) == strings(before.at(n)))
}

/// Giving up the second stack.
fn reduce(spec: &mut Value, before: &Value, single: bool, errors: &mut ErrorList) {
    for (list, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (now, were) = (spec.at(list).items().len(), before.at(list).items().len());
        if single {
            if now > 1
                && strings(spec.at(list)) == strings(before.at(list))
                && let Some(items) = spec.get_mut(list).and_then(Value::as_array_mut)
            {
                items.truncate(1);
            }
        } else if now > 0 && now < were {
            let text = format!("must be 'SingleStack' to release the secondary {what}");
            errors.push(invalid_policy(spec, &text));
        }
    }
}

/// Families of addresses that the writer chose.
fn infer(spec: &mut Value, families: &[&str], errors: &mut ErrorList) {
    let path = Path::new("spec");
    let path = path.child("clusterIPs");
    let mut own: Vec<String> = strings(spec.at("ipFamilies")).iter().map(ToString::to_string).collect();
    for (i, ip) in strings(spec.at("clusterIPs")).iter().enumerate() {
        if *ip == "None" {
            break;
        }
        let family = if is_ipv6_text(ip) { "IPv6" } else { "IPv4" };
        if i < own.len() {
            continue;
        }
        if families.contains(&family) {
            own.push(family.to_owned());
        } else {
            let text = format!("{family} is not configured on this cluster");
            errors.push(Error::invalid(&path.index(i), spec.at("clusterIPs").clone(), text));
        }
    }
    if !own.is_empty() {
        spec.set("ipFamilies", own);
    }
}

/// That the cluster has what is asked for.
fn configured(spec: &Value, families: &[&str], errors: &mut ErrorList) {
    if spec.at("ipFamilyPolicy").str() == "RequireDualStack" && families.len() < 2 {
        errors.push(invalid_policy(spec, "this cluster is not configured for dual-stack services"));
    }
    let path = Path::new("spec");
    let path = path.child("ipFamilies");
    for (i, family) in strings(spec.at("ipFamilies")).iter().enumerate() {
        if !families.contains(family) {
            let error = Error::invalid(&path.index(i), *family, "not configured on this cluster");
            errors.push(error.shown_as_json());
        }
    }
}

/// What clients see of a stored service: fields that old versions did not write, and without one that has no
/// meaning. `family` is the default one of the cluster. Upstream: `defaultOnReadService`.
pub fn default_on_read(service: &mut Value, family: &str) {
    normalize(service, None);
    let Some(spec) = service.get_mut("spec") else { return };
    if !has_cluster_ip(spec) {
        spec.remove("internalTrafficPolicy");
        return;
    }
    if !spec.at("ipFamilies").items().is_empty() {
        return;
    }
    let other = if family == "IPv4" { "IPv6" } else { "IPv4" };
    let (policy, families): (&str, Vec<&str>) = if spec.at("clusterIP").str() != "None" {
        let ips = strings(spec.at("clusterIPs"));
        let families = ips.iter().map(|ip| if is_ipv6_text(ip) { "IPv6" } else { "IPv4" }).collect();
        match ips.len() {
            1 => ("SingleStack", families),
            2 => ("RequireDualStack", families),
            _ => return,
        }
    } else if spec.at("selector").is_empty() {
        ("RequireDualStack", vec![family, other])
    } else {
        ("SingleStack", vec![family])
    };
    spec.set("ipFamilyPolicy", policy);
    spec.set("ipFamilies", families);
}
