//! What `kubectl get` prints: the columns of a kind and the cells of an object.
//!
//! Upstream: `pkg/printers/internalversion/printers.go`; kinds without printer have the columns of
//! `k8s.io/apiserver/pkg/registry/rest/table.go`. Cells are made from objects in hub form.

mod admission;
mod format;
mod network;
mod pod;
mod policy;
mod storage;
mod workloads;

use crate::Row;
use format::{age, name, none};
use meta::time::Time;
use std::collections::HashMap;
use std::sync::LazyLock;
use value::Value;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Where the columns of each resource begin in the text.
static DEFINITIONS: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let mut map: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut current: Vec<&str> = Vec::new();
    for line in include_str!("columns/definitions.txt").lines().filter(|l| !l.starts_with('#')) {
        match line.strip_prefix('=') {
            Some(resources) => current = resources.split(' ').collect(),
            None => current.iter().for_each(|r| map.entry(r).or_default().push(line)),
        }
    }
    map
});

/// `columnDefinitions` of a kind.
pub fn definitions(row: &Row) -> Value {
    let columns = match DEFINITIONS.get(row.group_resource().as_str()) {
        Some(lines) => lines.iter().map(|line| column(line)).collect(),
        None => vec![column("Name\tstring\tname\t0\t@name"), column("Created At\tdate\t\t0\t@age")],
    };
    Value::Array(columns)
}

fn column(line: &str) -> Value {
    let mut parts = line.split('\t');
    let mut next = || parts.next().unwrap_or_default();
    let mut column = Value::object();
    column.set("name", next());
    column.set("type", next());
    column.set("format", next());
    column.set("priority", next().parse::<i64>().unwrap_or(0));
    column.set("description", description(next()));
    column
}

/// What is said of a column that shows an object's age.
pub fn age_description() -> String {
    explain::of_field(OBJECT_META, "creationTimestamp")
}

fn description(text: &str) -> String {
    match text.strip_prefix('@') {
        Some("name") => explain::of_field(OBJECT_META, "name"),
        Some("age") => age_description(),
        Some(field) => {
            let (definition, field) = field.split_once(' ').unwrap_or((field, ""));
            explain::of_field(definition, field)
        }
        // Texts of API versions that are no longer served stand here themselves.
        None => text.replace("\\n", "\n"),
    }
}

/// Takes out of metadata that is shown alone what upstream keeps in its internal types instead: the generation of a
/// DaemonSet's template.
pub fn hide_internal(row: &Row, object: &mut Value) {
    if row.group != "apps" || row.plural != "daemonsets" {
        return;
    }
    let Some(metadata) = object.get_mut("metadata") else { return };
    let Some(annotations) = metadata.get_mut("annotations") else { return };
    annotations.remove("deprecated.daemonset.template.generation");
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
}

/// Whether upstream has a printer for the kind; Tables that the general one makes have no rows at all (null) where
/// there is nothing to show.
pub fn are_own(row: &Row) -> bool {
    !definitions(row).items().iter().any(|column| column.at("name").str() == "Created At")
}

/// The `conditions` of an object's row: what tells clients that a pod has ended.
pub fn conditions(row: &Row, object: &Value) -> Option<Value> {
    (row.group.is_empty() && row.plural == "pods").then(|| pod::conditions(object)).flatten()
}

/// Where the row of an object stands among those of a list: the lower the higher up, and rows of one rank in the order of
/// their list. Flow schemas are shown in the order in which they are tried.
pub fn rank(row: &Row, object: &Value) -> i64 {
    let is_ranked = row.plural == "flowschemas" && row.group == "flowcontrol.apiserver.k8s.io";
    if is_ranked { object.at("spec").at("matchingPrecedence").int() } else { 0 }
}

/// The cells of an object, one for each column.
pub fn cells(row: &Row, object: &Value, now: Time) -> Vec<Value> {
    let o = object;
    let resource = row.group_resource();
    match resource.as_str() {
        "pods" => pod::cells(o, now),
        "podtemplates" => workloads::pod_template(o),
        "replicationcontrollers" => workloads::replica_set(o, now, workloads::Selector::Set),
        "replicasets.apps" => workloads::replica_set(o, now, workloads::Selector::Label),
        "daemonsets.apps" => workloads::daemon_set(o, now),
        "deployments.apps" => workloads::deployment(o, now),
        "statefulsets.apps" => workloads::stateful_set(o, now),
        "controllerrevisions.apps" => workloads::controller_revision(o, now),
        "jobs.batch" => workloads::job(o, now),
        "cronjobs.batch" => workloads::cron_job(o, now),
        "scale" => {
            let replicas = |part: &str| o.at(part).at("replicas").int().into();
            vec![name(o), replicas("spec"), replicas("status"), age(o, now)]
        }
        "horizontalpodautoscalers.autoscaling" => workloads::autoscaler(o, now),
        "poddisruptionbudgets.policy" => workloads::disruption_budget(o, now),
        "services" => network::service(o, now),
        "endpoints" => network::endpoints(o, now),
        "endpointslices.discovery.k8s.io" => network::endpoint_slice(o, now),
        "ingresses.networking.k8s.io" => network::ingress(o, now),
        "ingressclasses.networking.k8s.io" => network::ingress_class(o, now),
        "networkpolicies.networking.k8s.io" => network::network_policy(o, now),
        "servicecidrs.networking.k8s.io" => {
            let cidrs: Vec<&str> = o.at("spec").at("cidrs").items().iter().map(Value::str).collect();
            vec![name(o), cidrs.join(",").into(), age(o, now)]
        }
        "ipaddresses.networking.k8s.io" => network::ip_address(o, now),
        "nodes" => network::node(o, now),
        "namespaces" => vec![name(o), o.at("status").at("phase").str().into(), age(o, now)],
        "secrets" => vec![name(o), o.at("type").str().into(), format::count(o.at("data")), age(o, now)],
        "configmaps" => {
            let n = o.at("data").entries().count() + o.at("binaryData").entries().count();
            vec![name(o), format::number(n), age(o, now)]
        }
        "serviceaccounts" => vec![name(o), age(o, now)],
        "events" | "events.events.k8s.io" => policy::event(o, now),
        "resourcequotas" => policy::resource_quota(o, now),
        "persistentvolumes" => storage::volume(o, now),
        "persistentvolumeclaims" => storage::claim(o, now),
        "storageclasses.storage.k8s.io" => storage::class(o, now),
        "volumeattributesclasses.storage.k8s.io" => {
            vec![storage::name_with_default(o), o.at("driverName").str().into(), age(o, now)]
        }
        "volumeattachments.storage.k8s.io" => storage::attachment(o, now),
        "csinodes.storage.k8s.io" => {
            vec![name(o), format::number(o.at("spec").at("drivers").items().len()), age(o, now)]
        }
        "csidrivers.storage.k8s.io" => storage::driver(o, now),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            policy::role_binding(o, now)
        }
        "certificatesigningrequests.certificates.k8s.io" => policy::signing_request(o, now),
        "leases.coordination.k8s.io" => {
            vec![name(o), o.at("spec").at("holderIdentity").str().into(), age(o, now)]
        }
        "priorityclasses.scheduling.k8s.io" => vec![
            name(o),
            o.at("value").int().into(),
            o.at("globalDefault").bool().into(),
            age(o, now),
            o.at("preemptionPolicy").str().into(),
        ],
        "runtimeclasses.node.k8s.io" => vec![name(o), o.at("handler").str().into(), age(o, now)],
        "mutatingwebhookconfigurations.admissionregistration.k8s.io"
        | "validatingwebhookconfigurations.admissionregistration.k8s.io" => {
            vec![name(o), format::number(o.at("webhooks").items().len()), age(o, now)]
        }
        "validatingadmissionpolicies.admissionregistration.k8s.io" => {
            admission::policy(o, o.at("spec").at("validations"), now)
        }
        "mutatingadmissionpolicies.admissionregistration.k8s.io" => {
            admission::policy(o, o.at("spec").at("mutations"), now)
        }
        "validatingadmissionpolicybindings.admissionregistration.k8s.io"
        | "mutatingadmissionpolicybindings.admissionregistration.k8s.io" => admission::binding(o, now),
        "componentstatuses" => policy::component_status(o),
        "apiservices.apiregistration.k8s.io" => policy::api_service(o, now),
        "flowschemas.flowcontrol.apiserver.k8s.io" => policy::flow_schema(o, now),
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" => policy::priority_level(o, now),
        "deviceclasses.resource.k8s.io" | "resourceclaimtemplates.resource.k8s.io" => {
            vec![name(o), age(o, now)]
        }
        "resourceclaims.resource.k8s.io" => policy::resource_claim(o, now),
        "resourceslices.resource.k8s.io" => vec![
            name(o),
            o.at("spec").at("nodeName").str().into(),
            o.at("spec").at("driver").str().into(),
            o.at("spec").at("pool").at("name").str().into(),
            age(o, now),
        ],
        _ => {
            let created = o.at("metadata").at("creationTimestamp").str();
            vec![name(o), none(created)]
        }
    }
}
