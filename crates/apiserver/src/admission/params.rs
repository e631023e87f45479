//! The parameters that a binding gives to its policy.
//!
//! Upstream: `CollectParams` in `k8s.io/apiserver/pkg/admission/plugin/policy/generic`.

use crate::cache::{Query, Selection};
use crate::call::Call;
use crate::resource::{Hub, Served};
use meta::gvk::GroupVersionKind;
use meta::labels::Selector;
use std::sync::Arc;
use value::Value;

/// The kind of a policy's parameters.
pub(super) struct ParamKind {
    served: Arc<Served>,
    hub: Arc<Hub>,
}

/// Finds the kind; `None` if the policy has none.
///
/// # Errors
/// It is not served.
pub(super) fn kind(call: &Call, kind: &Value) -> Result<Option<ParamKind>, String> {
    if kind.is_null() {
        return Ok(None);
    }
    let gvk = GroupVersionKind::from_api_version(kind.at("apiVersion").str(), kind.at("kind").str());
    let served = call.api.registry.load().find_kind(&gvk.group, &gvk.version, &gvk.kind).cloned();
    match served.and_then(|served| Some((served.hub.clone()?, served))) {
        Some((hub, served)) => Ok(Some(ParamKind { served, hub })),
        None => Err(format!("failed to find resource referenced by paramKind: '{gvk}'")),
    }
}

/// The parameters of a binding: one evaluation each; null is one without parameters.
///
/// # Errors
/// The reference makes no sense, or there are none and that is to be refused.
pub(super) fn collect(
    call: &Call,
    kind: Option<&ParamKind>,
    reference: &Value,
    namespace: &str,
) -> Result<Vec<Value>, String> {
    let Some(kind) = kind.filter(|_| !reference.is_null()) else { return Ok(vec![Value::Null]) };
    let _ = call;
    let given = reference.at("namespace").str();
    let row = &kind.served.row;
    let namespace = match (row.namespaced, given.is_empty()) {
        (true, true) if namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .into(),
            );
        }
        (true, true) => namespace,
        (true, false) => given,
        (false, true) => "",
        (false, false) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
        }
    };
    let (name, selector) = (reference.at("name").str(), reference.at("selector"));
    let hub = &kind.hub;
    let params: Vec<Value> = if !name.is_empty() {
        if !selector.is_null() {
            return Err("paramRef.name and paramRef.selector are mutually exclusive".into());
        }
        let entry = hub.get(namespace, name);
        entry.iter().map(|entry| kind.served.tree(hub, entry)).collect()
    } else if !selector.is_null() {
        let labels = Selector::from_label_selector(selector).map_err(|e| e.to_string())?;
        let selection = Selection { labels: Some(labels), ..Selection::default() };
        let page = hub.cache.list(Query { namespace, selection: Some(&selection), ..Query::default() });
        page.entries.iter().map(|entry| kind.served.tree(hub, entry)).collect()
    } else {
        return Err("one of name or selector must be provided".into());
    };
    if params.is_empty() && reference.at("parameterNotFoundAction").str() == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    Ok(params)
}
