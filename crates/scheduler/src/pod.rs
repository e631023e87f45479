//! What the scheduler knows of a pod. All that decides where a pod may go is its [`Class`], which the pods of a
//! workload share: so 100,000 pods are small, and what is found out for one holds for all of a class.

use crate::labels::{Labels, Selector};
use crate::placement::{AddedAffinity, Placement};
use crate::resources::{Requests, is_sidecar, requests};
use api::core::v1::{PodAffinityTerm, PodSpec, TopologySpreadConstraint, Volume, WeightedPodAffinityTerm};
use api::{Object, owners};
use std::sync::Arc;

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The UID.
    pub uid: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// What decides where it may go.
    pub class: Arc<Class>,
    /// The node that it is bound to; empty if none.
    pub node: Arc<str>,
    /// `status.nominatedNodeName`; empty if none.
    pub nominated: Arc<str>,
    /// Whether its deletion was asked for.
    pub terminating: bool,
    /// Whether that was for a more important pod.
    pub preempted: bool,
    /// When the node took it.
    pub started: Option<jiff::Timestamp>,
}

/// All of a pod that decides where it may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Class {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The labels.
    pub labels: Labels,
    /// `spec.schedulerName`.
    pub scheduler: Arc<str>,
    /// The priority.
    pub priority: i32,
    /// Whether it evicts nobody (`preemptionPolicy: Never`).
    pub never_preempts: bool,
    /// What it asks for.
    pub requests: Requests,
    /// What it asks of a node whatever runs there.
    pub placement: Arc<Placement>,
    /// Ports of the node that it takes.
    pub ports: Box<[HostPort]>,
    /// What it asks of pods around it.
    pub affinity: Option<Box<PodAffinity>>,
    /// How it spreads.
    pub spread: Spread,
    /// The controller that default spreading goes by.
    pub owner: Option<Owner>,
    /// The images of its containers, by full name, as often as they occur.
    pub images: Box<[Box<str>]>,
    /// The images that it mounts.
    pub image_volumes: Box<[Box<str>]>,
    /// The claims that it uses.
    pub claims: Box<[Claim]>,
    /// The disks that it mounts without a claim.
    pub disks: Box<[Disk]>,
    /// What it waits for before it is placed at all.
    pub gates: Box<[Box<str>]>,
    /// Whether it claims devices (`spec.resourceClaims`).
    pub claims_devices: bool,
}

/// A port of the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The address; empty for all.
    ip: Box<str>,
    protocol: Box<str>,
    port: i32,
}

impl HostPort {
    /// Whether both cannot be on one node: `HostPortInfo.CheckConflict`.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip.is_empty() || other.ip.is_empty() || self.ip == other.ip)
    }
}

/// Which pods a term is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Pods in these namespaces,
    pub namespaces: Box<[Box<str>]>,
    /// or in namespaces with such labels,
    pub namespace_selector: Selector,
    /// that have such labels.
    pub labels: Selector,
}

impl Scope {
    /// Whether it is about a pod, whose namespace has some labels.
    pub fn has(&self, class: &Class, namespace: &Labels) -> bool {
        let there = self.namespaces.iter().any(|name| **name == *class.namespace);
        (there || self.namespace_selector.matches(namespace)) && self.labels.matches(&class.labels)
    }
}

/// One term of affinity between pods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// The pods that it is about.
    pub scope: Scope,
    /// The label of nodes that says what "near" is.
    pub topology_key: Box<str>,
}

/// What a pod asks of pods around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodAffinity {
    /// To be near.
    pub required: Box<[Term]>,
    /// Not to be near.
    pub required_anti: Box<[Term]>,
    /// Rather near.
    pub preferred: Box<[(i32, Term)]>,
    /// Rather not near.
    pub preferred_anti: Box<[(i32, Term)]>,
}

/// One constraint of spreading.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SpreadConstraint {
    /// By how much domains may differ.
    pub max_skew: i32,
    /// The label of nodes that says what a domain is.
    pub topology_key: Box<str>,
    /// The pods that count, in the pod's namespace.
    pub selector: Selector,
    /// With fewer domains than that, the least count is 0.
    pub min_domains: i32,
    /// Whether only nodes count that match the pod's node affinity.
    pub honors_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates.
    pub honors_taints: bool,
}

/// How a pod spreads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spread {
    /// Constraints that must hold.
    pub hard: Box<[SpreadConstraint]>,
    /// Constraints that should.
    pub soft: Box<[SpreadConstraint]>,
}

/// Controllers that default spreading goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// `ReplicationController`.
    ReplicationController,
    /// `ReplicaSet`.
    ReplicaSet,
    /// `StatefulSet`.
    StatefulSet,
}

/// The controller of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The kind.
    pub kind: OwnerKind,
    /// The name.
    pub name: Box<str>,
}

/// A claim that a pod uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The name.
    pub name: Box<str>,
    /// Whether it is made for the pod and must be its own.
    pub ephemeral: bool,
}

/// Disks of which a node mounts one at a time (`volumerestrictions`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Disk {
    /// GCE persistent disk.
    Gce(Box<str>, bool),
    /// AWS elastic block store.
    Aws(Box<str>),
    /// iSCSI target.
    Iscsi(Box<str>, bool),
    /// Ceph RBD image: monitors, pool and image.
    Rbd(Box<[Box<str>]>, Box<str>, Box<str>, bool),
}

impl Disk {
    /// Whether both cannot be on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gce(name, ro), Self::Gce(other, other_ro)) => name == other && !(*ro && *other_ro),
            (Self::Aws(id), Self::Aws(other)) => id == other,
            (Self::Iscsi(iqn, ro), Self::Iscsi(other, other_ro)) => iqn == other && !(*ro && *other_ro),
            (Self::Rbd(monitors, pool, image, ro), Self::Rbd(others, other_pool, other_image, other_ro)) => {
                monitors.iter().any(|monitor| others.contains(monitor))
                    && pool == other_pool
                    && image == other_image
                    && !(*ro && *other_ro)
            }
            _ => false,
        }
    }
}

impl Pod {
    /// Of the object; `added` is what its profile adds.
    pub fn new(pod: &api::core::v1::Pod, added: &AddedAffinity) -> Self {
        let status = pod.status.as_ref();
        let text = |text: Option<&String>| text.map_or_else(Arc::default, |text| text.as_str().into());
        let preempted = api::pods::condition(pod, "DisruptionTarget").is_some_and(|condition| {
            condition.status == "True" && condition.reason.as_deref() == Some("PreemptionByScheduler")
        });
        Self {
            uid: pod.uid().into(),
            name: pod.name().into(),
            class: Arc::new(Class::new(pod, added)),
            node: text(pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref())),
            nominated: text(status.and_then(|status| status.nominated_node_name.as_ref())),
            terminating: api::pods::is_terminating(pod),
            preempted,
            started: status.and_then(|status| status.start_time.as_ref()).map(|time| time.0),
        }
    }

    /// Whether it was given a node.
    pub fn is_assigned(&self) -> bool {
        !self.node.is_empty()
    }

    /// Namespace and name.
    pub fn key(&self) -> api::Key {
        api::Key::new(&*self.class.namespace, &*self.name)
    }
}

impl Class {
    /// Of the object; `added` is what its profile adds.
    pub fn new(pod: &api::core::v1::Pod, added: &AddedAffinity) -> Self {
        let mut class = Self {
            namespace: pod.namespace().into(),
            labels: Labels::new(pod.metadata.labels.as_ref()),
            owner: owner(pod),
            requests: requests(pod),
            ..Self::default()
        };
        let Some(spec) = &pod.spec else { return class };
        class.scheduler = spec.scheduler_name.as_deref().unwrap_or(crate::DEFAULT_SCHEDULER_NAME).into();
        class.priority = spec.priority.unwrap_or_default();
        class.never_preempts = spec.preemption_policy.as_deref() == Some("Never");
        class.placement = Arc::new(Placement::new(spec, added));
        class.ports = ports(spec);
        class.affinity = affinity(spec, &class.namespace);
        class.spread = Spread {
            hard: spread(spec, &class.labels, "DoNotSchedule"),
            soft: spread(spec, &class.labels, "ScheduleAnyway"),
        };
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        class.images = containers.map(|container| full_image_name(container.image.as_deref())).collect();
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        let mounted = volumes.iter().filter_map(|volume| volume.image.as_ref());
        class.image_volumes = mounted.map(|image| full_image_name(image.reference.as_deref())).collect();
        class.claims = volumes.iter().filter_map(|volume| claim(pod.name(), volume)).collect();
        class.disks = volumes.iter().filter_map(disk).collect();
        class.gates = spec.scheduling_gates.iter().flatten().map(|gate| gate.name.as_str().into()).collect();
        class.claims_devices = spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty());
        class
    }
}

fn owner(pod: &api::core::v1::Pod) -> Option<Owner> {
    let owner = owners::controller_of(&pod.metadata)?;
    let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => OwnerKind::ReplicationController,
        ("apps/v1", "ReplicaSet") => OwnerKind::ReplicaSet,
        ("apps/v1", "StatefulSet") => OwnerKind::StatefulSet,
        _ => return None,
    };
    Some(Owner { kind, name: owner.name.as_str().into() })
}

/// Ports of containers and sidecars, which keep them: `schedutil.GetHostPorts`.
fn ports(spec: &PodSpec) -> Box<[HostPort]> {
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let ports = sidecars.chain(&spec.containers).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.as_deref().filter(|ip| *ip != "0.0.0.0").unwrap_or_default();
            let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
            Some(HostPort { ip: ip.into(), protocol: protocol.into(), port: number })
        })
        .collect()
}

fn affinity(spec: &PodSpec, namespace: &str) -> Option<Box<PodAffinity>> {
    let affinity = spec.affinity.as_ref()?;
    let near = affinity.pod_affinity.as_ref();
    let far = affinity.pod_anti_affinity.as_ref();
    let required = |terms: Option<&Vec<PodAffinityTerm>>| {
        terms.into_iter().flatten().map(|asked| term(asked, namespace)).collect()
    };
    let preferred = |terms: Option<&Vec<WeightedPodAffinityTerm>>| {
        let terms = terms.into_iter().flatten();
        terms.map(|asked| (asked.weight, term(&asked.pod_affinity_term, namespace))).collect()
    };
    let all = PodAffinity {
        required: required(near.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref())),
        required_anti: required(
            far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
        ),
        preferred: preferred(
            near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
        ),
        preferred_anti: preferred(
            far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
        ),
    };
    (all != PodAffinity::default()).then(|| Box::new(all))
}

/// A term without namespaces and without a selector of them is about the pod's own. `matchLabelKeys` have been
/// merged into the selector by the API server (KEP-3633).
fn term(term: &PodAffinityTerm, namespace: &str) -> Term {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let namespaces = match (named, &term.namespace_selector) {
        ([], None) => [namespace.into()].into(),
        (named, _) => named.iter().map(|name| name.as_str().into()).collect(),
    };
    let scope = Scope {
        namespaces,
        namespace_selector: Selector::new(term.namespace_selector.as_ref()),
        labels: Selector::new(term.label_selector.as_ref()),
    };
    Term { scope, topology_key: term.topology_key.as_str().into() }
}

fn spread(spec: &PodSpec, labels: &Labels, action: &str) -> Box<[SpreadConstraint]> {
    let asked = spec.topology_spread_constraints.iter().flatten();
    asked
        .filter(|constraint| constraint.when_unsatisfiable == action)
        .map(|constraint| SpreadConstraint::new(constraint, labels))
        .collect()
}

impl SpreadConstraint {
    /// Of a pod's constraint, which may be about pods that have the same labels as it.
    pub fn new(constraint: &TopologySpreadConstraint, labels: &Labels) -> Self {
        let keys = constraint.match_label_keys.iter().flatten();
        let same = keys.filter_map(|key| Some((key.as_str(), labels.get(key)?)));
        Self {
            max_skew: constraint.max_skew,
            topology_key: constraint.topology_key.as_str().into(),
            selector: Selector::new(constraint.label_selector.as_ref()).and_labels(same),
            min_domains: constraint.min_domains.unwrap_or(1),
            honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}

/// The name by which nodes report an image: with a tag.
fn full_image_name(image: Option<&str>) -> Box<str> {
    let image = image.unwrap_or_default();
    if image.rfind(':') <= image.rfind('/') { format!("{image}:latest").into() } else { image.into() }
}

fn claim(pod: &str, volume: &Volume) -> Option<Claim> {
    if let Some(claim) = &volume.persistent_volume_claim {
        return Some(Claim { name: claim.claim_name.as_str().into(), ephemeral: false });
    }
    volume.ephemeral.as_ref()?;
    Some(Claim { name: format!("{pod}-{}", volume.name).into(), ephemeral: true })
}

fn disk(volume: &Volume) -> Option<Disk> {
    if let Some(gce) = &volume.gce_persistent_disk {
        return Some(Disk::Gce(gce.pd_name.as_str().into(), gce.read_only.unwrap_or_default()));
    }
    if let Some(aws) = &volume.aws_elastic_block_store {
        return Some(Disk::Aws(aws.volume_id.as_str().into()));
    }
    if let Some(iscsi) = &volume.iscsi {
        return Some(Disk::Iscsi(iscsi.iqn.as_str().into(), iscsi.read_only.unwrap_or_default()));
    }
    let rbd = volume.rbd.as_ref()?;
    let monitors = rbd.monitors.iter().map(|monitor| monitor.as_str().into()).collect();
    let pool = rbd.pool.as_deref().unwrap_or_default().into();
    Some(Disk::Rbd(monitors, pool, rbd.image.as_str().into(), rbd.read_only.unwrap_or_default()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(value: Value) -> Pod {
        Pod::new(&serde_json::from_value(value).unwrap(), &AddedAffinity::default())
    }

    #[test]
    fn pods_of_a_workload_share_a_class() {
        let of = |name: &str, cpu: &str| {
            pod(json!({"metadata": {"name": name, "namespace": "a", "uid": name, "labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}))
        };
        assert_eq!(of("a", "1").class, of("b", "1000m").class);
        assert_ne!(of("a", "1").class, of("b", "2").class);
    }

    #[test]
    fn host_ports() {
        let of = |ports: Value| {
            let pod = pod(json!({"spec": {"containers": [{"name": "c", "ports": ports}]}}));
            pod.class.ports.clone()
        };
        let port = |ip: &str, protocol: &str, port: i32| {
            of(json!([{"containerPort": 1, "hostIP": ip, "protocol": protocol, "hostPort": port}]))
        };
        // Cases of upstream's node_ports_test.go.
        for (one, other, conflicts) in [
            (port("127.0.0.1", "UDP", 8080), port("127.0.0.1", "UDP", 9090), false),
            (port("127.0.0.1", "UDP", 8080), port("127.0.0.1", "UDP", 8080), true),
            (port("127.0.0.1", "TCP", 8080), port("127.0.0.2", "TCP", 8080), false),
            (port("127.0.0.1", "TCP", 8080), port("127.0.0.1", "UDP", 8080), false),
            (port("0.0.0.0", "TCP", 8080), port("127.0.0.2", "TCP", 8080), true),
            (port("127.0.0.2", "", 8080), port("", "TCP", 8080), true),
        ] {
            assert_eq!(one[0].conflicts(&other[0]), conflicts, "{one:?} {other:?}");
        }
        assert!(of(json!([{"containerPort": 1}])).is_empty());
    }

    #[test]
    fn image_names() {
        for (image, full) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("localhost:5000/busybox", "localhost:5000/busybox:latest"),
            ("localhost:5000/busybox:1", "localhost:5000/busybox:1"),
        ] {
            assert_eq!(&*full_image_name(Some(image)), full);
        }
    }

    #[test]
    fn terms_without_namespaces_are_about_the_pods_own() {
        let of = |term: Value| {
            let pod = pod(json!({"metadata": {"namespace": "own"}, "spec": {"containers": [], "affinity":
                {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}}));
            pod.class.affinity.as_ref().unwrap().required[0].scope.clone()
        };
        let there = Class { namespace: "other".into(), ..Class::default() };
        let everything = json!({"labelSelector": {}, "topologyKey": "zone"});
        assert!(!of(everything.clone()).has(&there, &Labels::default()));
        let mut anywhere = everything.clone();
        anywhere["namespaceSelector"] = json!({});
        assert!(of(anywhere).has(&there, &Labels::default()));
        let mut named = everything;
        named["namespaces"] = json!(["other"]);
        assert!(of(named).has(&there, &Labels::default()));
    }
}
