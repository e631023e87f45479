//! What is found out once and used often, of bounded size: what was not used for longest goes first.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, each in a place that it keeps.
#[derive(Debug)]
pub(super) struct Memo<K, V> {
    places: HashMap<K, usize>,
    entries: Vec<Option<Entry<K, V>>>,
    clock: u64,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    used: u64,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), clock: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Memo<K, V> {
    /// The place of a key's value, made if it is not there; at the limit it takes the place of the value that
    /// was not used for longest. What is used in one decision stays, as long as that is less than the limit.
    pub(super) fn ensure<Q>(&mut self, key: &Q, max: usize, make: impl FnOnce() -> V) -> usize
    where
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        K: Borrow<Q>,
    {
        self.clock += 1;
        let used = self.clock;
        if let Some(place) = self.places.get(key) {
            if let Some(entry) = &mut self.entries[*place] {
                entry.used = used;
            }
            return *place;
        }
        let entry = Some(Entry { key: key.to_owned(), value: make(), used });
        let free = self.entries.iter().position(Option::is_none);
        let place = match free {
            Some(place) => place,
            None if self.entries.len() < max => {
                self.entries.push(None);
                self.entries.len() - 1
            }
            None => self.oldest(),
        };
        if let Some(old) = std::mem::replace(&mut self.entries[place], entry) {
            self.places.remove(old.key.borrow());
        }
        self.places.insert(key.to_owned(), place);
        place
    }

    /// The value at a place that [`Memo::ensure`] gave.
    pub(super) fn get(&self, place: usize) -> &V {
        &self.entries[place].as_ref().expect("a place that was just given has a value").value
    }

    /// Visits all values.
    pub(super) fn each(&mut self, mut visit: impl FnMut(&K, &mut V)) {
        for entry in self.entries.iter_mut().flatten() {
            visit(&entry.key, &mut entry.value);
        }
    }

    /// Forgets the values of some keys.
    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        for entry in &mut self.entries {
            if entry.as_ref().is_some_and(|entry| !keep(&entry.key)) {
                *entry = None;
            }
        }
        self.places.retain(|key, _| keep(key));
    }

    fn oldest(&self) -> usize {
        let used = |place: &usize| self.entries[*place].as_ref().map_or(0, |entry| entry.used);
        (0..self.entries.len()).min_by_key(used).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut memo: Memo<String, u32> = Memo::default();
        let a = memo.ensure("a", 2, || 1);
        let b = memo.ensure("b", 2, || 2);
        assert_eq!(memo.ensure("a", 2, || unreachable!()), a);
        assert_eq!(memo.ensure("c", 2, || 3), b);
        assert_eq!((*memo.get(a), *memo.get(b)), (1, 3));
        assert_eq!(*memo.get(memo.places["c"]), 3);
        assert!(!memo.places.contains_key("b"));
    }
}
