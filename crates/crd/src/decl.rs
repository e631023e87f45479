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
        let ty = build(p, p.embedded_resource, &format!("{name}.{k}")).unwrap_or_else(DeclType::hidden);
        properties.insert(k.clone(), Arc::new(ty));
    }
    if is_root {
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

/// How often data of at least this size can stand in one request.
pub(crate) fn cardinality(min_size: i64) -> u64 {
    let size = min_size.saturating_add(1).max(1);
    u64::try_from(cel::REQUEST_BYTES_MAX / size).unwrap_or(0)
}
