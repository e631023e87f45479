//! What discovery does not tell of the built-in kinds, by hand.
//!
//! Upstream: the strategies and stores in `pkg/registry/*/*/{strategy,storage/storage}.go`.

use super::build::paths;
use super::fields::{FieldError, FieldReader, SelectableField, SelectableFields};
use super::generation::Generation;
use super::row::{DeletePolicy, MetaChecks};
use value::{Str, Value};

/// The rules of one kind.
pub(super) struct Rule {
    pub(super) delete: DeletePolicy,
    pub(super) graceful: bool,
    pub(super) returns_deleted: bool,
    pub(super) create_on_update: bool,
    pub(super) unconditional_update: bool,
    pub(super) resets: &'static [&'static str],
    pub(super) status_resets: &'static [&'static str],
    pub(super) generation: Generation,
    pub(super) lapses: bool,
}

/// Place of a group and of a version in it (`pkg/controlplane/apiserver/aggregator.go`).
pub(super) fn priority(group: &str, version: &str) -> (i32, i32) {
    let g = match group {
        "" => 18000,
        "apps" => 17800,
        "events.k8s.io" => 17750,
        "authentication.k8s.io" => 17700,
        "authorization.k8s.io" => 17600,
        "autoscaling" => 17500,
        "batch" => 17400,
        "certificates.k8s.io" => 17300,
        "networking.k8s.io" => 17200,
        "policy" => 17100,
        "rbac.authorization.k8s.io" => 17000,
        "storage.k8s.io" => 16800,
        "apiextensions.k8s.io" | "admissionregistration.k8s.io" => 16700,
        "scheduling.k8s.io" => 16600,
        "coordination.k8s.io" => 16500,
        "node.k8s.io" => 16300,
        "discovery.k8s.io" | "resource.k8s.io" => 16200,
        "flowcontrol.apiserver.k8s.io" => 16100,
        "apiregistration.k8s.io" => 20000,
        _ => 1000,
    };
    let v = match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io" | "resource.k8s.io", _) => 21,
        _ => 15,
    };
    (g, v)
}

/// The rules of a built-in kind.
pub(super) fn rule(group: &str, plural: &str) -> Rule {
    let (create_on_update, unconditional_update) = update_rules(group, plural);
    let (resets, status_resets) = resets(group, plural);
    Rule {
        delete: delete_policy(group, plural),
        graceful: (group, plural) == ("", "pods"),
        returns_deleted: returns_deleted(group, plural),
        create_on_update,
        unconditional_update,
        resets,
        status_resets,
        generation: generation(group, plural),
        lapses: plural == "events",
    }
}

/// What to warn of a deprecated kind (`+k8s:prerelease-lifecycle-gen` of its Go type).
pub(super) fn deprecation(group: &str, plural: &str) -> Option<&'static str> {
    match (group, plural) {
        ("", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        ("", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        _ => None,
    }
}

fn delete_policy(group: &str, plural: &str) -> DeletePolicy {
    match (group, plural) {
        (_, "events") => DeletePolicy::Unsupported,
        ("", "replicationcontrollers") | ("batch", "jobs") => DeletePolicy::Orphan,
        _ => DeletePolicy::Background,
    }
}

fn returns_deleted(group: &str, plural: &str) -> bool {
    match group {
        "" => matches!(
            plural,
            "resourcequotas"
                | "persistentvolumes"
                | "serviceaccounts"
                | "persistentvolumeclaims"
                | "namespaces"
                | "pods"
                | "services"
                | "podtemplates"
        ),
        "resource.k8s.io" => true,
        "storage.k8s.io" => plural != "csistoragecapacities",
        _ => false,
    }
}

/// `AllowCreateOnUpdate`, `AllowUnconditionalUpdate`.
fn update_rules(group: &str, plural: &str) -> (bool, bool) {
    let create = match group {
        "" => matches!(plural, "endpoints" | "events" | "limitranges" | "services"),
        "events.k8s.io" | "coordination.k8s.io" | "node.k8s.io" | "rbac.authorization.k8s.io" => true,
        _ => false,
    };
    let unconditional = match group {
        "admissionregistration.k8s.io"
        | "coordination.k8s.io"
        | "node.k8s.io"
        | "policy"
        | "apiextensions.k8s.io"
        | "apiregistration.k8s.io" => false,
        "storage.k8s.io" => matches!(plural, "storageclasses" | "volumeattributesclasses"),
        _ => true,
    };
    (create, unconditional)
}

/// `GetResetFields` of the main resource and of `status`.
fn resets(group: &str, plural: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match (group, plural) {
        ("apps", "deployments") => (&["status"], &["spec", "metadata.labels"]),
        ("", "pods") => (&["status"], &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]),
        ("certificates.k8s.io", _) => (&["spec", "status"], &["spec", "status.conditions"]),
        (
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicies"
            | "mutatingadmissionpolicybindings"
            | "mutatingwebhookconfigurations"
            | "validatingadmissionpolicybindings"
            | "validatingwebhookconfigurations",
        ) => (&[], &[]),
        (
            "admissionregistration.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io",
            _,
        )
        | ("networking.k8s.io", "servicecidrs")
        | ("resource.k8s.io", "resourceclaims")
        | ("storage.k8s.io", "volumeattachments") => (&["status"], &["metadata", "spec"]),
        ("apps", "daemonsets" | "replicasets" | "statefulsets")
        | ("autoscaling" | "batch" | "policy", _)
        | ("networking.k8s.io", "ingresses")
        | (
            "",
            "namespaces"
            | "nodes"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "replicationcontrollers"
            | "resourcequotas"
            | "services",
        ) => (&["status"], &["spec"]),
        _ => (&[], &[]),
    }
}

fn generation(group: &str, plural: &str) -> Generation {
    match (group, plural) {
        ("apps", "deployments") => Generation::Fields(paths(&["spec", "metadata.annotations"])),
        ("apps", "controllerrevisions") => Generation::None,
        ("networking.k8s.io", "networkpolicies") => Generation::ExactFields(paths(&["spec"])),
        ("apps" | "batch" | "policy" | "flowcontrol.apiserver.k8s.io" | "apiextensions.k8s.io", _)
        | ("", "pods" | "replicationcontrollers")
        | ("networking.k8s.io", "ingresses" | "ingressclasses")
        | ("resource.k8s.io", "deviceclasses" | "resourceslices") => Generation::Fields(paths(&["spec"])),
        ("", "podtemplates") => Generation::Fields(paths(&["template"])),
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations",
        ) => Generation::ExactFields(paths(&["webhooks"])),
        ("admissionregistration.k8s.io", _) => Generation::Fields(paths(&["spec"])),
        ("discovery.k8s.io", "endpointslices") => Generation::AllButAndLabels(paths(&["metadata"])),
        // It starts at 1 and never counts: its spec cannot change in a way that upstream would count.
        ("scheduling.k8s.io", "priorityclasses") => Generation::Fields(Vec::new()),
        ("storage.k8s.io", "csidrivers") => Generation::FieldsUnstarted(paths(&["spec"])),
        _ => Generation::None,
    }
}

/// What the strategies' `ValidateUpdate` checks of metadata; measured of a real server.
pub(super) fn update_meta(group: &str, plural: &str, subresource: &str) -> MetaChecks {
    match (group, plural, subresource) {
        ("admissionregistration.k8s.io", _, "")
        | ("discovery.k8s.io" | "flowcontrol.apiserver.k8s.io", _, "")
        | ("storage.k8s.io", "csinodes" | "volumeattachments", _) => MetaChecks::WHOLE,
        ("rbac.authorization.k8s.io", _, "")
        | ("certificates.k8s.io", _, _)
        | ("resource.k8s.io", "deviceclasses", "") => MetaChecks::AROUND,
        ("apps", "controllerrevisions", "")
        | ("networking.k8s.io", "ingresses" | "ingressclasses", "")
        | ("storage.k8s.io", "volumeattributesclasses", "") => MetaChecks::TURNED,
        ("node.k8s.io", _, "")
        | ("batch", "jobs", "")
        | ("resource.k8s.io", "resourceclaims" | "resourceclaimtemplates", "")
        | ("storage.k8s.io", "csistoragecapacities" | "storageclasses", "") => MetaChecks::BOTH,
        ("policy", _, _)
        | ("batch", "cronjobs", "status")
        | ("admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io", _, "status")
        | ("" | "events.k8s.io", "events", _)
        | ("networking.k8s.io", "ipaddresses", "")
        | ("apiregistration.k8s.io", _, "")
        | ("", "limitranges" | "namespaces" | "nodes" | "persistentvolumes", "") => MetaChecks::NONE,
        _ => MetaChecks::USUAL,
    }
}

/// The selectable fields of a built-in kind.
pub(super) fn fields(group: &str, version: &str, plural: &str) -> SelectableFields {
    let label = |fields: Vec<SelectableField>| SelectableFields {
        fields,
        error: FieldError::Label,
        ..SelectableFields::default()
    };
    let cluster = |fields: Vec<SelectableField>| SelectableFields { no_namespace: true, ..label(fields) };
    match (group, plural) {
        ("", "pods") => SelectableFields {
            aliases: vec![("spec.host".into(), "spec.nodeName".into())],
            ..label(vec![
                at("spec.nodeName", ""),
                at("spec.restartPolicy", ""),
                at("spec.schedulerName", ""),
                at("spec.serviceAccountName", ""),
                at("spec.hostNetwork", "false"),
                at("status.phase", ""),
                by("status.podIP", pod_ip),
                // Accepted but never filled in by upstream.
                by("status.podIPs", |_| Str::default()),
                at("status.nominatedNodeName", ""),
            ])
        },
        ("", "nodes") => cluster(vec![at("spec.unschedulable", "false")]),
        ("", "namespaces") => cluster(vec![at("status.phase", "")]),
        ("", "secrets") => label(vec![at("type", "")]),
        ("", "services") => label(vec![at("spec.clusterIP", ""), at("spec.type", "")]),
        ("", "replicationcontrollers") => label(vec![at("status.replicas", "0")]),
        ("", "events") => label(event_fields()),
        // Values are kept under the names of the stored version, core/v1.
        ("events.k8s.io", "events") => SelectableFields {
            fields: Vec::new(),
            aliases: [
                ("regarding.kind", "involvedObject.kind"),
                ("regarding.namespace", "involvedObject.namespace"),
                ("regarding.name", "involvedObject.name"),
                ("regarding.uid", "involvedObject.uid"),
                ("regarding.apiVersion", "involvedObject.apiVersion"),
                ("regarding.resourceVersion", "involvedObject.resourceVersion"),
                ("regarding.fieldPath", "involvedObject.fieldPath"),
                ("reportingController", "reportingComponent"),
                ("reason", "reason"),
                ("type", "type"),
            ]
            .map(|(label, meant)| (label.into(), meant.into()))
            .to_vec(),
            error: FieldError::Label,
            no_namespace: false,
        },
        ("batch", "jobs") => SelectableFields {
            fields: vec![SelectableField {
                label: "status.successful".into(),
                read: FieldReader::Path(vec!["status".into(), "succeeded".into()], "0".into()),
            }],
            error: FieldError::QuotedFor("Job".into()),
            ..SelectableFields::default()
        },
        ("certificates.k8s.io", "certificatesigningrequests") => cluster(vec![at("spec.signerName", "")]),
        ("resource.k8s.io", "resourceslices") => SelectableFields {
            fields: vec![at("spec.nodeName", ""), at("spec.driver", "")],
            error: FieldError::For(format!("{group}/{version}, Kind=ResourceSlice").into()),
            no_namespace: true,
            aliases: Vec::new(),
        },
        ("apiextensions.k8s.io" | "apiregistration.k8s.io", _) => SelectableFields::default(),
        _ => SelectableFields::default(),
    }
}

fn event_fields() -> Vec<SelectableField> {
    vec![
        at("involvedObject.kind", ""),
        at("involvedObject.namespace", ""),
        at("involvedObject.name", ""),
        at("involvedObject.uid", ""),
        at("involvedObject.apiVersion", ""),
        at("involvedObject.resourceVersion", ""),
        at("involvedObject.fieldPath", ""),
        at("reason", ""),
        at("reportingComponent", ""),
        by("source", event_source),
        at("type", ""),
    ]
}

fn at(label: &str, zero: &str) -> SelectableField {
    let path = label.split('.').map(Str::from).collect();
    SelectableField { label: label.into(), read: FieldReader::Path(path, zero.into()) }
}

fn by(label: &str, read: fn(&Value) -> Str) -> SelectableField {
    SelectableField { label: label.into(), read: FieldReader::Function(read) }
}

fn pod_ip(pod: &Value) -> Str {
    let status = pod.at("status");
    let first = status.at("podIPs").items().first().map_or("", |ip| ip.at("ip").str());
    // Writers that know only the singular field: upstream's conversion copies it over.
    if first.is_empty() { status.at("podIP").str().into() } else { first.into() }
}

fn event_source(event: &Value) -> Str {
    let component = event.at("source").at("component").str();
    if component.is_empty() { event.at("reportingComponent").str().into() } else { component.into() }
}
