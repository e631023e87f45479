//! Writing YAML as `sigs.k8s.io/yaml` does: block style, quotes only where the text would mean something
//! else, keys in the order of `yaml.v2`, which sorts numbers in them by value.

use super::resolve::{Scalar, resolve};
use crate::{Number, Str, Value, json};
use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use std::cmp::Ordering;

/// Writes a tree as a document, ended by a newline.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    let mut emitter = Emitter::new();
    emitter.set_unicode(true);
    emitter.set_output(out);
    // The sink is memory and the events are well-formed, so nothing here fails.
    _ = emit_document(&mut emitter, value);
    drop(emitter);
    // The library closes a document that ends in a kept line break; upstream does not.
    if out.ends_with(b"\n...\n") {
        out.truncate(out.len() - b"...\n".len());
    }
}

fn emit_document(emitter: &mut Emitter<'_>, value: &Value) -> Result<(), libyaml_safer::Error> {
    emitter.emit(Event::stream_start(Encoding::Utf8))?;
    emitter.emit(Event::document_start(None, &[], true))?;
    let mut todo = vec![Todo::Value(value)];
    while let Some(next) = todo.pop() {
        let event = match next {
            Todo::End(event) => event,
            Todo::Key(key) => string(key),
            Todo::Value(Value::Array(a)) => {
                todo.push(Todo::End(Event::sequence_end()));
                todo.extend(a.iter().rev().map(Todo::Value));
                Event::sequence_start(None, None, true, SequenceStyle::Block)
            }
            Todo::Value(Value::Object(m)) => {
                todo.push(Todo::End(Event::mapping_end()));
                let mut entries: Vec<_> = m.iter().collect();
                entries.sort_by(|(a, _), (b, _)| compare_keys(a, b).reverse());
                todo.extend(entries.into_iter().flat_map(|(k, v)| [Todo::Value(v), Todo::Key(k)]));
                Event::mapping_start(None, None, true, MappingStyle::Block)
            }
            Todo::Value(Value::Null) => plain("null"),
            Todo::Value(Value::Bool(b)) => plain(if *b { "true" } else { "false" }),
            Todo::Value(Value::Number(n)) => plain(&number(n)),
            Todo::Value(Value::String(s)) => string(s),
        };
        emitter.emit(event)?;
    }
    emitter.emit(Event::document_end(true))?;
    emitter.emit(Event::stream_end())?;
    emitter.flush()
}

enum Todo<'a> {
    Value(&'a Value),
    Key(&'a Str),
    End(Event),
}

fn plain(text: &str) -> Event {
    Event::scalar(None, None, text, true, true, ScalarStyle::Plain)
}

fn string(text: &str) -> Event {
    let means_text = matches!(resolve("", text), Ok(Scalar::Text)) && !is_base_60(text);
    let style = if text.contains('\n') {
        ScalarStyle::Literal
    } else if means_text {
        ScalarStyle::Plain
    } else {
        ScalarStyle::DoubleQuoted
    };
    Event::scalar(None, None, text, true, true, style)
}

/// Numbers pass through `yaml.v2` on their way, which prints the value, not the spelling.
fn number(n: &Number) -> String {
    match n {
        Number::Float(x) => json::format_g(*x),
        Number::Int(_) | Number::Uint(_) => n.to_string(),
        Number::Text(text) => match resolve("", text) {
            Ok(Scalar::Int(n)) => n.to_string(),
            Ok(Scalar::Uint(n)) => n.to_string(),
            Ok(Scalar::Float(x)) => json::format_g(x),
            _ => text.to_string(),
        },
    }
}

/// Whether YAML 1.1 may take a text for a number to the base of 60, as `1:30`.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let Some(first) = parts.next() else { return false };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut places = 0;
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && parts.all(|p| {
            places += 1;
            matches!(p.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
        })
        && places > 0
}

/// The order of `yaml.v2`: letters after everything else, runs of digits by their value.
fn compare_keys(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(i) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[i], b[i]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero inside a number counts, a leading one does not.
    let inside =
        (x == '0' || y == '0') && a[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let run = |s: &[char]| -> (i64, usize) {
        let digits = s[i..].iter().map_while(|c| c.to_digit(10));
        digits.fold((i64::from(inside), 0), |(n, len), d| {
            (n.wrapping_mul(10).wrapping_add(i64::from(d)), len + 1)
        })
    };
    run(&a).cmp(&run(&b)).then(x.cmp(&y))
}
