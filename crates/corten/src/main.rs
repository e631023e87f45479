//! Corten: Kubernetes for bare metal in one binary.
//!
//! This crate reads the command line, puts the parts together, and nothing else.

mod address;
mod cli;
mod controllers;
mod node;
mod options;
mod server;
mod store;
mod up;

use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !value::yaml::is_reading() {
            report(panic);
        }
    }));
    if node::is_plugin() {
        return node::plugin();
    }
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where it cannot be written, the exit code says it.
            let _nobody_reads = writeln!(std::io::stderr(), "error: {}", lifecycle::error::text(&error));
            ExitCode::FAILURE
        }
    }
}
