//! Past templates of DaemonSets and StatefulSets, kept as ControllerRevisions for `kubectl rollout history` and
//! `undo`. Facts: `pkg/controller/history`, `pkg/controller/daemon/update.go`.

use super::claim::{Claim, claim};
use super::control::{index, owned_and_orphans, still_stands};
use super::written::Written;
use super::{hash, patch};
use api::apps::v1::ControllerRevision;
use api::core::v1::PodTemplateSpec;
use api::meta::v1::{LabelSelector, ObjectMeta};
use api::{Object, Selector, owners};
use client::{Client, Error, Lister, Patch};
use reconcile::Clock;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

/// The longest part of the owner's name in a revision's: room for the hash (`ControllerRevisionName`).
const NAME_PREFIX_CHARACTERS_MAX: usize = 223;

/// How many names that fell together are passed over at one look. More than one is not to be expected.
const COLLISIONS_AT_ONCE_MAX: usize = 10;

/// What an owner tells of itself.
pub(crate) struct Subject<'a, K> {
    pub(crate) owner: &'a K,
    pub(crate) selector: &'a LabelSelector,
    pub(crate) template: &'a PodTemplateSpec,
    pub(crate) collisions: Option<i32>,
    /// The label of a revision that has its hash.
    pub(crate) label: &'static str,
}

/// The revisions of an owner.
pub(crate) struct Revisions {
    /// That of the template as it is.
    pub(crate) current: Arc<ControllerRevision>,
    /// All others, oldest first.
    pub(crate) old: Vec<Arc<ControllerRevision>>,
    /// How often a name fell together with another, by now.
    pub(crate) collisions: Option<i32>,
}

/// Keeps revisions.
pub(crate) struct History {
    client: Client,
    clock: Clock,
    revisions: Written<ControllerRevision>,
}

/// What to do so that the template as it is has the newest revision.
#[derive(Debug, PartialEq)]
enum Step {
    /// It has.
    Keep,
    /// It had an older one, which becomes the newest: a rollback.
    Renumber(i64),
    /// It has none.
    Create(i64),
}

/// Decides: the place of the template's revision among `revisions` (oldest first), and what to do.
fn plan(template: &PodTemplateSpec, revisions: &[Arc<ControllerRevision>]) -> (Option<usize>, Step) {
    let place = revisions
        .iter()
        .rposition(|revision| template_of(revision).is_some_and(|past| hash::same_template(&past, template)));
    let others = revisions.iter().enumerate().filter(|(other, _)| Some(*other) != place);
    let next = others.map(|(_, revision)| revision.revision).max().unwrap_or_default().saturating_add(1);
    match place {
        Some(place) if revisions[place].revision >= next => (Some(place), Step::Keep),
        Some(place) => (Some(place), Step::Renumber(next)),
        None => (None, Step::Create(next)),
    }
}

/// The template that a revision keeps.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// What a revision keeps: the strategic merge patch that makes its owner's template what it was.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = patch::tree(template);
    template["$patch"] = json!("replace");
    json!({ "spec": { "template": template } })
}

fn new<K: Object>(subject: &Subject<'_, K>, collisions: Option<i32>, number: i64) -> ControllerRevision {
    let hash = hash::hash(subject.template, collisions);
    let name = subject.owner.name();
    let prefix = name.get(..NAME_PREFIX_CHARACTERS_MAX).unwrap_or(name);
    let meta = subject.template.metadata.as_ref();
    let mut labels = meta.and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(subject.label.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(format!("{prefix}-{hash}")),
            namespace: Some(subject.owner.namespace().to_owned()),
            labels: Some(labels),
            annotations: subject.owner.meta().annotations.clone(),
            owner_references: Some(vec![owners::controller_reference(subject.owner)]),
            ..Default::default()
        },
        data: serde_json::from_value(data(subject.template)).ok(),
        revision: number,
    }
}

impl History {
    /// Over the cache of revisions.
    pub(crate) fn new(client: Client, clock: Clock, lister: Lister<ControllerRevision>) -> Self {
        index(&lister);
        Self { client, clock, revisions: Written::new(lister) }
    }

    /// Forgets what was written for an owner that is gone.
    pub(crate) fn forget(&self, owner: &api::Key) {
        self.revisions.forget(owner);
    }

    /// The owner's revisions, once its template as it is has the newest.
    pub(crate) async fn sync<K: Object>(&self, subject: &Subject<'_, K>) -> Result<Revisions, Error> {
        let mut all = self.claim(subject).await?;
        all.sort_by(|one, other| key(one).cmp(&key(other)));
        let (place, step) = plan(subject.template, &all);
        let present = place.map(|place| all.remove(place));
        let (current, collisions) = match (present, step) {
            (Some(present), Step::Renumber(number)) => {
                (self.renumber(subject.owner, &present, number).await?, subject.collisions)
            }
            (Some(present), _) => (present, subject.collisions),
            (None, Step::Create(number) | Step::Renumber(number)) => self.create(subject, number).await?,
            (None, Step::Keep) => self.create(subject, 1).await?,
        };
        Ok(Revisions { current, old: all, collisions })
    }

    async fn claim<K: Object>(
        &self,
        subject: &Subject<'_, K>,
    ) -> Result<Vec<Arc<ControllerRevision>>, Error> {
        let (owner, key) = (subject.owner, subject.owner.key());
        let selector = Selector::try_from(subject.selector).ok();
        let mut mine = Vec::new();
        let mut asked = false;
        for revision in self.revisions.see(&key, |lister| owned_and_orphans(lister, owner)) {
            let labels = revision.metadata.labels.as_ref();
            let selected = selector.as_ref().is_some_and(|selector| selector.matches(labels));
            let patch = match claim(owner.meta(), &revision.metadata, selected) {
                Claim::Ignore => continue,
                Claim::Own => {
                    mine.push(revision);
                    continue;
                }
                Claim::Adopt => {
                    if !asked {
                        still_stands(&self.client, owner).await?;
                        asked = true;
                    }
                    patch::adopt(&owners::controller_reference(owner), &revision.metadata, &[])
                }
                Claim::Release => patch::release(owner.uid(), &revision.metadata, &[]),
            };
            match self.patch(owner, &revision, Patch::Strategic(patch)).await {
                Ok(patched) if owners::is_controlled_by(&patched.metadata, owner) => mine.push(patched),
                Ok(_) => {}
                Err(error) if error.is_not_found() || (error.is_invalid() && !selected) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(mine)
    }

    async fn patch<K: Object>(
        &self,
        owner: &K,
        revision: &ControllerRevision,
        patch: Patch,
    ) -> Result<Arc<ControllerRevision>, Error> {
        let patched = self.client.patch(revision.namespace(), revision.name(), &patch).await?;
        Ok(self.revisions.stored(&owner.key(), patched))
    }

    async fn renumber<K: Object>(
        &self,
        owner: &K,
        revision: &ControllerRevision,
        number: i64,
    ) -> Result<Arc<ControllerRevision>, Error> {
        let mut wanted = revision.clone();
        wanted.revision = number;
        let patch = patch::update(revision, &wanted).unwrap_or_default();
        self.patch(owner, revision, Patch::Merge(patch)).await
    }

    async fn create<K: Object>(
        &self,
        subject: &Subject<'_, K>,
        number: i64,
    ) -> Result<(Arc<ControllerRevision>, Option<i32>), Error> {
        let (owner, mut collisions) = (subject.owner, subject.collisions);
        for _ in 0..COLLISIONS_AT_ONCE_MAX {
            let revision = new(subject, collisions, number);
            match self.client.create(&revision).await {
                Ok(made) => return Ok((self.revisions.stored(&owner.key(), made), collisions)),
                Err(error) if error.is_already_exists() => {}
                Err(error) => return Err(error),
            }
            let present: ControllerRevision = self.client.get(revision.namespace(), revision.name()).await?;
            let same = template_of(&present).is_some_and(|past| hash::same_template(&past, subject.template));
            if same && owners::is_controlled_by(&present.metadata, owner) {
                return Ok((self.revisions.stored(&owner.key(), present), collisions));
            }
            collisions = Some(collisions.unwrap_or_default().saturating_add(1));
        }
        Err(Error::Other(format!(
            "no free name for a revision of {} {} after {COLLISIONS_AT_ONCE_MAX} attempts",
            K::KIND,
            owner.key()
        )))
    }

    /// Deletes the oldest revisions beyond the limit; not those that something `live` is of.
    pub(crate) async fn truncate<K: Object>(
        &self,
        owner: &K,
        old: &[Arc<ControllerRevision>],
        limit: i32,
        is_live: impl Fn(&ControllerRevision) -> bool,
    ) -> Result<(), Error> {
        let past: Vec<_> = old.iter().filter(|revision| !is_live(revision)).collect();
        let surplus = past.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        for revision in past.into_iter().take(surplus) {
            let options = api::meta::v1::DeleteOptions::default();
            let (namespace, name) = (revision.namespace(), revision.name());
            match self.client.delete::<ControllerRevision>(namespace, name, &options).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => self.revisions.deleted(&owner.key(), revision, self.clock.now()),
            }
        }
        Ok(())
    }
}

fn key(revision: &ControllerRevision) -> (i64, Option<jiff::Timestamp>, &str) {
    let created = revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (revision.revision, created, revision.name())
}

/// The values of a label.
pub(crate) fn label_values<'a, K: Object>(objects: &'a [Arc<K>], label: &str) -> HashSet<&'a str> {
    objects.iter().filter_map(|object| label_of(object.meta(), label)).collect()
}

/// The value of a label.
pub(crate) fn label_of<'a>(meta: &'a ObjectMeta, label: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(label).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{meta, selector, template};
    use super::*;
    use api::apps::v1::DaemonSet;

    fn revision(name: &str, number: i64, image: &str) -> Arc<ControllerRevision> {
        let data = serde_json::from_value(data(&template("app=a", image))).expect("data");
        Arc::new(ControllerRevision { metadata: meta(name), data: Some(data), revision: number })
    }

    #[test]
    fn the_template_as_it_is_has_the_newest_revision() {
        let past = [revision("a", 1, "a:1"), revision("b", 2, "a:2")];
        for (image, revisions, expected) in [
            ("a:1", &past[..0], (None, Step::Create(1))),
            ("a:3", &past[..], (None, Step::Create(3))),
            ("a:2", &past[..], (Some(1), Step::Keep)),
            ("a:1", &past[..], (Some(0), Step::Renumber(3))),
        ] {
            assert_eq!(plan(&template("app=a", image), revisions), expected, "{image}");
        }
    }

    #[test]
    fn revisions_keep_what_kubectl_puts_back() {
        let owner = DaemonSet { metadata: meta("agent"), ..Default::default() };
        let (selector, template) = (selector("app=a"), template("app=a", "a:1"));
        let label = "controller-revision-hash";
        let subject =
            Subject { owner: &owner, selector: &selector, template: &template, collisions: None, label };
        let made = new(&subject, None, 4);
        let hash = label_of(&made.metadata, label).expect("a hash");
        assert_eq!((made.name(), made.revision), (format!("agent-{hash}").as_str(), 4));
        assert_eq!(label_of(&made.metadata, "app"), Some("a"));
        let data = &made.data.as_ref().expect("data").0;
        assert_eq!(data["spec"]["template"]["$patch"], "replace");
        assert_eq!(template_of(&made), Some(template.clone()));
        assert_ne!(new(&subject, Some(1), 4).name(), made.name());
    }
}
