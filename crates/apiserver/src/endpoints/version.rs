//! `/version`: the Kubernetes release whose API this server serves.
//!
//! Clients choose what they send by it, so it names upstream's release and not this program's.

use crate::reply::indent;
use meta::KUBERNETES_VERSION;
use value::json;

/// The fields, in upstream's order. Commit, date and toolchain are those of the release, as its own servers tell them.
const FIELDS: [(&str, &str); 13] = [
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
];

/// The field with this name; empty if there is none.
pub(crate) fn field(name: &str) -> &'static str {
    FIELDS.into_iter().find(|(key, _)| *key == name).map_or("", |(_, text)| text)
}

/// The document: indented, whoever asks.
pub(super) fn document() -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    for (i, (key, text)) in FIELDS.into_iter().enumerate() {
        out.push(if i == 0 { b'{' } else { b',' });
        json::write_str(key, &mut out);
        out.push(b':');
        json::write_str(text, &mut out);
    }
    out.push(b'}');
    indent(&out)
}
