//! Compiles the sandbox container's program, a static executable without any library, for the crate's target.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=pause/pause.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let target = variable("TARGET");
    let output = PathBuf::from(variable("OUT_DIR")).join("pause");
    let architecture = variable("CARGO_CFG_TARGET_ARCH");
    let go_architecture = match architecture.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => panic!("the sandbox program is written for x86-64 and arm64, not for {other}"),
    };
    println!("cargo::rustc-env=PAUSE_ARCHITECTURE={go_architecture}");

    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "--crate-type=bin", "--crate-name=pause", "--target", &target]);
    rustc.args(["-Cpanic=abort", "-Copt-level=s", "-Cstrip=symbols", "-Crelocation-model=static"]);
    rustc.args(["-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"]);
    // Page-aligned segments would only pad the file: nothing in it is written to.
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-Wl,-n", "-Wl,--build-id=none"] {
        rustc.arg(format!("-Clink-arg={argument}"));
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.arg("-o").arg(&output).arg("pause/pause.rs");
    let status = rustc.status().unwrap_or_else(|error| panic!("cannot run {rustc:?}: {error}"));
    assert!(status.success(), "cannot compile the sandbox program: {rustc:?} ended with {status}");
}
