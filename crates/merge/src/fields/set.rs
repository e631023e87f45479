//! Sets of paths, as tries of sorted vectors.
//!
//! A node says whether the path to it is a member, and holds the members below it. Invariants: nodes are
//! sorted by element, each element once; a node is a member or has members below. So two equal sets are
//! equal trees. Upstream: structured-merge-diff `fieldpath/set.go`, which keeps members and children in
//! two lists.

use super::{Path, PathElement};
use crate::types::{Atom, Schema, TypeId};
use std::cmp::Ordering;

/// A set of field paths. The empty path is never a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    pub(crate) nodes: Vec<Node>,
}

/// An element and what is in the set at and below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) element: PathElement,
    pub(crate) member: bool,
    pub(crate) below: Set,
}

impl Node {
    fn is_vacant(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl Set {
    /// The empty set; allocates nothing.
    pub const fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// The set of these paths of fields; a convenience for tables.
    pub fn of_fields(paths: &[&[&str]]) -> Self {
        let mut set = Self::new();
        for path in paths {
            set.insert(&Path::fields(path).0);
        }
        set
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|n| usize::from(n.member) + n.below.len()).sum()
    }

    pub(crate) fn node(&self, element: &PathElement) -> Option<&Node> {
        self.nodes.binary_search_by(|n| n.element.cmp(element)).ok().map(|i| &self.nodes[i])
    }

    /// Adds a path; its parents are not added.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let i = match self.nodes.binary_search_by(|n| n.element.cmp(first)) {
            Ok(i) => i,
            Err(i) => {
                self.nodes.insert(i, Node { element: first.clone(), member: false, below: Self::new() });
                i
            }
        };
        match rest {
            [] => self.nodes[i].member = true,
            rest => self.nodes[i].below.insert(rest),
        }
    }

    /// Whether the path is a member.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.node(last).is_some_and(|n| n.member),
            [first, rest @ ..] => self.node(first).is_some_and(|n| n.below.has(rest)),
        }
    }

    /// Whether all members of `other` are members of this set.
    pub fn contains(&self, other: &Self) -> bool {
        let mut i = 0;
        other.nodes.iter().all(|o| {
            while self.nodes.get(i).is_some_and(|n| n.element < o.element) {
                i += 1;
            }
            let same = self.nodes.get(i).filter(|n| n.element == o.element);
            same.is_some_and(|n| (n.member || !o.member) && n.below.contains(&o.below))
        })
    }

    /// Adds all members of `other`.
    pub fn merge(&mut self, other: Self) {
        if self.nodes.is_empty() {
            self.nodes = other.nodes;
            return;
        }
        if other.nodes.is_empty() {
            return;
        }
        let mut ours = std::mem::take(&mut self.nodes).into_iter().peekable();
        let mut out = Vec::with_capacity(ours.len().max(other.nodes.len()));
        for theirs in other.nodes {
            while let Some(n) = ours.next_if(|n| n.element < theirs.element) {
                out.push(n);
            }
            match ours.next_if(|n| n.element == theirs.element) {
                Some(mut n) => {
                    n.member |= theirs.member;
                    n.below.merge(theirs.below);
                    out.push(n);
                }
                None => out.push(theirs),
            }
        }
        out.extend(ours);
        self.nodes = out;
    }

    /// All members of either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.merge(other.clone());
        out
    }

    /// All members of any of the sets; pairs first, so that many small sets do not make it slow.
    pub fn union_all(mut sets: Vec<Self>) -> Self {
        while sets.len() > 1 {
            let mut pairs = sets.into_iter();
            let mut merged = Vec::with_capacity(pairs.len().div_ceil(2));
            while let Some(mut first) = pairs.next() {
                first.merge(pairs.next().unwrap_or_default());
                merged.push(first);
            }
            sets = merged;
        }
        sets.pop().unwrap_or_default()
    }

    /// The members of both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut i, mut j) = (0, 0);
        let mut out = Self::new();
        while let (Some(a), Some(b)) = (self.nodes.get(i), other.nodes.get(j)) {
            match a.element.cmp(&b.element) {
                Ordering::Less => i += 1,
                Ordering::Greater => j += 1,
                Ordering::Equal => {
                    let (member, below) = (a.member && b.member, a.below.intersection(&b.below));
                    if member || !below.is_empty() {
                        out.nodes.push(Node { element: a.element.clone(), member, below });
                    }
                    i += 1;
                    j += 1;
                }
            }
        }
        out
    }

    /// Removes the members of `other`; what is below or above a removed member stays.
    pub fn subtract(&mut self, other: &Self) {
        self.retain_against(other, |ours, theirs| {
            ours.member &= !theirs.member;
            ours.below.subtract(&theirs.below);
        });
    }

    /// Removes the members of `other` and all that is below them.
    pub fn subtract_trees(&mut self, other: &Self) {
        self.retain_against(other, |ours, theirs| {
            if theirs.member {
                ours.member = false;
                ours.below = Self::new();
            } else {
                ours.below.subtract_trees(&theirs.below);
            }
        });
    }

    fn retain_against(&mut self, other: &Self, mut change: impl FnMut(&mut Node, &Node)) {
        if self.nodes.is_empty() || other.nodes.is_empty() {
            return;
        }
        let mut j = 0;
        self.nodes.retain_mut(|n| {
            while other.nodes.get(j).is_some_and(|o| o.element < n.element) {
                j += 1;
            }
            if let Some(o) = other.nodes.get(j).filter(|o| o.element == n.element) {
                change(n, o);
            }
            !n.is_vacant()
        });
    }

    /// The members that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.subtract(other);
        out
    }

    /// The members that are not in `other` nor below a member of it.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.subtract_trees(other);
        out
    }

    /// The members that have no member below.
    pub fn leaves(&self) -> Self {
        let leaf = |n: &Node| Node {
            element: n.element.clone(),
            member: n.member && n.below.is_empty(),
            below: n.below.leaves(),
        };
        Self { nodes: self.nodes.iter().map(leaf).collect() }
    }

    /// Calls `visit` with each member, those of one container before those below it.
    pub fn for_each(&self, visit: &mut impl FnMut(&[PathElement])) {
        self.walk(&mut Vec::new(), visit);
    }

    fn walk(&self, prefix: &mut Vec<PathElement>, visit: &mut impl FnMut(&[PathElement])) {
        for n in self.nodes.iter().filter(|n| n.member) {
            prefix.push(n.element.clone());
            visit(prefix);
            prefix.pop();
        }
        for n in self.nodes.iter().filter(|n| !n.below.is_empty()) {
            prefix.push(n.element.clone());
            n.below.walk(prefix, visit);
            prefix.pop();
        }
    }

    /// The members as paths.
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.for_each(&mut |p| out.push(Path(p.to_vec())));
        out
    }

    /// Adds the struct fields on the way to the members: `a.b.c` brings `a`, if it is a field of a struct,
    /// but not `a.b` if that is an entry of a map.
    #[must_use]
    pub fn with_named_fields(mut self, schema: &Schema, ty: TypeId) -> Self {
        self.add_named_fields(schema, Some(ty));
        self
    }

    fn add_named_fields(&mut self, schema: &Schema, ty: Option<TypeId>) {
        let atom = ty.map(|ty| schema.atom(ty));
        for n in self.nodes.iter_mut().filter(|n| !n.below.is_empty()) {
            let below = match (&n.element, atom) {
                (PathElement::Field(name), Some(Atom { map: Some(map), .. })) => match map.field(name) {
                    Some(field) => {
                        n.member = true;
                        Some(field.ty)
                    }
                    None => map.element,
                },
                (PathElement::Key(_), Some(Atom { list: Some(list), .. })) => Some(list.element),
                _ => None,
            };
            n.below.add_named_fields(schema, below);
        }
    }
}

impl std::fmt::Display for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, path) in self.paths().iter().enumerate() {
            let line_end = if i == 0 { "" } else { "\n" };
            write!(f, "{line_end}{path}")?;
        }
        Ok(())
    }
}
