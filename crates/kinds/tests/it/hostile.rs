//! No tree that decodes makes a hook panic, whatever stands in its fields.

use super::golden::{Target, bodies, decode, normalize, target};
use kinds::hooks::Context;
use value::{Value, json};

/// What takes the place of each value in turn.
const SUBSTITUTES: [&str; 9] = [
    "null",
    "\"\"",
    "\"\u{e9}/-%,=:*\"",
    "\"1-2-3/4,5\"",
    "-1",
    "9223372036854775807",
    "[]",
    "{}",
    "[null,{},\"x\"]",
];

/// Bodies that are tried: every one of these many.
const STRIDE: usize = 3;

#[test]
fn hooks_do_not_panic() {
    let substitutes: Vec<Value> =
        SUBSTITUTES.iter().map(|s| json::parse(s.as_bytes()).expect("valid JSON")).collect();
    let mut tried = 0;
    for (path, body) in bodies().into_iter().step_by(STRIDE) {
        let Some(target) = target(&path, true) else { continue };
        let old = run(&target, &body, None);
        let mut paths = Vec::new();
        collect(&body, &mut Vec::new(), &mut paths);
        for steps in paths {
            for substitute in &substitutes {
                let mut changed = body.clone();
                replace(&mut changed, &steps, substitute);
                tried += 1;
                run(&target, &changed, None);
                if let Some(old) = &old {
                    run(&target, &changed, Some(old));
                }
            }
        }
    }
    assert!(tried > 10_000, "only {tried} trees were tried");
}

fn run(target: &Target<'_>, body: &Value, old: Option<&Value>) -> Option<Value> {
    let row = target.row;
    let context = Context { now: "2026-11-21T04:51:23Z".into(), user: "admin".into(), ..Context::default() };
    let mut new = decode(row, body).ok()?;
    (row.hooks.default)(&mut new);
    row.to_hub(&mut new).ok()?;
    normalize(row, &mut new);
    match old {
        None => {
            row.prepare_create(&context, &mut new);
            let _ = (row.hooks.validate_create)(&context, &new);
            let _ = (row.hooks.warn_create)(&context, &new);
        }
        Some(old) => {
            let mut status = new.clone();
            row.prepare_update(&context, &mut new, old);
            let _ = (row.hooks.validate_update)(&context, &new, old);
            let _ = (row.hooks.warn_update)(&context, &new, old);
            for sub in &row.subresources {
                let context = Context { subresource: sub.name.clone(), ..context.clone() };
                row.prepare_subresource(&context, &mut status, old);
                let _ = (row.hooks.validate_subresource)(&context, &status, old);
            }
        }
    }
    let stored = new.clone();
    row.default_stored(&mut new);
    row.from_hub(&mut new).ok()?;
    row.fields.values(&stored);
    Some(stored)
}

/// A step into a tree.
#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

fn collect(v: &Value, at: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
    if !at.is_empty() {
        out.push(at.clone());
    }
    match v {
        Value::Object(map) => {
            for (key, v) in map.iter() {
                at.push(Step::Key(key.to_string()));
                collect(v, at, out);
                at.pop();
            }
        }
        Value::Array(items) => {
            for (i, v) in items.iter().enumerate() {
                at.push(Step::Index(i));
                collect(v, at, out);
                at.pop();
            }
        }
        _ => {}
    }
}

fn replace(v: &mut Value, steps: &[Step], new: &Value) {
    let mut at = v;
    for step in steps {
        let next = match (step, at) {
            (Step::Key(key), Value::Object(map)) => map.get_mut(key),
            (Step::Index(i), Value::Array(items)) => items.get_mut(*i),
            _ => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    *at = new.clone();
}
