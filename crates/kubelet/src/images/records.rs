//! With which credentials images were pulled: one that a pod pulled with its Secret is not every pod's.
//!
//! Sources: KEP-2535 (`KubeletEnsureSecretPulledImages`, with the policy `NeverVerifyPreloadedImages`);
//! `pkg/kubelet/images/pullmanager`, whose files below the kubelet's root these are: `image_manager/pulling` has an
//! `ImagePullIntent` for what is being pulled, `image_manager/pulled` an `ImagePulledRecord` for what was. An image that
//! neither tells of was there before, and is everybody's. Upstream holds a pull under one name against all others of the
//! image; here a name that somebody gave it by hand stays everybody's, for clusters without a registry.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::credentials::PullSecret;
use super::reference::{self, Reference};

/// Secrets that are added to a record while it is only asked, as upstream's `writeRecordWhileMatchingLimit`.
const NOTED_SECRETS_MAX: usize = 100;
const PREFIX: &str = "sha256-";
const VERSION: &str = "kubelet.config.k8s.io/v1beta1";

/// How an image was got.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// Without credentials, or with those of the node.
    Anybody,
    Secret(PullSecret),
}

/// Who may run an image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    Everybody,
    /// Who has one of these.
    Holders(Vec<PullSecret>),
    /// Nobody without asking the registry.
    Nobody,
}

/// The records of a node.
#[derive(Debug)]
pub(crate) struct Records {
    pulling: PathBuf,
    pulled: PathBuf,
    /// How many pods pull an image now. A pod that goes away meanwhile stays counted, as its intent stays: the runtime
    /// may end the pull all the same.
    intents: Mutex<BTreeMap<String, usize>>,
}

impl Records {
    /// Those below a kubelet's root; nothing is read or made.
    pub(crate) fn new(root: &Path) -> Self {
        let dir = root.join("image_manager");
        Self { pulling: dir.join("pulling"), pulled: dir.join("pulled"), intents: Mutex::default() }
    }

    /// An image is about to be pulled. Durable: should the power fail before the end, it counts as pulled with
    /// credentials that nobody knows.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(super) fn intend(&self, image: &str) -> Result<(), pki::Error> {
        let mut intents = self.intents.lock();
        let intent = json!({"kind": "ImagePullIntent", "apiVersion": VERSION, "image": image});
        pki::write_private(&file(&self.pulling, image), intent.to_string().as_bytes())?;
        *intents.entry(image.to_owned()).or_default() += 1;
        Ok(())
    }

    /// A pull has failed.
    pub(super) fn failed(&self, image: &str) {
        self.withdraw(&mut self.intents.lock(), image);
    }

    /// A pull has succeeded. Where that cannot be noted, the intent stays: nobody gets the image without asking.
    pub(super) fn succeeded(&self, image: &str, id: &str, access: &Access, now: Timestamp) {
        let mut intents = self.intents.lock();
        match self.note(image, id, Some(access), now) {
            Ok(()) => self.withdraw(&mut intents, image),
            Err(error) => tracing::warn!(%error, image, "cannot note who may run an image"),
        }
    }

    fn withdraw(&self, intents: &mut BTreeMap<String, usize>, image: &str) {
        if let Some(others) = intents.get_mut(image).filter(|count| **count > 1) {
            *others -= 1;
            return;
        }
        match std::fs::remove_file(file(&self.pulling, image)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, image, "cannot take back that an image is being pulled");
            }
            _ => drop(intents.remove(image)),
        }
    }

    /// Who may run an image under this name, as a pod writes it. `tags` are all names that the runtime knows it by.
    pub(super) fn grant(&self, image: &str, id: &str, tags: &[String]) -> Grant {
        let intents = self.intents.lock();
        match self.read(id) {
            Ok(Some(record)) => {
                let mapping = &record["credentialMapping"];
                match mapping.get(without_tag(image)) {
                    Some(how) => granted(how),
                    None if self.is_given_by_hand(mapping, image, tags) => Grant::Everybody,
                    None => Grant::Nobody,
                }
            }
            Ok(None) if intents.contains_key(image) => Grant::Nobody,
            Ok(None) => match read(&file(&self.pulling, image)) {
                Ok(None) => Grant::Everybody,
                Ok(Some(intent)) if intent["image"] != image => Grant::Everybody,
                _ => Grant::Nobody,
            },
            Err(error) => {
                tracing::warn!(%error, image, "cannot read who may run an image");
                Grant::Nobody
            }
        }
    }

    /// Whether the runtime knows an image by a name that it was never pulled by, however that is written. Its id and its
    /// digests are no such names: nobody gave them.
    fn is_given_by_hand(&self, mapping: &Value, image: &str, tags: &[String]) -> bool {
        let Ok(Reference { repository, tag: Some(tag), digest: None }) = reference::parse(image) else {
            return false;
        };
        let is_other = |name: &str| reference::parse(name).is_ok_and(|name| name.repository != repository);
        let pulled = mapping.as_object().filter(|pulled| !pulled.is_empty());
        tags.contains(&format!("{repository}:{tag}"))
            && pulled.is_some_and(|pulled| pulled.keys().all(|name| is_other(name)))
            && list(&self.pulling).all(|(_, intent)| intent["image"].as_str().is_some_and(is_other))
    }

    /// Whether one of the Secrets that a pod has is among those that the image was pulled with: the same credentials,
    /// or the same Secret, whose new credentials count from now on.
    pub(super) fn is_held(
        &self,
        (image, id): (&str, &str),
        holders: &[PullSecret],
        of_pod: &[PullSecret],
        now: Timestamp,
    ) -> bool {
        let has_room = holders.len() < NOTED_SECRETS_MAX;
        for own in of_pod {
            let same_place = holders.iter().any(|holder| is_same_place(holder, own));
            let same_hash = holders.iter().any(|holder| !holder.hash.is_empty() && holder.hash == own.hash);
            if !(same_hash || same_place && has_room) {
                continue;
            }
            let is_noted = holders.contains(own);
            if !is_noted && has_room {
                let _alone = self.intents.lock();
                if let Err(error) = self.note(image, id, Some(&Access::Secret(own.clone())), now) {
                    tracing::warn!(%error, image, "cannot note another secret of an image");
                }
            }
            return true;
        }
        false
    }

    /// Forgets images that are not there any more, but for what changed since `before`.
    pub(crate) fn prune(&self, is_there: impl Fn(&str) -> bool, before: Timestamp) {
        let _alone = self.intents.lock();
        for (path, record) in list(&self.pulled) {
            let updated = record["lastUpdatedTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
            // Records tell seconds: what is of the same one may be newer.
            let is_new = updated.is_some_and(|updated| updated.as_second() >= before.as_second());
            if is_new || record["imageRef"].as_str().is_none_or(&is_there) {
                continue;
            }
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "cannot forget an image that is gone");
            }
        }
    }

    /// The images whose pulls an earlier kubelet did not see end.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let _alone = self.intents.lock();
        list(&self.pulling).filter_map(|(_, intent)| intent["image"].as_str().map(str::to_owned)).collect()
    }

    /// An unfinished pull turns out to have succeeded, nobody knows how.
    pub(super) fn finished(&self, image: &str, id: &str, now: Timestamp) {
        let mut intents = self.intents.lock();
        match self.note(image, id, None, now) {
            Ok(()) => self.withdraw(&mut intents, image),
            Err(error) => tracing::warn!(%error, image, "cannot note that an image was pulled"),
        }
    }

    fn read(&self, id: &str) -> io::Result<Option<Value>> {
        Ok(read(&file(&self.pulled, id))?.filter(|record| record["imageRef"] == id))
    }

    fn note(&self, image: &str, id: &str, access: Option<&Access>, now: Timestamp) -> Result<(), pki::Error> {
        // What cannot be read is written anew.
        let old = self.read(id).ok().flatten();
        let mut record = old.clone().unwrap_or_else(|| {
            json!({"kind": "ImagePulledRecord", "apiVersion": VERSION, "lastUpdatedTime": "", "imageRef": id})
        });
        let mapping = &mut record["credentialMapping"];
        if !mapping.is_object() {
            *mapping = Map::new().into();
        }
        add(&mut mapping[without_tag(image)], access);
        if old.as_ref() == Some(&record) {
            return Ok(());
        }
        record["lastUpdatedTime"] = format!("{now:.0}").into();
        pki::write_private(&file(&self.pulled, id), record.to_string().as_bytes())
    }
}

fn granted(how: &Value) -> Grant {
    if how["nodePodsAccessible"] == true {
        return Grant::Everybody;
    }
    let holders: Vec<PullSecret> =
        how["kubernetesSecrets"].as_array().into_iter().flatten().filter_map(holder).collect();
    if holders.is_empty() { Grant::Nobody } else { Grant::Holders(holders) }
}

fn holder(written: &Value) -> Option<PullSecret> {
    let text = |key: &str| written[key].as_str().map(str::to_owned);
    Some(PullSecret {
        uid: text("uid")?,
        namespace: text("namespace")?,
        name: text("name")?,
        hash: text("credentialHash")?,
    })
}

/// Adds how an image was got, if that is known, to what was known of it, as upstream's `pulledRecordMergeNewCreds`.
fn add(known: &mut Value, access: Option<&Access>) {
    if !known.is_object() {
        *known = Map::new().into();
    }
    if known["nodePodsAccessible"] == true {
        return;
    }
    match access {
        None => {}
        Some(Access::Anybody) => *known = json!({"nodePodsAccessible": true}),
        Some(Access::Secret(secret)) => {
            let mut holders: Vec<PullSecret> =
                known["kubernetesSecrets"].as_array().into_iter().flatten().filter_map(holder).collect();
            if holders.contains(secret) {
                return;
            }
            holders.retain(|holder| !is_same_place(holder, secret));
            holders.push(secret.clone());
            holders.sort_by(|a, b| (&a.namespace, &a.name, &a.uid).cmp(&(&b.namespace, &b.name, &b.uid)));
            known["kubernetesSecrets"] = holders.iter().map(written).collect();
        }
    }
}

fn written(secret: &PullSecret) -> Value {
    let PullSecret { uid, namespace, name, hash } = secret;
    json!({"uid": uid, "namespace": namespace, "name": name, "credentialHash": hash})
}

fn is_same_place(a: &PullSecret, b: &PullSecret) -> bool {
    (&a.uid, &a.namespace, &a.name) == (&b.uid, &b.namespace, &b.name)
}

/// A valid name as it was written, without tag and digest.
fn without_tag(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    name[path..].find(':').map_or(name, |colon| &name[..path + colon])
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{PREFIX}{}", pki::sha256_hex(name.as_bytes())))
}

fn read(path: &Path) -> io::Result<Option<Value>> {
    match std::fs::read(path) {
        Ok(text) => {
            let value: Value = serde_json::from_slice(&text)?;
            if value.is_object() { Ok(Some(value)) } else { Err(ErrorKind::InvalidData.into()) }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What can be read of a folder.
fn list(dir: &Path) -> impl Iterator<Item = (PathBuf, Value)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .map(|entry| entry.path());
    paths.filter_map(|path| match read(&path) {
        Ok(value) => value.map(|value| (path, value)),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot read a record of an image");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn secret(name: &str, hash: &str) -> PullSecret {
        PullSecret { uid: format!("uid-{name}"), namespace: "n".into(), name: name.into(), hash: hash.into() }
    }

    fn records() -> (tempfile::TempDir, Records) {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        (dir, records)
    }

    fn pull(records: &Records, image: &str, id: &str, access: &Access) {
        records.intend(image).unwrap();
        records.succeeded(image, id, access, at(10));
    }

    #[test]
    fn names_without_tags() {
        let cases = [
            ("busybox", "busybox"),
            ("busybox:1", "busybox"),
            ("r:5000/a", "r:5000/a"),
            ("r:5000/a/b:1@sha256:00", "r:5000/a/b"),
            ("a@sha256:00", "a"),
        ];
        for (image, expected) in cases {
            assert_eq!(without_tag(image), expected, "{image}");
        }
    }

    #[test]
    fn what_was_there_before_is_everybodys() {
        let (_dir, records) = records();
        assert_eq!(records.grant("a:1", "id", &[]), Grant::Everybody);
        pull(&records, "b", "other", &Access::Secret(secret("s", "h")));
        assert_eq!(records.grant("a:1", "id", &[]), Grant::Everybody);
    }

    #[test]
    fn what_was_pulled_without_a_secret_is_everybodys_under_that_name() {
        let (_dir, records) = records();
        pull(&records, "r.example/a:1", "id", &Access::Anybody);
        assert_eq!(records.grant("r.example/a:2", "id", &[]), Grant::Everybody);
        assert_eq!(
            records.grant("other.example/a:1", "id", &[]),
            Grant::Nobody,
            "the registry may say otherwise"
        );
        pull(&records, "r.example/a:1", "id", &Access::Secret(secret("s", "h")));
        assert_eq!(records.grant("r.example/a:1", "id", &[]), Grant::Everybody, "that stays");
    }

    #[test]
    fn what_was_pulled_with_a_secret_is_for_who_has_it() {
        let (dir, records) = records();
        let (one, two) = (secret("one", "1"), secret("two", "2"));
        pull(&records, "a:1", "id", &Access::Secret(two.clone()));
        pull(&records, "a:1", "id", &Access::Secret(one.clone()));
        let again = Records::new(dir.path());
        let Grant::Holders(holders) = again.grant("a:1", "id", &[]) else { panic!("it needs a secret") };
        assert_eq!(holders, [one.clone(), two.clone()]);
        let is_held = |of_pod: &[PullSecret]| again.is_held(("a:1", "id"), &holders, of_pod, at(20));
        assert!(!is_held(&[]));
        assert!(!is_held(&[secret("three", "3"), secret("four", "")]));
        assert!(is_held(&[secret("three", "3"), one.clone()]));
        assert_eq!(again.grant("a:1", "id", &[]), Grant::Holders(holders.clone()), "nothing new");
        // The same credentials in another Secret, and other credentials in the same: both are noted.
        assert!(is_held(&[secret("copy", "1")]));
        assert!(is_held(&[secret("two", "rotated")]));
        let noted = vec![secret("copy", "1"), one, secret("two", "rotated")];
        assert_eq!(again.grant("a:1", "id", &[]), Grant::Holders(noted));
        pull(&again, "a:1", "id", &Access::Anybody);
        assert_eq!(again.grant("a:1", "id", &[]), Grant::Everybody);
    }

    #[test]
    fn a_name_given_by_hand_stays_everybodys() {
        let (_dir, records) = records();
        let tags = ["docker.io/library/a:1", "r.example/a:1", "r.example/b:1"].map(str::to_owned);
        let grant = |name: &str| records.grant(name, "id", &tags);
        records.intend("r.example/b:1").unwrap();
        pull(&records, "a:1", "id", &Access::Secret(secret("s", "h")));
        let cases = [
            ("r.example/a:1", Grant::Everybody),
            // It has no such name.
            ("r.example/a:2", Grant::Nobody),
            // The names that were pulled, however they are written, or are being pulled.
            ("docker.io/library/a:1", Grant::Nobody),
            ("docker.io/a:1", Grant::Nobody),
            ("r.example/b:1", Grant::Nobody),
            ("a:2", Grant::Holders(vec![secret("s", "h")])),
        ];
        for (name, expected) in cases {
            assert_eq!(grant(name), expected, "{name}");
        }
        // What the runtime itself knows the image by.
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for name in [format!("sha256:{digits}"), format!("r.example/a@sha256:{digits}")] {
            assert_eq!(grant(&name), Grant::Nobody, "{name}");
        }
        records.finished("r.example/a", "id", at(20));
        assert_eq!(grant("r.example/a:1"), Grant::Nobody, "it was pulled, nobody knows how");
    }

    #[test]
    fn a_record_that_is_full_gets_no_more() {
        let (_dir, records) = records();
        let holders: Vec<PullSecret> = (0..NOTED_SECRETS_MAX).map(|i| secret(&i.to_string(), "h")).collect();
        assert!(records.is_held(("a", "id"), &holders, &[secret("more", "h")], at(1)));
        assert_eq!(records.grant("a", "id", &[]), Grant::Everybody, "nothing was written");
        assert!(!records.is_held(("a", "id"), &holders, &[secret("5", "rotated")], at(1)));
    }

    #[test]
    fn an_unfinished_pull_is_nobodys() {
        let (dir, records) = records();
        records.intend("a:1").unwrap();
        records.intend("a:1").unwrap();
        assert_eq!(records.grant("a:1", "id", &[]), Grant::Nobody);
        records.failed("a:1");
        assert_eq!(records.grant("a:1", "id", &[]), Grant::Nobody, "another pod pulls it still");
        let after_crash = Records::new(dir.path());
        assert_eq!(after_crash.grant("a:1", "id", &[]), Grant::Nobody);
        assert_eq!(after_crash.grant("b:1", "id", &[]), Grant::Everybody);
        assert_eq!(after_crash.unfinished(), ["a:1"]);
        after_crash.finished("a:1", "id", at(10));
        assert_eq!(after_crash.unfinished(), [""; 0]);
        assert_eq!(after_crash.grant("b:1", "id", &[]), Grant::Nobody, "another name of it is not better");
        records.failed("a:1");
        assert_eq!(records.grant("other", "other", &[]), Grant::Everybody);
    }

    #[test]
    fn what_cannot_be_read_is_nobodys_until_it_is_pulled_again() {
        let (_dir, records) = records();
        pull(&records, "a", "id", &Access::Anybody);
        for broken in ["{", "[]", "", r#"{"imageRef":"id","credentialMapping":{"a":1}}"#] {
            std::fs::write(file(&records.pulled, "id"), broken).unwrap();
            assert_eq!(records.grant("a", "id", &[]), Grant::Nobody, "{broken:?}");
        }
        // As upstream's, with what this program does not know of.
        let text = r#"{"kind":"ImagePulledRecord","apiVersion":"kubelet.config.k8s.io/v1alpha1","lastUpdatedTime":"2024-10-21T12:26:40Z","imageRef":"id","credentialMapping":{"a":{"kubernetesServiceAccounts":[{"uid":"u","namespace":"n","name":"s"}]}}}"#;
        std::fs::write(file(&records.pulled, "id"), text).unwrap();
        assert_eq!(records.grant("a", "id", &[]), Grant::Nobody);
        pull(&records, "a", "id", &Access::Secret(secret("s", "h")));
        assert_eq!(records.grant("a", "id", &[]), Grant::Holders(vec![secret("s", "h")]));
        let how = records.read("id").unwrap().unwrap()["credentialMapping"]["a"].clone();
        assert_eq!(how["kubernetesServiceAccounts"][0]["name"], "s", "it is kept");
    }

    #[test]
    fn images_that_are_gone_are_forgotten() {
        let (_dir, records) = records();
        for id in ["here", "gone", "new"] {
            pull(&records, id, id, &Access::Secret(secret("s", "h")));
        }
        records.intend("new").unwrap();
        // Later than the look at the images, within its second.
        let look = at(20) + jiff::SignedDuration::from_millis(300);
        records.succeeded("new", "new", &Access::Anybody, look + jiff::SignedDuration::from_millis(400));
        records.prune(|id| id == "here", look);
        let ids = |records: &Records| {
            let mut ids: Vec<String> = list(&records.pulled)
                .map(|(_, record)| record["imageRef"].as_str().unwrap().to_owned())
                .collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&records), ["here", "new"]);
    }
}
