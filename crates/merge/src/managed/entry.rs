//! The entries of `metadata.managedFields`, decoded.
//!
//! Upstream: `managedfields/internal/managedfields.go`.

use crate::fields::{Set, v1};
use meta::quote::quote;
use std::cmp::Ordering;
use std::collections::HashMap;
use value::{Map, Str, Value};

/// How a manager wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By create, update or patch.
    Update,
}

impl Operation {
    const fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who a manager is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name.
    pub manager: Str,
    /// How it wrote.
    pub operation: Operation,
    /// The version it wrote in; empty for apply, where one manager has one entry whatever the version.
    pub version: Str,
    /// The subresource it wrote through.
    pub subresource: Str,
}

impl Identity {
    /// The order of upstream's identifiers, which are JSON texts of the members that are not empty.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.text().cmp(&other.text())
    }

    fn text(&self) -> String {
        let mut members = Vec::with_capacity(4);
        for (name, value) in [
            ("manager", self.manager.as_str()),
            ("operation", self.operation.text()),
            ("apiVersion", self.version.as_str()),
            ("subresource", self.subresource.as_str()),
        ] {
            if !value.is_empty() {
                members.push(format!("\"{name}\":{}", value::json::quote(value)));
            }
        }
        format!("{{{}}}", members.join(","))
    }
}

/// A manager and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who it is.
    pub identity: Identity,
    /// The version that the set is in.
    pub version: Str,
    /// What it owns.
    pub set: Set,
    /// When it last changed something.
    pub time: Option<Str>,
}

const SEARCHED_ENTRIES_MAX: usize = 16;

/// Decodes the list in an object's metadata; null is an empty one. Of entries of the same manager the last
/// one stays.
///
/// # Errors
/// A text that says what is malformed.
pub fn decode(list: &Value) -> Result<Vec<Entry>, String> {
    let list = list.items();
    let mut out: Vec<Entry> = Vec::with_capacity(list.len() + 1);
    let mut places: HashMap<Identity, usize> = HashMap::new();
    for (i, item) in list.iter().enumerate() {
        let entry = decode_entry(i, item)?;
        // A short list is searched as it is; a long one, which only a hostile client sends, by hash.
        let earlier = if list.len() <= SEARCHED_ENTRIES_MAX {
            out.iter().position(|e| e.identity == entry.identity)
        } else {
            let next = out.len();
            Some(*places.entry(entry.identity.clone()).or_insert(next)).filter(|i| *i < next)
        };
        match earlier.and_then(|i| out.get_mut(i)) {
            Some(earlier) => *earlier = entry,
            None => out.push(entry),
        }
    }
    Ok(out)
}

pub(super) fn decode_entry(i: usize, item: &Value) -> Result<Entry, String> {
    let text = |name: &str| match item.at(name) {
        Value::String(s) => s.clone(),
        _ => Str::default(),
    };
    let operation = match item.at("operation").str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return Err("operation must be `Apply` or `Update`".into()),
    };
    let version = text("apiVersion");
    if version.is_empty() {
        return Err("apiVersion must not be empty".into());
    }
    match item.at("fieldsType").str() {
        "FieldsV1" => {}
        "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
        other => return Err(format!("invalid fieldsType {} in managed fields entry {i}", quote(other))),
    }
    let identity = Identity {
        manager: text("manager"),
        operation,
        version: if operation == Operation::Update { version.clone() } else { Str::default() },
        subresource: text("subresource"),
    };
    let set = v1::from_tree(item.at("fieldsV1")).map_err(|e| {
        format!("error decoding versioned set from {}: error decoding set: {e}", describe(item))
    })?;
    let time = match item.at("time") {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        _ => None,
    };
    Ok(Entry { identity, version, set, time })
}

/// An entry roughly as Go's `%v` prints it (which shows an address in place of the fields).
fn describe(item: &Value) -> String {
    let time = match item.at("time").str() {
        "" => "<nil>",
        time => time,
    };
    format!(
        "{{{} {} {} {time} {} {} {}}}",
        item.at("manager").str(),
        item.at("operation").str(),
        item.at("apiVersion").str(),
        item.at("fieldsType").str(),
        value::json::to_string(item.at("fieldsV1")),
        item.at("subresource").str(),
    )
}

/// Encodes the list for an object's metadata, in upstream's order; `None` if there are no entries.
pub fn encode(entries: Vec<Entry>) -> Option<Value> {
    if entries.is_empty() {
        return None;
    }
    let mut out: Vec<Value> = entries.into_iter().map(encode_entry).collect();
    out.sort_by(compare_encoded);
    Some(Value::Array(out))
}

/// The order of encoded entries: operation, time to the second, manager, version, subresource.
pub(super) fn compare_encoded(a: &Value, b: &Value) -> Ordering {
    let text = |name: &str| a.at(name).str().cmp(b.at(name).str());
    let time = || {
        let (a, b) = (a.at("time").str(), b.at("time").str());
        if a == b { Ordering::Equal } else { unix_seconds(a).cmp(&unix_seconds(b)) }
    };
    text("operation")
        .then_with(time)
        .then_with(|| text("manager"))
        .then_with(|| text("apiVersion"))
        .then_with(|| text("subresource"))
}

pub(super) fn encode_entry(entry: Entry) -> Value {
    let mut members = Vec::with_capacity(7);
    members.push((Str::new_static("apiVersion"), Value::String(entry.version)));
    members.push((Str::new_static("fieldsType"), Value::String(Str::new_static("FieldsV1"))));
    members.push((Str::new_static("fieldsV1"), v1::to_tree(&entry.set)));
    if !entry.identity.manager.is_empty() {
        members.push((Str::new_static("manager"), Value::String(entry.identity.manager)));
    }
    let operation = Str::new_static(entry.identity.operation.text());
    members.push((Str::new_static("operation"), Value::String(operation)));
    if !entry.identity.subresource.is_empty() {
        members.push((Str::new_static("subresource"), Value::String(entry.identity.subresource)));
    }
    if let Some(time) = entry.time {
        members.push((Str::new_static("time"), Value::String(time)));
    }
    Value::Object(Map::from_entries(members, |_| {}))
}

/// The seconds since 1970 of an RFC 3339 time; 0 if it is none.
pub(super) fn unix_seconds(time: &str) -> i64 {
    parse_seconds(time).unwrap_or(0)
}

fn parse_seconds(time: &str) -> Option<i64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days from the civil calendar, years counted from March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let zone = time.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes().first()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let part = |from: usize, to: usize| zone.get(from..to)?.parse::<i64>().ok();
            let minutes = part(1, 3)? * 60 + part(4, 6)?;
            if *sign == b'+' { minutes * 60 } else { -minutes * 60 }
        }
        _ => return None,
    };
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

/// The time in the same canonical form.
pub(super) fn is_same_time(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || parse_seconds(a).is_some_and(|t| Some(t) == parse_seconds(b)),
        (None, None) => true,
        _ => false,
    }
}
