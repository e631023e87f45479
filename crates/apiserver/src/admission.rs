//! Admission: what may change or refuse a write after authorization and before it is stored.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission`; the order of plugins is that of
//! `pkg/kubeapiserver/options/plugins.go`. Objects are in the hub version here.

mod certificates;
mod claim_resize;
mod compiled;
mod declared_features;
mod default_class;
mod default_tolerations;
mod expressions;
mod limit_ranger;
mod matching;
mod mutating_policy;
mod namespace_lifecycle;
mod node_restriction;
mod objects;
mod params;
mod pod_resize;
mod pod_security;
mod pod_topology_labels;
mod priority;
mod reinvocation;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_protection;
mod taint_nodes;
mod validating_policy;
pub(crate) mod webhooks;

use crate::call::Call;
use crate::resource::Target;
use futures_util::future::BoxFuture;
use meta::gvk::{GroupResource, GroupVersionKind, GroupVersionResource};
use meta::status::Status;
use std::fmt;
use value::{Str, Value};

/// What happens to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// Somebody connects to it.
    Connect,
}

impl Operation {
    /// As webhooks and policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What admission is told of a write, besides the object.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// What happens.
    pub operation: Operation,
    /// The kind of the object (of the subresource's body, where it has one of its own).
    pub kind: GroupVersionKind,
    /// The resource of the request.
    pub resource: GroupVersionResource,
    /// The subresource; empty for the object itself.
    pub subresource: Str,
    /// The namespace; empty for cluster-scoped objects, the namespace's own name for namespaces.
    pub namespace: Str,
    /// The name; empty where it is yet to be generated.
    pub name: Str,
    /// From what the name is generated, if it is.
    pub generate_name: Str,
    /// Create-, Update-, Patch- or DeleteOptions.
    pub options: Value,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// What plugins of the first round leave for the second.
    pub(crate) reinvocation: reinvocation::Reinvocation,
}

impl Attributes {
    /// The attributes of a write of `target`.
    pub fn new(call: &Call, target: &Target, operation: Operation, name: &str, dry_run: bool) -> Self {
        let row = &target.served.row;
        let kind = match &target.sub {
            Some(sub) if !sub.kind.is_empty() && (!sub.group.is_empty() || !sub.version.is_empty()) => {
                GroupVersionKind::new(sub.group.clone(), sub.version.clone(), sub.kind.clone())
            }
            Some(sub) => GroupVersionKind::new(row.group.clone(), row.version.clone(), sub.kind.clone()),
            None => GroupVersionKind::new(row.group.clone(), row.version.clone(), row.kind.clone()),
        };
        let namespace = if row.group.is_empty() && row.plural == "namespaces" {
            Str::from(name)
        } else {
            call.info.namespace.clone()
        };
        Self {
            operation,
            kind,
            resource: GroupVersionResource::new(row.group.clone(), row.version.clone(), row.plural.clone()),
            subresource: target.sub.as_ref().map(|s| s.name.clone()).unwrap_or_default(),
            namespace,
            name: name.into(),
            generate_name: Str::default(),
            options: Value::Null,
            dry_run,
            reinvocation: reinvocation::Reinvocation::default(),
        }
    }

    /// Whether the write is of this resource itself (no subresource).
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.subresource.is_empty() && self.resource.group == group && self.resource.resource == resource
    }

    /// The name as the client gave it: a generated one is not known to upstream's plugins.
    pub fn given_name(&self) -> &str {
        if self.generate_name.is_empty() { &self.name } else { "" }
    }

    /// Whether the write makes such an object (no subresource).
    pub fn creates(&self, group: &str, resource: &str) -> bool {
        self.operation == Operation::Create && self.is(group, resource)
    }

    /// Group and resource.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.resource.group.clone(), self.resource.resource.clone())
    }

    /// 403 as a plugin says it: `<resource> "<name>" is forbidden: <why>`.
    pub fn forbidden(&self, why: impl fmt::Display) -> Status {
        let names = [self.name.as_str(), self.generate_name.as_str()];
        let name = names.into_iter().find(|n| !n.is_empty()).unwrap_or("Unknown");
        Status::forbidden(&self.group_resource(), name, why)
    }
}

/// A plugin that decides from the caches at once.
pub trait Plugin: Send + Sync {
    /// Whether it has a say in this.
    fn handles(&self, attributes: &Attributes) -> bool;

    /// Changes the object, or refuses it.
    ///
    /// # Errors
    /// The refusal.
    fn admit(
        &self,
        _call: &Call,
        _attributes: &mut Attributes,
        _object: &mut Value,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses the object as it will be stored; for a deletion there is only the old one.
    ///
    /// # Errors
    /// The refusal.
    fn validate(
        &self,
        _call: &Call,
        _attributes: &Attributes,
        _object: Option<&Value>,
        _old: Option<&Value>,
    ) -> Result<(), Status> {
        Ok(())
    }
}

/// A plugin that has to ask somebody (webhooks), or to write (quota).
pub trait AsyncPlugin: Send + Sync {
    /// Whether it has a say in this; false costs no allocation.
    fn handles(&self, call: &Call, attributes: &Attributes) -> bool;

    /// See [`Plugin::admit`].
    fn admit<'a>(
        &'a self,
        _call: &'a Call,
        _attributes: &'a mut Attributes,
        _object: &'a mut Value,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async { Ok(()) })
    }

    /// See [`Plugin::validate`].
    fn validate<'a>(
        &'a self,
        _call: &'a Call,
        _attributes: &'a Attributes,
        _object: Option<&'a Value>,
        _old: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<(), Status>> {
        Box::pin(async { Ok(()) })
    }
}

enum Link {
    Now(Box<dyn Plugin>),
    Later(Box<dyn AsyncPlugin>),
}

/// Upstream's plugins that nothing is to be done for here: they are off there, too, unless somebody asks for them, or
/// are about what is not served.
const OFF: [&str; 17] = [
    "AlwaysAdmit",
    "AlwaysDeny",
    "AlwaysPullImages",
    "ClusterTrustBundleAttest",
    "DenyServiceExternalIPs",
    "EventRateLimit",
    "ExtendedResourceToleration",
    "ImagePolicyWebhook",
    "JobValidation",
    "LimitPodHardAntiAffinityTopology",
    "NamespaceAutoProvision",
    "NamespaceExists",
    "OwnerReferencesPermissionEnforcement",
    "PodGroupProtection",
    "PodGroupWorkloadExists",
    "PodNodeSelector",
    "PodTolerationRestriction",
];

/// The plugins in order, by upstream's names.
pub struct Admission {
    chain: Vec<(&'static str, Link)>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.chain.iter().map(|(name, _)| name)).finish()
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::standard()
    }
}

impl Admission {
    /// Upstream's default set but for those (`--disable-admission-plugins`).
    ///
    /// # Errors
    /// The first name that is no plugin's.
    pub fn without<N: AsRef<str>>(names: &[N]) -> Result<Self, String> {
        let mut this = Self::standard();
        for name in names.iter().map(AsRef::as_ref) {
            let before = this.chain.len();
            this.chain.retain(|(of, _)| *of != name);
            if this.chain.len() == before && !OFF.contains(&name) {
                return Err(format!("admission plugin {name:?} is unknown"));
            }
        }
        Ok(this)
    }

    /// Upstream's default set.
    fn standard() -> Self {
        let mut chain = Self { chain: Vec::new() };
        chain.later("NamespaceLifecycle", namespace_lifecycle::NamespaceLifecycle::default());
        chain.now("LimitRanger", limit_ranger::LimitRanger);
        chain.later("ServiceAccount", service_account::ServiceAccount);
        chain.now("NodeRestriction", node_restriction::NodeRestriction);
        chain.now("TaintNodesByCondition", taint_nodes::TaintNodesByCondition);
        chain.later("PodSecurity", pod_security::PodSecurity);
        chain.now("Priority", priority::Priority::default());
        chain.now("DefaultTolerationSeconds", default_tolerations::DefaultTolerationSeconds);
        chain.now("DefaultStorageClass", default_class::storage());
        chain.now("StorageObjectInUseProtection", storage_protection::StorageObjectInUseProtection);
        chain.now("PersistentVolumeClaimResize", claim_resize::PersistentVolumeClaimResize);
        chain.later("RuntimeClass", runtime_class::RuntimeClass);
        chain.now("CertificateApproval", certificates::CertificateApproval);
        chain.now("CertificateSigning", certificates::CertificateSigning);
        chain.now("CertificateSubjectRestriction", certificates::CertificateSubjectRestriction);
        chain.now("DefaultIngressClass", default_class::ingress());
        chain.now("PodTopologyLabels", pod_topology_labels::PodTopologyLabels);
        chain.now("NodeDeclaredFeatureValidator", declared_features::DeclaredFeatures);
        chain.now("PodResizeValidator", pod_resize::PodResizeValidator);
        chain.later("MutatingAdmissionPolicy", mutating_policy::MutatingAdmissionPolicy::default());
        chain.later("MutatingAdmissionWebhook", webhooks::MutatingWebhook::default());
        chain.later("ValidatingAdmissionPolicy", validating_policy::ValidatingAdmissionPolicy::default());
        chain.later("ValidatingAdmissionWebhook", webhooks::ValidatingWebhook::default());
        chain.later("ResourceQuota", resource_quota::ResourceQuota::default());
        chain
    }

    fn now(&mut self, name: &'static str, plugin: impl Plugin + 'static) {
        self.chain.push((name, Link::Now(Box::new(plugin))));
    }

    fn later(&mut self, name: &'static str, plugin: impl AsyncPlugin + 'static) {
        self.chain.push((name, Link::Later(Box::new(plugin))));
    }

    /// Lets every plugin change the object: once more when a webhook changed it, so that what comes before
    /// webhooks sees their changes.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(
        &self,
        call: &Call,
        attributes: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if attributes.name.is_empty() {
            attributes.generate_name = object.at("metadata").at("generateName").str().into();
        }
        self.mutate(call, attributes, object, old).await?;
        if !attributes.reinvocation.wanted {
            return Ok(());
        }
        attributes.reinvocation.again = true;
        self.mutate(call, attributes, object, old).await
    }

    /// One round of mutation.
    async fn mutate(
        &self,
        call: &Call,
        attributes: &mut Attributes,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        for (_, link) in &self.chain {
            match link {
                Link::Now(p) if p.handles(attributes) => p.admit(call, attributes, object, old)?,
                Link::Later(p) if p.handles(call, attributes) => {
                    p.admit(call, attributes, object, old).await?
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets every plugin refuse the object as it will be stored.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(
        &self,
        call: &Call,
        attributes: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        for (_, link) in &self.chain {
            match link {
                Link::Now(p) if p.handles(attributes) => p.validate(call, attributes, object, old)?,
                Link::Later(p) if p.handles(call, attributes) => {
                    p.validate(call, attributes, object, old).await?
                }
                _ => {}
            }
        }
        Ok(())
    }
}
