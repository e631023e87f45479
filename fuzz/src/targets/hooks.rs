//! The hooks of kinds: whatever decodes, they do not panic. The input is `group/version/plural`, an object,
//! and perhaps the object before.

use crate::mutate::Dice;
use crate::trees;
use kinds::hooks::Context;
use kinds::{Row, Table, columns};
use meta::time::Time;
use schema::{Types, Unknown, decode_json, normalize, stored_form};
use value::Value;

fn row(header: &str) -> Option<&'static Row> {
    let mut parts = header.splitn(3, '/');
    let (group, version, plural) = (parts.next()?, parts.next()?, parts.next()?);
    Table::builtin().get(group, version, plural).map(|row| &**row)
}

pub(super) fn run(input: &[u8]) {
    let mut lines = input.splitn(3, |b| *b == b'\n');
    let Some(row) = lines.next().and_then(|h| std::str::from_utf8(h).ok()).and_then(row) else { return };
    let Some(new) = lines.next().and_then(|text| create(row, text)) else { return };
    let Some(old) = lines.next().and_then(|text| create(row, text)) else { return };
    update(row, new, &old);
}

fn context() -> Context {
    Context { now: "2026-11-21T04:51:23Z".into(), user: "admin".into(), ..Context::default() }
}

/// Decodes, and does what a create does; the hub form that would be stored.
fn create(row: &Row, text: &[u8]) -> Option<Value> {
    let types = Types::builtin();
    let ty = types.by_go_name(&row.go_type)?;
    let mut new = decode_json(types, ty, text, Unknown::Report).ok()?.value;
    (row.hooks.default)(&mut new);
    row.to_hub(&mut new).ok()?;
    let hub = row.storage.as_ref().and_then(|s| types.by_go_name(&s.go_type)).unwrap_or(ty);
    normalize(types, hub, &mut new);
    let mut created = new.clone();
    row.prepare_create(&context(), &mut created);
    let _ = (row.hooks.validate_create)(&context(), &created);
    let _ = (row.hooks.warn_create)(&context(), &created);
    for mut object in [created, new.clone()] {
        stored_form(types, hub, &mut object);
        row.fields.values(&object);
        row.default_stored(&mut object);
        let _ = row.from_hub(&mut object);
        let _ = (
            columns::cells(row, &object, Time::from_unix(1_800_000_000, 0)),
            columns::conditions(row, &object),
        );
    }
    Some(new)
}

fn update(row: &Row, new: Value, old: &Value) {
    let mut main = new.clone();
    row.prepare_update(&context(), &mut main, old);
    let _ = (row.hooks.validate_update)(&context(), &main, old);
    let _ = (row.hooks.warn_update)(&context(), &main, old);
    for sub in &row.subresources {
        let context = Context { subresource: sub.name.clone(), ..context() };
        let mut object = new.clone();
        row.prepare_subresource(&context, &mut object, old);
        let _ = (row.hooks.validate_subresource)(&context, &object, old);
        let _ = (row.hooks.warn_subresource)(&context, &object, old);
    }
}

/// Mostly objects grown from the type of a random row.
pub(super) fn make(corpus: &[Vec<u8>], dictionary: &[&str], seed: u64, i: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed.wrapping_mul(0x7fb5_d329_728e_a185) ^ i);
    dice.next();
    if dice.below(3) == 0 {
        return trees::input(corpus, dictionary, seed, i);
    }
    let rows = Table::builtin().rows();
    let Some(row) = rows.get(dice.below(rows.len())) else { return Vec::new() };
    let Some(ty) = Types::builtin().by_go_name(&row.go_type) else { return Vec::new() };
    trees::grown_pair(&format!("{}/{}/{}", row.group, row.version, row.plural), ty, dictionary, &mut dice)
}
