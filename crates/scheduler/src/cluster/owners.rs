//! What default spreading goes by: the selectors of the Services and the controller that a pod belongs to.
//! Upstream: `pkg/scheduler/framework/plugins/helper/spread.go`, `DefaultSelector`.

use crate::labels::{Labels, Selector};
use crate::pod::{Class, Owner, OwnerKind};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Selectors that are kept, by what they were found for.
const SELECTORS_MAX: usize = 4096;

type Selecting = BTreeMap<String, String>;
type Services = HashMap<Box<str>, (Selecting, Selector)>;
type For = (Arc<str>, Labels, Option<Owner>);

/// Selectors of Services and controllers.
#[derive(Debug, Default)]
pub struct Owners {
    /// By namespace and name: the labels that a Service selects, and the same to match.
    services: HashMap<Box<str>, Services>,
    controllers: HashMap<(OwnerKind, api::Key), Controller>,
    found: HashMap<For, Option<Selector>>,
}

/// What a controller selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Labels (`ReplicationController`).
    Labels(Selecting),
    /// A selector.
    Selector(Selector),
}

impl Owners {
    /// Takes over what a Service selects; nothing if it has no selector or is gone.
    pub fn set_service(&mut self, key: &api::Key, selector: Option<&Selecting>) {
        let services = self.services.entry(key.namespace.as_str().into()).or_default();
        let before = services.get(key.name.as_str()).map(|(labels, _)| labels);
        if before == selector {
            return;
        }
        match selector {
            Some(labels) => {
                services.insert(key.name.as_str().into(), (labels.clone(), Selector::from_map(labels)));
            }
            None => {
                services.remove(key.name.as_str());
            }
        }
        if services.is_empty() {
            self.services.remove(key.namespace.as_str());
        }
        self.found.clear();
    }

    /// Takes over what a controller selects; nothing if it is gone.
    pub fn set_controller(&mut self, kind: OwnerKind, key: api::Key, selects: Option<Controller>) {
        let changed = match selects {
            Some(selects) => self.controllers.insert((kind, key), selects.clone()) != Some(selects),
            None => self.controllers.remove(&(kind, key)).is_some(),
        };
        if changed {
            self.found.clear();
        }
    }

    /// The pods that count as a class's fellows; nothing if it belongs to nobody.
    pub fn selector(&mut self, class: &Class) -> Option<Selector> {
        if self.services.is_empty() && class.owner.is_none() {
            return None;
        }
        let key = (class.namespace.clone(), class.labels.clone(), class.owner.clone());
        if let Some(found) = self.found.get(&key) {
            return found.clone();
        }
        let found = Some(self.find(class)).filter(|selector| !selector.is_everything());
        if self.found.len() >= SELECTORS_MAX {
            self.found.clear();
        }
        self.found.insert(key, found.clone());
        found
    }

    fn find(&self, class: &Class) -> Selector {
        let mut labels = Selecting::new();
        for (selecting, selector) in
            self.services.get(&*class.namespace).into_iter().flat_map(HashMap::values)
        {
            if selector.matches(&class.labels) {
                labels.extend(selecting.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        let Some(owner) = &class.owner else { return Selector::from_map(&labels) };
        let key = (owner.kind, api::Key::new(&*class.namespace, &*owner.name));
        match self.controllers.get(&key) {
            None => Selector::from_map(&labels),
            Some(Controller::Labels(more)) => {
                labels.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
                Selector::from_map(&labels)
            }
            Some(Controller::Selector(selector)) => Selector::from_map(&labels).and(selector.clone()),
        }
    }
}
