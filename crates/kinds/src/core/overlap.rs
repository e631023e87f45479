//! Warnings about files of a volume that are in each other's way.
//!
//! Upstream: `warningsForOverlappingVirtualPaths` in `pkg/api/pod/warnings.go`.

use super::util::is_set;
use meta::quote::quote;
use value::Value;

/// Most pairs of paths that are compared for one pod: their number grows with the square of the paths'.
const COMPARISONS_MAX: usize = 2_000_000;
/// Most such warnings for one pod.
const WARNINGS_MAX: usize = 1000;

/// A file and where it comes from.
#[derive(Clone, PartialEq)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn new(path: &str, source: &str) -> Self {
        Self { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
    }

    fn shown(&self) -> String {
        if self.source.is_empty() {
            quote(&self.path)
        } else {
            format!("{} ({})", quote(&self.path), self.source)
        }
    }

    fn is_in(&self, other: &Self) -> bool {
        self.path.strip_prefix(&other.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn collides(&self, other: &Self) -> bool {
        !self.path.is_empty() && !other.path.is_empty() && (self.is_in(other) || other.is_in(self))
    }
}

struct Overlaps<'a> {
    out: &'a mut Vec<String>,
    comparisons: usize,
    warnings: usize,
}

impl Overlaps<'_> {
    /// Adds a file to those of its volume.
    fn add(&mut self, file: File, known: &mut Vec<File>, volume: &str, what: &str) {
        for other in known.iter() {
            if self.comparisons == 0 || self.warnings == 0 {
                break;
            }
            self.comparisons -= 1;
            if file.collides(other) {
                self.warnings -= 1;
                self.out.push(format!(
                    "volume {} ({what}): overlapping paths: {} with {}",
                    quote(volume),
                    file.shown(),
                    other.shown()
                ));
            }
        }
        known.push(file);
    }
}

/// Warnings for all volumes of a pod.
pub(super) fn warnings(volumes: &[Value], out: &mut Vec<String>) {
    let mut overlaps = Overlaps { out, comparisons: COMPARISONS_MAX, warnings: WARNINGS_MAX };
    for volume in volumes {
        let name = volume.at("name").str();
        for (kind, label, member) in
            [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "", "")]
        {
            let v = volume.at(kind);
            let what = match label {
                "" => "DownwardAPI".to_owned(),
                label => format!("{label} {}", quote(v.at(member).str())),
            };
            let mut known = Vec::new();
            for item in v.at("items").items() {
                overlaps.add(File::new(item.at("path").str(), ""), &mut known, name, &what);
            }
        }
        let mut known = Vec::new();
        for source in volume.at("projected").at("sources").items() {
            if source.entries().all(|(_, v)| v.is_null()) {
                overlaps.out.push(format!("volume {} (Projected) has no sources provided", quote(name)));
                continue;
            }
            for file in files(source) {
                overlaps.add(file, &mut known, name, "Projected");
            }
        }
    }
}

/// The files of one source of a projected volume.
fn files(source: &Value) -> Vec<File> {
    let items = |v: &Value, what: &str| -> Vec<File> {
        v.at("items").items().iter().map(|i| File::new(i.at("path").str(), what)).collect()
    };
    for (kind, label) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        let v = source.at(kind);
        if is_set(v, "items") {
            return items(v, &format!("{label} {}", quote(v.at("name").str())));
        }
    }
    if is_set(source.at("downwardAPI"), "items") {
        return items(source.at("downwardAPI"), "DownwardAPI");
    }
    if is_set(source, "serviceAccountToken") {
        let path = source.at("serviceAccountToken").at("path").str();
        return vec![File::new(path, "ServiceAccountToken")];
    }
    Vec::new()
}
