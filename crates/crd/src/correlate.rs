//! Which old value stands against a new one, for ratcheting and transition rules.
//!
//! Upstream: `k8s.io/apiserver/pkg/cel/common/equality.go`.

use crate::list_type::keys_of;
use crate::schema::Schema;
use std::collections::HashMap;
use value::{Value, json};

/// A new value with the old one that it replaces.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The new value.
    pub new: &'a Value,
    /// The old value.
    pub old: &'a Value,
    /// Its schema.
    pub schema: &'a Schema,
}

/// Items of an old list by their keys.
#[derive(Debug, Default)]
pub struct ByKey<'a>(HashMap<Vec<u8>, &'a Value>);

impl<'a> ByKey<'a> {
    /// Of a list; empty unless the schema says that it is a map.
    pub fn of(schema: &Schema, old: &'a Value) -> Self {
        let mut map = HashMap::new();
        if schema.list_type.as_deref() == Some("map") {
            for item in old.items() {
                if let Some(key) = composite(schema, item) {
                    map.entry(key).or_insert(item);
                }
            }
        }
        Self(map)
    }

    /// The old item with the keys of this one.
    pub fn get(&self, schema: &Schema, item: &Value) -> Option<&'a Value> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&composite(schema, item)?).copied()
    }
}

fn composite(schema: &Schema, item: &Value) -> Option<Vec<u8>> {
    item.as_object()?;
    let keys = keys_of(schema, item);
    let scalar = |v: &Value| !matches!(v, Value::Object(_) | Value::Array(_));
    keys.entries().all(|(_, v)| scalar(v)).then(|| json::to_vec(&keys))
}

impl<'a> Pair<'a> {
    /// The pair of a field; `None` where nothing can be set against it.
    pub fn key(&self, field: &str) -> Option<Self> {
        let (new, old) = (self.new.get(field)?, self.old.get(field)?);
        let schema = self.schema.property(field).or_else(|| self.schema.additional())?;
        Some(Self { new, old, schema })
    }

    /// Items of the old list by their keys.
    pub fn by_key(&self) -> ByKey<'a> {
        ByKey::of(self.schema, self.old)
    }

    /// The pair of an item.
    pub fn item(&self, old: &ByKey<'a>, new: &'a Value) -> Option<Self> {
        Some(Self { new, old: old.get(self.schema, new)?, schema: self.schema.item()? })
    }

    /// Whether nothing has changed.
    pub fn is_same(&self) -> bool {
        match (self.new, self.old) {
            (Value::Array(new), Value::Array(old)) => {
                if new.len() != old.len() {
                    return false;
                }
                if self.schema.list_type.as_deref() != Some("map") {
                    return new == old;
                }
                let by_key = self.by_key();
                new.iter().all(|v| self.item(&by_key, v).is_some_and(|p| p.is_same()))
            }
            (Value::Object(new), Value::Object(old)) => {
                new.len() == old.len() && new.keys().all(|k| self.key(k).is_some_and(|p| p.is_same()))
            }
            (new, old) => new == old,
        }
    }
}
