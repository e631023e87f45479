//! Equality of trees as Go's `apiequality.Semantic.DeepEqual` sees typed objects.

use schema::{Shape, Types};
use std::collections::HashSet;
use std::sync::LazyLock;
use value::Value;

/// Whether two trees in Go's JSON form stand for equal objects: null, absence, an empty list and an empty map are
/// the same; quantities and times are canonical already, so their texts are compared.
pub fn semantic_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let absent = |m: &value::Map, v: &Value, k: &str| {
                (blank(v) || (is_empty_map(v) && is_map(k))) && m.get(k).is_none()
            };
            x.iter().all(|(k, v)| y.get(k).map_or_else(|| absent(y, v, k), |w| semantic_equal(v, w)))
                && y.iter().all(|(k, w)| x.contains_key(k) || absent(x, w, k))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(v, w)| semantic_equal(v, w))
        }
        (Value::Null, other) | (other, Value::Null) => blank(other) || is_empty_map(other),
        _ => a == b,
    }
}

/// Whether fields of this name are maps: an empty one is as good as none, while an empty struct that is pointed to
/// is not.
fn is_map(name: &str) -> bool {
    static MAPS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
        let types = Types::builtin();
        let named = |has: fn(&Shape) -> bool| {
            let fields = types.iter().filter_map(|(id, _)| types.structure(id)).flat_map(|s| &s.fields);
            fields.filter(|f| has(types.shape(f.ty))).map(|f| f.json).collect::<HashSet<_>>()
        };
        &named(|shape| matches!(shape, Shape::Map { .. })) - &named(|shape| matches!(shape, Shape::Struct(_)))
    });
    MAPS.contains(name)
}

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
    v.as_object().is_some_and(value::Map::is_empty)
}
