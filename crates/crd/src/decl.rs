//! Schemas as declared types of the expression language.
//!
//! Upstream: `k8s.io/apiserver/pkg/cel/common/schemas.go`.

use crate::schema::Schema;
use cel::{DeclType, ListKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use value::Str;

/// What expressions about the root of an object are named.
const ROOT_NAME: &str = "selfType";

/// The type of a schema; `None` where expressions cannot see the data. `is_root` is for whole objects, whose
/// kind and names are always visible.
pub fn decl_type(s: &Schema, is_root: bool) -> Option<Arc<DeclType>> {
    build(s, is_root, ROOT_NAME).map(Arc::new)
}

/// The type of whole objects that are not named `self`: it is called `name`, as which messages show it, and what
/// lies within begins with that. Names are to differ within an environment. `None` as with [`decl_type`].
pub fn object_type(s: &Schema, name: &str) -> Option<Arc<DeclType>> {
    build(s, true, name).map(Arc::new)
}

fn build(s: &Schema, is_root: bool, name: &str) -> Option<DeclType> {
    let nullable = s.nullable;
    if s.int_or_string {
        return Some(DeclType::int_or_string(s.max_length).nullable(nullable));
    }
    let ty = match s.ty.as_str() {
        "array" => {
            let item = s.item()?;
            let element = build(item, item.embedded_resource, &format!("{name}.@idx"))?;
            let kind = match s.list_type.as_deref() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Map(s.list_map_keys.clone()),
                _ => ListKind::Atomic,
            };
            DeclType::list(Arc::new(element), kind, s.max_items)
        }
        "object" => match s.additional() {
            Some(a) => {
                let element = build(a, a.embedded_resource, &format!("{name}.@elem"))?;
                DeclType::map(Arc::new(element), s.max_properties)
            }
            None => object(s, is_root, name),
        },
        "string" => match s.format.as_str() {
            "byte" => DeclType::bytes(s.max_length),
            "duration" => DeclType::duration(),
            "date" => DeclType::date(),
            "date-time" => DeclType::date_time(),
            _ => {
                let longest = s.enumeration.iter().map(|e| e.str().len()).max();
                DeclType::string(s.max_length, longest)
            }
        },
        "boolean" => DeclType::boolean(),
        "number" => DeclType::number(),
        "integer" => DeclType::integer(),
        _ => return None,
    };
    Some(ty.nullable(nullable))
}

fn object(s: &Schema, is_root: bool, name: &str) -> DeclType {
    let mut properties: BTreeMap<Str, Arc<DeclType>> = BTreeMap::new();
    for (k, p) in &s.properties {
        let field = cel::escape(k);
        let path = format!("{name}.{}", field.as_ref().unwrap_or(k));
        let ty = build(p, p.embedded_resource, &path).unwrap_or_else(DeclType::hidden);
        properties.insert(k.clone(), Arc::new(ty));
    }
    if is_root && !tells_names(s) {
        let string = || Arc::new(DeclType::string(None, None));
        let names = BTreeMap::from([("name".into(), string()), ("generateName".into(), string())]);
        let metadata = DeclType::object(&format!("{name}.metadata"), names, |_| false);
        properties.insert("kind".into(), string());
        properties.insert("apiVersion".into(), string());
        properties.insert("metadata".into(), Arc::new(metadata));
    }
    DeclType::object(name, properties, |k| {
        let has_default = s.property(k).is_some_and(|p| p.default.is_some());
        !has_default && s.required.iter().any(|r| r == k)
    })
}

/// Whether a schema tells itself what all objects have, of which it then may tell more: upstream's
/// `WithTypeAndObjectMeta`.
fn tells_names(s: &Schema) -> bool {
    let is = |s: &Schema, name: &str, ty: &str| s.property(name).is_some_and(|p| p.ty == ty);
    let has_names = |metadata: &Schema| ["name", "generateName"].iter().all(|n| is(metadata, n, "string"));
    is(s, "kind", "string")
        && is(s, "apiVersion", "string")
        && is(s, "metadata", "object")
        && s.property("metadata").is_some_and(has_names)
}

/// How often data of at least this size can stand in one request.
pub(crate) fn cardinality(min_size: i64) -> u64 {
    let size = min_size.saturating_add(1).max(1);
    u64::try_from(cel::REQUEST_BYTES_MAX / size).unwrap_or(0)
}
