//! Who owns which field: `metadata.managedFields`, kept by the `merge` crate.

use crate::call::Call;
use crate::codec::Codec;
use crate::resource::{Registry, Served, Target};
use crate::write::{Given, WriteOptions};
use merge::fields::{Filter, Set};
use merge::managed::{self, Applied, Write};
use merge::types::Trust;
use merge::updater::{Force, OneVersion, ResetFields, Versions};
use merge::{Path, Type};
use meta::status::Status;
use std::sync::Arc;
use value::{Str, Value};

/// What `merge` must know of a kind: made once for each served version.
#[derive(Debug)]
pub struct Tracking {
    versions: OneVersion,
    trust: Trust,
    /// By subresource; the empty name is the object itself.
    resets: Vec<(Str, Box<ResetFields>)>,
    empty: Value,
}

impl Tracking {
    /// For a kind of this type.
    pub fn new(row: &kinds::Row, ty: Option<Type>, empty: Value) -> Self {
        let version = row.api_version();
        let trust = if ty.is_some() { Trust::Decoded } else { Trust::Nothing };
        let ty = ty.unwrap_or_else(Type::deduced);
        let main = (Str::default(), reset(&version, &row.reset_fields));
        let subs = row.subresources.iter().map(|s| (s.name.clone(), reset(&version, &s.reset_fields)));
        let resets = std::iter::once(main).chain(subs).collect();
        Self { versions: OneVersion { version, ty }, trust, resets, empty }
    }

    fn resets_of(&self, subresource: &str) -> &ResetFields {
        self.resets.iter().find(|(name, _)| name == subresource).map_or(&[], |(_, fields)| fields)
    }
}

fn reset(version: &Str, paths: &[Vec<Str>]) -> Box<ResetFields> {
    if paths.is_empty() {
        return Box::default();
    }
    let mut set = Set::new();
    for path in paths {
        let names: Vec<&str> = path.iter().map(Str::as_str).collect();
        set.insert(&Path::fields(&names).0);
    }
    Box::new([(version.clone(), Filter::Exclude(set))])
}

/// The versions of a kind that is served in several. What a manager owns in another one is looked at there.
struct Siblings {
    own: Arc<Served>,
    registry: Arc<Registry>,
}

impl Siblings {
    /// The kind in a version (`apps/v1`), `None` if it is not served in it.
    fn find(&self, version: &str) -> Option<&Arc<Served>> {
        if version == self.own.tracking.versions.version {
            return Some(&self.own);
        }
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let found = self.registry.find_kind(group, version, &self.own.row.kind)?;
        let same = match (&found.hub, &self.own.hub) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same.then_some(found)
    }
}

impl Versions for Siblings {
    fn type_of(&self, version: &str) -> Option<Type> {
        self.find(version).map(|served| served.tracking.versions.ty.clone())
    }

    fn convert(&self, object: &Value, version: &str) -> Result<Value, String> {
        let from = object.at("apiVersion").str();
        let (Some(source), Some(wanted)) = (self.find(from), self.find(version)) else {
            return Err(format!("no conversion from {from} to {version}"));
        };
        let mut object = object.clone();
        if let Some(custom) = wanted.codec.custom() {
            // Nothing is pruned: what the other version does not know is an error there, as upstream.
            return custom.convert(&mut object).map(|()| object);
        }
        source.codec.normalize(&mut object);
        source.to_hub(&mut object).map_err(|status| status.message)?;
        wanted.try_from_hub(&mut object).map_err(|status| status.message)?;
        wanted.codec.stamp(&mut object);
        Ok(object)
    }
}

fn with_write<T>(
    call: &Call,
    target: &Target,
    live: Option<&Value>,
    options: &WriteOptions,
    f: impl FnOnce(&Write<'_>) -> T,
) -> T {
    let served: &Served = &target.served;
    let tracking = &served.tracking;
    let subresource = target.sub.as_ref().map(|s| s.name.as_str()).unwrap_or_default();
    let entries = live.map_or(&Value::Null, |live| live.at("metadata").at("managedFields")).items();
    let versions = || entries.iter().map(|e| e.at("apiVersion").str());
    // Few objects are written in several versions.
    let siblings = versions()
        .any(|version| version != tracking.versions.version)
        .then(|| Siblings { own: target.served.clone(), registry: call.api.registry.load_full() });
    let resets: Vec<(Str, Filter)> = siblings.as_ref().map_or_else(Vec::new, |all| {
        let served = versions().filter_map(|version| all.find(version));
        let others = served.filter(|other| !Arc::ptr_eq(other, &target.served));
        let resets = others.flat_map(|other| other.tracking.resets_of(subresource));
        tracking.resets_of(subresource).iter().chain(resets).cloned().collect()
    });
    f(&Write {
        manager: &options.manager,
        subresource,
        now: &call.api.now().to_string(),
        version: &tracking.versions.version,
        kind: &served.row.kind,
        ty: &tracking.versions.ty,
        trust: tracking.trust,
        versions: match &siblings {
            Some(siblings) => siblings,
            None => &tracking.versions,
        },
        reset_fields: if siblings.is_some() { &resets } else { tracking.resets_of(subresource) },
        empty: &tracking.empty,
    })
}

/// Takes note of what this write changes; `live` is `None` for a new object. Never fails: what cannot be
/// tracked is dropped, as upstream.
pub(crate) fn update(
    call: &Call,
    target: &Target,
    live: Option<&Value>,
    new: &mut Given,
    options: &WriteOptions,
) {
    let Given { object: new, has_unshown, .. } = new;
    let served = &target.served;
    if served.codec.is_typed() && !served.is_hub() {
        // What the stored version adds or rewrites is seen, and so owned, in this version too. One that cannot be
        // converted is refused by who converts it for good.
        let mut through = new.clone();
        if served.to_hub(&mut through).is_ok() && served.try_from_hub(&mut through).is_ok() {
            served.codec.stamp(&mut through);
            *new = through;
        }
    }
    let track = |new: &mut Value| {
        with_write(call, target, live, options, |write| {
            managed::update(write, live.unwrap_or(write.empty), new);
        });
    };
    if !*has_unshown {
        return track(new);
    }
    let mut shown = new.clone();
    served.codec.shown_form(&mut shown);
    if resets_managed_fields(new)
        && let Some(metadata) = shown.object_at("metadata")
    {
        metadata.set("managedFields", Value::Array(Vec::new()));
    }
    track(&mut shown);
    let managed_fields = shown.get_mut("metadata").and_then(|m| m.remove("managedFields"));
    Applied::put_managed_fields(managed_fields, new);
}

/// Takes note of what a request of a kind of its own says, which nothing stores: a TokenRequest.
pub(crate) fn of_action(
    call: &Call,
    codec: &Codec,
    row: &kinds::Row,
    subresource: &str,
    request: &mut Value,
    options: &WriteOptions,
) {
    let tracking = Tracking::new(row, codec.merge_type(), codec.empty());
    let write = Write {
        manager: &options.manager,
        subresource,
        now: &call.api.now().to_string(),
        version: &tracking.versions.version,
        kind: &row.kind,
        ty: &tracking.versions.ty,
        trust: tracking.trust,
        versions: &tracking.versions as &dyn Versions,
        reset_fields: &[],
        empty: &tracking.empty,
    };
    managed::update(&write, write.empty, request);
}

/// What applying a configuration makes, with its managed fields.
pub(crate) enum Outcome {
    /// Another object, still to be decoded and defaulted.
    Changed(Value),
    /// The live one: upstream lays no defaults on what an apply leaves as it is.
    Unchanged(Value),
}

/// Server-side apply of `config` to the live object.
pub(crate) fn apply(
    call: &Call,
    target: &Target,
    live: Option<&Value>,
    config: &Value,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let force = if options.force == Some(true) { Force::Yes } else { Force::No };
    let applied = with_write(call, target, live, options, |write| {
        managed::apply(write, live.unwrap_or(write.empty), config, force).map_err(|status| *status)
    })?;
    let with_fields = |mut object: Value| {
        Applied::put_managed_fields(applied.managed_fields, &mut object);
        object
    };
    match (applied.object, live) {
        (Some(object), _) => Ok(Outcome::Changed(with_fields(object))),
        (None, Some(live)) => Ok(Outcome::Unchanged(with_fields(live.clone()))),
        (None, None) => Err(Status::internal_error("apply made no object of nothing")),
    }
}

/// An empty list of managed fields is a wish to forget them.
fn resets_managed_fields(object: &Value) -> bool {
    matches!(object.at("metadata").at("managedFields"), Value::Array(list) if list.is_empty())
}
