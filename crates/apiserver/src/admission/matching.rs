//! Which requests a policy or a webhook is about.
//!
//! Upstream: `k8s.io/apiserver/pkg/admission/plugin/{policy/matching,webhook/predicates}`.

use super::{Attributes, Operation, objects};
use crate::cache::Entry;
use crate::call::Call;
use crate::resource::Served;
use meta::gvk::{GroupResource, GroupVersionKind, GroupVersionResource};
use meta::labels::Selector;
use meta::status::Status;
use std::sync::Arc;
use value::{Str, Value};

/// The namespace of a request, for selectors and expressions.
pub(super) struct Namespace {
    entry: Option<Arc<Entry>>,
}

impl Namespace {
    /// Looks it up: in the cache, then in the store. Requests for a namespace itself bring their own labels,
    /// except deletions.
    pub(super) async fn of(call: &Call, a: &Attributes) -> Result<Self, Status> {
        if a.namespace.is_empty() {
            return Ok(Self { entry: None });
        }
        let Some(hub) = call.api.hub("", "namespaces") else { return Ok(Self { entry: None }) };
        if let Some(entry) = hub.cache.get(&a.namespace) {
            return Ok(Self { entry: Some(entry) });
        }
        Ok(Self { entry: objects::read(call, &hub, "", &a.namespace).await?.map(Arc::new) })
    }

    /// The object as expressions see it; null if there is none.
    pub(super) fn object(&self, call: &Call) -> Value {
        let (Some(entry), Some(hub)) = (&self.entry, call.api.hub("", "namespaces")) else {
            return Value::Null;
        };
        let mut namespace = hub.tree(entry);
        namespace.remove("apiVersion");
        namespace.remove("kind");
        if let Some(metadata) = namespace.object_at("metadata") {
            metadata.remove("managedFields");
            metadata.remove("ownerReferences");
        }
        namespace
    }
}

/// One rule.
pub(super) struct Rule {
    operations: Vec<Str>,
    groups: Vec<Str>,
    versions: Vec<Str>,
    /// Resource and subresource.
    resources: Vec<(Str, Str)>,
    scope: Str,
    names: Vec<Str>,
}

fn strings(list: &Value) -> Vec<Str> {
    list.items().iter().map(|v| v.str().into()).collect()
}

impl Rule {
    pub(super) fn new(rule: &Value) -> Self {
        let resources = rule.at("resources").items().iter().map(|r| {
            let (resource, sub) = r.str().split_once('/').unwrap_or((r.str(), ""));
            (resource.into(), sub.into())
        });
        Self {
            operations: strings(rule.at("operations")),
            groups: strings(rule.at("apiGroups")),
            versions: strings(rule.at("apiVersions")),
            resources: resources.collect(),
            scope: rule.at("scope").str().into(),
            names: strings(rule.at("resourceNames")),
        }
    }

    fn matches(&self, a: &Attributes, resource: &GroupVersionResource) -> bool {
        let any = |list: &[Str], wanted: &str| list.iter().any(|v| v == "*" || v == wanted);
        let cluster = a.namespace.is_empty()
            || (resource.group.is_empty() && resource.resource == "namespaces" && resource.version == "v1");
        let in_scope = match self.scope.as_str() {
            "" | "*" => true,
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => false,
        };
        in_scope
            && any(&self.operations, a.operation.as_str())
            && any(&self.groups, &resource.group)
            && any(&self.versions, &resource.version)
            && self.resources.iter().any(|(r, sub)| {
                (r == "*" || *r == resource.resource) && (sub == "*" || *sub == a.subresource)
            })
            && (self.names.is_empty() || self.names.contains(&Str::from(a.given_name())))
    }
}

/// As what a request matched: in which version the object is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) resource: GroupVersionResource,
    pub(super) kind: GroupVersionKind,
}

/// What a policy, a binding or a webhook is about.
pub(super) struct Match {
    namespaces: Result<Selector, String>,
    objects: Result<Selector, String>,
    exclude: Vec<Rule>,
    rules: Vec<Rule>,
    /// Without rules: all, or nothing.
    all_without_rules: bool,
    equivalent: bool,
}

fn selector(value: &Value) -> Result<Selector, String> {
    if value.is_null() {
        return Ok(Selector::everything());
    }
    Selector::from_label_selector(value).map_err(|e| e.to_string())
}

impl Match {
    /// `matchConstraints` or `matchResources`.
    pub(super) fn of_policy(resources: &Value) -> Self {
        let rules = |field: &str| resources.at(field).items().iter().map(Rule::new).collect();
        Self {
            namespaces: selector(resources.at("namespaceSelector")),
            objects: selector(resources.at("objectSelector")),
            exclude: rules("excludeResourceRules"),
            rules: rules("resourceRules"),
            all_without_rules: true,
            equivalent: resources.at("matchPolicy").str() != "Exact",
        }
    }

    /// A webhook.
    pub(super) fn of_webhook(webhook: &Value) -> Self {
        Self {
            namespaces: selector(webhook.at("namespaceSelector")),
            objects: selector(webhook.at("objectSelector")),
            exclude: Vec::new(),
            rules: webhook.at("rules").items().iter().map(Rule::new).collect(),
            all_without_rules: false,
            equivalent: webhook.at("matchPolicy").str() != "Exact",
        }
    }

    /// As what the request matches, if it does.
    ///
    /// # Errors
    /// A selector that cannot be read, or a namespace that is not there, when everything else matches.
    pub(super) fn matches(
        &self,
        call: &Call,
        a: &Attributes,
        object: Option<&Value>,
        old: Option<&Value>,
        namespace: &Namespace,
    ) -> Result<Option<Matched>, Status> {
        // Rules first: they are cheapest and mostly say no.
        let matched = if self.rules.is_empty() && self.all_without_rules {
            Some(Matched { resource: a.resource.clone(), kind: a.kind.clone() })
        } else {
            self.by_rules(call, a, &self.rules)
        };
        let Some(matched) = matched else { return Ok(None) };
        let in_namespace = self.in_namespace(a, object, namespace);
        if let Ok(false) = in_namespace {
            return Ok(None);
        }
        let selected = match &self.objects {
            Err(error) => Err(Status::internal_error(error)),
            Ok(selector) => {
                let selects = |o: Option<&Value>| {
                    o.is_some_and(|o| !o.is_null() && selector.matches(o.at("metadata").at("labels")))
                };
                Ok(selector.is_everything() || selects(object) || selects(old))
            }
        };
        if let Ok(false) = selected {
            return Ok(None);
        }
        if self.by_rules(call, a, &self.exclude).is_some() {
            return Ok(None);
        }
        in_namespace?;
        selected?;
        Ok(Some(matched))
    }

    fn in_namespace(
        &self,
        a: &Attributes,
        object: Option<&Value>,
        namespace: &Namespace,
    ) -> Result<bool, Status> {
        let is_namespaces = a.resource.resource == "namespaces";
        if a.namespace.is_empty() && !is_namespaces {
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Status::internal_error)?;
        if selector.is_everything() {
            return Ok(true);
        }
        let own = is_namespaces
            && a.subresource.is_empty()
            && matches!(a.operation, Operation::Create | Operation::Update);
        if let Some(object) = object.filter(|_| own) {
            return Ok(selector.matches(object.at("metadata").at("labels")));
        }
        match &namespace.entry {
            Some(entry) => Ok(selector.matches(&*entry.head)),
            None => Err(Status::not_found(&GroupResource::new("", "namespaces"), &a.namespace)),
        }
    }

    fn by_rules(&self, call: &Call, a: &Attributes, rules: &[Rule]) -> Option<Matched> {
        if rules.is_empty() {
            return None;
        }
        if rules.iter().any(|rule| rule.matches(a, &a.resource)) {
            return Some(Matched { resource: a.resource.clone(), kind: a.kind.clone() });
        }
        // The same objects are called the same in other versions and groups: mostly this ends here.
        let resource = &a.resource.resource;
        let named = |rule: &Rule| rule.resources.iter().any(|(r, _)| r == "*" || r == resource);
        if !self.equivalent || !rules.iter().any(named) {
            return None;
        }
        let registry = call.api.registry.load();
        let own = registry.find(&a.resource.group, &a.resource.version, &a.resource.resource)?;
        let prefix = &own.row.storage.as_ref()?.prefix;
        let others = registry.iter().filter(|served| {
            !Arc::ptr_eq(served, own) && served.row.storage.as_ref().is_some_and(|s| s.prefix == *prefix)
        });
        let others: Vec<(GroupVersionResource, &Arc<Served>)> = others
            .map(|served| {
                let row = &served.row;
                let resource =
                    GroupVersionResource::new(row.group.clone(), row.version.clone(), row.plural.clone());
                (resource, served)
            })
            .collect();
        rules.iter().find_map(|rule| {
            others.iter().find_map(|(resource, served)| {
                let matches = rule.matches(a, resource);
                let kind = matches.then(|| kind_of(served, &a.subresource))??;
                Some(Matched { resource: resource.clone(), kind })
            })
        })
    }
}

/// The kind of a resource or subresource.
fn kind_of(served: &Served, subresource: &str) -> Option<GroupVersionKind> {
    let row = &served.row;
    if subresource.is_empty() {
        return Some(GroupVersionKind::new(row.group.clone(), row.version.clone(), row.kind.clone()));
    }
    let sub = row.subresources.iter().find(|s| s.name == subresource)?;
    let (group, version) = if sub.version.is_empty() {
        (row.group.clone(), row.version.clone())
    } else {
        (sub.group.clone(), sub.version.clone())
    };
    Some(GroupVersionKind::new(group, version, sub.kind.clone()))
}

/// The version of a kind that is shown; `None` for bodies of subresources, which have one version.
pub(super) fn served(call: &Call, matched: &Matched) -> Option<Arc<Served>> {
    let r = &matched.resource;
    let served = call.api.registry.load().find(&r.group, &r.version, &r.resource).cloned()?;
    (served.row.kind == matched.kind.kind).then_some(served)
}

/// An object (of the hub version) in the version that matched; null for none.
///
/// # Errors
/// It cannot be converted.
pub(super) fn shown(
    served: Option<&Served>,
    matched: &Matched,
    object: Option<&Value>,
) -> Result<Value, Status> {
    let Some(object) = object.filter(|o| !o.is_null()) else { return Ok(Value::Null) };
    let mut object = object.clone();
    match served {
        Some(served) => {
            served.try_from_hub(&mut object)?;
            served.codec.shown_form(&mut object);
            served.codec.stamp(&mut object);
        }
        None => {
            let (group, version) = (&matched.kind.group, &matched.kind.version);
            let api_version =
                if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
            object.set("apiVersion", api_version);
            object.set("kind", matched.kind.kind.clone());
        }
    }
    Ok(object)
}
