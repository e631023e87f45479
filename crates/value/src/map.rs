//! JSON objects as sorted vectors.

use crate::{Str, Value};

/// Up to how many keys are looked at one after the other.
const SCANNED_MAX: usize = 32;

/// A JSON object: entries sorted by key, each key once.
#[derive(Debug, Default)]
pub struct Map {
    entries: Vec<(Str, Value)>,
}

impl Map {
    /// An empty map; allocates nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// An empty map with room for `n` entries.
    pub fn with_capacity(n: usize) -> Self {
        Self { entries: Vec::with_capacity(n) }
    }

    /// Builds a map from entries in any order. Of entries with the same key the last one stays, as in
    /// Go's decoder; `duplicate` is called with every key that came more than once.
    pub fn from_entries(mut entries: Vec<(Str, Value)>, mut duplicate: impl FnMut(&Str)) -> Self {
        if entries.len() > 1 && !sort_few(&mut entries) && !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(&b.0)); // stable: equal keys stay in written order
            entries.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    duplicate(&later.0);
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        Self { entries }
    }

    /// Builds a map of entries that are sorted and have no key twice (checked in debug builds only).
    pub fn from_sorted(entries: Vec<(Str, Value)>) -> Self {
        debug_assert!(entries.is_sorted_by(|a, b| a.0 < b.0), "sorted, each key once");
        Self { entries }
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|(k, _)| k.as_str().cmp(key))
    }

    /// Where `key` is, if it is present. Among few keys, to look for one that is equal is faster than to halve: most
    /// differ in length already.
    fn position(&self, key: &str) -> Option<usize> {
        if self.entries.len() <= SCANNED_MAX {
            return self.entries.iter().position(|(k, _)| k.as_str() == key);
        }
        self.find(key).ok()
    }

    /// The value at `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).map(|i| &self.entries[i].1)
    }

    /// The value at `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.position(key).map(|i| &mut self.entries[i].1)
    }

    /// Whether `key` is present (also with a null).
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets `key`, and returns what it held before.
    pub fn insert(&mut self, key: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.find(&key) {
            Ok(i) => Some(std::mem::replace(&mut self.entries[i].1, value)),
            Err(i) => {
                self.entries.insert(i, (key, value));
                None
            }
        }
    }

    /// The value at `key`, made by `default` if the key is absent.
    pub fn entry_or_insert_with(&mut self, key: &str, default: impl FnOnce() -> Value) -> &mut Value {
        let i = match self.find(key) {
            Ok(i) => i,
            Err(i) => {
                self.entries.insert(i, (key.into(), default()));
                i
            }
        };
        &mut self.entries[i].1
    }

    /// Removes `key`, and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).ok().map(|i| self.entries.remove(i).1)
    }

    /// Keeps the entries for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(k, v)| keep(k, v));
    }

    /// The entries in key order, as they lie in memory.
    pub const fn as_slice(&self) -> &[(Str, Value)] {
        self.entries.as_slice()
    }

    /// The entries in key order, as a vector.
    pub fn into_vec(mut self) -> Vec<(Str, Value)> {
        std::mem::take(&mut self.entries)
    }

    pub(crate) const fn entries_mut(&mut self) -> &mut Vec<(Str, Value)> {
        &mut self.entries
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Str, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|(k, v)| (k, v))
    }

    /// The entries in key order, their values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Str, &mut Value)> {
        self.entries.iter_mut().map(|(k, v)| (&*k, v))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &Str> {
        self.entries.iter().map(|(k, _)| k)
    }

    /// The values in key order.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.entries.iter().map(|(_, v)| v)
    }
}

/// How many entries are sorted by [`sort_few`].
const FEW: usize = 24;

/// Sorts entries if they are few and no key comes twice; else leaves them as they are and says so.
///
/// Objects are small, so the time goes into comparing strings and moving entries. This compares the first
/// eight bytes of the keys as one number, and moves an entry only to where it belongs.
fn sort_few(entries: &mut [(Str, Value)]) -> bool {
    let n = entries.len();
    if n > FEW {
        return false;
    }
    let ascending = |pair: &[(Str, Value)]| {
        let (a, b) = (&pair[0].0, &pair[1].0);
        let (x, y) = (prefix(a), prefix(b));
        x < y || x == y && a < b
    };
    if entries.windows(2).all(ascending) {
        return true;
    }
    let mut order = [(0_u64, 0_usize); FEW];
    for (i, (key, _)) in entries.iter().enumerate() {
        let prefix = prefix(key);
        let mut at = i;
        while let Some(&(before, j)) = at.checked_sub(1).and_then(|b| order.get(b)) {
            let ascending = prefix > before || prefix == before && key > &entries[j].0;
            if ascending {
                break;
            }
            if prefix == before && key == &entries[j].0 {
                return false;
            }
            order[at] = (before, j);
            at -= 1;
        }
        order[at] = (prefix, i);
    }
    for i in 0..n {
        // What belongs here may have been moved on by an earlier swap.
        let mut from = order[i].1;
        while from < i {
            from = order[from].1;
        }
        entries.swap(i, from);
    }
    true
}

/// The first eight bytes of a key as a number that orders as they do; what is missing is zero.
fn prefix(key: &str) -> u64 {
    let bytes = key.as_bytes();
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None if bytes.is_empty() => 0,
        None => bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)) << (64 - 8 * bytes.len()),
    }
}

impl IntoIterator for Map {
    type Item = (Str, Value);
    type IntoIter = std::vec::IntoIter<(Str, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}

impl FromIterator<(Str, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Str, Value)>>(iter: I) -> Self {
        Self::from_entries(iter.into_iter().collect(), |_| {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_small_maps_and_large_ones() {
        for n in [0, 1, SCANNED_MAX, SCANNED_MAX + 1, 100] {
            let key = |i: usize| format!("key-{i:03}");
            let mut map: Map = (0..n).map(|i| (Str::from(key(2 * i)), Value::from(i as i64))).collect();
            for i in 0..n {
                assert_eq!(map.get(&key(2 * i)), Some(&Value::from(i as i64)), "{i} of {n}");
                assert_eq!(map.get_mut(&key(2 * i)).cloned(), Some(Value::from(i as i64)), "{i} of {n}");
                assert!(map.contains_key(&key(2 * i)), "{i} of {n}");
            }
            for i in 0..=n {
                assert!(map.get(&key(2 * i + 1)).is_none(), "{i} of {n}");
            }
            assert!(!map.contains_key("key-000 ") && !map.contains_key(""), "{n}");
        }
    }
}
