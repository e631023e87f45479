//! Writes documents: `cargo run -p openapi --example dump -- FOLDER`.

use kinds::Table;
use openapi::{Kind, gnostic};
use std::path::Path;
use value::json;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let rows = Table::builtin().rows().iter();
    let kinds: Vec<Kind<'_>> = rows.map(|row| Kind { row, schema: None, preserves_unknown: false }).collect();
    for path in openapi::paths(&kinds) {
        let Some(document) = openapi::v3(&kinds, &path) else { continue };
        let name = format!("{}_openapi.json", path.replace('/', "__"));
        std::fs::write(Path::new(&folder).join(&name), json::to_vec(&document))?;
        std::fs::write(Path::new(&folder).join(name + ".pb"), gnostic::v3(&document))?;
    }
    let document = openapi::v2(&kinds);
    std::fs::write(Path::new(&folder).join("v2.pb"), gnostic::v2(&document))?;
    std::fs::write(Path::new(&folder).join("v2.json"), json::to_vec(&document))
}
