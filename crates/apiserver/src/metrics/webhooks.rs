//! Calls of admission webhooks. Upstream: `k8s.io/apiserver/pkg/admission/metrics`.

use super::vec::{CounterVec, HistogramVec};
use std::time::Duration;

static DURATION: HistogramVec<4> = HistogramVec::new(
    "apiserver_admission_webhook_admission_duration_seconds",
    "[STABLE] Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
    &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0],
    ["name", "operation", "rejected", "type"],
);
static FAIL_OPEN: CounterVec<2> = CounterVec::new(
    "apiserver_admission_webhook_fail_open_count",
    "[ALPHA] Admission webhook fail open count, identified by name and broken out for each admission type (validating or admit).",
    ["name", "type"],
);
static REJECTIONS: CounterVec<5> = CounterVec::new(
    "apiserver_admission_webhook_rejection_count",
    "[ALPHA] Admission webhook rejection count, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify an error type (calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
    ["error_type", "name", "operation", "rejection_code", "type"],
);
static REQUESTS: CounterVec<5> = CounterVec::new(
    "apiserver_admission_webhook_request_total",
    "[ALPHA] Admission webhook request total, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify whether the request was rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
    ["code", "name", "operation", "rejected", "type"],
);

/// One call of a webhook.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    /// `admit` or `validating`.
    pub(crate) kind: &'static str,
    /// `CREATE`, ...
    pub(crate) operation: &'static str,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    /// It said no, with this code.
    Rejected(i32),
    /// It could not be asked, with the code of its answer if there was one; whether that is ignored.
    Failed {
        code: i32,
        is_ignored: bool,
    },
    /// The request fails for another reason.
    Internal,
}

impl Call<'_> {
    /// Notes how a call ended.
    pub(crate) fn ended(self, outcome: Outcome, time: Duration) {
        let Call { name, kind, operation } = self;
        let (error, code) = match outcome {
            Outcome::Allowed => (None, 200),
            Outcome::Rejected(code) => (Some("no_error"), code),
            Outcome::Failed { code, is_ignored: true } => {
                FAIL_OPEN.count([name, kind]);
                (None, code)
            }
            Outcome::Failed { code, is_ignored: false } => (Some("calling_webhook_error"), code),
            Outcome::Internal => (Some("apiserver_internal_error"), 0),
        };
        let code = code.min(600).to_string();
        if let Some(error) = error {
            REJECTIONS.count([error, name, operation, &code, kind]);
        }
        let rejected = if error.is_some() { "true" } else { "false" };
        REQUESTS.count([&code, name, operation, rejected, kind]);
        DURATION.took([name, operation, rejected, kind], time);
    }
}

pub(super) fn reset() {
    DURATION.reset();
    FAIL_OPEN.reset();
    REJECTIONS.reset();
    REQUESTS.reset();
}

pub(super) fn write(out: &mut String) {
    DURATION.write(out);
    FAIL_OPEN.write(out);
    REJECTIONS.write(out);
    REQUESTS.write(out);
}
