//! How long a Pod of 6 KB takes through each codec: `cargo bench -p schema`.

#![allow(clippy::print_stdout)] // A benchmark's output is what it is for.

use schema::protobuf::{encode_message_spliced, splice_message};
use schema::{TypeId, Types, Unknown, decode_json, decode_message, encode_json, encode_message, normalize};
use std::hint::black_box;
use std::time::Instant;
use value::json;

const ROUNDS: u32 = 20_000;

fn main() {
    let start = Instant::now();
    let types = Types::builtin();
    report("load the table", start.elapsed().as_nanos() as f64);
    let ty = types.by_kind("", "v1", "Pod").expect("Pod is a built-in kind");
    let text = include_bytes!("pod.json");
    let tree = decode_json(types, ty, text, Unknown::Report).expect("the Pod decodes").value;
    let mut bytes = Vec::new();
    encode_message(types, ty, &tree, &mut bytes);
    println!("{} bytes of JSON, {} of protobuf", text.len(), bytes.len());
    let decode = time(|| _ = black_box(decode_json(types, ty, black_box(text), Unknown::Report)));
    report("decode JSON", decode);
    report("parse JSON untyped", time(|| _ = black_box(json::parse(black_box(text)))));
    let mut edited = tree.clone();
    let normalise = time(|| normalize(types, ty, black_box(&mut edited)));
    report("normalise", normalise);
    let json = encode(types, ty, &tree, encode_json);
    report("encode JSON", json);
    let protobuf = encode(types, ty, &tree, encode_message);
    report("encode protobuf", protobuf);
    report("all four", decode + normalise + json + protobuf);
    report("decode protobuf", time(|| _ = black_box(decode_message(types, ty, black_box(&bytes)))));
    let mut message = Vec::new();
    let splice = encode_message_spliced(types, ty, &tree, &mut message).expect("a Pod has metadata");
    let mut out = Vec::with_capacity(16_384);
    let spliced = time(|| {
        out.clear();
        splice_message(&message, splice, black_box(123_456), &mut out);
    });
    report("splice a resource version", spliced);
}

fn encode(
    types: &Types,
    ty: TypeId,
    tree: &value::Value,
    encode: fn(&Types, TypeId, &value::Value, &mut Vec<u8>),
) -> f64 {
    let mut out = Vec::with_capacity(16_384);
    time(|| {
        out.clear();
        encode(types, ty, black_box(tree), &mut out);
    })
}

/// Nanoseconds for one call, the best of five series.
fn time(mut f: impl FnMut()) -> f64 {
    let series = (0..5).map(|_| {
        let start = Instant::now();
        (0..ROUNDS / 5).for_each(|_| f());
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS / 5)
    });
    series.fold(f64::INFINITY, f64::min)
}

fn report(what: &str, nanos: f64) {
    println!("{what:<28}{:>10.2} µs", nanos / 1_000.0);
}
