//! The pods of this node as others in this process see them: written by the pod workers, read by the server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use api::core::v1::Pod;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::runtime::messages::ContainerState;
use crate::spec;

/// A handle on the pods of this node; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pods {
    entries: Arc<RwLock<BTreeMap<String, Entry>>>,
    admission: Arc<Mutex<()>>,
}

/// The right to decide whether a pod has room here: of two pods that ask at once, the second sees what the first got.
pub(crate) struct Admission<'a> {
    pods: &'a Pods,
    _turn: MutexGuard<'a, ()>,
}

impl Admission<'_> {
    /// The pods beside this one that are here and have not ended, with what they were granted.
    pub(crate) fn others(&self, pod: &Pod) -> Vec<Arc<Pod>> {
        let entries = self.pods.entries.read();
        let pods = entries.iter().filter(|(uid, _)| *uid != spec::uid(pod)).map(|(_, entry)| &entry.pod);
        pods.filter(|pod| !api::pods::is_terminal(pod)).cloned().collect()
    }
}

/// One pod.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The API object, with the resources that it was granted and the newest status that the kubelet made.
    pub(crate) pod: Arc<Pod>,
    /// The id of the sandbox that runs; `None` before it does and after it ended.
    pub(crate) sandbox: Option<String>,
    /// The instances of containers that the runtime has, by container name, the newest first.
    pub(crate) instances: BTreeMap<String, Vec<Instance>>,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// The runtime's id, without a scheme.
    pub(crate) id: String,
    pub(crate) state: ContainerState,
    /// How often the container was restarted before this run.
    pub(crate) attempt: u32,
    /// The log file.
    pub(crate) log_path: PathBuf,
}

impl Pods {
    /// All pods, by UID in no order that matters.
    pub(crate) fn list(&self) -> Vec<Entry> {
        self.entries.read().values().cloned().collect()
    }

    /// The pod of that UID.
    pub(crate) fn by_uid(&self, uid: &str) -> Option<Entry> {
        self.entries.read().get(uid).cloned()
    }

    /// The pod of that name; of several (one is ending, its successor is here) the one that is not being deleted.
    pub(crate) fn by_name(&self, namespace: &str, name: &str) -> Option<Entry> {
        let pods = self.entries.read();
        let mut found = pods.values().filter(|entry| {
            let meta = &entry.pod.metadata;
            meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
        });
        let first = found.next()?;
        let live = |entry: &&Entry| entry.pod.metadata.deletion_timestamp.is_none();
        let second = Some(first).filter(live).or_else(|| found.find(live));
        Some(second.unwrap_or(first).clone())
    }

    /// Begins to decide; what is granted is to be [`set`](Self::set) before the end of it.
    pub(crate) fn admit(&self) -> Admission<'_> {
        Admission { pods: self, _turn: self.admission.lock() }
    }

    pub(crate) fn set(&self, uid: &str, entry: Entry) {
        self.entries.write().insert(uid.to_owned(), entry);
    }

    pub(crate) fn remove(&self, uid: &str) {
        self.entries.write().remove(uid);
    }
}

impl Entry {
    /// The newest run of a container, or with `previous` the one before it.
    pub(crate) fn instance(&self, container: &str, previous: bool) -> Option<&Instance> {
        self.instances.get(container)?.get(usize::from(previous))
    }
}
