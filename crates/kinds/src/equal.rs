//! Equality of trees as Go's `apiequality.Semantic.DeepEqual` sees typed objects.

use schema::{Field, Shape, Types};
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use value::{Map, Value};

/// Whether two trees in Go's JSON form stand for equal objects: null, absence, an empty list and an empty map are
/// the same; quantities and times are canonical already, so their texts are compared.
pub fn semantic_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let absent = |v: &Value, k: &str| blank(v) || (is_empty_map(v) && is_map(k, x, y));
            x.iter().all(|(k, v)| y.get(k).map_or_else(|| absent(v, k), |w| semantic_equal(v, w)))
                && y.iter().all(|(k, w)| x.contains_key(k) || absent(w, k))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(v, w)| semantic_equal(v, w))
        }
        (Value::Null, other) | (other, Value::Null) => blank(other) || is_empty_map(other),
        _ => a == b,
    }
}

/// Whether the field `name` of the struct that both objects are is a map: an empty one is as good as none, while an
/// empty struct that is pointed to is not. A few names are both (`nodeSelector` of a pod and of a device): then it is
/// asked which structs have all fields that these objects have. What is still in doubt is taken for no map.
fn is_map(name: &str, x: &Map, y: &Map) -> bool {
    let Some(holders) = HOLDERS.get(name) else { return false };
    let has_all = |holder: &&Holder| x.keys().chain(y.keys()).all(|key| holder.fields.contains(key.as_str()));
    let mut possible = holders.iter().filter(has_all).peekable();
    match possible.peek() {
        Some(_) => possible.all(|holder| holder.as_map),
        None => holders.iter().all(|holder| holder.as_map),
    }
}

/// A struct that has a field of a certain name.
struct Holder {
    /// Whether that field is a map.
    as_map: bool,
    fields: HashSet<&'static str>,
}

/// By the field's name, for names that are a map's anywhere.
static HOLDERS: LazyLock<HashMap<&str, Vec<Holder>>> = LazyLock::new(|| {
    let types = Types::builtin();
    let structures = || types.iter().filter_map(|(id, _)| types.structure(id));
    let is_map = |field: &Field| matches!(types.shape(field.ty), Shape::Map { .. });
    let of_maps = structures().flat_map(|structure| &structure.fields).filter(|field| is_map(field));
    let mut holders: HashMap<&str, Vec<Holder>> = of_maps.map(|field| (field.json, Vec::new())).collect();
    for structure in structures() {
        for field in &structure.fields {
            let is_object = matches!(
                types.shape(field.ty),
                Shape::Struct(_) | Shape::RawExtension | Shape::FieldsV1 | Shape::Json
            );
            let as_map = is_map(field);
            if (as_map || is_object)
                && let Some(holders) = holders.get_mut(field.json)
            {
                let fields = structure.fields.iter().map(|field| field.json).collect();
                holders.push(Holder { as_map, fields });
            }
        }
    }
    holders
});

/// What may as well be absent.
fn blank(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Array(a) => a.is_empty(),
        _ => false,
    }
}

/// A written null stands only where Go has a nil map or slice, so an empty map equals it.
fn is_empty_map(v: &Value) -> bool {
    v.as_object().is_some_and(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_map_is_as_good_as_none_and_an_empty_struct_is_not() {
        let parse = |text: &str| value::json::parse(text.as_bytes()).expect("JSON");
        for (a, b, equal) in [
            (r#"{"labels":{}}"#, "{}", true),
            (r#"{"emptyDir":{}}"#, "{}", false),
            // A pod's, and a resource slice's.
            (r#"{"containers":null,"nodeSelector":{},"overhead":{}}"#, r#"{"containers":null}"#, true),
            (r#"{"driver":"d","nodeSelector":{}}"#, r#"{"driver":"d"}"#, false),
            // A container's, and the list of a range of limits.
            (r#"{"limits":{}}"#, "{}", true),
            // A service's, and a deployment's.
            (r#"{"selector":{},"sessionAffinity":"None"}"#, r#"{"sessionAffinity":"None"}"#, true),
            (r#"{"selector":{},"strategy":{}}"#, r#"{"strategy":{}}"#, false),
            // A schema's is any JSON.
            (r#"{"type":"object","default":{}}"#, r#"{"type":"object"}"#, false),
        ] {
            assert_eq!(semantic_equal(&parse(a), &parse(b)), equal, "{a} and {b}");
            assert_eq!(semantic_equal(&parse(b), &parse(a)), equal, "{b} and {a}");
        }
    }
}
