//! What `up` tells: as lines for people, and as JSON from the detached supervisor to the one who waits for it.

use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Something came up.
    Stage {
        /// What.
        name: String,
        /// In how many seconds.
        seconds: f64,
        /// How.
        detail: String,
    },
    /// Something is other than it should be, and goes on.
    Warning(String),
    /// What is to be kept, told once.
    Note(String),
    /// Everything is up.
    Ready {
        /// Since the start of `up`.
        seconds: f64,
        /// For `kubectl --kubeconfig`.
        kubeconfig: PathBuf,
    },
    /// A supervisor with the same executable and options runs already.
    AlreadyUp {
        /// Its process.
        pid: i32,
        /// For `kubectl --kubeconfig`.
        kubeconfig: PathBuf,
    },
    /// It does not come up.
    Failed(String),
}

impl Report {
    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::AlreadyUp { .. } | Self::Failed(_))
    }

    /// Writes it for people. Nobody reading is no error: the cluster comes up without an audience.
    pub fn print(&self, out: &mut dyn Write) {
        let _nobody_reads = match self {
            Self::Stage { name, seconds, detail } => {
                writeln!(out, "{}", format!("{name:<16}{seconds:>7.2} s  {detail}").trim_end())
            }
            Self::Warning(text) => writeln!(out, "warning: {text}"),
            Self::Note(text) => writeln!(out, "\n{text}"),
            Self::Ready { seconds, kubeconfig } => {
                writeln!(out, "{:<16}{seconds:>7.2} s\n\nexport KUBECONFIG={}", "ready", kubeconfig.display())
            }
            Self::AlreadyUp { pid, kubeconfig } => {
                writeln!(out, "already up (process {pid})\n\nexport KUBECONFIG={}", kubeconfig.display())
            }
            // The caller prints errors.
            Self::Failed(_) => Ok(()),
        };
        let _nobody_reads = out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn for_people() {
        let mut out = Vec::new();
        let kubeconfig = PathBuf::from("/var/lib/corten/admin.kubeconfig");
        for report in [
            Report::Stage { name: "containerd".into(), seconds: 0.4, detail: "1.6.20, overlayfs".into() },
            Report::Stage { name: "API server".into(), seconds: 12.345, detail: String::new() },
            Report::Warning("the sky is falling".into()),
            Report::Ready { seconds: 13.0, kubeconfig: kubeconfig.clone() },
            Report::AlreadyUp { pid: 42, kubeconfig },
        ] {
            report.print(&mut out);
        }
        expect![[r#"
            containerd         0.40 s  1.6.20, overlayfs
            API server        12.35 s
            warning: the sky is falling
            ready             13.00 s

            export KUBECONFIG=/var/lib/corten/admin.kubeconfig
            already up (process 42)

            export KUBECONFIG=/var/lib/corten/admin.kubeconfig
        "#]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
