//! Types of the variables that admission policies and match conditions have.
//!
//! Upstream counterparts: apiserver `pkg/admission/plugin/cel/compile.go`, `composition.go`.

use std::sync::Arc;

use value::Str;

use crate::decl::{DeclType, ListKind};
use crate::types::Type;

fn string() -> Arc<DeclType> {
    Arc::new(DeclType::string(None, None))
}

fn strings() -> Arc<DeclType> {
    Arc::new(DeclType::list(string(), ListKind::Atomic, None))
}

fn object(name: &str, fields: impl IntoIterator<Item = (&'static str, Arc<DeclType>)>) -> Arc<DeclType> {
    Arc::new(DeclType::object_of_fields(name, fields))
}

/// The type of `request`.
pub fn request_type() -> Arc<DeclType> {
    let of_strings = |name, fields: [&'static str; 3]| object(name, fields.map(|f| (f, string())));
    let kind = of_strings("kubernetes.GroupVersionKind", ["group", "version", "kind"]);
    let resource = of_strings("kubernetes.GroupVersionResource", ["group", "version", "resource"]);
    let user = object(
        "kubernetes.UserInfo",
        [
            ("username", string()),
            ("uid", string()),
            ("groups", strings()),
            ("extra", Arc::new(DeclType::map(strings(), None))),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", string()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", string()),
            ("name", string()),
            ("namespace", string()),
            ("operation", string()),
            ("userInfo", user),
            ("dryRun", Arc::new(DeclType::boolean())),
            ("options", Arc::new(DeclType::any())),
        ],
    )
}

/// The type of `namespaceObject`.
pub fn namespace_type() -> Arc<DeclType> {
    let time = || Arc::new(DeclType::date_time());
    let int = || Arc::new(DeclType::integer());
    let map = || Arc::new(DeclType::map(string(), None));
    let condition = object(
        "kubernetes.NamespaceCondition",
        [
            ("status", string()),
            ("type", string()),
            ("lastTransitionTime", time()),
            ("message", string()),
            ("reason", string()),
        ],
    );
    let conditions = Arc::new(DeclType::list(condition, ListKind::Atomic, None));
    let metadata = object(
        "kubernetes.NamespaceMetadata",
        [
            ("name", string()),
            ("generateName", string()),
            ("namespace", string()),
            ("labels", map()),
            ("annotations", map()),
            ("UID", string()),
            ("creationTimestamp", time()),
            ("deletionGracePeriodSeconds", int()),
            ("deletionTimestamp", time()),
            ("generation", int()),
            ("resourceVersion", string()),
            ("finalizers", strings()),
        ],
    );
    object(
        "kubernetes.Namespace",
        [
            ("metadata", metadata),
            ("spec", object("kubernetes.NamespaceSpec", [("finalizers", strings())])),
            (
                "status",
                object("kubernetes.NamespaceStatus", [("conditions", conditions), ("phase", string())]),
            ),
        ],
    )
}

/// The type of `variables`: of each the type of its expression, `None` for one that does not compile.
pub fn variables_type<'t>(fields: impl IntoIterator<Item = (Str, Option<&'t Type>)>) -> Arc<DeclType> {
    let fields = fields.into_iter().map(|(name, t)| {
        let t = t.map_or(Type::Dyn, plain);
        (name, Arc::new(DeclType::of_type(t)))
    });
    Arc::new(DeclType::object_of_names("kubernetes.variables", fields))
}

/// What remains of a type when it becomes the type of a variable: objects are dynamic.
fn plain(t: &Type) -> Type {
    match t {
        Type::List(e) => Type::list(plain(e)),
        Type::Map(kv) => Type::map(plain(&kv.0), plain(&kv.1)),
        Type::Struct(_) | Type::Opaque(..) | Type::Param(_) | Type::Type(_) | Type::Error => Type::Dyn,
        t => t.clone(),
    }
}
