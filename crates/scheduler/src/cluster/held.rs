//! Terms of affinity that pods on nodes have: they bind pods that come after them. Kept by term, not by pod, as
//! the pods of a workload have the same ones.

use super::NodeId;
use crate::pod::{Class, Term};
use std::collections::HashMap;
use std::sync::Arc;

/// What a term asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TermKind {
    /// To be near.
    Required,
    /// Not to be near.
    RequiredAnti,
    /// Rather near, or (a negative weight) rather not.
    Preferred(i32),
}

/// A term that pods on nodes have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldTerm {
    /// The term.
    pub term: Term,
    /// What it asks.
    pub kind: TermKind,
}

type Holders = HashMap<NodeId, u32>;

/// All of them, by the namespaces that they are about.
#[derive(Debug, Default)]
pub(super) struct HeldTerms {
    by_namespace: HashMap<Box<str>, HashMap<Arc<HeldTerm>, Holders>>,
    /// Those that select namespaces by labels.
    anywhere: HashMap<Arc<HeldTerm>, Holders>,
}

impl HeldTerms {
    /// Those that may be about pods of a namespace, with the nodes whose pods have them. A term that names a
    /// namespace and selects others is found once.
    pub(super) fn about(&self, namespace: &str) -> impl Iterator<Item = (&HeldTerm, &Holders)> {
        let named = self.by_namespace.get(namespace).into_iter().flatten();
        named.chain(&self.anywhere).map(|(held, holders)| (&**held, holders))
    }

    /// Counts a pod's terms in or out.
    pub(super) fn count(&mut self, class: &Class, node: NodeId, sign: i32) {
        let Some(affinity) = &class.affinity else { return };
        for (term, kind) in affinity.terms() {
            let held = Arc::new(HeldTerm { term: term.clone(), kind });
            if !term.scope.namespace_selector.is_nothing() {
                count(&mut self.anywhere, held, node, sign);
                continue;
            }
            for namespace in &term.scope.namespaces {
                let terms = self.by_namespace.entry(namespace.clone()).or_default();
                count(terms, held.clone(), node, sign);
                if terms.is_empty() {
                    self.by_namespace.remove(namespace);
                }
            }
        }
    }
}

impl crate::pod::PodAffinity {
    /// All terms, and what each asks.
    pub fn terms(&self) -> impl Iterator<Item = (&Term, TermKind)> {
        let required = self.required.iter().map(|term| (term, TermKind::Required));
        let anti = self.required_anti.iter().map(|term| (term, TermKind::RequiredAnti));
        let preferred = self.preferred.iter().map(|(weight, term)| (term, TermKind::Preferred(*weight)));
        let rather_not =
            self.preferred_anti.iter().map(|(weight, term)| (term, TermKind::Preferred(-weight)));
        required.chain(anti).chain(preferred).chain(rather_not)
    }
}

fn count(terms: &mut HashMap<Arc<HeldTerm>, Holders>, held: Arc<HeldTerm>, node: NodeId, sign: i32) {
    let holders = terms.entry(held.clone()).or_default();
    let count = holders.entry(node).or_default();
    *count = count.saturating_add_signed(sign);
    if *count == 0 {
        holders.remove(&node);
    }
    if holders.is_empty() {
        terms.remove(&held);
    }
}
