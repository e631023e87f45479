//! What upstream's own strategies say to objects with one thing changed (`tests/upstream`), said here too.

use super::golden::{decode, normalize};
use kinds::hooks::Context;
use kinds::{Row, Table};
use std::path::PathBuf;
use value::{Value, json};

/// The one way to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Create,
    Update,
    Status,
}

#[test]
fn one_change_at_a_time() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/upstream");
    let mut wrong = Vec::new();
    let mut all = 0;
    for entry in std::fs::read_dir(folder).expect("a folder of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let plural = path.file_stem().and_then(|s| s.to_str()).expect("the name of a resource").to_owned();
        let objects = json::parse(&std::fs::read(&path).expect("a readable file")).expect("valid JSON");
        for (i, of) in objects.items().iter().enumerate() {
            for (name, verb) in [("create", Verb::Create), ("update", Verb::Update), ("status", Verb::Status)]
            {
                for case in of.at(name).items() {
                    all += 1;
                    if let Err(text) = run(&plural, of.at("object"), verb, case) {
                        wrong.push(format!("{plural}[{i}] {name} {}: {text}", json::to_string(case)));
                    }
                }
            }
        }
    }
    assert!(all > 1000, "only {all} cases found");
    assert!(wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// The object as it stands before an update.
fn standing(object: &Value, plural: &str) -> Value {
    let mut old = object.clone();
    if let Some(metadata) = old.object_at("metadata") {
        metadata.set("uid", "00000000-0000-0000-0000-000000000000");
        metadata.set("resourceVersion", "1");
        metadata.set("generation", 1);
        metadata.set("creationTimestamp", "2026-11-21T04:51:23Z");
        if plural == "daemonsets" {
            let mut annotations = Value::object();
            annotations.set("deprecated.daemonset.template.generation", "1");
            metadata.set("annotations", annotations);
        }
    }
    old
}

fn run(plural: &str, object: &Value, verb: Verb, case: &Value) -> Result<(), String> {
    let api_version = object.at("apiVersion").str();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let row = Table::builtin().get(group, version, plural).ok_or("no such row")?;
    let context = Context {
        now: "2026-11-21T04:51:23Z".into(),
        user: "admin".into(),
        namespace: object.at("metadata").at("namespace").str().into(),
        subresource: if verb == Verb::Status { "status" } else { "" }.into(),
        user_info: Value::object(),
        labels_of_template: false,
    };
    let mut new = if verb == Verb::Create { object.clone() } else { standing(object, plural) };
    if verb == Verb::Create {
        new.remove("status");
    }
    super::golden::edit(&mut new, case.at("at").str(), case.get("set").cloned());
    let mut new = hub(row, &new)?;
    let hooks = &row.hooks;
    let errors = if verb == Verb::Create {
        if let Some(metadata) = new.object_at("metadata") {
            metadata.set("uid", "00000000-0000-0000-0000-000000000000");
            metadata.set("creationTimestamp", context.now.clone());
        }
        row.prepare_create(&context, &mut new);
        normalize(row, &mut new);
        (hooks.validate_create)(&context, &new)
    } else {
        let old = hub(row, &standing(object, plural))?;
        if verb == Verb::Status {
            row.prepare_subresource(&context, &mut new, &old);
            normalize(row, &mut new);
            (hooks.validate_subresource)(&context, &new, &old)
        } else {
            row.prepare_update(&context, &mut new, &old);
            normalize(row, &mut new);
            (hooks.validate_update)(&context, &new, &old)
        }
    };
    let got: Vec<String> = errors
        .iter()
        .filter(|e| !e.field.starts_with("metadata"))
        .map(|e| format!("{}: {}", e.field, e.body()))
        .collect();
    if case.at("errors").items().iter().map(Value::str).eq(got.iter().map(String::as_str)) {
        return Ok(());
    }
    Err(format!("got {got:?}"))
}

/// Decoded, with its defaults, in the form that hooks see.
fn hub(row: &Row, object: &Value) -> Result<Value, String> {
    let mut object = decode(row, object)?;
    object.set("apiVersion", row.api_version());
    object.set("kind", row.kind.clone());
    (row.hooks.default)(&mut object);
    row.to_hub(&mut object)?;
    normalize(row, &mut object);
    Ok(object)
}
