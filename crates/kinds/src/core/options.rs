//! What a changed pod or template may keep because the one that stands has it.
//!
//! Upstream: `GetValidationOptionsFromPodSpecAndMeta` in `pkg/api/pod/util.go`. Only what depends on the old
//! object is here; what depends on gates alone is decided for their defaults.

use super::resources::is_divisible;
use super::util::{containers, is_set, is_sidecar, non_reserved_path, quantity};
use super::{annotations, scheduling, security};
use crate::check;
use meta::field::{ErrorList, Path};
use value::Value;

/// What is allowed beyond the rules for new objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Allow {
    /// This is a pod, not a template.
    pub(super) resource_is_pod: bool,
    pub(super) invalid_deletion_cost: bool,
    pub(super) invalid_selector_values: bool,
    pub(super) invalid_node_values: bool,
    pub(super) indivisible_huge_pages: bool,
    pub(super) invalid_spread_selector: bool,
    pub(super) old_match_label_keys: bool,
    pub(super) non_local_token_path: bool,
    pub(super) host_sysctls: bool,
    pub(super) any_selinux_change_policy: bool,
    pub(super) toleration_comparisons: bool,
    pub(super) host_network_with_user_namespaces: bool,
    pub(super) volume_devices_with_user_namespaces: bool,
    pub(super) restart_on_resize_of_init_containers: bool,
}

impl Allow {
    /// For a pod; `old` is the pod that stands, on update.
    pub(super) fn for_pod(old: Option<&Value>) -> Self {
        Self { resource_is_pod: true, ..Self::for_template(old) }
    }

    /// For a pod template; `old` is the template that stands, on update.
    pub(super) fn for_template(old: Option<&Value>) -> Self {
        old.map_or_else(Self::default, Self::of)
    }

    fn of(old: &Value) -> Self {
        let spec = old.at("spec");
        let path = Path::ROOT;
        let fails = |check: &dyn Fn(&mut ErrorList)| {
            let mut errors = ErrorList::new();
            check(&mut errors);
            !errors.is_empty()
        };
        let constraints = spec.at("topologySpreadConstraints").items();
        let node = spec.at("affinity").at("nodeAffinity");
        let user_namespaces = spec.at("hostUsers").as_bool() == Some(false);
        Self {
            resource_is_pod: false,
            invalid_deletion_cost: annotations::has_invalid_deletion_cost(old.at("metadata")),
            invalid_selector_values: scheduling::pod_terms(spec)
                .any(|t| fails(&|errors| scheduling::pod_term_selectors(t, false, &path, errors))),
            invalid_node_values: scheduling::has_invalid_value(
                node.at("requiredDuringSchedulingIgnoredDuringExecution"),
            ),
            indivisible_huge_pages: has_indivisible_huge_pages(spec),
            invalid_spread_selector: constraints
                .iter()
                .any(|c| fails(&|errors| check::label_selector(c.at("labelSelector"), &path, errors))),
            old_match_label_keys: constraints
                .iter()
                .any(|c| fails(&|errors| scheduling::label_keys(c, &path, errors))),
            non_local_token_path: projected_sources(spec)
                .map(|s| s.at("serviceAccountToken"))
                .filter(|t| !t.is_null())
                .any(|t| fails(&|errors| non_reserved_path(t.at("path").str(), &path, errors))),
            host_sysctls: spec
                .at("securityContext")
                .at("sysctls")
                .items()
                .iter()
                .any(|s| security::host_sysctl(s.at("name").str(), spec).is_some()),
            any_selinux_change_policy: is_set(spec.at("securityContext"), "seLinuxChangePolicy"),
            toleration_comparisons: spec
                .at("tolerations")
                .items()
                .iter()
                .any(|t| matches!(t.at("operator").str(), "Lt" | "Gt")),
            host_network_with_user_namespaces: user_namespaces && spec.at("hostNetwork").bool(),
            volume_devices_with_user_namespaces: user_namespaces
                && containers(spec).any(|(_, _, c)| !c.at("volumeDevices").items().is_empty()),
            restart_on_resize_of_init_containers: spec
                .at("initContainers")
                .items()
                .iter()
                .filter(|c| !is_sidecar(c))
                .flat_map(|c| c.at("resizePolicy").items())
                .any(|p| p.at("restartPolicy").str() == "RestartContainer"),
        }
    }
}

/// All sources of all projected volumes of a pod.
pub(super) fn projected_sources(spec: &Value) -> impl Iterator<Item = &Value> {
    spec.at("volumes").items().iter().flat_map(|v| v.at("projected").at("sources").items())
}

fn has_indivisible_huge_pages(spec: &Value) -> bool {
    let bad = |list: &Value| {
        list.entries().any(|(name, v)| name.starts_with("hugepages-") && !is_divisible(name, &quantity(v)))
    };
    let of_containers =
        containers(spec).any(|(_, _, c)| ["limits", "requests"].iter().any(|l| bad(c.at("resources").at(l))));
    of_containers || bad(spec.at("overhead"))
}
