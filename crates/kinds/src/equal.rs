//! Equality of trees as Go's `apiequality.Semantic.DeepEqual` sees typed objects.

use value::Value;

/// Whether two trees in Go's JSON form stand for equal objects: null, absence and an empty list are the
/// same; quantities and times are canonical already, so their texts are compared.
pub fn semantic_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let absent = |m: &value::Map, v: &Value, k: &str| blank(v) && m.get(k).is_none();
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
