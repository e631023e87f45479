//! Development tasks: code generation and checks. Run as `cargo xtask <task>`.

fn main() {}
