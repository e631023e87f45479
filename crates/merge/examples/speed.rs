//! How long the bookkeeping of a write takes: `cargo run --release -p merge --example speed [PART OF A NAME]`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use merge::managed::{self, Write};
use merge::types::Trust;
use merge::updater::{Force, OneVersion};
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;
use value::{Value, json};

fn main() {
    let mut config_map = String::from(
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"n","labels":{"app":"a","tier":"b"}},"data":{"#,
    );
    for i in 0..20 {
        let _ = write!(
            config_map,
            "{}\"key-{i:02}.properties\":\"{}\"",
            if i > 0 { "," } else { "" },
            "v".repeat(72)
        );
    }
    config_map.push_str("}}");
    measure("ConfigMap", "core/v1.ConfigMap", "{}", &config_map, &["data", "key-03.properties"], "w".into());

    let empty = r#"{"spec":{"containers":null},"status":{}}"#;
    measure("Pod", "core/v1.Pod", empty, POD, &["spec", "activeDeadlineSeconds"], 5.into());
}

fn measure(kind: &str, go: &str, empty: &str, text: &str, path: &[&str], change: Value) {
    let ty = merge::builtin::type_of(schema::Types::builtin().by_go_name(go).unwrap()).unwrap();
    let mut empty = json::parse(empty.as_bytes()).unwrap();
    empty.set("apiVersion", "v1");
    empty.set("kind", kind);
    empty.set("metadata", Value::object());
    let versions = OneVersion { version: "v1".into(), ty: ty.clone() };
    let write = |manager: &'static str| Write {
        manager,
        subresource: "",
        now: "2026-01-01T00:00:00Z",
        version: "v1",
        kind,
        ty: &ty,
        trust: Trust::Decoded,
        versions: &versions,
        reset_fields: &[],
        empty: &empty,
    };
    let object = json::parse(text.as_bytes()).unwrap();
    println!("{kind}, {} bytes", text.len());

    let mut new = object.clone();
    time("create", || {
        new.get_mut("metadata").unwrap().remove("managedFields");
        managed::update(&write("a"), &empty, &mut new);
    });
    let mut live = new.clone();
    live.get_mut("metadata").unwrap().set("uid", "u");
    time("update, nothing changed", || managed::update(&write("b"), &live, &mut new));
    let mut changed = live.clone();
    changed.get_mut(path[0]).unwrap().set(path[1], change);
    let before = changed.clone();
    let mut scratch = before.clone();
    time("update by another, one field changed", || {
        scratch.get_mut("metadata").unwrap().set("managedFields", Value::Null);
        managed::update(&write("b"), &live, &mut scratch);
    });
    managed::update(&write("a"), &live, &mut scratch);
    time("update by the same, one field changed", || managed::update(&write("a"), &live, &mut scratch));
    time("apply, new", || {
        black_box(managed::apply(&write("c"), &live, &object, Force::Yes).unwrap());
    });
    let applied = managed::apply(&write("c"), &live, &object, Force::Yes).unwrap();
    let mut live = live.clone();
    managed::Applied::put_managed_fields(applied.managed_fields, &mut live);
    time("apply, again", || {
        black_box(managed::apply(&write("c"), &live, &object, Force::Yes).unwrap());
    });
}

/// Prints the time of the fastest of many batches: what else runs on the machine does not count.
fn time(what: &str, mut f: impl FnMut()) {
    if std::env::args().nth(1).is_some_and(|only| !what.contains(&only)) {
        return f();
    }
    const BATCHES: usize = 100;
    const ROUNDS: u32 = 100;
    let batch = || {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            f();
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    };
    let best = std::iter::repeat_with(batch).take(BATCHES).fold(f64::INFINITY, f64::min);
    println!("  {what}: {best:.1} µs");
}

const POD: &str = include_str!("pod.json");
