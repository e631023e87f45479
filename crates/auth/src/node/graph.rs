//! Which objects are related to which node.
//!
//! Most relations go through pods: an object is related to a node as long as a pod bound to the node refers
//! to it. So the graph counts, per object and node, the pods that do; a question is two look-ups.
//! Volumes go the long way: a PersistentVolume by its claim, a secret perhaps by a PersistentVolume.

use super::references;
use std::collections::{HashMap, HashSet};
use value::{Str, Value};

/// A kind of object that can be related to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Related {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
    /// ServiceAccount.
    ServiceAccount,
    /// PersistentVolumeClaim.
    Claim,
    /// PersistentVolume.
    Volume,
    /// ResourceClaim.
    ResourceClaim,
    /// Pod.
    Pod,
    /// VolumeAttachment.
    Attachment,
    /// ResourceSlice.
    ResourceSlice,
    /// PodCertificateRequest.
    PodCertificateRequest,
}

type Key = (Related, Str, Str);

/// The relations; kept up to date from trees.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Per object and node, how many pods (or the object itself) relate them.
    nodes: HashMap<Key, HashMap<Str, u32>>,
    /// What each pod, attachment, slice and request put into `nodes`: its node, and the objects.
    sources: HashMap<Key, (Str, Vec<Key>)>,
    volumes: HashMap<Str, VolumeLinks>,
    /// Secrets by the PersistentVolumes that refer to them.
    secret_volumes: HashMap<(Str, Str), HashSet<Str>>,
}

#[derive(Clone, Debug, PartialEq)]
struct VolumeLinks {
    claim: (Str, Str),
    secrets: Vec<(Str, Str)>,
}

impl Graph {
    /// An empty one: no node may read anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a new or changed object of `resource` (`pods`, `persistentvolumes`, `volumeattachments`,
    /// `resourceslices`, `podcertificaterequests`; others are passed over).
    pub fn upsert(&mut self, resource: &str, object: &Value) {
        let metadata = object.at("metadata");
        let (namespace, name) = (metadata.at("namespace").str(), metadata.at("name").str());
        let spec = object.at("spec");
        let node = spec.at("nodeName").str();
        match resource {
            "pods" => {
                let of_pod = if node.is_empty() { Vec::new() } else { pod_objects(object, namespace) };
                self.set_source((Related::Pod, namespace.into(), name.into()), node, of_pod);
            }
            "persistentvolumes" => self.set_volume(name, object),
            "volumeattachments" => {
                self.set_source((Related::Attachment, Str::default(), name.into()), node, Vec::new());
            }
            "resourceslices" => {
                self.set_source((Related::ResourceSlice, Str::default(), name.into()), node, Vec::new());
            }
            "podcertificaterequests" => {
                let key = (Related::PodCertificateRequest, namespace.into(), name.into());
                self.set_source(key, node, Vec::new());
            }
            _ => {}
        }
    }

    /// Forgets a deleted object.
    pub fn remove(&mut self, resource: &str, namespace: &str, name: &str) {
        let kind = match resource {
            "pods" => Related::Pod,
            "volumeattachments" => Related::Attachment,
            "resourceslices" => Related::ResourceSlice,
            "podcertificaterequests" => Related::PodCertificateRequest,
            "persistentvolumes" => return self.remove_volume(name),
            _ => return,
        };
        self.set_source((kind, namespace.into(), name.into()), "", Vec::new());
    }

    /// Whether an object is related to `node`.
    pub fn is_related(&self, node: &str, kind: Related, namespace: &str, name: &str) -> bool {
        let direct = |kind: Related, namespace: &Str, name: &Str| {
            let nodes = self.nodes.get(&(kind, namespace.clone(), name.clone()));
            nodes.is_some_and(|nodes| nodes.contains_key(node))
        };
        let by_volume = |volume: &Str| {
            let links = self.volumes.get(volume);
            links.is_some_and(|l| direct(Related::Claim, &l.claim.0, &l.claim.1))
        };
        let (namespace, name) = (Str::from(namespace), Str::from(name));
        match kind {
            Related::Volume => by_volume(&name),
            Related::Secret if !direct(kind, &namespace, &name) => {
                let volumes = self.secret_volumes.get(&(namespace, name));
                volumes.is_some_and(|volumes| volumes.iter().any(by_volume))
            }
            _ => direct(kind, &namespace, &name),
        }
    }

    /// Replaces what a source contributes; an empty node removes it.
    fn set_source(&mut self, source: Key, node: &str, mut objects: Vec<Key>) {
        if !node.is_empty() {
            objects.push(source.clone());
        }
        if self.sources.get(&source).is_some_and(|(n, o)| n == node && *o == objects) {
            return;
        }
        if let Some((node, objects)) = self.sources.remove(&source) {
            for key in objects {
                self.forget(&key, &node);
            }
        }
        if node.is_empty() {
            return;
        }
        let node = Str::from(node);
        for key in &objects {
            *self.nodes.entry(key.clone()).or_default().entry(node.clone()).or_default() += 1;
        }
        self.sources.insert(source, (node, objects));
    }

    fn forget(&mut self, key: &Key, node: &Str) {
        let Some(nodes) = self.nodes.get_mut(key) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.nodes.remove(key);
        }
    }

    fn set_volume(&mut self, name: &str, volume: &Value) {
        let claim = volume.path(&["spec", "claimRef"]);
        self.remove_volume(name);
        if claim.is_null() {
            return;
        }
        let secrets = references::volume_secrets(volume);
        let links = VolumeLinks {
            claim: (claim.at("namespace").str().into(), claim.at("name").str().into()),
            secrets: secrets.into_iter().map(|(ns, name)| (ns.into(), name.into())).collect(),
        };
        for secret in &links.secrets {
            self.secret_volumes.entry(secret.clone()).or_default().insert(name.into());
        }
        self.volumes.insert(name.into(), links);
    }

    fn remove_volume(&mut self, name: &str) {
        let Some(links) = self.volumes.remove(name) else { return };
        for secret in links.secrets {
            if let Some(volumes) = self.secret_volumes.get_mut(&secret) {
                volumes.remove(name);
                if volumes.is_empty() {
                    self.secret_volumes.remove(&secret);
                }
            }
        }
    }
}

/// The objects that a pod makes readable for its node, each once. A mirror pod makes none: the node itself
/// wrote it.
fn pod_objects(pod: &Value, namespace: &str) -> Vec<Key> {
    if pod.path(&["metadata", "annotations", "kubernetes.io/config.mirror"]).as_str().is_some() {
        return Vec::new();
    }
    let namespace = Str::from(namespace);
    let spec = pod.at("spec");
    let mut objects: Vec<Key> = Vec::new();
    let mut add = |kind: Related, name: &str| objects.push((kind, namespace.clone(), name.into()));
    let account = spec.at("serviceAccountName").str();
    if !account.is_empty() {
        add(Related::ServiceAccount, account);
    }
    references::secrets(spec).into_iter().for_each(|name| add(Related::Secret, name));
    references::config_maps(spec).into_iter().for_each(|name| add(Related::ConfigMap, name));
    references::claims(pod).iter().for_each(|name| add(Related::Claim, name));
    references::resource_claims(pod).into_iter().for_each(|name| add(Related::ResourceClaim, name));
    let mut seen = HashSet::new();
    objects.retain(|key| seen.insert(key.clone()));
    objects
}
