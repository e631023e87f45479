//! Controllers of the cluster itself: namespaces, garbage, accounts and certificates, endpoints, nodes,
//! quotas, volumes.

mod bootstrap_token;
mod certificates;
mod cluster_role_aggregation;
mod discovery;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod ephemeral_volume;
mod garbage_collector;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod persistent_volume;
mod resource_quota;
mod root_ca;
mod service_account;
mod service_account_token;
mod service_cidr;
mod service_pods;
mod taint_eviction;
mod ttl;
mod validating_admission_policy_status;
mod volume_protection;

use crate::context::Row;

/// All controllers of this folder.
pub const fn controllers() -> &'static [Row] {
    &[
        Row { name: "serviceaccount-controller", start: service_account::start },
        Row { name: "root-ca-certificate-publisher-controller", start: root_ca::start },
        Row { name: "namespace-controller", start: namespace::start },
        Row { name: "garbage-collector-controller", start: garbage_collector::start },
        Row { name: "endpointslice-controller", start: endpoint_slice::start },
        Row { name: "endpoints-controller", start: endpoints::start },
        Row { name: "node-ipam-controller", start: node_ipam::start },
        Row { name: "node-lifecycle-controller", start: node_lifecycle::start },
        Row { name: "taint-eviction-controller", start: taint_eviction::start },
        Row { name: "certificatesigningrequest-approving-controller", start: certificates::start_approver },
        Row { name: "certificatesigningrequest-signing-controller", start: certificates::start_signer },
        Row { name: "certificatesigningrequest-cleaner-controller", start: certificates::start_cleaner },
        Row { name: "resourcequota-controller", start: resource_quota::start },
        Row { name: "persistentvolumeclaim-protection-controller", start: volume_protection::start_claims },
        Row { name: "persistentvolume-protection-controller", start: volume_protection::start_volumes },
        Row { name: "volumeattributesclass-protection-controller", start: volume_protection::start_classes },
        Row { name: "persistentvolume-binder-controller", start: persistent_volume::start },
        Row { name: "ephemeral-volume-controller", start: ephemeral_volume::start },
        Row { name: "endpointslice-mirroring-controller", start: endpoint_slice_mirroring::start },
        Row { name: "serviceaccount-token-controller", start: service_account_token::start },
        Row { name: "bootstrap-signer-controller", start: bootstrap_token::start_signer },
        Row { name: "token-cleaner-controller", start: bootstrap_token::start_cleaner },
        Row { name: "service-cidr-controller", start: service_cidr::start },
        Row { name: "ttl-controller", start: ttl::start },
        Row { name: "clusterrole-aggregation-controller", start: cluster_role_aggregation::start },
        Row {
            name: "validatingadmissionpolicy-status-controller",
            start: validating_admission_policy_status::start,
        },
    ]
}
