//! What parsing, writing and cloning a Pod costs: `cargo bench -p value --bench json -- [NAME...]`.
//!
//! Prints the best of many rounds, which is what the machine can do undisturbed, and the size of the tree.

#![allow(clippy::print_stdout, reason = "figures are what this is for")]

use std::hint::black_box;
use std::time::Instant;
use value::{Number, Str, Value, json, yaml};

const POD: &[u8] = include_bytes!("pod.json");
const ROUNDS: usize = 60;
const CALLS: u32 = 300;

fn main() {
    let tree = json::parse(POD).expect("the Pod is well-formed");
    assert_eq!(json::parse(&json::to_vec(&tree)).as_ref(), Ok(&tree));
    println!("a Pod of {} bytes; its tree takes {} bytes", POD.len(), size_of::<Value>() + heap(&tree));
    let mut out = Vec::with_capacity(2 * POD.len());
    bench("parse", || drop(black_box(json::parse(black_box(POD)))));
    bench("write", || {
        out.clear();
        json::write(black_box(&tree), &mut out);
    });
    bench("write_pretty", || {
        out.clear();
        json::write_pretty(black_box(&tree), &mut out);
    });
    bench("clone", || drop(black_box(black_box(&tree).clone())));
    let mut text = Vec::new();
    yaml::write(&tree, &mut text);
    bench("yaml::parse", || drop(black_box(yaml::parse(black_box(&text)))));
}

/// Runs a measurement, unless the command line names others.
fn bench(name: &str, mut call: impl FnMut()) {
    let mut wanted = std::env::args().skip(1).filter(|a| !a.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|w| w == name) {
        return;
    }
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed() / CALLS
    });
    println!("{name:14} {:?}", best.min().unwrap_or_default());
}

/// The bytes that a value has on the heap.
fn heap(value: &Value) -> usize {
    match value {
        Value::String(s) => string(s),
        Value::Number(Number::Text(t)) => t.len(),
        Value::Array(a) => a.capacity() * size_of::<Value>() + a.iter().map(heap).sum::<usize>(),
        Value::Object(m) => {
            m.len() * size_of::<(Str, Value)>() + m.iter().map(|(k, v)| string(k) + heap(v)).sum::<usize>()
        }
        _ => 0,
    }
}

/// A long string is on the heap with two counters.
fn string(s: &Str) -> usize {
    if s.is_heap_allocated() { s.len() + 2 * size_of::<usize>() } else { 0 }
}
