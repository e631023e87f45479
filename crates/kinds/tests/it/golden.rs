//! `testdata/golden/{validation,defaults,verbs}`: decode, default, prepare, validate, and compare.
//!
//! What only the door does (authentication, ObjectMeta, conflicts, admission) is left out: a case counts when
//! its steps are creates and updates of objects that the table knows. Run with `GOLDEN_VERBOSE=1` to see what
//! differs, with `GOLDEN_ONLY=prefix` to look at some.

use kinds::hooks::Context;
use kinds::{Row, Table};
use meta::field::ErrorList;
use std::collections::BTreeMap;
use std::path::PathBuf;
use value::{Value, json};

/// How many cases pass; it only grows.
const PASSING_MIN: usize = 764;

enum Outcome {
    Pass,
    Fail(String),
    /// Needs the server.
    Skip,
}

#[test]
fn golden() {
    let verbose = std::env::var("GOLDEN_VERBOSE").is_ok();
    let only = std::env::var("GOLDEN_ONLY").unwrap_or_default();
    let (mut passed, mut skipped) = (0, 0);
    let mut failed: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for path in cases() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(&only) {
            continue;
        }
        let case = json::parse(&std::fs::read(&path).expect("a readable case")).expect("valid JSON");
        let group = name.split('-').next().unwrap_or_default().to_owned();
        match run(&case) {
            Outcome::Pass => {
                passed += 1;
                failed.entry(group).or_default().0 += 1;
            }
            Outcome::Skip => skipped += 1,
            Outcome::Fail(text) => {
                failed.entry(group).or_default().1 += 1;
                if verbose {
                    println!("--- {name}\n{text}");
                }
            }
        }
    }
    for (group, (pass, fail)) in &failed {
        println!("{group}: {pass} pass, {fail} fail");
    }
    println!(
        "{passed} passed, {} failed, {skipped} need a server",
        failed.values().map(|f| f.1).sum::<usize>()
    );
    assert!(!only.is_empty() || passed >= PASSING_MIN, "{passed} cases pass, {PASSING_MIN} did before");
}

pub(super) fn cases() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden");
    let mut all: Vec<PathBuf> = ["validation", "defaults", "verbs"]
        .iter()
        .flat_map(|area| std::fs::read_dir(root.join(area)).expect("a folder of cases"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    all.sort();
    all
}

/// All bodies that are posted somewhere, with their paths.
pub(super) fn bodies() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for path in cases() {
        let case = json::parse(&std::fs::read(&path).expect("a readable case")).expect("valid JSON");
        for step in case.at("steps").items() {
            let request = step.at("request");
            if request.at("method").str() == "POST" && !request.at("body").is_null() {
                all.push((request.at("path").str().to_owned(), request.at("body").clone()));
            }
        }
    }
    all
}

/// Where a request goes.
pub(super) struct Target<'a> {
    pub(super) row: &'a Row,
    pub(super) namespace: String,
    pub(super) subresource: String,
}

pub(super) fn target(path: &str, create: bool) -> Option<Target<'static>> {
    let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version) = match parts.first() {
        Some(&"api") if parts.len() > 2 => {
            parts.remove(0);
            ("", parts.remove(0))
        }
        Some(&"apis") if parts.len() > 3 => {
            parts.remove(0);
            (parts.remove(0), parts.remove(0))
        }
        _ => return None,
    };
    let mut namespace = String::new();
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        namespace = parts[1].to_owned();
        parts.drain(..2);
    }
    let row = Table::builtin().get(group, version, parts.first()?)?;
    let rest = &parts[1..];
    let subresource = match (create, rest) {
        (true, []) | (false, [_]) => "",
        (false, [_, sub]) => sub,
        _ => return None,
    };
    Some(Target { row, namespace, subresource: subresource.to_owned() })
}

fn run(case: &Value) -> Outcome {
    let mut stored: Option<Value> = None;
    let mut looked_at = 0;
    for step in case.at("steps").items() {
        let (request, response) = (step.at("request"), step.at("response"));
        let status = response.at("status").int();
        let method = request.at("method").str();
        if method == "GET" {
            continue;
        }
        let plain = request.at("query").is_empty() && request.at("contentType").is_null();
        let create = method == "POST";
        if !plain || !matches!(method, "POST" | "PUT") || !matches!(status, 200 | 201 | 422) {
            return Outcome::Skip;
        }
        let Some(target) = target(request.at("path").str(), create) else { return Outcome::Skip };
        let Some(body) = body(case, request) else { return Outcome::Skip };
        looked_at += 1;
        match one(&target, body, stored.as_ref().filter(|_| !create), response) {
            Ok(()) => {}
            Err(text) => return Outcome::Fail(text),
        }
        if status != 422 {
            stored = Some(response.at("body").clone());
        }
    }
    if looked_at == 0 { Outcome::Skip } else { Outcome::Pass }
}

/// The body of a request, with what it takes from earlier answers.
fn body(case: &Value, request: &Value) -> Option<Value> {
    let from = request.at("bodyFrom");
    if from.is_null() {
        let body = request.at("body");
        return (!body.is_null()).then(|| body.clone());
    }
    let step = usize::try_from(from.at("step").int()).ok()?;
    let mut body = case.at("steps").items().get(step)?.at("response").at("body").clone();
    for pointer in from.at("remove").items() {
        edit(&mut body, pointer.str(), None);
    }
    for (pointer, v) in from.at("set").entries() {
        edit(&mut body, pointer, Some(v.clone()));
    }
    Some(body)
}

pub(super) fn edit(body: &mut Value, pointer: &str, new: Option<Value>) {
    let parts: Vec<String> =
        pointer.split('/').skip(1).map(|p| p.replace("~1", "/").replace("~0", "~")).collect();
    let Some((last, parents)) = parts.split_last() else { return };
    let mut at = body;
    for part in parents {
        let next = match at {
            Value::Array(items) => part.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
            _ => {
                if at.get(part).is_none() {
                    at.set(part, Value::object());
                }
                at.get_mut(part)
            }
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (at, new) {
        (Value::Array(items), new) => {
            // `-` is the place after the last.
            let i = if last == "-" { items.len() } else { last.parse().unwrap_or(usize::MAX) };
            match new {
                Some(v) if i < items.len() => items[i] = v,
                Some(v) if i == items.len() => items.push(v),
                Some(_) => {}
                None if i < items.len() => drop(items.remove(i)),
                None => {}
            }
        }
        (at, Some(v)) => at.set(last, v),
        (at, None) => drop(at.remove(last)),
    }
}

fn one(target: &Target<'_>, body: Value, stored: Option<&Value>, response: &Value) -> Result<(), String> {
    let row = target.row;
    let context = Context {
        now: "2026-11-21T04:51:23Z".into(),
        user: "admin".into(),
        namespace: target.namespace.as_str().into(),
        subresource: target.subresource.as_str().into(),
        user_info: json::parse(br#"{"username":"admin","groups":["system:masters","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=3a5888f4067ea3ec13a2b271ea57f5ef184a848e69f4eac55f679923779865ad"]}}"#)
            .expect("valid JSON"),
        labels_of_template: false,
    };
    let mut new = decode(row, &body)?;
    new.set("apiVersion", row.api_version());
    new.set("kind", row.kind.clone());
    (row.hooks.default)(&mut new);
    if let Some(metadata) = new.object_at("metadata") {
        let known = stored.unwrap_or(response.at("body")).at("metadata");
        let uid = known.at("uid").as_str().unwrap_or("00000000-0000-0000-0000-000000000000");
        metadata.set("uid", uid);
        if row.namespaced {
            metadata.set("namespace", target.namespace.as_str());
        }
        match stored {
            Some(_) => {
                for name in ["creationTimestamp", "generation", "resourceVersion"] {
                    metadata.set(name, known.at(name).clone());
                }
            }
            None => metadata.set("creationTimestamp", context.now.clone()),
        }
    }
    row.to_hub(&mut new)?;
    if let Err(errors) = crate::stand_ins::admit(row, &target.subresource, &mut new, stored, response) {
        return compare_errors(&errors, response);
    }
    normalize(row, &mut new);
    let hooks = &row.hooks;
    let (errors, warnings) = match stored {
        None => {
            row.prepare_create(&context, &mut new);
            normalize(row, &mut new);
            (
                (hooks.validate_create)(&context, &new),
                [(hooks.warn_prepared)(&context, &new), (hooks.warn_create)(&context, &new)].concat(),
            )
        }
        Some(old) => {
            let mut old = decode(row, old)?;
            row.to_hub(&mut old)?;
            if target.subresource.is_empty() {
                row.prepare_update(&context, &mut new, &old);
                normalize(row, &mut new);
                ((hooks.validate_update)(&context, &new, &old), (hooks.warn_update)(&context, &new, &old))
            } else {
                row.prepare_subresource(&context, &mut new, &old);
                ((hooks.validate_subresource)(&context, &new, &old), Vec::new())
            }
        }
    };
    compare_errors(&errors, response)?;
    // Warnings are told of what was stored; what is not stored is answered by the server.
    if matches!(response.at("status").int(), 200 | 201) && row.storage.is_some() {
        let mut all: Vec<String> = row.deprecation.iter().map(ToString::to_string).collect();
        all.extend(warnings);
        compare_warnings(&all, response)?;
        compare_object(row, new, response.at("body"))?;
    }
    Ok(())
}

pub(super) fn decode(row: &Row, body: &Value) -> Result<Value, String> {
    let types = schema::Types::builtin();
    let Some(ty) = types.by_go_name(&row.go_type) else { return Ok(body.clone()) };
    let decoded = schema::decode_value(types, ty, body, schema::Unknown::Ignore);
    decoded.map(|d| d.value).map_err(|e| format!("cannot be decoded: {e}"))
}

/// As the door does between steps: Go's JSON form of the hub type.
pub(super) fn normalize(row: &Row, object: &mut Value) {
    let types = schema::Types::builtin();
    let ty = row.storage.as_ref().map_or(&row.go_type, |s| &s.go_type);
    if let Some(ty) = types.by_go_name(ty) {
        schema::normalize(types, ty, object);
    }
}

/// `unknown field` and `duplicate field` come from decoding.
fn compare_warnings(ours: &[String], response: &Value) -> Result<(), String> {
    let header = response.at("headers").at("Warning");
    let all = match header {
        Value::String(_) => std::slice::from_ref(header),
        other => other.items(),
    };
    let theirs: Vec<String> = all
        .iter()
        .filter_map(|w| w.str().strip_prefix("299 - \"")?.strip_suffix('"'))
        .map(|w| w.replace("\\\"", "\"").replace("\\\\", "\\"))
        .filter(|w| !w.contains("unknown field") && !w.contains("duplicate field"))
        .collect();
    if ours == theirs {
        return Ok(());
    }
    Err(format!("want warnings:\n  {}\ngot:\n  {}", theirs.join("\n  "), ours.join("\n  ")))
}

/// What was stored, as it is served: all but most of the metadata.
fn compare_object(row: &Row, mut ours: Value, theirs: &Value) -> Result<(), String> {
    let types = schema::Types::builtin();
    let hub = row.storage.as_ref().map_or(&row.go_type, |s| &s.go_type);
    if let Some(ty) = types.by_go_name(hub) {
        schema::stored_form(types, ty, &mut ours);
    }
    row.default_stored(&mut ours);
    row.from_hub(&mut ours)?;
    if let Some(ty) = types.by_go_name(&row.go_type) {
        schema::stored_form(types, ty, &mut ours);
    }
    let mut differences = Vec::new();
    for name in ["generation", "labels", "annotations"] {
        diff(ours.at("metadata").at(name), theirs.at("metadata").at(name), name, &mut differences);
    }
    let mut theirs = theirs.clone();
    ours.remove("metadata");
    theirs.remove("metadata");
    diff(&ours, &theirs, "", &mut differences);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn is_time(v: &Value) -> bool {
    v.str().len() == "2026-11-21T04:51:23Z".len() && v.str().starts_with("2026-11-21T")
}

fn diff(ours: &Value, theirs: &Value, path: &str, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                match (a.get(key), b.get(key)) {
                    (Some(v), Some(w)) => diff(v, w, &format!("{path}.{key}"), out),
                    (v, w) => out.push(format!("{path}.{key}: want {w:?}, got {v:?}")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (v, w)) in a.iter().zip(b).enumerate() {
                diff(v, w, &format!("{path}[{i}]"), out);
            }
        }
        _ if ours == theirs || (is_time(ours) && is_time(theirs)) => {}
        _ => out.push(format!("{path}: want {theirs:?}, got {ours:?}")),
    }
}

/// Errors on metadata are the door's.
fn compare_errors(errors: &ErrorList, response: &Value) -> Result<(), String> {
    let ours: Vec<String> = errors
        .iter()
        .filter(|e| !e.field.starts_with("metadata"))
        .map(|e| format!("{}: {}", e.field, e.body()))
        .collect();
    let theirs: Vec<String> = response
        .at("body")
        .at("details")
        .at("causes")
        .items()
        .iter()
        .filter(|c| !c.at("field").str().starts_with("metadata"))
        .map(|c| format!("{}: {}", c.at("field").str(), c.at("message").str()))
        .collect();
    if ours == theirs {
        return Ok(());
    }
    Err(format!("want:\n  {}\ngot:\n  {}", theirs.join("\n  "), ours.join("\n  ")))
}
