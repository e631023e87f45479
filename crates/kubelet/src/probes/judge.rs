//! When a row of outcomes changes what is known of a container.
//!
//! Pure. Upstream counterpart: `doProbe` of `pkg/kubelet/prober/worker.go`.

use api::core::v1::Probe;

/// Which question a probe answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    Startup,
    Liveness,
    Readiness,
}

impl Question {
    /// As events name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }

    /// The probe of a container that asks it.
    pub(crate) fn probe(self, container: &api::core::v1::Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// Outcomes of the same sort in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    passed: bool,
    length: i32,
}

impl Row {
    /// Takes one more outcome; returns what is known now, if there were enough of its sort.
    pub(super) fn take(&mut self, probe: &Probe, passed: bool) -> Option<bool> {
        if self.length > 0 && self.passed == passed {
            self.length = self.length.saturating_add(1);
        } else {
            *self = Self { passed, length: 1 };
        }
        let enough =
            if passed { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
        (self.length >= enough).then_some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let probe = Probe { success_threshold: Some(2), failure_threshold: Some(3), ..Probe::default() };
        let mut row = Row::default();
        let outcomes = [true, true, false, false, true, false, false, false, false, true, true];
        let known: Vec<_> = outcomes.iter().map(|passed| row.take(&probe, *passed)).collect();
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(known, [None, yes, None, None, None, None, None, no, no, None, yes]);
    }
}
