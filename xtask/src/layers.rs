//! Arrows between crates go down only: the table of ARCHITECTURE.md, checked.

use serde_json::Value;
use std::process::Command;

/// Every crate with its height. A crate may depend on lower ones; within a layer the first digit is the
/// same and the second says who stands on whom.
const HEIGHTS: [(&str, u32); 28] = [
    ("testing", 0),
    ("value", 10),
    ("explain", 10),
    ("meta", 11),
    ("quota", 12),
    ("schema", 12),
    ("merge", 13),
    ("cel", 13),
    ("kinds", 14),
    ("crd", 15),
    ("openapi", 15),
    ("api", 16),
    ("store", 20),
    ("pki", 20),
    ("streaming", 20),
    ("client", 21),
    ("auth", 30),
    ("apiserver", 31),
    ("reconcile", 32),
    ("controllers", 40),
    ("scheduler", 40),
    ("kubelet", 40),
    ("network", 40),
    ("dns", 40),
    ("lifecycle", 40),
    ("corten", 50),
    ("fuzz", 60),
    ("xtask", 60),
];

/// Checks all arrows.
///
/// # Errors
/// The arrows that go up or sideways, and crates that the table does not know.
pub(crate) fn check() -> Result<(), String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|e| format!("cannot run cargo metadata: {e}"))?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata is no JSON: {e}"))?;
    let height = |name: &str| HEIGHTS.iter().find(|(n, _)| *n == name).map(|(_, h)| *h);
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(own) = height(name) else {
            wrong.push(format!("{name}: not in the table of layers"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            let is_test_only = dependency["kind"] == "dev";
            if let Some(other) = height(to).filter(|other| *other >= own && !is_test_only) {
                wrong.push(format!("{name} ({own}) → {to} ({other}): arrows go down only"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
