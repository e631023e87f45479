//! Development tasks: code generation and checks. Run as `cargo xtask <task>`.

mod kinds;
mod layers;
mod types;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let result = match std::env::args().nth(1).as_deref() {
        Some("generate") => types::generate(&root).and_then(|()| kinds::generate(&root)),
        Some("layers") => layers::check().map_err(std::io::Error::other),
        _ => Err(std::io::Error::other("usage: cargo xtask generate|layers")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}
