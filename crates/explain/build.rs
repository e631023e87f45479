//! Takes the descriptions of all built-in types and fields out of the `k8s-openapi` crate, so that this
//! project holds none of these sentences itself.
//!
//! Writes one text: a line `=<definition>`, then that definition's description, then for each field a line
//! `.<field>` and its description. Newlines within a description are written as `\n`.

use schemars::SchemaGenerator;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The groups and versions that are served, and the kinds whose definitions lead to all others.
macro_rules! kinds {
    ($generator:ident: $module:path { $($kind:ident),+ $(,)? }) => {{
        use $module as module;
        $($generator.subschema_for::<module::$kind>();)+
    }};
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let mut generator = SchemaGenerator::default();
    definitions(&mut generator);
    let mut definitions: Vec<(String, Value)> = generator.take_definitions(true).into_iter().collect();
    definitions.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::new();
    for (name, schema) in &definitions {
        let line =
            |v: &Value| v["description"].as_str().unwrap_or("").replace('\\', "\\\\").replace('\n', "\\n");
        _ = writeln!(out, "={name}\n{}", line(schema));
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            _ = writeln!(out, ".{field}\n{}", line(schema));
        }
    }
    let path = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("texts.txt");
    std::fs::write(&path, out).expect("OUT_DIR can be written");
}

fn definitions(generator: &mut SchemaGenerator) {
    kinds!(generator: k8s_openapi::api::core::v1 {
        Binding, ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
        PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, Service,
        ServiceAccount,
    });
    kinds!(generator: k8s_openapi::api::apps::v1 { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet });
    kinds!(generator: k8s_openapi::api::batch::v1 { CronJob, Job });
    kinds!(generator: k8s_openapi::api::autoscaling::v1 { HorizontalPodAutoscaler, Scale });
    kinds!(generator: k8s_openapi::api::autoscaling::v2 { HorizontalPodAutoscaler });
    kinds!(generator: k8s_openapi::api::policy::v1 { Eviction, PodDisruptionBudget });
    kinds!(generator: k8s_openapi::api::networking::v1 { Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR });
    kinds!(generator: k8s_openapi::api::discovery::v1 { EndpointSlice });
    kinds!(generator: k8s_openapi::api::events::v1 { Event });
    kinds!(generator: k8s_openapi::api::coordination::v1 { Lease });
    kinds!(generator: k8s_openapi::api::node::v1 { RuntimeClass });
    kinds!(generator: k8s_openapi::api::scheduling::v1 { PriorityClass });
    kinds!(generator: k8s_openapi::api::rbac::v1 { ClusterRole, ClusterRoleBinding, Role, RoleBinding });
    kinds!(generator: k8s_openapi::api::storage::v1 {
        CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass,
    });
    kinds!(generator: k8s_openapi::api::certificates::v1 { CertificateSigningRequest });
    kinds!(generator: k8s_openapi::api::flowcontrol::v1 { FlowSchema, PriorityLevelConfiguration });
    kinds!(generator: k8s_openapi::api::resource::v1 { DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice });
    kinds!(generator: k8s_openapi::api::admissionregistration::v1 {
        MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
        ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
    });
    kinds!(generator: k8s_openapi::api::authentication::v1 { SelfSubjectReview, TokenRequest, TokenReview });
    kinds!(generator: k8s_openapi::api::authorization::v1 {
        LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
    });
    kinds!(generator: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 { CustomResourceDefinition });
    kinds!(generator: k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 { APIService });
    kinds!(generator: k8s_openapi::apimachinery::pkg::apis::meta::v1 {
        APIGroup, APIGroupList, APIResourceList, APIVersions, DeleteOptions, ListMeta, Status,
    });
}
