//! Filters: which fields a resource or subresource takes from a request.
//!
//! A strategy that resets fields (a status write resets the spec) names them, so that nobody comes to own
//! them by it. Upstream: the filters at the end of structured-merge-diff `fieldpath/set.go`.

use super::set::Node;
use super::{PathElement, Set};

/// Which fields of a write count.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// All but these and what is below them.
    Exclude(Set),
    /// Those that begin with one of these patterns, and their parents.
    Include(Pattern),
}

impl Filter {
    /// All fields but these (paths of struct fields) and what is below them.
    pub fn exclude(paths: &[&[&str]]) -> Self {
        Self::Exclude(Set::of_fields(paths))
    }

    /// Removes from the set what does not count.
    pub fn apply(&self, set: &mut Set) {
        match self {
            Self::All => {}
            Self::Exclude(fields) => set.subtract_trees(fields),
            Self::Include(pattern) => pattern.retain(set),
        }
    }
}

/// A set of path prefixes in which an element may be a wildcard.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    /// No element follows: everything below matches.
    any_below: bool,
    below: Vec<(Option<PathElement>, Self)>,
}

impl Pattern {
    /// A pattern that matches nothing.
    pub const fn new() -> Self {
        Self { any_below: false, below: Vec::new() }
    }

    /// Adds a prefix; `None` stands for any element.
    #[must_use]
    pub fn with(mut self, prefix: &[Option<PathElement>]) -> Self {
        self.add(prefix);
        self
    }

    fn add(&mut self, prefix: &[Option<PathElement>]) {
        let Some((first, rest)) = prefix.split_first() else {
            self.any_below = true;
            return;
        };
        let i = self.below.iter().position(|(e, _)| e == first).unwrap_or_else(|| {
            self.below.push((first.clone(), Self::new()));
            // Wildcards come first: they win over named elements.
            self.below.sort_by_key(|(e, _)| e.is_some());
            self.below.iter().position(|(e, _)| e == first).expect("it was just added")
        });
        self.below[i].1.add(rest);
    }

    fn retain(&self, set: &mut Set) {
        if self.any_below {
            return;
        }
        set.nodes.retain_mut(|Node { element, member, below }| {
            let found = self.below.iter().find(|(e, _)| e.as_ref().is_none_or(|e| e == element));
            let Some((_, pattern)) = found else { return false };
            pattern.retain(below);
            *member || !below.is_empty()
        });
    }
}
