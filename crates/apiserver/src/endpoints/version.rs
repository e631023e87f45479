//! `/version`: the Kubernetes release whose API this server serves.
//!
//! Clients choose what they send by it, so it names upstream's release and not this program's.

use meta::KUBERNETES_VERSION;
use value::Value;

/// The document. Commit, date and toolchain are those of the release, as its own servers tell them.
pub(super) fn document() -> Value {
    let mut version = Value::object();
    for (key, text) in [
        ("major", "1"),
        ("minor", "36"),
        ("emulationMajor", "1"),
        ("emulationMinor", "36"),
        ("minCompatibilityMajor", "1"),
        ("minCompatibilityMinor", "35"),
        ("gitVersion", KUBERNETES_VERSION),
        ("gitCommit", "98b35193b2ac7a23a673325f5e9b830ecd5ba406"),
        ("gitTreeState", "clean"),
        ("buildDate", "2026-06-01T00:00:00Z"),
        ("goVersion", "go1.26.8"),
        ("compiler", "gc"),
        ("platform", if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }),
    ] {
        version.set(key, text);
    }
    version
}
