//! What the agent remembers of each attachment, a file for each: written before the kernel is touched and
//! removed after, so that whatever happens between is known to the next agent. Files need not survive a power
//! cut: namespaces do not.

use super::agent::HostPort;
use super::spec::Request;
use crate::cidr::Cidr;
use crate::link::Mac;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// An interface of a container: the key of everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Attachment {
    pub(crate) container: String,
    pub(crate) interface: String,
}

impl Attachment {
    pub(crate) fn of(request: &Request) -> Self {
        Self { container: request.container.clone(), interface: request.interface.clone() }
    }

    /// An Ethernet address for one of its two ends: the same at each attempt, locally administered.
    pub(crate) fn mac(&self, end: &str) -> Mac {
        let hash = fnv(&[&self.container, &self.interface, end]).to_be_bytes();
        Mac([(hash[0] & 0xfc) | 0x02, hash[1], hash[2], hash[3], hash[4], hash[5]])
    }

    /// The name of the node's end: `prefix` says whose it is.
    pub(crate) fn host_interface(&self, prefix: &str, attempt: u32) -> String {
        let hash = fnv(&[&self.container, &self.interface, &attempt.to_string()]);
        format!("{prefix}{:08x}", (hash >> 16) as u32)
    }
}

/// FNV-1a: names that only have to differ need no cryptography.
pub(crate) fn fnv(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    // The upper bits of FNV hardly depend on the last bytes.
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (hash >> 32)
}

/// An attachment as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) attachment: Attachment,
    /// The namespace's path.
    pub(crate) namespace: String,
    /// The name of the node's end.
    pub(crate) host_interface: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) mtu: u32,
    /// The pod, for people: `namespace/name`.
    pub(crate) pod: String,
    pub(crate) host_ports: Vec<HostPort>,
}

/// What holds for all attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) pod_cidrs: Vec<Cidr>,
    /// Of new interfaces; none if it was never known.
    #[serde(default)]
    pub(crate) mtu: Option<u32>,
    /// The addresses that were given last: the next ones follow them.
    pub(crate) last: Vec<IpAddr>,
}

/// The directory of the records.
pub(crate) struct Records {
    directory: PathBuf,
}

const NODE_FILE: &str = "node.json";
const SUFFIX: &str = ".attachment.json";

impl Records {
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// All attachments. A file that cannot be read was torn by a power cut, and its container with it.
    pub(crate) fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if !path.to_string_lossy().ends_with(SUFFIX) {
                continue;
            }
            match serde_json::from_slice(&fs::read(&path)?) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an attachment cannot be read: forgotten");
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(records)
    }

    pub(crate) fn node(&self) -> NodeRecord {
        fs::read(self.directory.join(NODE_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub(crate) fn save_node(&self, node: &NodeRecord) -> io::Result<()> {
        write(&self.directory.join(NODE_FILE), &serde_json::to_vec(node)?)
    }

    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        write(&self.path(&record.attachment), &serde_json::to_vec(record)?)
    }

    pub(crate) fn remove(&self, attachment: &Attachment) -> io::Result<()> {
        match fs::remove_file(self.path(attachment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, attachment: &Attachment) -> PathBuf {
        self.directory.join(format!("{}-{}{SUFFIX}", attachment.container, attachment.interface))
    }
}

/// Writes a file whole or not at all, for whoever reads it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_differ() {
        let one = Attachment { container: "a".repeat(64), interface: "eth0".into() };
        let other = Attachment { container: format!("{}b", "a".repeat(63)), interface: "eth0".into() };
        let name = one.host_interface("crt1234", 0);
        assert_eq!(name, one.clone().host_interface("crt1234", 0));
        assert_eq!(name.len(), 15);
        assert_ne!(name, other.host_interface("crt1234", 0));
        assert_ne!(name, one.host_interface("crt1234", 1));
        assert_ne!(one.mac("host"), one.mac("pod"));
        assert_eq!(one.mac("host").0[0] & 3, 2, "locally administered, not multicast");
    }

    #[test]
    fn records_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        let record = Record {
            attachment: Attachment { container: "c".into(), interface: "eth0".into() },
            namespace: "/run/netns/a".into(),
            host_interface: "crt0".into(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            mtu: 1500,
            pod: "default/web".into(),
            host_ports: Vec::new(),
        };
        records.save(&record).unwrap();
        fs::write(directory.path().join("broken.attachment.json"), "{").unwrap();
        assert_eq!(records.load().unwrap(), vec![record.clone()]);
        assert!(!directory.path().join("broken.attachment.json").exists());
        records.remove(&record.attachment).unwrap();
        records.remove(&record.attachment).unwrap();
        assert!(records.load().unwrap().is_empty());
        assert_eq!(records.node(), NodeRecord::default());
        let node = NodeRecord {
            pod_cidrs: vec!["10.0.0.0/24".parse().unwrap()],
            mtu: Some(1400),
            last: record.addresses,
        };
        records.save_node(&node).unwrap();
        assert_eq!(records.node(), node);
    }
}
