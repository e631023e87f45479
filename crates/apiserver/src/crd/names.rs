//! Which names a definition gets: the first to ask keeps them.
//!
//! Upstream: `pkg/controller/status/naming_controller.go`.

use super::set_condition;
use crd::definition::{condition, is_condition_true};
use meta::quote::quote;
use std::collections::HashSet;
use value::{Str, Value};

/// What a definition has of its group's names.
pub(super) struct Held {
    pub(super) group: Str,
    /// Its accepted names.
    names: Value,
    /// Whether these are all that it wants.
    pub(super) accepted: bool,
}

impl Held {
    pub(super) fn by(definition: &Value) -> Self {
        Self {
            group: definition.at("spec").at("group").str().into(),
            names: definition.at("status").at("acceptedNames").clone(),
            accepted: is_condition_true(definition, "NamesAccepted"),
        }
    }
}

/// Names that the definitions of a group hold.
#[derive(Default)]
struct Taken {
    resources: HashSet<Str>,
    kinds: HashSet<Str>,
}

/// The definition with its accepted names and conditions; `None` if nothing changes.
pub(super) fn accept<'a>(
    definition: &Value,
    all: impl Iterator<Item = &'a Held>,
    now: &str,
) -> Option<Value> {
    let wanted = definition.at("spec").at("names");
    let had = definition.at("status").at("acceptedNames");
    if wanted == had {
        return None;
    }
    let group = definition.at("spec").at("group").str();
    let mut taken = Taken::default();
    for names in all.filter(|held| held.group == group).map(|held| &held.names) {
        let short = names.at("shortNames").items().iter();
        let resources = short.chain([names.at("plural"), names.at("singular")]);
        taken.resources.extend(resources.map(|n| Str::from(n.str())));
        taken.kinds.extend([names.at("kind"), names.at("listKind")].map(|n| Str::from(n.str())));
    }
    let mut names = if had.is_null() { Value::object() } else { had.clone() };
    let mut conflict: Option<(&str, String)> = None;
    let in_use = |name: &str| format!("{} is already in use", quote(name));
    let mut one = |names: &mut Value, field: &str, reason: &'static str, used: &HashSet<Str>| {
        let (want, have) = (wanted.at(field).str(), had.at(field).str());
        if want != have && used.contains(want) {
            conflict = Some((reason, in_use(want)));
        } else {
            names.set(field, want);
        }
    };
    one(&mut names, "plural", "PluralConflict", &taken.resources);
    one(&mut names, "singular", "SingularConflict", &taken.resources);
    let short = wanted.at("shortNames");
    let mut short_conflict = None;
    if short != had.at("shortNames") {
        let ours = had.at("shortNames").items();
        let new = short.items().iter().filter(|n| !ours.contains(n));
        let wrong = new.filter(|n| taken.resources.contains(n.str())).map(|n| in_use(n.str()));
        match meta::field::aggregate(wrong) {
            Some(text) => short_conflict = Some(text),
            None if short.items().is_empty() => drop(names.remove("shortNames")),
            None => names.set("shortNames", short.clone()),
        }
    }
    if let Some(text) = short_conflict {
        conflict = Some(("ShortNamesConflict", text));
    }
    let mut one = |names: &mut Value, field: &str, reason: &'static str| {
        let (want, have) = (wanted.at(field).str(), had.at(field).str());
        if want != have && taken.kinds.contains(want) {
            conflict = Some((reason, in_use(want)));
        } else {
            names.set(field, want);
        }
    };
    one(&mut names, "kind", "KindConflict");
    one(&mut names, "listKind", "ListKindConflict");
    match wanted.at("categories") {
        none if none.items().is_empty() => drop(names.remove("categories")),
        categories => names.set("categories", categories.clone()),
    }
    let accepted = conflict.is_none();
    let (status, reason, message) = match conflict {
        None => ("True", "NoConflicts", "no conflicts found".to_owned()),
        Some((reason, message)) => ("False", reason, message),
    };
    let same = condition(definition, "NamesAccepted").is_some_and(|c| {
        (c.at("status").str(), c.at("reason").str(), c.at("message").str())
            == (status, reason, message.as_str())
    });
    if same && names == *had {
        return None;
    }
    let mut new = definition.clone();
    new.object_at("status")?.set("acceptedNames", names);
    set_condition(&mut new, now, "NamesAccepted", status, reason, &message);
    let established = condition(definition, "Established");
    if established.is_none_or(|c| c.at("status").str() != "True") {
        if accepted {
            let text = "the initial names have been accepted";
            set_condition(&mut new, now, "Established", "False", "Installing", text);
        } else if established.is_none() {
            let text = "not all names are accepted";
            set_condition(&mut new, now, "Established", "False", "NotAccepted", text);
        }
    }
    Some(new)
}
